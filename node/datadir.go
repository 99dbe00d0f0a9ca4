package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dataDir keeps the data directory to this node: two in one would remove each
// other's scratch files, uploads and socket, wherever their records are.
type dataDir struct{ dir *os.File }

func (*dataDir) Name() string { return "data directory" }

func (d *dataDir) Start(ctx context.Context, k *Kernel) error {
	dir, err := os.Open(k.DataDir)
	if err != nil {
		return dataDirError(k.DataDir, err)
	}
	if err := lock(ctx, dir); err != nil {
		dir.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("data_dir %s is in use by another node; stop that one, or give this one a directory of its own with --data DIR", k.DataDir)
		}
		return fmt.Errorf("data_dir %s cannot be locked: %w", k.DataDir, err)
	}
	d.dir = dir
	return nil
}

// Stop gives the directory up.
func (d *dataDir) Stop(context.Context) error { return d.dir.Close() }

// lock takes the lock on a directory, which ends with the process that holds it,
// and waits for it a little: see listenWait.
func lock(ctx context.Context, dir *os.File) error {
	for until := time.Now().Add(listenWait); ; {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(listenEvery):
		}
	}
}
