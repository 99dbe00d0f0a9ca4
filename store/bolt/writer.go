package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// writer is the one goroutine that writes. It commits together whatever
// gathered while its last commit ran: a lone caller waits for nobody, and many
// share one sync. There is no timer to tune.
//
// Callers are isolated within a commit. A change does its checks first and
// its writes after them, so one that is refused has written nothing and the
// others go on. Should one fail after it has written (or panic), the whole
// transaction is dropped and the others run again without it; therefore a
// change may run more than once and must set its results anew each time.
//
// A caller whose context ends leaves the line if the writer has not taken its
// change yet; else it waits for the outcome. So an error means that nothing
// took effect, with one exception no database can rule out: when the disk
// fails during the commit itself, everyone in it gets the error, and the file
// shows at the next open whether it was kept.
type writer struct {
	db      *bbolt.DB
	disk    *durability
	record  []byte // the writes of the commit under way, for the log
	served  int    // callers of the last commit
	stopped chan struct{}

	mu      sync.Mutex
	more    sync.Cond // signalled when waiting or closed changes
	waiting []*pending
	closed  bool
}

func newWriter(db *bbolt.DB, disk *durability) *writer {
	w := &writer{db: db, disk: disk, stopped: make(chan struct{})}
	w.more.L = &w.mu
	go w.run()
	return w
}

// close lets the waiting changes finish, then ends the goroutine and makes the
// file whole.
func (w *writer) close() error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.mu.Unlock()
	w.more.Signal()
	<-w.stopped
	if again {
		return nil
	}
	return w.disk.close()
}

// do hands fn to the writer and waits for its outcome.
func (w *writer) do(ctx context.Context, fn func(*change) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := &pending{fn: fn, done: make(chan struct{})}
	if !w.enqueue(p) {
		return ErrClosed
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if p.claimed.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-p.done
	}
	if p.panicked != nil {
		panic(p.panicked) // in the caller's goroutine, where it belongs
	}
	return p.err
}

func (w *writer) enqueue(p *pending) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.waiting = append(w.waiting, p)
	w.more.Signal()
	return true
}

func (w *writer) run() {
	defer close(w.stopped)
	for {
		batch := w.next()
		if batch == nil {
			return
		}
		w.served = len(batch)
		for len(batch) > 0 {
			batch = w.commit(batch)
		}
	}
}

// next waits for changes; nil once the writer is closed and none is left.
func (w *writer) next() []*pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) == 0 {
		if w.closed {
			return nil
		}
		w.more.Wait()
	}
	w.gather()
	batch := w.waiting
	w.waiting = nil
	// Those whose callers left meanwhile are dropped here.
	return slices.DeleteFunc(batch, func(p *pending) bool {
		return !p.claimed.CompareAndSwap(false, true)
	})
}

// gather lets those come back whom the last commit woke: without it the first
// of them would have a commit alone, and all others wait for it. It yields for
// as long as each time brings someone, so it costs microseconds, and nothing
// when the last commit had one caller.
func (w *writer) gather() {
	for idle, seen := 0, 0; idle < idleYields && len(w.waiting) < w.served; {
		w.mu.Unlock()
		runtime.Gosched()
		w.mu.Lock()
		if len(w.waiting) == seen {
			idle++
		}
		seen = len(w.waiting)
	}
}

// commit runs the batch in one transaction. It returns what is to be run
// again: nothing, or the others if one failed after writing.
func (w *writer) commit(batch []*pending) []*pending {
	if err := w.disk.before(); err != nil {
		return settle(batch, err)
	}
	tx, err := w.db.Begin(true)
	if err != nil {
		return settle(batch, fmt.Errorf("begin: %w", store.Full(err)))
	}
	all := &commit{record: append(w.record[:0], make([]byte, recordHeader)...)}
	wrote := false
	for i, p := range batch {
		c := &change{tx: tx, commit: all}
		p.run(c)
		if c.wrote && p.failed() {
			err := tx.Rollback()
			p.err = errors.Join(p.err, err)
			close(p.done)
			return slices.Delete(batch, i, i+1)
		}
		wrote = wrote || c.wrote
	}
	if !wrote {
		err = tx.Rollback() // no page changed, no sync to pay
	} else if err = writeCounts(&change{tx: tx, commit: all}); err != nil {
		err = errors.Join(err, tx.Rollback())
	} else {
		err = w.disk.commit(tx, all.record)
	}
	if w.record = all.record; cap(w.record) > maxRecordKept {
		w.record = nil
	}
	if err != nil {
		return settle(batch, fmt.Errorf("commit: %w", store.Full(err)))
	}
	return settle(batch, nil)
}

// settle ends every change of the batch. With an error it is everyone's: a
// refusal may have rested on a neighbour's write that is gone now.
func settle(batch []*pending, err error) []*pending {
	for _, p := range batch {
		if err != nil {
			p.err = err
		}
		close(p.done)
	}
	return nil
}

// pending is one caller's change in the writer's line.
type pending struct {
	fn       func(*change) error
	claimed  atomic.Bool // by the writer, or by the caller who leaves
	err      error
	panicked any
	done     chan struct{}
}

func (p *pending) run(c *change) {
	defer func() { p.panicked = recover() }()
	p.err = p.fn(c)
}

func (p *pending) failed() bool { return p.err != nil || p.panicked != nil }

// idleYields is how often in vain gather yields.
const idleYields = 2

// maxRecordKept is the largest buffer that is kept for the next commit.
const maxRecordKept = 1 << 20

// commit is what the changes of one transaction share.
type commit struct {
	record []byte                 // what was written, for the log
	counts map[store.JobState]int // by how much the numbers of jobs change
}

// change is what a caller's function sees of the shared transaction.
type change struct {
	tx     *bbolt.Tx
	commit *commit
	wrote  bool
}

func (c *change) has(bucket string) bool { return c.tx.Bucket([]byte(bucket)) != nil }

func (c *change) get(bucket string, key []byte) []byte {
	return c.tx.Bucket([]byte(bucket)).Get(key)
}

func (c *change) put(bucket string, key, value []byte) error {
	c.wrote = true
	c.commit.record = appendOp(c.commit.record, opPut, []byte(bucket), key, value)
	return store.Full(c.tx.Bucket([]byte(bucket)).Put(key, value))
}

func (c *change) delete(bucket string, key []byte) error {
	c.wrote = true
	c.commit.record = appendOp(c.commit.record, opDelete, []byte(bucket), key)
	return store.Full(c.tx.Bucket([]byte(bucket)).Delete(key))
}

// sequence returns the bucket's next number; each is given out once.
func (c *change) sequence(bucket string) (uint64, error) {
	n := c.tx.Bucket([]byte(bucket)).Sequence() + 1
	return n, c.setSequence(bucket, n)
}

func (c *change) setSequence(bucket string, n uint64) error {
	c.wrote = true
	c.commit.record = appendOp(c.commit.record, opSequence, []byte(bucket), binary.BigEndian.AppendUint64(nil, n))
	return c.tx.Bucket([]byte(bucket)).SetSequence(n)
}
