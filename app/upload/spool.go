package upload

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// spool is the directory where bytes lie until their upload is finished: one
// file per upload, named by its id.
type spool struct{ dir string }

func (s spool) path(id string) string { return filepath.Join(s.dir, id) }

// size is the length of an upload's file; 0 if there is none.
func (s spool) size(id string) (int64, error) {
	info, err := os.Stat(s.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at received bytes: %w", err)
	}
	return info.Size(), nil
}

// has tells whether an upload has a file.
func (s spool) has(id string) (bool, error) {
	_, err := os.Stat(s.path(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look at received bytes: %w", err)
	}
	return err == nil, nil
}

// append opens an upload's file for writing from byte at, and cuts off what
// lies behind: nobody acknowledged it.
func (s spool) append(id string, at int64) (*os.File, error) {
	had, err := s.size(id)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path(id), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the upload's file: %w", err)
	}
	if had > at {
		err = f.Truncate(at)
	} else if had == 0 {
		err = s.sync() // the name, too, must outlive a power cut
	}
	if err == nil {
		_, err = f.Seek(at, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("prepare the upload's file: %w", err)
	}
	return f, nil
}

// scratch opens a file without a name, which goes when it is closed.
func (s spool) scratch() (*os.File, error) {
	f, err := os.CreateTemp(s.dir, "part-")
	if err != nil {
		return nil, fmt.Errorf("make a file to gather bytes in: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("make a file to gather bytes in: %w", err)
	}
	return f, nil
}

func (s spool) sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (s spool) remove(id string) error {
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove received bytes: %w", err)
	}
	return nil
}

// ids lists the uploads that have a file. Files that are no upload's are left
// out: somebody may have put them there.
func (s spool) ids() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list received files: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if validID(e.Name()) && e.Type().IsRegular() {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

func (s spool) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// datasync makes the file's bytes and length durable.
func datasync(f *os.File) error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("sync received bytes: %w", err)
	}
	return nil
}

// beginWriteBack has the kernel begin to write a part of the file, and does not
// wait for it. That is a favour, without which the next sync takes longer.
func beginWriteBack(f *os.File, from, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), from, n, unix.SYNC_FILE_RANGE_WRITE)
}

// validID tells whether a name has the form of store.NewID.
func validID(id string) bool {
	if len(id) != 24 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
