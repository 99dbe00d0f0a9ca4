package upload

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"streamgate/store"
)

// Carrier moves the bytes of unfinished uploads between a node's disk and objects,
// for a deployment that moves from one to the other. It remembers what it has moved
// of an upload: most of it can be moved while more arrives.
type Carrier struct {
	// Dir is where a node keeps the bytes, as Config.Dir; Objects has them where they
	// are shared.
	Dir     string
	Objects store.Objects
	// Sources has the videos' sources of the deployment as it is.
	Sources store.Objects
	MaxSize int64
	// PartBytes is as in Config.
	PartBytes int64

	moved map[string]*carried
}

// carried is what was moved of an upload.
type carried struct {
	stored store.Stored
	at     int64
	sum    hash.Hash
	file   bool // was begun
}

func (c *Carrier) of(id string) *carried {
	if c.moved == nil {
		c.moved = map[string]*carried{}
	}
	if c.moved[id] == nil {
		c.moved[id] = &carried{sum: sha256.New()}
	}
	return c.moved[id]
}

// Share moves the acknowledged bytes of an upload from the disk to objects, and
// returns its record as any node can go on with. The caller sees that nobody writes
// the record it returns over a newer one.
func (c *Carrier) Share(ctx context.Context, rec store.Upload) (store.Upload, error) {
	if rec.Stored != nil {
		return rec, nil
	}
	file, have, err := c.open(ctx, rec)
	if err != nil {
		return rec, err
	}
	defer file.Close()
	token := rec.Hold.Token + 1
	done := c.of(rec.ID)
	if done.stored.PartBytes == 0 || done.stored.Runs[0].Token != token || done.at > have {
		*done = carried{sum: sha256.New(), stored: store.Stored{PartBytes: partSize(cmp.Or(c.PartBytes, partBytes), c.MaxSize, rec.SizeBytes), Runs: []store.StoredRun{{Token: token}}}}
	}
	now := rec
	now.Hold, now.Offset = store.Hold{Token: token}, have
	now.Stored = &store.Stored{PartBytes: done.stored.PartBytes, Runs: done.stored.Runs}
	if file.parts {
		for done.at+now.Stored.PartBytes <= have {
			if err := c.put(ctx, now, file, done.sum, done.at, now.Stored.PartBytes); err != nil {
				return rec, err
			}
			done.at += now.Stored.PartBytes
		}
	}
	state, err := done.sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return rec, err
	}
	rest := sha256.New()
	if err := rest.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return rec, err
	}
	switch {
	case !file.parts:
		_, err = io.Copy(rest, file)
	case have > done.at:
		err = c.put(ctx, now, file, rest, done.at, have-done.at)
	}
	if err != nil {
		return rec, err
	}
	now.Stored.SHA256, err = rest.(encoding.BinaryMarshaler).MarshalBinary()
	return now, err
}

// bytesOf is what an upload has: its file, or the source that it has become.
type bytesOf struct {
	io.ReadSeekCloser
	parts bool // they are to be stored
}

func (c *Carrier) open(ctx context.Context, rec store.Upload) (b bytesOf, have int64, err error) {
	f, err := os.Open(spool{c.Dir}.path(rec.ID))
	if err == nil {
		info, err := f.Stat()
		if err != nil {
			return b, 0, errors.Join(err, f.Close())
		}
		return bytesOf{f, true}, min(rec.Offset, info.Size()), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return b, 0, fmt.Errorf("open received bytes: %w", err)
	}
	if whole(rec) && rec.SizeBytes > 0 {
		r, o, err := c.Sources.Get(ctx, store.SourceKey(rec.VideoID))
		if err == nil && o.Size == rec.SizeBytes {
			return bytesOf{r, false}, rec.SizeBytes, nil
		}
		if err == nil {
			r.Close()
		} else if !errors.Is(err, store.ErrNotFound) {
			return b, 0, fmt.Errorf("open the source: %w", err)
		}
	}
	return bytesOf{nothing{}, true}, 0, nil
}

// nothing is a file without bytes.
type nothing struct{ eof }

func (nothing) Seek(int64, int) (int64, error) { return 0, nil }
func (nothing) Close() error                   { return nil }

// put stores bytes from a place on as a part, and adds them to the sum.
func (c *Carrier) put(ctx context.Context, rec store.Upload, file io.ReadSeeker, sum io.Writer, from, n int64) error {
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return err
	}
	key := partKey(rec, int(from/rec.Stored.PartBytes), n)
	if _, err := c.Objects.Put(ctx, key, io.TeeReader(io.LimitReader(file, n), sum), n, store.Replace); err != nil {
		return fmt.Errorf("store received bytes: %w", err)
	}
	return nil
}

// Unshare moves the acknowledged bytes of an upload from objects to the disk.
func (c *Carrier) Unshare(ctx context.Context, rec store.Upload) (store.Upload, error) {
	if rec.Stored == nil {
		return rec, nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return rec, fmt.Errorf("make the folder of received bytes: %w", store.Full(err))
	}
	done := c.of(rec.ID)
	flags := os.O_WRONLY | os.O_CREATE
	if !done.file || done.at > rec.Offset {
		flags |= os.O_TRUNC
		done.at, done.file = 0, true
	}
	f, err := os.OpenFile(spool{c.Dir}.path(rec.ID), flags, 0o600)
	if err != nil {
		return rec, fmt.Errorf("open the upload's file: %w", err)
	}
	err = c.append(ctx, f, rec, done)
	if err == nil {
		err = unix.Fdatasync(int(f.Fd()))
	}
	if err = errors.Join(err, f.Close(), spool{c.Dir}.sync()); err != nil {
		return rec, store.Full(err)
	}
	rec.Hold, rec.Stored = store.Hold{Token: rec.Hold.Token + 1}, nil
	return rec, nil
}

// append writes the parts that the file does not have whole.
func (c *Carrier) append(ctx context.Context, f *os.File, rec store.Upload, done *carried) error {
	keys := partKeys(rec)
	first := int(done.at / rec.Stored.PartBytes)
	if err := f.Truncate(int64(first) * rec.Stored.PartBytes); err != nil {
		return err
	}
	if _, err := f.Seek(int64(first)*rec.Stored.PartBytes, io.SeekStart); err != nil {
		return err
	}
	r := &partReader{ctx: ctx, objects: c.Objects, keys: keys[first:]}
	defer r.Close() //nolint:errcheck // it was only read
	n, err := io.Copy(f, r)
	if err != nil {
		return err
	}
	if at := int64(first)*rec.Stored.PartBytes + n; at != rec.Offset {
		return fmt.Errorf("%d bytes are stored, and %d were acknowledged", at, rec.Offset)
	}
	done.at = rec.Offset / rec.Stored.PartBytes * rec.Stored.PartBytes
	return nil
}
