package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// disk is what a power cut leaves: of each file what was synced last, and of
// what was written since any of its sectors.
type disk struct {
	path string // the database's

	mu     sync.Mutex
	synced map[string][]byte
	begun  map[string]int // how many syncs of a file have begun
	ended  map[string]int // the latest of those that ended
}

// watch makes a database that was just opened report its syncs, and has it
// logged.
func watch(t *testing.T, db *DB, path string, l limits) *disk {
	d := &disk{path: path, synced: make(map[string][]byte), begun: make(map[string]int), ended: make(map[string]int)}
	w := db.w.disk
	w.limits = l
	real := w.sync
	w.sync = func() error { return d.during(path, real) }
	// The log is made here and not in the background, so that it reports too.
	log, err := openRedo(path)
	if err != nil {
		t.Fatal(err)
	}
	log.sync = func(f *os.File) error { return d.during(f.Name(), func() error { return datasync(f) }) }
	w.redo = log
	for _, p := range d.files() {
		d.synced[p] = content(t, p)
	}
	mustWrite(t, db, "first") // from here on it is logged
	return d
}

func (d *disk) files() []string { return []string{d.path, redoPath(d.path, 0), redoPath(d.path, 1)} }

// during is a sync: what was there when it began is durable when it ends.
func (d *disk) during(path string, sync func() error) error {
	d.mu.Lock()
	d.begun[path]++
	turn := d.begun[path]
	before, err := os.ReadFile(path)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	if err := sync(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if turn > d.ended[path] {
		d.ended[path], d.synced[path] = turn, before
	}
	return nil
}

// cut writes what a power cut might leave to a new folder. No sync ends
// meanwhile, so nothing is written that waits for one.
func (d *disk) cut(t *testing.T, rng *rand.Rand) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := t.TempDir()
	lucky := rng.IntN(101) // percent of the sectors that were written
	for _, path := range d.files() {
		is := content(t, path)
		left := bytes.Clone(d.synced[path])
		if len(is) > len(left) && rng.IntN(2) == 0 {
			left = append(left, make([]byte, len(is)-len(left))...)
		}
		for at := 0; at < min(len(left), len(is)); at += sector {
			if rng.IntN(100) < lucky {
				copy(left[at:min(at+sector, len(left))], is[at:])
			}
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), left, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(d.path))
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The power is cut again and again while records are written and jobs are
// pushed, leased and finished. What was acknowledged is there afterwards, and
// the file is whole.
func TestPowerCuts(t *testing.T) {
	const writers, cuts = 4, 12
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := watch(t, db, path, limits{checkpointBytes: redoSize / 2, checkpointCommits: 5})
	var acknowledged [writers]atomic.Int64
	work, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() { keepWriting(work, t, db, i, &acknowledged[i]) })
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	logged := 0
	for n := range cuts {
		for acknowledged[n%writers].Load() < int64(n) { // some progress between two cuts
			if t.Failed() {
				break
			}
		}
		var want [writers]int64
		for i := range want {
			want[i] = acknowledged[i].Load()
		}
		left := d.cut(t, rng)
		if h, err := headerAt(redoPath(left, 0)); err != nil || h.generation > 0 {
			logged++
		}
		if n%3 == 0 { // the power fails during the first recovery too
			if _, _, err := restore(left); err != nil {
				t.Fatal(err)
			}
		}
		wantWhole(t, left, want[:])
		if t.Failed() {
			break
		}
	}
	stop()
	group.Wait()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if logged < cuts/2 {
		t.Errorf("only %d of %d cuts found a log", logged, cuts)
	}
	var want [writers]int64
	for i := range want {
		want[i] = acknowledged[i].Load()
	}
	wantWhole(t, path, want[:])
}

// keepWriting makes one change after the other, and counts what was
// acknowledged.
func keepWriting(ctx context.Context, t *testing.T, db *DB, writer int, acknowledged *atomic.Int64) {
	id := strconv.Itoa(writer)
	queue, videos := db.Queue(), db.Catalog().Videos
	if err := videos.Create(ctx, store.Video{ID: id}); err != nil {
		t.Error(err)
		return
	}
	for n := int64(1); ctx.Err() == nil; n++ {
		_, err := videos.Update(ctx, id, func(v *store.Video) error {
			v.Title = strconv.FormatInt(n, 10)
			return nil
		})
		if err == nil {
			acknowledged.Store(n)
			err = turn(ctx, queue, fmt.Sprintf("%s-%d", id, n))
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
			return
		}
	}
}

// turn pushes a job, and finishes whichever is first in line.
func turn(ctx context.Context, queue store.Queue, id string) error {
	if err := queue.Push(ctx, store.Job{ID: id, TaskID: "t"}); err != nil {
		return err
	}
	jobs, err := queue.Lease(ctx, store.LeaseRequest{Owner: store.Owner{Node: "n"}, MaxRank: store.RankOrdinary, TTL: time.Minute})
	if errors.Is(err, store.ErrEmpty) {
		return nil
	}
	if err != nil {
		return err
	}
	return queue.Finish(ctx, jobs[0].ID, jobs[0].Lease.Token, store.Outcome{})
}

func wantWhole(t *testing.T, path string, acknowledged []int64) {
	t.Helper()
	db, err := Open(path, Options{})
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close()
	for writer, want := range acknowledged {
		if want == 0 {
			continue
		}
		video, err := db.Catalog().Videos.Get(t.Context(), strconv.Itoa(writer))
		if err != nil {
			t.Error(err)
			continue
		}
		if got, _ := strconv.ParseInt(video.Title, 10, 64); got < want {
			t.Errorf("writer %d: %d was acknowledged, %d is there", writer, want, got)
		}
	}
	if err := db.CheckIndexes(); err != nil {
		t.Error(err)
	}
	err = db.view(t.Context(), func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Errorf("the file is damaged: %v", err)
	}
	if err := db.Queue().Push(t.Context(), store.Job{ID: "after", TaskID: "t"}); err != nil {
		t.Errorf("write after the power cut: %v", err)
	}
}

// A commit that the log or the file refuses is told to its callers, and what
// follows it is durable all the same.
func TestDiskFailures(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for _, tc := range []struct {
		name   string
		fail   func(*durability)
		broken bool
	}{
		{"the log cannot be synced", func(d *durability) { d.redo.sync = func(*os.File) error { return full } }, false},
		{"the log is gone", func(d *durability) { d.redo.files[0].Close(); d.redo.files[1].Close() }, false},
		{"neither can be synced", func(d *durability) {
			d.redo.sync = func(*os.File) error { return full }
			d.sync = func() error { return full }
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			db, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			watch(t, db, path, limits{checkpointBytes: redoSize, checkpointCommits: 1000})
			mustWrite(t, db, "before")
			tc.fail(db.w.disk)
			err = db.write(t.Context(), putKey("at"))
			if broken := errors.Is(err, store.ErrFull); broken != tc.broken {
				t.Errorf("the write got %v", err)
			}
			err = db.write(t.Context(), putKey("after"))
			if broken := errors.Is(err, store.ErrFull); broken != tc.broken {
				t.Errorf("the write after it got %v", err)
			}
			if err := db.Close(); (err != nil) != tc.broken {
				t.Errorf("close: %v", err)
			}
			wantKeys(t, path, map[string]bool{"before": true, "after": !tc.broken})
		})
	}
}

func mustWrite(t *testing.T, db *DB, key string) {
	t.Helper()
	if err := db.write(t.Context(), putKey(key)); err != nil {
		t.Fatal(err)
	}
}

func wantKeys(t *testing.T, path string, keys map[string]bool) {
	t.Helper()
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for key, want := range keys {
		var got bool
		err := db.view(t.Context(), func(tx *bbolt.Tx) error {
			got = tx.Bucket([]byte(bucketMeta)).Get([]byte(key)) != nil
			return nil
		})
		if err != nil || got != want {
			t.Errorf("%s is there: %v (%v), want %v", key, got, err, want)
		}
	}
}

// What does not fit into the log is made durable in the file.
func TestLargeCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := watch(t, db, path, defaultLimits)
	mustWrite(t, db, "before")
	err = db.write(t.Context(), func(c *change) error {
		return c.put(bucketMeta, []byte("large"), bytes.Repeat([]byte("x"), redoSize))
	})
	if err != nil {
		t.Fatal(err)
	}
	left := d.cut(t, rand.New(rand.NewPCG(1, 2)))
	mustWrite(t, db, "after")
	if db.w.disk.base == nil {
		t.Error("the log is not used after it")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, left, map[string]bool{"before": true, "large": true})
	wantKeys(t, path, map[string]bool{"before": true, "large": true, "after": true})
}

// A log that is newer than the file beside it is not done again.
func TestLogOfAnotherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	backup := content(t, path)
	for i := range 10 {
		mustWrite(t, db, strconv.Itoa(i))
	}
	d := watch(t, db, path, defaultLimits)
	mustWrite(t, db, "logged")
	left := d.cut(t, rand.New(rand.NewPCG(1, 2)))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(left, Options{}); err == nil || !strings.Contains(err.Error(), "if the file is a backup") {
		t.Errorf("got %v", err)
	}
	if err := removeRedo(left); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, left, map[string]bool{"0": false, "logged": false})
}

// The log of a database that was removed is of no other.
func TestLogWithoutItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := watch(t, db, path, defaultLimits)
	mustWrite(t, db, "logged")
	left := d.cut(t, rand.New(rand.NewPCG(1, 2)))
	if err := errors.Join(db.Close(), os.Remove(left)); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, left, map[string]bool{"logged": false})
}
