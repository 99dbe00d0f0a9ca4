package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"streamgate/store"
	"streamgate/store/bolt"
)

func TestOpenRefusesWhatIsInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	openAt(t, path, bolt.Options{})
	_, err := bolt.Open(path, bolt.Options{})
	if !errors.Is(err, bolt.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrInUse with the file's name", err)
	}
}

func TestOpenRefusesAnotherLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	file, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = file.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("meta"))
		if err != nil {
			return err
		}
		return meta.Put([]byte("schema"), []byte("99"))
	})
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, bolt.Options{}); !errors.Is(err, bolt.ErrSchema) {
		t.Errorf("got %v, want ErrSchema", err)
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, bolt.Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error with the file's name", err)
	}
}

// What was written is there after the file is opened again, the token's
// counter included.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	push(t, db.Queue(), "a")
	first := lease(t, db.Queue())
	if err := db.Catalog().Videos.Create(t.Context(), store.Video{ID: "v1"}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db = openAt(t, path, bolt.Options{})
	if _, err := db.Catalog().Videos.Get(t.Context(), "v1"); err != nil {
		t.Error(err)
	}
	if err := db.Queue().Renew(t.Context(), "a", first.Lease.Token, time.Minute, 1); err != nil {
		t.Error(err)
	}
	push(t, db.Queue(), "b")
	if second := lease(t, db.Queue()); second.Lease.Token <= first.Lease.Token {
		t.Errorf("token %d after %d", second.Lease.Token, first.Lease.Token)
	}
}

func TestClosed(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	if err := db.Queue().Push(t.Context(), store.Job{ID: "a"}); !errors.Is(err, bolt.ErrClosed) {
		t.Errorf("push: %v", err)
	}
	if _, err := db.Queue().Job(t.Context(), "a"); !errors.Is(err, bolt.ErrClosed) {
		t.Errorf("job: %v", err)
	}
}

func push(t testing.TB, q store.Queue, ids ...string) {
	t.Helper()
	var jobs []store.Job
	for _, id := range ids {
		jobs = append(jobs, store.Job{ID: id, TaskID: "t1"})
	}
	if err := q.Push(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
}

func lease(t testing.TB, q store.Queue) store.Job {
	t.Helper()
	jobs, err := q.Lease(t.Context(), store.LeaseRequest{Owner: store.Owner{Node: "n1"}, MaxRank: store.RankOrdinary, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return jobs[0]
}
