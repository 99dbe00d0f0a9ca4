package postgres_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/postgres"
	"streamgate/store/storetest"
)

// After each subtest every job must stand where its record says.
func TestQueue(t *testing.T) {
	storetest.TestQueue(t, func(t *testing.T, clock *storetest.Clock) store.Queue {
		db := open(t, database(t, migrated), postgres.Options{Now: clock.Now})
		t.Cleanup(func() {
			if err := db.CheckOrder(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return db.Queue()
	})
}

// Two nodes that are called by turns are one queue, also if calls take their
// time, so that others overtake them, and if sessions forget what they knew.
func TestQueueTwoNodes(t *testing.T) {
	storetest.TestQueue(t, func(t *testing.T, clock *storetest.Clock) store.Queue {
		address := database(t, migrated)
		q := &turns{}
		for i := range q.nodes {
			db, err := postgres.OpenForgetful(t.Context(), address, postgres.Options{Now: clock.Now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(db.Close)
			q.nodes[i] = db.Queue()
		}
		faulty := storetest.NewFaultyQueue(q)
		calls := 0
		faulty.Break(func(storetest.Op) storetest.Fault {
			if calls++; calls%3 != 0 {
				return storetest.Fault{}
			}
			stall := make(chan struct{})
			time.AfterFunc(time.Millisecond, func() { close(stall) })
			return storetest.Fault{Stall: stall}
		})
		return faulty
	})
}

func TestCatalog(t *testing.T) {
	storetest.TestCatalog(t, func(t *testing.T) store.Catalog {
		return open(t, database(t, migrated), postgres.Options{}).Catalog()
	})
}

func TestCatalogForgetful(t *testing.T) {
	storetest.TestCatalog(t, func(t *testing.T) store.Catalog {
		db, err := postgres.OpenForgetful(t.Context(), database(t, migrated), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		return db.Catalog()
	})
}

func TestDatabase(t *testing.T) {
	storetest.TestDatabase(t,
		func(t *testing.T) storetest.Kept { return open(t, database(t, migrated), postgres.Options{}) },
		func(t *testing.T) storetest.Kept {
			db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		})
}

// Another node's writes are refused too, and a database that was left is refused at
// the start.
func TestDatabaseTwoNodes(t *testing.T) {
	address := database(t, migrated)
	mover, other := open(t, address, postgres.Options{}), open(t, address, postgres.Options{})
	ctx := t.Context()
	create := func() error { return other.Catalog().Keys.Create(ctx, store.Key{ID: store.NewID()}) }
	if err := mover.Hold(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := create(); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("while it is held: %v", err)
	}
	if err := other.Hold(ctx, time.Minute); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a second hold: %v", err)
	}
	if err := mover.SetStanding(ctx, store.Standing{State: store.StandingMoved, Other: "/etc/other.yaml"}); err != nil {
		t.Fatal(err)
	}
	if err := create(); !errors.Is(err, store.ErrMoved) || !strings.Contains(err.Error(), "/etc/other.yaml") {
		t.Errorf("when it was left: %v", err)
	}
	if _, err := postgres.Open(ctx, address, postgres.Options{}); !errors.Is(err, store.ErrMoved) {
		t.Errorf("open: %v", err)
	}
}

// A hold that nobody gave up leaves nothing behind.
func TestOldHold(t *testing.T) {
	address := database(t, migrated)
	mover := open(t, address, postgres.Options{})
	if err := mover.Hold(t.Context(), time.Microsecond); err != nil {
		t.Fatal(err)
	}
	if n, err := mover.Triggers(t.Context()); err != nil || n != len(store.Tables()) {
		t.Errorf("%d triggers, %v", n, err)
	}
	next := open(t, address, postgres.Options{})
	if n, err := next.Triggers(t.Context()); err != nil || n != 0 {
		t.Errorf("%d triggers are left, %v", n, err)
	}
}

// turns is a queue whose calls go to its nodes by turns.
type turns struct {
	nodes [2]store.Queue
	calls atomic.Int64
}

func (q *turns) next() store.Queue { return q.nodes[q.calls.Add(1)%int64(len(q.nodes))] }

func (q *turns) Push(ctx context.Context, jobs ...store.Job) error {
	return q.next().Push(ctx, jobs...)
}

func (q *turns) PushWithin(ctx context.Context, job store.Job, most int) error {
	return q.next().PushWithin(ctx, job, most)
}

func (q *turns) Lease(ctx context.Context, req store.LeaseRequest) ([]store.Job, error) {
	return q.next().Lease(ctx, req)
}

func (q *turns) Renew(ctx context.Context, id string, token uint64, ttl time.Duration, progress float64) error {
	return q.next().Renew(ctx, id, token, ttl, progress)
}

func (q *turns) Finish(ctx context.Context, id string, token uint64, out store.Outcome) error {
	return q.next().Finish(ctx, id, token, out)
}

func (q *turns) Reap(ctx context.Context, req store.ReapRequest) ([]store.Job, error) {
	return q.next().Reap(ctx, req)
}

func (q *turns) Admit(ctx context.Context, n int) ([]store.Job, error) { return q.next().Admit(ctx, n) }

func (q *turns) Boost(ctx context.Context, rank store.Rank, ids ...string) (int, error) {
	return q.next().Boost(ctx, rank, ids...)
}

func (q *turns) Redo(ctx context.Context, ids ...string) (int, error) {
	return q.next().Redo(ctx, ids...)
}

func (q *turns) Reprioritise(ctx context.Context, taskID string, priority int) (int, error) {
	return q.next().Reprioritise(ctx, taskID, priority)
}

func (q *turns) PauseTask(ctx context.Context, taskID string) (int, error) {
	return q.next().PauseTask(ctx, taskID)
}

func (q *turns) ResumeTask(ctx context.Context, taskID string) (int, error) {
	return q.next().ResumeTask(ctx, taskID)
}

func (q *turns) Cancel(ctx context.Context, taskID string) (int, error) {
	return q.next().Cancel(ctx, taskID)
}

func (q *turns) SetPaused(ctx context.Context, paused bool) error {
	return q.next().SetPaused(ctx, paused)
}

func (q *turns) Job(ctx context.Context, id string) (store.Job, error) { return q.next().Job(ctx, id) }

func (q *turns) Jobs(ctx context.Context, taskID string) ([]store.Job, error) {
	return q.next().Jobs(ctx, taskID)
}

func (q *turns) Holders(ctx context.Context) ([]store.Owner, error) { return q.next().Holders(ctx) }

func (q *turns) Open(ctx context.Context, taskID string) (int, error) {
	return q.next().Open(ctx, taskID)
}

func (q *turns) Stats(ctx context.Context) (store.QueueStats, error) { return q.next().Stats(ctx) }
