package cluster

import (
	"reflect"
	"testing"
	"time"

	"streamgate/store/servertest"
)

// TestRegistries: every registry keeps what the interface says.
func TestRegistries(t *testing.T) {
	t.Run("static", func(t *testing.T) { testRegistry(t, &Static{}) })
	t.Run("consul", func(t *testing.T) {
		server := servertest.NeedConsul(t, consulBin)
		testRegistry(t, join(t, server, "films", Options{TTL: testTTL}).Consul)
	})
}

func testRegistry(t *testing.T, r Registry) {
	if got := r.Instances(); len(got) != 0 {
		t.Errorf("before anything: %v", got)
	}
	if err := r.Withdraw(t.Context()); err != nil {
		t.Errorf("withdraw what is not known: %v", err)
	}
	self := Instance{ID: "a", Boot: "1", Roles: []string{"upload", "api-gateway"}, Version: "v1", Addr: "127.0.0.1:7070"}
	for _, load := range []float64{0, 0.5} { // again is a change, not another node
		changed := r.Changed()
		self.Load = load
		if err := r.Announce(t.Context(), self); err != nil {
			t.Fatal(err)
		}
		want := []Instance{self}
		await(t, "the node as it was announced", func() bool { return reflect.DeepEqual(r.Instances(), want) })
		select {
		case <-changed:
		default:
			t.Error("the change was not told")
		}
	}
	for range 2 {
		if err := r.Withdraw(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "no node", func() bool { return len(r.Instances()) == 0 })
	if err := r.Announce(t.Context(), self); err != nil {
		t.Errorf("announce again: %v", err)
	}
	await(t, "the node again", func() bool { return reflect.DeepEqual(r.Instances(), []Instance{self}) })
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}
