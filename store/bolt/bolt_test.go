package bolt_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/storetest"
)

// After each subtest the indexes must agree with the jobs.
func TestQueue(t *testing.T) {
	storetest.TestQueue(t, func(t *testing.T, clock *storetest.Clock) store.Queue {
		db := open(t, bolt.Options{Now: clock.Now})
		t.Cleanup(func() {
			if err := db.CheckIndexes(); err != nil {
				t.Error(err)
			}
		})
		return db.Queue()
	})
}

// Calls that take their time, so that others overtake them, change nothing of
// what the queue promises.
func TestQueueStalls(t *testing.T) {
	storetest.TestQueue(t, func(t *testing.T, clock *storetest.Clock) store.Queue {
		faulty := storetest.NewFaultyQueue(open(t, bolt.Options{Now: clock.Now}).Queue())
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
		return open(t, bolt.Options{}).Catalog()
	})
}

func TestDatabase(t *testing.T) {
	fresh := func(t *testing.T) storetest.Kept { return open(t, bolt.Options{}) }
	storetest.TestDatabase(t, fresh, fresh)
}

// A database that was left is refused, and says where to go.
func TestOpenMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	moved := store.Standing{State: store.StandingMoved, Other: "/etc/other.yaml", At: time.Now()}
	if err := errors.Join(db.Hold(t.Context(), time.Minute), db.SetStanding(t.Context(), moved), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, bolt.Options{}); !errors.Is(err, store.ErrMoved) || !strings.Contains(err.Error(), "--config /etc/other.yaml") {
		t.Errorf("open: %v", err)
	}
	openAt(t, path, bolt.Options{NotInUse: true})
}

// open opens a new database that ends with the test.
func open(t testing.TB, opts bolt.Options) *bolt.DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "test.db"), opts)
}

func openAt(t testing.TB, path string, opts bolt.Options) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}
