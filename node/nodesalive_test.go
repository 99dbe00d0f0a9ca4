package node

import (
	"testing"
	"time"

	"streamgate/node/cluster"
)

// knownNodes is a registry of which the test says who is there.
type knownNodes struct {
	cluster.Static
	there []cluster.Instance
	away  bool
}

func (t *knownNodes) Current() bool { return !t.away }

func (t *knownNodes) Instances() []cluster.Instance { return t.there }

func TestOnlyANodeThatWasThereCanBeGone(t *testing.T) {
	me, other, again := cluster.Instance{ID: "me", Boot: "1"}, cluster.Instance{ID: "other", Boot: "1"}, cluster.Instance{ID: "other", Boot: "2"}
	r := &knownNodes{}
	now := time.Now()
	l := &livingNodes{registry: r, self: "me", now: func() time.Time { return now }}
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
		if got := l.alive("other", step.boot); got != step.want {
			t.Errorf("%s: alive is %v", step.what, got)
		}
	}
}

// A node that nobody has heard of may have come a moment ago; for as long as that can
// be so, and as the registry says who is there.
func TestAStrangerIsGoneAfterAWhile(t *testing.T) {
	r := &knownNodes{there: []cluster.Instance{{ID: "me", Boot: "1"}}}
	now := time.Now()
	l := &livingNodes{registry: r, self: "me", now: func() time.Time { return now }}
	for _, step := range []struct {
		what  string
		later time.Duration
		away  bool
		want  bool
	}{
		{"first asked for", 0, false, true},
		{"a little later", strangersLive / 2, false, true},
		{"the registry is away", strangersLive, true, true},
		{"it is back: who was kept from it comes now", 0, false, true},
		{"a while after that", strangersLive - 1, false, true},
		{"long enough", 1, false, false},
	} {
		now, r.away = now.Add(step.later), step.away
		if got := l.alive("other", "1"); got != step.want {
			t.Errorf("%s: alive is %v", step.what, got)
		}
	}
}
