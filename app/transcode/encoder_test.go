package transcode

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"streamgate/app/media"
	"streamgate/store"
)

// otherTools are an ffmpeg that encodes otherwise: its headers name another level.
func otherTools(t *testing.T) media.Tools {
	t.Helper()
	out := tools(t)
	path := filepath.Join(t.TempDir(), "ffmpeg")
	script := fmt.Sprintf("#!/bin/bash\nargs=()\nfor a in \"$@\"; do\n\targs+=(\"$a\")\n"+
		"\tif [ \"$a\" = libx264 ]; then args+=(-level 5.1); fi\ndone\nexec %s \"${args[@]}\"\n", out.FFmpeg)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	out.FFmpeg = path
	return out
}

// fleet tells which encoders are there.
type fleet struct{ living *living }

// with makes a node of the fleet that has tools.
func (f fleet) with(r *rig, name, boot string, tools media.Tools, patience time.Duration) *node {
	return r.node(boot, func(c *Config) {
		c.Owner.Node, c.Scratch, c.Alive, c.Workers = name, filepath.Join(r.dir, "scratch-"+name), f.living.alive, 1
		c.Tools, c.LeaseTTL, c.EncoderPatience = tools, 3*time.Second, patience
		c.Encoder = func(ctx context.Context) string {
			id, err := tools.Identify(ctx)
			if err != nil {
				r.Error(err)
			}
			return id
		}
		c.Encoders = func() (out []string) {
			f.living.encoders.Range(func(node, encoder any) bool {
				if f.living.alive(node.(string), "") {
					out = append(out, encoder.(string))
				}
				return true
			})
			return out
		}
	})
}

// announce makes a node's encoder known.
func (f fleet) announce(n *node) *node {
	f.living.encoders.Store(n.Owner.Node, n.Encoder(n.Context()))
	return n
}

// halfMade is a task of which a node with the usual ffmpeg has made the first
// segments, and then died.
func halfMade(r *rig, f fleet, named bool) (task string, plan store.Plan) {
	r.Helper()
	r.upload("v1", clip(r.T))
	n := f.announce(f.with(r, "n1", "b1", tools(r.T), 0))
	if !named {
		n.Encoder = nil
	}
	reached, release := n.stallPut(store.CellKey("v1", "180p", 2))
	defer release()
	n.run()
	task = n.submit("v1").Id
	r.await("the third segment", reached)
	n.kill()
	plan, err := r.catalog.Plans.Plan(r.Context(), "v1")
	r.ok(err)
	if !r.cells("v1").Has("180p", 1) {
		r.Fatal("nothing was made")
	}
	f.living.gone.Store("n1", true)
	return task, plan
}

// wantWhole checks that what is shown is all of one encoder each, and that what the
// first plan named is still there.
func wantWhole(r *rig, before *store.Plan, replaced bool) {
	r.Helper()
	after, err := r.catalog.Plans.Plan(r.Context(), "v1")
	r.ok(err)
	r.wantObjects(&after, "v1")
	for _, old := range before.Renditions {
		still, ok := after.Rendition(old.Name)
		if !ok || string(still.Init) != string(old.Init) {
			r.Errorf("rendition %s is gone, or has another header", old.Name)
		}
		if _, err := r.objects.Stat(r.Context(), store.CellKey("v1", old.Name, 0)); err != nil {
			r.Errorf("its first cell: %v", err)
		}
	}
	for _, now := range after.Renditions {
		if fresh := strings.HasSuffix(now.Name, "-2"); fresh != (replaced && now.Kind == store.KindVideo) {
			r.Errorf("%s is shown", now.Name)
		}
	}
	if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
		r.Errorf("the video is %s: %+v", v.State, v.Failure)
	}
}

// Two nodes with different encoders: each job goes to the one that can do it, and
// nobody tries in vain.
func TestNodesOfDifferentEncoders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := fleet{&living{}}
	r.upload("v1", clip(t))
	usual := f.announce(f.with(r, "n1", "b1", tools(t), 0))
	other := f.announce(f.with(r, "n2", "b1", otherTools(t), 0))
	first := usual.Encoder(t.Context())
	reached, release := usual.stallPut(store.CellKey("v1", "180p", 0))
	defer release()
	usual.run()
	task := usual.submit("v1")
	r.await("the first segment", reached)
	plan, err := r.catalog.Plans.Plan(t.Context(), "v1")
	r.ok(err)
	for _, rendition := range plan.Renditions {
		if rendition.Encoder != first {
			t.Errorf("%s is noted as of %q, want %q", rendition.Name, rendition.Encoder, first)
		}
	}
	other.run()
	r.ok(other.demand("v1", "90p", 3)) // asked of a node that cannot make it
	for _, j := range r.jobs(task.Id) {
		if want := map[bool]string{true: first}[j.Kind == store.JobChunk || j.Kind == store.JobAudio]; j.Encoder != want {
			t.Errorf("job %s is for %q", j.ID, j.Encoder)
		}
	}
	release()
	done := r.untilTask(task.Id, store.TaskSucceeded)
	if done.Attempt != 1 {
		t.Errorf("%d attempts", done.Attempt)
	}
	wantWhole(r, &plan, false)
	wantNoTries(other)
}

// wantNoTries checks that a node has leased nothing that it cannot do.
func wantNoTries(n *node) {
	n.Helper()
	n.queue.leased.Range(func(id, encoder any) bool {
		if encoder != "" && encoder != n.encoder() {
			n.Errorf("the node leased %s, which is for %s", id, encoder)
		}
		return true
	})
}

// The only ffmpeg is another one after the restart, or the only node that had it is
// gone: what was made goes on playing, and the rest is made anew.
func TestTheEncoderIsGone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		node  string // that goes on
		named bool   // the plan says whose it is
	}{
		"another node":                {"n2", true},
		"the node with a new ffmpeg":  {"n1", true},
		"a plan of before encoders":   {"n2", false},
		"such a plan on its own node": {"n1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			f := fleet{&living{}}
			task, before := halfMade(r, f, tc.named)
			f.living.gone.Delete(tc.node)
			n := f.announce(f.with(r, tc.node, "b2", otherTools(t), 0)).run()
			done := r.untilTask(task, store.TaskSucceeded)
			if done.Failure != nil {
				t.Errorf("the task says %+v", done.Failure)
			}
			wantWhole(r, &before, true)
			err := n.demand("v1", "180p", 3) // of the first version, which has no more than it had
			if err == nil || !strings.Contains(err.Error(), "not made") {
				t.Errorf("a cell of the first version: %v", err)
			}
		})
	}
}

// A plan without a name whose header the encoder writes too is gone on with.
func TestAPlanOfBeforeEncodersHadNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := fleet{&living{}}
	task, before := halfMade(r, f, false)
	f.living.gone.Delete("n1")
	f.with(r, "n1", "b2", tools(t), 0).run()
	r.untilTask(task, store.TaskSucceeded)
	wantWhole(r, &before, false)
}

// A task waits for the encoder of its plan, says so, and goes on when it is back.
func TestATaskWaitsForItsEncoder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := fleet{&living{}}
	task, before := halfMade(r, f, true)
	other := f.announce(f.with(r, "n2", "b1", otherTools(t), time.Hour)).run()
	r.until("the task to say what it waits for", func() bool {
		failure := r.task(task).Failure
		return failure != nil && failure.Code == codeEncoder
	})
	if err := other.demand("v1", "180p", 3); err == nil || !strings.Contains(err.Error(), "no node has the ffmpeg") {
		t.Errorf("a cell that no node can make: %v", err)
	}
	f.living.gone.Delete("n1")
	f.announce(f.with(r, "n1", "b2", tools(t), time.Hour)).run()
	if done := r.untilTask(task, store.TaskSucceeded); done.Failure != nil || done.Attempt != 1 {
		t.Errorf("the task says %+v after %d attempts", done.Failure, done.Attempt)
	}
	wantWhole(r, &before, false)
	wantNoTries(other)
}
