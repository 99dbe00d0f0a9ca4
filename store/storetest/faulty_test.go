package storetest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"streamgate/store"
	"streamgate/store/files"
	"streamgate/store/storetest"
)

func TestFaultyFails(t *testing.T) {
	f := faulty(t)
	boom := errors.New("boom")
	f.Break(func(op storetest.Op, key string) storetest.Fault {
		if op == storetest.OpPut && key == "a" {
			return storetest.Fault{Err: boom}
		}
		return storetest.Fault{}
	})
	if err := put(t.Context(), f, "a"); !errors.Is(err, boom) {
		t.Errorf("put a: %v", err)
	}
	if err := put(t.Context(), f, "b"); err != nil {
		t.Errorf("put b: %v", err)
	}
	wantThere(t, f, "a", false)
	wantThere(t, f, "b", true)
	if n := f.Calls(storetest.OpPut); n != 2 {
		t.Errorf("%d puts counted", n)
	}
}

func TestFaultyStalls(t *testing.T) {
	f := faulty(t)
	stall := make(chan struct{})
	f.Break(func(storetest.Op, string) storetest.Fault { return storetest.Fault{Stall: stall} })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := put(ctx, f, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a stalled put ended with %v", err)
	}
	close(stall)
	wantThere(t, f, "a", false)
	if err := put(t.Context(), f, "a"); err != nil {
		t.Error(err)
	}
}

func TestFaultyCommitsLate(t *testing.T) {
	f := faulty(t)
	if err := put(t.Context(), f, "old"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}

	stall := make(chan struct{})
	f.Break(func(storetest.Op, string) storetest.Fault { return storetest.Fault{Stall: stall, Late: true} })
	_, adoptErr := f.Adopt(t.Context(), "adopted", file)
	for _, err := range []error{put(t.Context(), f, "new"), adoptErr, f.Delete(t.Context(), "old")} {
		if !errors.Is(err, storetest.ErrFault) {
			t.Errorf("a late call ended with %v", err)
		}
	}
	f.Break(nil)
	wantThere(t, f, "new", false)
	wantThere(t, f, "adopted", false)
	wantThere(t, f, "old", true)

	close(stall)
	f.Settle()
	wantThere(t, f, "new", true)
	wantThere(t, f, "adopted", true)
	wantThere(t, f, "old", false)
}

func faulty(t *testing.T) *storetest.FaultyObjects {
	t.Helper()
	objects, err := files.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return storetest.Faulty(objects)
}

func put(ctx context.Context, f store.Objects, key string) error {
	_, err := store.PutBytes(ctx, f, key, []byte("x"), store.Replace)
	return err
}

func wantThere(t *testing.T, f store.Objects, key string, want bool) {
	t.Helper()
	_, err := f.Stat(t.Context(), key)
	if there := err == nil; there != want {
		t.Errorf("%s: there is %v (%v), want %v", key, there, err, want)
	}
}
