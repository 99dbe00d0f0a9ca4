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

// writer lets one caller write at a time, who commits together whatever
// gathered while the commit before ran: a lone caller waits for nobody, and
// many share one sync. There is no timer to tune, and no goroutine: the caller
// that finds nobody writing leads, and a leader that has committed wakes the
// next of those who wait. A lone caller thus commits without a switch of
// threads, which costs a good part of what a sync does.
//
// Callers are isolated within a commit. A change does its checks first and
// its writes after them, so one that is refused has written nothing and the
// others go on. Should one fail after it has written (or panic), the whole
// transaction is dropped and the others run again without it; therefore a
// change may run more than once and must set its results anew each time.
//
// A caller whose context ends leaves the line if no leader has taken its
// change yet; else it waits for the outcome. So an error means that nothing
// took effect, with one exception no database can rule out: when the disk
// fails during the commit itself, everyone in it gets the error, and the file
// shows at the next open whether it was kept.
type writer struct {
	// The leader's.
	db     *bbolt.DB
	disk   *durability
	record []byte // the writes of the commit under way, for the log
	served int    // callers of the last commit
	ahead  ahead

	reads  atomic.Uint64 // since the open
	behind atomic.Bool   // the file's pages have not all that was acknowledged

	mu      sync.Mutex
	idle    sync.Cond // signalled when leading becomes false
	leading bool      // someone leads
	waiting []*pending
	closed  bool
}

func newWriter(db *bbolt.DB, disk *durability) *writer {
	w := &writer{db: db, disk: disk}
	w.idle.L = &w.mu
	return w
}

// close lets the waiting changes finish, then makes the file whole.
func (w *writer) close() error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	for w.leading {
		w.idle.Wait()
	}
	w.mu.Unlock()
	if again {
		return nil
	}
	if err := w.catchUp(); err != nil {
		w.disk.fail(err) // the log has it, and must stay
	}
	return w.disk.close()
}

// do commits fn, alone or with others, and returns its outcome.
func (w *writer) do(ctx context.Context, fn func(*change) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := &pending{fn: fn, wake: make(chan part, 1)}
	if !w.enter(p) {
		return ErrClosed
	}
	select {
	case mine := <-p.wake:
		w.play(p, mine)
	case <-ctx.Done():
		if p.claimed.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		w.play(p, <-p.wake)
	}
	if p.panicked != nil {
		panic(p.panicked) // in its own caller's goroutine, where it belongs
	}
	return p.err
}

// enter joins those who wait, or leads if nobody does. False if the writer is
// closed.
func (w *writer) enter(p *pending) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.waiting = append(w.waiting, p)
	if !w.leading {
		w.leading = true
		p.claimed.Store(true)
		p.wake <- leader
	}
	return true
}

// play does what a caller was woken for.
func (w *writer) play(p *pending, mine part) {
	if mine == served {
		return
	}
	defer crash()
	for batch := w.take(p); len(batch) > 0; {
		batch = w.commit(batch)
	}
	w.pass()
}

// crash ends the process if the leader panics: a fault here is no caller's,
// and a server that catches it for one request would leave all others waiting.
func crash() {
	if fault := recover(); fault != nil {
		go panic(fault)
		select {}
	}
}

// take gathers the changes that the leader commits, its own among them.
func (w *writer) take(own *pending) []*pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gather()
	batch := w.waiting
	w.waiting = nil
	// Those whose callers left meanwhile are dropped here.
	batch = slices.DeleteFunc(batch, func(p *pending) bool {
		return p != own && !p.claimed.CompareAndSwap(false, true)
	})
	w.served = len(batch)
	return batch
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

// pass makes the first of those who wait the next leader.
func (w *writer) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; len(w.waiting) > 0; w.waiting = w.waiting[1:] {
		if p := w.waiting[0]; p.claimed.CompareAndSwap(false, true) {
			p.wake <- leader
			return
		}
	}
	w.waiting = nil
	w.leading = false
	w.idle.Broadcast()
}

// commit runs the batch in one transaction. It returns what is to be run
// again: nothing, or the others if one failed after writing.
func (w *writer) commit(batch []*pending) []*pending {
	later := w.mayWait()
	if !later {
		if err := w.catchUp(); err != nil {
			return settle(batch, err)
		}
	}
	tx, err := w.begin()
	if err != nil {
		return settle(batch, err)
	}
	all := &commit{record: append(w.record[:0], make([]byte, recordHeader)...)}
	wrote := false
	for i, p := range batch {
		c := &change{tx: tx, commit: all}
		p.run(c)
		if c.wrote && p.failed() {
			p.err = errors.Join(p.err, w.rollback())
			p.wake <- served
			return slices.Delete(batch, i, i+1)
		}
		wrote = wrote || c.wrote
	}
	if wrote {
		err = w.end(tx, all, later)
	} else if len(w.ahead.records) == 0 {
		err = w.rollback() // no page changed, no sync to pay
	}
	if w.record = all.record; cap(w.record) > maxRecordKept {
		w.record = nil
	}
	if err != nil {
		return settle(batch, fmt.Errorf("commit: %w", store.Full(err)))
	}
	return settle(batch, nil)
}

// end makes what was written durable, and writes its pages or lets them wait.
func (w *writer) end(tx *bbolt.Tx, all *commit, later bool) error {
	if err := writeCounts(&change{tx: tx, commit: all}); err != nil {
		return errors.Join(err, w.rollback())
	}
	if later && w.disk.base != nil { // begin may have left the log
		return w.log(all.record)
	}
	w.ahead.tx = nil
	return w.disk.commit(tx, all.record)
}

// settle ends every change of the batch. With an error it is everyone's: a
// refusal may have rested on a neighbour's write that is gone now.
func settle(batch []*pending, err error) []*pending {
	for _, p := range batch {
		if err != nil {
			p.err = err
		}
		p.wake <- served
	}
	return nil
}

// pending is one caller's change.
type pending struct {
	fn       func(*change) error
	claimed  atomic.Bool // by a leader, or by the caller who leaves
	wake     chan part   // has room for one
	err      error
	panicked any
}

// part is what a caller is woken for.
type part int

const (
	served part = iota // its outcome is there
	leader             // it is to commit its own change and all that wait
)

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
