package bolt

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// unread is a logged database of which nobody has read for a while: what it
// acknowledges now has its pages written later.
func unread(t *testing.T) (db *DB, d *disk, keys map[string]bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d = watch(t, db, path, limits{checkpointBytes: redoSize / 2, checkpointCommits: 1000})
	keys = make(map[string]bool)
	for i := range 3 * quietCommits {
		key := strconv.Itoa(i)
		mustWrite(t, db, key)
		keys[key] = true
	}
	if !db.w.behind.Load() {
		t.Fatal("the pages do not wait")
	}
	return db, d, keys
}

func wantAll(t *testing.T, db *DB, keys map[string]bool) {
	t.Helper()
	err := db.view(t.Context(), func(tx *bbolt.Tx) error {
		for key, want := range keys {
			if got := tx.Bucket([]byte(bucketMeta)).Get([]byte(key)) != nil; got != want {
				t.Errorf("%s is there: %v, want %v", key, got, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Who reads sees what was acknowledged, and from then on nothing waits.
func TestReadCatchesUp(t *testing.T) {
	db, _, keys := unread(t)
	wantAll(t, db, keys)
	for i := range quietCommits {
		if db.w.behind.Load() {
			t.Fatalf("the pages wait after the read and %d writes", i)
		}
		mustWrite(t, db, "after")
	}
	mustWrite(t, db, "after")
	if !db.w.behind.Load() {
		t.Error("the pages never wait again")
	}
}

// Many changes that nobody reads are written from time to time: what waits is
// bounded.
func TestAheadIsBounded(t *testing.T) {
	db, _, _ := unread(t)
	value, caughtUp := make([]byte, maxAhead/4), 0
	for range 40 {
		err := db.write(t.Context(), func(c *change) error { return c.put(bucketMeta, []byte("large"), value) })
		if err != nil {
			t.Fatal(err)
		}
		if !db.w.behind.Load() {
			caughtUp++
		}
		if waiting := len(db.w.ahead.records); waiting > maxAhead+len(value)+100 {
			t.Fatalf("%d bytes wait", waiting)
		}
	}
	if caughtUp < 5 {
		t.Errorf("the pages were written %d times in 40 changes of %d bytes", caughtUp, len(value))
	}
}

// A power cut takes nothing of what waited; neither does the close.
func TestPowerCutAhead(t *testing.T) {
	db, d, keys := unread(t)
	left := d.cut(t, rand.New(rand.NewPCG(1, 2)))
	wantKeys(t, left, keys)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, d.path, keys)
}

// A change that fails after it has written takes nothing along of what waits.
func TestFailureAhead(t *testing.T) {
	db, _, keys := unread(t)
	broken := errors.New("broken")
	err := db.write(t.Context(), func(c *change) error { return errors.Join(putKey("half")(c), broken) })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	mustWrite(t, db, "after")
	keys["half"], keys["after"] = false, true
	wantAll(t, db, keys)
}

// A commit that does not fit into the log takes along what waits.
func TestLargeCommitAhead(t *testing.T) {
	db, d, keys := unread(t)
	large := []byte(strings.Repeat("x", redoSize))
	err := db.write(t.Context(), func(c *change) error { return c.put(bucketMeta, []byte("large"), large) })
	if err != nil {
		t.Fatal(err)
	}
	keys["large"] = true
	left := d.cut(t, rand.New(rand.NewPCG(1, 2)))
	wantAll(t, db, keys)
	wantKeys(t, left, keys)
}

// While what waits cannot be written, reads and writes are refused, and nothing
// is lost; they go on when there is room.
func TestNoRoomToCatchUp(t *testing.T) {
	db, d, keys := unread(t)
	err := db.write(t.Context(), func(c *change) error { // more than the pages that are free
		return c.put(bucketMeta, []byte("long"), make([]byte, maxAhead/2))
	})
	if err != nil || !db.w.behind.Load() {
		t.Fatalf("nothing waits: %v", err)
	}
	keys["long"] = true
	db.bolt.MaxSize = 1
	err = db.view(t.Context(), func(*bbolt.Tx) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "what was acknowledged") {
		t.Errorf("the read got %v", err)
	}
	if err := db.write(t.Context(), putKey("refused")); err == nil {
		t.Error("a write went well")
	}
	keys["refused"] = false
	left := d.cut(t, rand.New(rand.NewPCG(1, 2)))
	wantKeys(t, left, keys)
	db.bolt.MaxSize = 0
	wantAll(t, db, keys)
	mustWrite(t, db, "after")
}

// A log that fails is left, with what waited in the file.
func TestLogFailsAhead(t *testing.T) {
	db, d, keys := unread(t)
	db.w.disk.redo.sync = func(*os.File) error { return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC} }
	mustWrite(t, db, "at")
	mustWrite(t, db, "after")
	keys["at"], keys["after"] = true, true
	wantAll(t, db, keys)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	wantKeys(t, d.path, keys)
}

// The log is left in the very commit whose pages could have waited: it is in the
// file.
func TestLogLeftAhead(t *testing.T) {
	db, d, keys := unread(t)
	wantAll(t, db, keys)
	for range quietCommits - 1 {
		mustWrite(t, db, "quiet")
	}
	keys["quiet"], keys["at"] = true, true
	db.w.disk.file.Close() // its size is not known: there may be no room in the map
	mustWrite(t, db, "at")
	if db.w.disk.base != nil {
		t.Error("the log is still used")
	}
	wantKeys(t, d.cut(t, rand.New(rand.NewPCG(1, 2))), keys)
}

// The queue's order and counts hold where the pages wait.
func TestQueueAhead(t *testing.T) {
	db, _, _ := unread(t)
	q := db.Queue()
	for i := range 60 {
		if err := q.Push(t.Context(), store.Job{ID: strconv.Itoa(i), TaskID: "t", Ordinal: i}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		jobs, err := q.Lease(t.Context(), store.LeaseRequest{Owner: store.Owner{Node: "n"}, MaxRank: store.RankOrdinary, TTL: 1})
		if err != nil || jobs[0].ID != strconv.Itoa(i) {
			t.Fatalf("job %d: %v, %v", i, jobs, err)
		}
		if err := q.Finish(t.Context(), jobs[0].ID, jobs[0].Lease.Token, store.Outcome{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.CheckIndexes(); err != nil {
		t.Error(err)
	}
}
