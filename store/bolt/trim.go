package bolt

import (
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	trimAfter = 2000                   // uses
	trimEvery = 250 * time.Millisecond // at most
)

// trimmer keeps the database from filling this process's memory: each page
// that is read stays resident, and who looks through all tasks reads them all.
// So after many uses it trims, in the background.
type trimmer struct {
	bolt    *bbolt.DB
	uses    atomic.Int64
	last    atomic.Int64 // Unix nanoseconds of the last trim
	running atomic.Bool
}

// used counts a transaction.
func (t *trimmer) used() {
	if t.uses.Add(1) < trimAfter {
		return
	}
	now := time.Now().UnixNano()
	if now-t.last.Load() < int64(trimEvery) || !t.running.CompareAndSwap(false, true) {
		return
	}
	t.uses.Store(0)
	t.last.Store(now)
	go func() {
		defer t.running.Store(false)
		trim(t.bolt)
	}()
}

// trim gives the memory back that the pages of the file take up in this
// process. They stay in the system's cache, and are there again when they are
// read.
func trim(b *bbolt.DB) {
	_ = b.View(func(tx *bbolt.Tx) error {
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, b.Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
		if errno != 0 {
			return errno
		}
		return nil
	}) // it is a favour: without it nothing fails
}
