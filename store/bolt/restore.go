package bolt

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// restore makes the database file whole that a power cut, or just the end of
// the process, left behind while it was logged. It returns the records to do
// again, in order, and what to call once they are durable in the file. The
// file must be locked.
func restore(path string) (payloads [][]byte, done func() error, err error) {
	nothing := func() error { return nil }
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nothing, removeRedo(path) // it is of a database that was removed
	}
	var found [2]header
	for i := range found {
		if found[i], err = headerAt(redoPath(path, i)); err != nil {
			return nil, nil, err
		}
	}
	newest := found[0]
	if found[1].generation > newest.generation {
		newest = found[1]
	}
	base, from := newest, newest.generation
	if !newest.durable {
		from--
		base = found[from%2]
	}
	switch {
	case newest.generation == 0, newest.clean, from == 0, base.clean && base.generation == from:
		return nil, nothing, nil
	case base.generation != from || !base.durable:
		return nil, nil, fmt.Errorf("the redo log %s.redo* is damaged: neither generation has a base on the disk", path)
	}
	if err := putBack(path, base.base); err != nil {
		return nil, nil, err
	}
	for g := from; g <= newest.generation; g++ {
		content, err := os.ReadFile(redoPath(path, int(g%2)))
		if err != nil {
			return nil, nil, err
		}
		_ = records(content, g, func(payload []byte) error { // this one returns no error
			payloads = append(payloads, payload)
			return nil
		})
	}
	return payloads, func() error { return markFile(redoPath(path, int(newest.generation%2)), newest.generation) }, nil
}

// replay does the records of the log again, in one commit that bbolt syncs.
func replay(b *bbolt.DB, payloads [][]byte) error {
	if len(payloads) == 0 {
		return nil
	}
	return b.Update(func(tx *bbolt.Tx) error {
		c := &change{tx: tx, commit: new(commit)}
		for _, payload := range payloads {
			c.commit.record = c.commit.record[:0]
			if err := apply(payload, c); err != nil {
				return fmt.Errorf("do the redo log again: %w", err)
			}
		}
		return nil
	})
}

// headerAt reads the header of a redo file; zero if there is none.
func headerAt(path string) (header, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return header{}, nil
	}
	if err != nil {
		return header{}, err
	}
	h, _ := readHeader(file)
	return h, file.Close()
}

func markFile(path string, generation uint64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	r := redo{sync: datasync}
	r.files[generation%2] = file
	return errors.Join(r.mark(markClean, generation), file.Close())
}

// putBack makes base the state of the database file.
func putBack(path string, base meta) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if newest, err := readMeta(file, int(base.pageSize())); err == nil && newest.txid()+1 < base.txid() {
		return fmt.Errorf("the redo log %s.redo* is of a newer database than the file; if the file is a backup that was put in its place, remove the two files of the log", path)
	}
	if _, err := file.WriteAt(base, base.slot()*base.pageSize()); err != nil {
		return err
	}
	// The other page is of a state whose pages may be missing. Its header stays:
	// who checks the file looks at each page's.
	if _, err := file.WriteAt(make([]byte, metaSize-metaHeader), (1-base.slot())*base.pageSize()+metaHeader); err != nil {
		return err
	}
	return datasync(file)
}

// lock takes the lock that bbolt takes, for as long as the file is restored.
func lock(path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(lockWait / 20) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return nil, errors.Join(berrors.ErrTimeout, err, file.Close())
		}
	}
}
