package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/memory"
)

// stores opens the embedded backends in the data directory: bbolt for records
// and queue (streamgate.db, whose lock makes this the only node on it), files
// for media (media/), memory for the cache.
type stores struct {
	db *bolt.DB
}

func (s *stores) Name() string { return "stores" }

func (s *stores) Start(_ context.Context, k *Kernel) error {
	db, err := bolt.Open(filepath.Join(k.DataDir, "streamgate.db"), bolt.Options{})
	if err != nil {
		return fmt.Errorf("data_dir %s: %w", k.DataDir, err)
	}
	objects, err := files.Open(filepath.Join(k.DataDir, "media"))
	if err != nil {
		return fmt.Errorf("data_dir %s: %w", k.DataDir, errors.Join(err, db.Close()))
	}
	// Uploads leave min_free_disk; cells may use half of that, no more, so
	// that records can still be written when the disk fills up.
	objects.Reserve = int64(k.Config.Upload.MinFreeDisk) / 2
	s.db = db
	k.Stores = Stores{
		Queue: db.Queue(), Catalog: db.Catalog(), Objects: objects, Cache: memory.NewCache(memory.Options{}),
	}
	k.Check("records", func(ctx context.Context) error {
		_, _, err := k.Stores.Catalog.Keys.List(ctx, store.Query{Limit: 1})
		return err
	})
	k.Check("media", k.Stores.Objects.Ping) // a full disk still plays: not unready
	return nil
}

// Stop closes the database; writes under way end first.
func (s *stores) Stop(context.Context) error { return s.db.Close() }
