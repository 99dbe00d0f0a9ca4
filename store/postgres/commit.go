package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
)

// committer makes one transaction of what many callers of the queue want, so that
// a node pays one sync and one round trip for all of them, and looks for ready
// jobs once: what gathers while a transaction runs is the next one. It takes one
// connection. A node has three:
//
//   - for jobs that are pushed, of which one call can have thousands;
//   - for leases that are given and ended, which workers wait for one after the other:
//     with one for either a node was slower by a fifth, since half as many calls
//     shared a commit, and with several they walk over each other's locked rows;
//   - for leases that are renewed, which must not wait for a disk, or for a
//     synchronous standby that is away, since each is a film's work.
//
// What only gives or renews leases is committed without waiting for the server's
// disk. Should it lose one in a crash, the job is ready again, and its worker hears
// that it has lost it: as if the lease had expired. The same token is not given
// again, see the schema's next_token.
//
// Callers are isolated within a commit: one that is refused (a taken id, a lost
// lease) has changed nothing, and a transaction that the server refuses is made
// again for each caller alone. A caller whose context ends leaves at once: before
// its commit has begun, nothing happens; after that the outcome is not known to
// it, and jobs that were leased to it are given back.
type committer struct {
	db *DB

	mu      sync.Mutex
	idle    sync.Cond // signalled when running becomes false
	running bool      // there is a goroutine that commits
	waiting []*call
	served  int // callers of the last commit
	closed  bool
	behind  sync.WaitGroup // jobs that are being given back
}

// kind is what a call wants.
type kind int

const (
	push kind = iota
	finish
	renew
	lease
)

// call is one caller's part of a commit.
type call struct {
	kind     kind
	rows     []newRow // to push, or to add after a finish
	id       string   // of the lease
	token    uint64
	ttl      time.Duration
	progress float64
	lease    store.LeaseRequest

	stage  atomic.Int32
	over   chan struct{} // closed at the end
	err    error
	leased []leased
	unread error // a leased job is none that this program can read
}

// leased is a job with its place in order.
type leased struct {
	job store.Job
	ord []byte
}

// The stages of a call.
const (
	stageWaiting int32 = iota
	stageTaken         // it is in a commit
	stageLeft          // its caller has gone
	stageOver
)

const (
	// commitLimit bounds a transaction whose server has gone silent.
	commitLimit = 30 * time.Second
	// maxRows is how many jobs a commit adds at most, if one caller alone does
	// not add more.
	maxRows = 5000
	// idleYields is how often in vain the committer waits for more callers, and
	// gatherLimit how long at most, where others use the processors.
	idleYields  = 20
	gatherLimit = 5 * time.Millisecond
)

func newCommitter(db *DB) *committer {
	c := &committer{db: db}
	c.idle.L = &c.mu
	return c
}

// close lets the waiting calls finish.
func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	for c.running {
		c.idle.Wait()
	}
	c.mu.Unlock()
	c.behind.Wait()
}

// do commits a call, alone or with others, and returns its outcome.
func (c *committer) do(ctx context.Context, mine *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mine.over = make(chan struct{})
	if !c.enter(mine) {
		return ErrClosed
	}
	select {
	case <-mine.over:
		return mine.err
	case <-ctx.Done():
	}
	if mine.stage.CompareAndSwap(stageWaiting, stageLeft) || mine.stage.CompareAndSwap(stageTaken, stageLeft) {
		return ctx.Err()
	}
	<-mine.over
	return mine.err
}

func (c *committer) enter(mine *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.waiting = append(c.waiting, mine)
	if !c.running {
		c.running = true
		go c.run()
	}
	return true
}

// run commits as long as there are callers.
func (c *committer) run() {
	for calls := c.take(); len(calls) > 0; calls = c.take() {
		c.commit(calls)
	}
}

// take gathers the calls of the next commit. If there are none, the goroutine is
// to end.
func (c *committer) take() (calls []*call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gather()
	var p picker
	c.waiting = slices.DeleteFunc(c.waiting, func(next *call) bool {
		switch {
		case next.stage.Load() == stageLeft:
			return true
		case !p.fits(next):
			return false
		case !next.stage.CompareAndSwap(stageWaiting, stageTaken):
			return true
		}
		calls = append(calls, next)
		return true
	})
	c.served = len(calls)
	if len(calls) == 0 {
		c.running = false
		c.idle.Broadcast()
	}
	return calls
}

// gather lets those come back whom the last commit has served: without it they
// would wait for all others, who wait for them next, in two halves for ever. A lone
// caller's commit does not wait.
func (c *committer) gather() {
	began := time.Now()
	for idle, seen := 0, len(c.waiting); idle < idleYields && c.served > 1 && time.Since(began) < gatherLimit; {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		if len(c.waiting) == seen {
			idle++
		}
		seen = len(c.waiting)
	}
}

// picker says which calls can share a commit: a statement must not have a job
// twice.
type picker struct {
	names map[jobOf]bool
	rows  int
}

type jobOf struct {
	kind kind
	id   string
}

// fits tells whether a call can join those that did before, and remembers it.
func (p *picker) fits(c *call) bool {
	if len(c.rows) > 0 && p.rows > 0 && p.rows+len(c.rows) > maxRows {
		return false
	}
	var names []jobOf
	switch c.kind {
	case push:
		for _, row := range c.rows {
			names = append(names, jobOf{push, row.id})
		}
	case finish, renew:
		names = append(names, jobOf{c.kind, c.id})
	}
	if slices.ContainsFunc(names, func(n jobOf) bool { return p.names[n] }) {
		return false
	}
	if p.names == nil {
		p.names = make(map[jobOf]bool)
	}
	for _, n := range names {
		p.names[n] = true
	}
	p.rows += len(c.rows)
	return true
}

// commit makes one transaction of the calls; if the server refuses it, each has
// one of its own.
func (c *committer) commit(calls []*call) {
	err := c.attempt(calls)
	if !refused(err) || len(calls) == 1 {
		c.settle(calls, err)
		return
	}
	for i := range calls {
		alone := calls[i : i+1]
		c.settle(alone, c.attempt(alone))
	}
}

// attempt sends the calls. All statements of a batch are one transaction, without
// a round trip for its begin and its end.
func (c *committer) attempt(calls []*call) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
	defer cancel()
	err := c.db.write(ctx, func() error {
		for _, each := range calls {
			each.err, each.leased, each.unread = nil, nil, nil
		}
		return c.db.pool.SendBatch(ctx, c.batch(calls)).Close()
	})
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("%w: the database has not answered for %v", store.ErrUnavailable, commitLimit)
	}
	return err
}

// relaxSQL lets this transaction's commit not wait for the disk.
const relaxSQL = `SELECT set_config('synchronous_commit', 'off', true)`

// batch queues the statements.
func (c *committer) batch(calls []*call) *pgx.Batch {
	of := make(map[kind][]*call)
	for _, each := range calls {
		of[each.kind] = append(of[each.kind], each)
	}
	// Nodes that lock the same jobs do it in one order, as far as they can.
	byID := func(a, b *call) int { return cmp.Compare(a.id, b.id) }
	slices.SortFunc(of[finish], byID)
	slices.SortFunc(of[renew], byID)
	b, clock := new(pgx.Batch), c.db.clock()
	if len(of[finish])+len(of[push]) == 0 {
		b.Queue(relaxSQL)
	}
	queueFinishes(b, clock, of[finish])
	queueRenewals(b, clock, of[renew])
	queuePushes(b, clock, of[push])
	queueLeases(b, clock, of[lease])
	return b
}

// settle ends calls. An error is everyone's: what was refused may have rested on
// a neighbour's change that is gone now.
func (c *committer) settle(calls []*call, err error) {
	for _, each := range calls {
		if err != nil {
			each.err, each.leased = err, nil
		}
		slices.SortFunc(each.leased, func(a, b leased) int { return bytes.Compare(a.ord, b.ord) })
		if each.stage.CompareAndSwap(stageTaken, stageOver) {
			close(each.over)
			continue
		}
		if len(each.leased) > 0 {
			c.behind.Go(func() { c.giveBack(each.leased) })
		}
	}
}

// giveBack ends leases whose caller has gone before it had them. Should that
// fail, they expire.
func (c *committer) giveBack(jobs []leased) {
	ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
	defer cancel()
	q := &queue{c.db}
	for _, j := range jobs {
		_ = q.Finish(ctx, j.job.ID, j.job.Lease.Token, store.Outcome{Retry: true})
	}
}
