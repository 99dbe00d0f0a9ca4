package cluster

import (
	"reflect"
	"testing"
)

func TestStatic(t *testing.T) {
	s, ctx := &Static{}, t.Context()
	changed := s.Changed()
	if got := s.Instances(); len(got) != 0 {
		t.Errorf("before anything: %v", got)
	}
	for _, load := range []float64{0, 0.5} { // again is a change, not another node
		if err := s.Announce(ctx, Instance{ID: "a", Roles: []string{"upload"}, Load: load}); err != nil {
			t.Fatal(err)
		}
		want := []Instance{{ID: "a", Roles: []string{"upload"}, Load: load}}
		if got := s.Instances(); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	select {
	case <-changed:
	default:
		t.Error("the change was not told")
	}
	for range 2 {
		if err := s.Withdraw(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Instances(); len(got) != 0 {
		t.Errorf("after withdrawal: %v", got)
	}
}
