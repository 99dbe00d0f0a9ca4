package node

import (
	"testing"
	"time"

	"streamgate/node/cluster"
)

// TestShareOf: every node has a share of its own, and all of them together are the
// whole; a node that the registry does not know counts itself in.
func TestShareOf(t *testing.T) {
	nodes := []cluster.Instance{
		{ID: "c", Roles: []string{"metadata"}}, {ID: "a", Roles: []string{"metadata", "monitor"}}, {ID: "b", Roles: []string{"upload"}},
	}
	for _, tt := range []struct {
		self      string
		nodes     []cluster.Instance
		index, of int
	}{
		{"a", nodes, 0, 2}, {"c", nodes, 1, 2}, {"b", nodes, 1, 3}, {"a", nil, 0, 1}, {"a", nodes[:1], 0, 2},
	} {
		if index, of := shareOf(tt.nodes, RoleMetadata, tt.self); index != tt.index || of != tt.of {
			t.Errorf("%s is %d of %d, want %d of %d", tt.self, index, of, tt.index, tt.of)
		}
	}
}

// TestClockOff: a machine whose clock is off goes by that of the records; is it far
// off, other nodes are to ask others.
func TestClockOff(t *testing.T) {
	k := newKernel(&Config{}, Options{})
	k.draining = t.Context()
	for by, far := range map[time.Duration]bool{
		0: false, time.Second: false, maxSkew: false, -maxSkew - time.Second: true, 5 * time.Minute: true, -5 * time.Minute: true,
	} {
		k.ahead.Store(int64(by))
		if off := k.now().Sub(time.Now().Add(by)).Abs(); off > 2*time.Second {
			t.Errorf("%v off, the node is wrong by %v", by, off)
		}
		if got := k.instance().Draining; got != far {
			t.Errorf("%v off, others turn elsewhere: %v", by, got)
		}
	}
}
