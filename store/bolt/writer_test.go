package bolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// occupied is a database whose writer is held up inside a change, so that
// everything that comes meanwhile lands in one commit.
type occupied struct {
	*DB
	release chan struct{}
	wg      sync.WaitGroup
}

func occupy(t *testing.T) *occupied {
	t.Helper()
	db, err := Open(filepath.Join(t.TempDir(), "test.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	o := &occupied{DB: db, release: make(chan struct{})}
	entered := make(chan struct{})
	o.wg.Go(func() {
		err := db.write(t.Context(), func(*change) error {
			close(entered)
			<-o.release
			return nil
		})
		if err != nil {
			t.Errorf("hold the writer up: %v", err)
		}
	})
	<-entered
	return o
}

// queue puts a change in line and returns where its outcome will be.
func (o *occupied) queue(ctx context.Context, fn func(*change) error) chan error {
	o.w.mu.Lock()
	before := len(o.w.waiting)
	o.w.mu.Unlock()
	outcome := make(chan error, 1)
	o.wg.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				outcome <- fmt.Errorf("panic: %v", p)
			}
		}()
		outcome <- o.write(ctx, fn)
	})
	for { // its place in line is what the tests rely on
		o.w.mu.Lock()
		n := len(o.w.waiting)
		o.w.mu.Unlock()
		if n > before {
			return outcome
		}
	}
}

func (o *occupied) proceed() {
	close(o.release)
	o.wg.Wait()
}

func (o *occupied) has(t *testing.T, key string) bool {
	t.Helper()
	var has bool
	err := o.view(t.Context(), func(tx *bbolt.Tx) error {
		has = tx.Bucket([]byte(bucketMeta)).Get([]byte(key)) != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return has
}

func putKey(key string) func(*change) error {
	return func(c *change) error { return c.put(bucketMeta, []byte(key), []byte{1}) }
}

// One commit holds a refusal, a failure after a write, a panic after a write
// and four good changes around them.
func TestChangesAreIsolated(t *testing.T) {
	o := occupy(t)
	refused, broken := errors.New("refused"), errors.New("broken")
	runs := 0

	a := o.queue(t.Context(), func(c *change) error { runs++; return putKey("a")(c) })
	no := o.queue(t.Context(), func(*change) error { return refused })
	b := o.queue(t.Context(), putKey("b"))
	half := o.queue(t.Context(), func(c *change) error { return errors.Join(putKey("half")(c), broken) })
	c := o.queue(t.Context(), putKey("c"))
	boom := o.queue(t.Context(), func(c *change) error {
		if err := putKey("boom")(c); err != nil {
			return err
		}
		panic("boom")
	})
	d := o.queue(t.Context(), putKey("d"))
	o.proceed()

	for name, outcome := range map[string]chan error{"a": a, "b": b, "c": c, "d": d} {
		if err := <-outcome; err != nil || !o.has(t, name) {
			t.Errorf("%s: error %v, stored %v", name, err, o.has(t, name))
		}
	}
	if err := <-no; err != refused { //nolint:errorlint // it must come back as it is
		t.Errorf("the refused got %v", err)
	}
	if err := <-half; !errors.Is(err, broken) || o.has(t, "half") {
		t.Errorf("the broken got %v; stored: %v", err, o.has(t, "half"))
	}
	if err := <-boom; err == nil || err.Error() != "panic: boom" || o.has(t, "boom") {
		t.Errorf("the panicking got %v; stored: %v", err, o.has(t, "boom"))
	}
	if runs != 3 {
		t.Errorf("a ran %d times, want once for each drop and once for good", runs)
	}
}

// A change that writes nothing costs no sync.
func TestNoWriteNoCommit(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "test.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	before := pagesWritten(db)
	for range 10 {
		_, err := db.Queue().Lease(t.Context(), store.LeaseRequest{MaxRank: store.RankOrdinary, TTL: 1})
		if !errors.Is(err, store.ErrEmpty) {
			t.Fatal(err)
		}
	}
	if after := pagesWritten(db); after != before {
		t.Errorf("asking an empty queue wrote %d times", after-before)
	}
}

func pagesWritten(db *DB) int64 {
	stats := db.bolt.Stats()
	return stats.TxStats.GetWrite()
}

func TestCallerLeavesTheLine(t *testing.T) {
	o := occupy(t)
	ctx, cancel := context.WithCancel(t.Context())
	left := o.queue(ctx, putKey("left"))
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	stayed := o.queue(t.Context(), putKey("stayed"))
	o.proceed()
	if err := <-stayed; err != nil || !o.has(t, "stayed") || o.has(t, "left") {
		t.Errorf("stayed: %v, %v; left: %v", err, o.has(t, "stayed"), o.has(t, "left"))
	}
}

// A context that ends while the change runs does not hide what became of it.
func TestCallerWaitsForWhatRuns(t *testing.T) {
	o := occupy(t)
	ctx, cancel := context.WithCancel(t.Context())
	outcome := o.queue(ctx, func(c *change) error { cancel(); return putKey("a")(c) })
	o.proceed()
	if err := <-outcome; err != nil || !o.has(t, "a") {
		t.Errorf("got %v; stored: %v", err, o.has(t, "a"))
	}
}

func TestCloseWaitsForWrites(t *testing.T) {
	o := occupy(t)
	a := o.queue(t.Context(), putKey("a"))
	var closed error
	o.wg.Go(func() { closed = o.Close() })
	o.proceed()
	if err := <-a; err != nil || closed != nil {
		t.Errorf("write: %v; close: %v", err, closed)
	}
}
