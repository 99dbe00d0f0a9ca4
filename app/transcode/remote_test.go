package transcode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// remoteObjects lends objects at an address, as a store on other machines does.
type remoteObjects struct {
	store.Objects
	lent, held atomic.Int64
	cut        int64 // how many inputs, the first, fail in their middle
	faults     atomic.Int64
}

// cutFile fails after some bytes, at any place. (A *os.File in it would be sent by the
// kernel, past Read.)
type cutFile struct {
	io.ReadSeeker
	left int
	fail func(error)
}

func (f *cutFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		err := fmt.Errorf("cut: %w", store.ErrUnavailable)
		f.fail(err)
		return 0, err
	}
	n, err := f.ReadSeeker.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

func (o *remoteObjects) Input(ctx context.Context, key string) (store.Input, func(), error) {
	in, release, err := o.Objects.Input(ctx, key)
	if err != nil {
		return in, release, err
	}
	var fault atomic.Pointer[error]
	whole := o.lent.Add(1) > o.cut
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(in.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		if whole {
			http.ServeContent(w, r, "", time.Time{}, f)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, &cutFile{f, 60_000, func(err error) {
			o.faults.Add(1)
			fault.CompareAndSwap(nil, &err)
		}}) // the header, and some of the pictures
	}))
	o.held.Add(1)
	return store.Input{URL: srv.URL + "/source", Fault: func() error {
			if err := fault.Load(); err != nil {
				return *err
			}
			return nil
		}}, func() {
			defer release()
			srv.Close()
			o.held.Add(-1)
		}, nil
}

// A source that cannot be read to its end for a while is not taken for a damaged
// one: nothing is held against a job, and the cells are those of a source that
// could be read.
func TestASourceThatIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	film := clip(t)
	undisturbed, disturbed := r.upload("v1", film), r.upload("v2", film)
	objects := &remoteObjects{}
	n := r.node("b1", func(c *Config) {
		objects.Objects = c.Objects
		c.Objects = objects
	}).run()
	var cells [2]map[string]string
	for i, v := range []store.Video{undisturbed, disturbed} {
		objects.cut = objects.lent.Load() * int64(2*i)
		task, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: v.ID, Profile: "default"})
		r.ok(err)
		if done := r.untilTask(task.Id, store.TaskSucceeded); done.Attempt != 1 {
			t.Errorf("task ended as %+v", done)
		}
		cells[i] = r.bytes(v.ID)
	}
	if objects.faults.Load() == 0 {
		t.Error("nothing was cut")
	}
	if len(cells[0]) == 0 || !maps.Equal(cells[0], cells[1]) {
		t.Errorf("%d cells, and %d others", len(cells[0]), len(cells[1]))
	}
}

// bytes are a video's cells, by their names.
func (r *rig) bytes(video string) map[string]string {
	cells := map[string]string{}
	prefix := store.VideoPrefix(video) + "cells/"
	for o, err := range r.objects.List(r.Context(), prefix) {
		r.ok(err)
		body, _, err := r.objects.Get(r.Context(), o.Key)
		r.ok(err)
		data, err := io.ReadAll(body)
		r.ok(errors.Join(err, body.Close()))
		cells[strings.TrimPrefix(o.Key, prefix)] = string(data)
	}
	return cells
}

// A source that is on no disk of this machine becomes the same video.
func TestAClipFromAnotherMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.upload("v1", clip(t))
	objects := &remoteObjects{}
	n := r.node("b1", func(c *Config) {
		objects.Objects = c.Objects
		c.Objects, c.Tools.Confine = objects, true
	}).run()
	task, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: v.ID, Profile: "default"})
	r.ok(err)
	r.untilTask(task.Id, store.TaskSucceeded)
	plan, err := r.catalog.Plans.Plan(t.Context(), v.ID)
	r.ok(err)
	if now := r.video(v.ID); now.State != store.VideoReady || !now.Poster || !now.Storyboard || r.cells(v.ID).Missing(&plan) != 0 {
		t.Errorf("video ended as %+v, %d cells missing", now, r.cells(v.ID).Missing(&plan))
	}
	r.wantNoJobs(task.Id)
	r.wantObjects(&plan, v.ID)
	if objects.lent.Load() < 3 || objects.held.Load() != 0 {
		t.Errorf("%d inputs were lent, %d are still", objects.lent.Load(), objects.held.Load())
	}
}
