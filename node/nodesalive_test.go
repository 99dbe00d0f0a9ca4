package node

import (
	"testing"

	"streamgate/node/cluster"
)

// knownNodes is a registry of which the test says who is there.
type knownNodes struct {
	cluster.Static
	there []cluster.Instance
}

func (t *knownNodes) Instances() []cluster.Instance { return t.there }

func TestOnlyANodeThatWasThereCanBeGone(t *testing.T) {
	me, other, again := cluster.Instance{ID: "me", Boot: "1"}, cluster.Instance{ID: "other", Boot: "1"}, cluster.Instance{ID: "other", Boot: "2"}
	r := &knownNodes{}
	g := &goneNodes{registry: r, self: "me"}
	for _, step := range []struct {
		what  string
		there []cluster.Instance
		boot  string
		want  bool
	}{
		{"never heard of", []cluster.Instance{me}, "1", true},
		{"there", []cluster.Instance{me, other}, "1", true},
		{"gone", []cluster.Instance{me}, "1", false},
		{"the registry names nobody", nil, "1", true},
		{"the registry does not name this node", []cluster.Instance{again}, "1", true},
		{"another boot is there", []cluster.Instance{me, again}, "1", false},
		{"the later boot", []cluster.Instance{me, again}, "2", true},
		{"the later boot is gone as well", []cluster.Instance{me}, "2", false},
	} {
		r.there = step.there
		if got := g.alive("other", step.boot); got != step.want {
			t.Errorf("%s: alive is %v", step.what, got)
		}
	}
}
