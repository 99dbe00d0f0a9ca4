package transcode

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/app/events"
	"streamgate/store"
	"streamgate/store/memory"
)

// living are the nodes that are told to be alive.
type living struct{ gone, encoders sync.Map }

func (l *living) alive(node, _ string) bool {
	_, gone := l.gone.Load(node)
	return !gone
}

// together makes nodes of one cluster, each with its own scratch directory.
func (r *rig) together(l *living, names ...string) (nodes []*node) {
	r.Helper()
	for _, name := range names {
		nodes = append(nodes, r.node("b1", func(c *Config) {
			c.Owner.Node, c.Scratch, c.Alive, c.Workers = name, filepath.Join(r.dir, "scratch-"+name), l.alive, 1
		}))
	}
	return nodes
}

// holders are the nodes that hold leases now.
func (r *rig) holders() (nodes []string) {
	r.Helper()
	holders, err := r.db.Queue().Holders(r.Context())
	r.ok(err)
	for _, h := range holders {
		nodes = append(nodes, h.Node)
	}
	return nodes
}

// Three nodes make one video. One of them dies with a lease of which nobody but
// the registry knows that it is worth nothing.
func TestOneTaskOnThreeNodesOfWhichOneDies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	var l living
	nodes := r.together(&l, "n1", "n2", "n3")
	doomed := nodes[2]
	reached, release := doomed.stallPut(store.CellKey("v1", "180p", 2))
	defer release()
	doomed.run()
	task := doomed.submit("v1")
	r.await("the third segment", reached)
	nodes[0].run()
	nodes[1].run()
	r.until("a job at each of two nodes", func() bool { return len(r.holders()) >= 2 })
	doomed.kill()
	l.gone.Store("n3", true)
	r.untilTask(task.Id, store.TaskSucceeded)
	r.wantObjects(&plan, "v1")
	r.wantNoJobs(task.Id)
	r.until("the end to be told", func() bool { return len(r.seen(events.TaskCompleted.Subject)) > 0 })
	if got := r.seen(events.TaskCompleted.Subject); len(got) != 1 {
		t.Errorf("the task's end was told %d times", len(got))
	}
}

// A dead node held the demanded cell's job: another makes the cell.
func TestADemandedCellOfADeadNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	var l living
	nodes := r.together(&l, "n1", "n2")
	doomed := nodes[1]
	reached, release := doomed.stallPut(store.CellKey("v1", "180p", 0))
	defer release()
	doomed.run()
	doomed.submit("v1")
	r.await("the first segment", reached)
	doomed.kill()
	n := nodes[0].run()
	r.ok(n.demand("v1", "180p", 0)) // it is coming, says the lease
	l.gone.Store("n2", true)
	r.until("the demanded cell", func() bool { return r.cells("v1").Has("180p", 0) })
}

// A node that is missed only once keeps its jobs, and so does this one.
func TestANodeIsDeadAtTheSecondLook(t *testing.T) {
	t.Parallel()
	self, other := store.Owner{Node: "n1", Boot: "b1"}, store.Owner{Node: "n2", Boot: "b1"}
	there := map[string]bool{}
	d := &dead{alive: func(node, _ string) bool { return there[node] }}
	for i, step := range []struct {
		there bool
		gone  int
	}{{false, 0}, {true, 0}, {false, 0}, {false, 1}, {false, 1}, {true, 0}} {
		there["n2"] = step.there
		if gone := d.look(self, []store.Owner{self, other}); len(gone) != step.gone {
			t.Errorf("look %d: %v are gone", i, gone)
		}
	}
}

// Another node's sweep makes a task its video's before the node that submits it
// does: the task stays.
func TestATaskThatAnotherNodeHasClaimed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	seen := r.upload("v1", []byte("x"))
	n := r.node("b1")
	task := store.Task{ID: "t1", VideoID: "v1", State: store.TaskQueued, Profile: "default"}
	for range 2 {
		_, err := n.claim(t.Context(), seen, task)
		r.ok(err)
	}
}

// listedTasks counts how often the tasks that wait are listed.
type listedTasks struct {
	store.Table[store.Task]
	n atomic.Int64
}

func (t *listedTasks) List(ctx context.Context, q store.Query) ([]store.Task, string, error) {
	if q.State == string(store.TaskQueued) {
		t.n.Add(1)
	}
	return t.Table.List(ctx, q)
}

// One node of several looks through the tasks that wait, each five minutes, whichever
// comes first.
func TestOneNodeLooksThroughTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tasks := &listedTasks{Table: r.catalog.Tasks}
	r.catalog.Tasks = tasks
	var later atomic.Int64
	cache := memory.NewCache(memory.Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	var nodes []*node
	for _, name := range []string{"n1", "n2", "n3"} {
		nodes = append(nodes, r.node("b1", func(c *Config) { c.Owner.Node, c.Cache = name, cache }))
	}
	for i, after := range []time.Duration{0, time.Minute, repairEvery} {
		later.Add(int64(after))
		before := tasks.n.Load()
		for j := range nodes {
			r.ok(nodes[(i+j)%len(nodes)].sweep(t.Context())) // each time another comes first
		}
		want := int64(1)
		if after == time.Minute {
			want = 0
		}
		if got := tasks.n.Load() - before; got != want {
			t.Errorf("%v later the tasks were looked through %d times, want %d", after, got, want)
		}
	}
}
