package transcode

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"streamgate/app/rpc"
	"streamgate/store"
)

// remoteObjects lends objects at an address, as a store on other machines does.
type remoteObjects struct {
	store.Objects
	lent, held atomic.Int64
}

func (o *remoteObjects) Input(ctx context.Context, key string) (store.Input, func(), error) {
	in, release, err := o.Objects.Input(ctx, key)
	if err != nil {
		return in, release, err
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, in.Path) }))
	o.lent.Add(1)
	o.held.Add(1)
	return store.Input{URL: srv.URL + "/source"}, func() {
		defer release()
		srv.Close()
		o.held.Add(-1)
	}, nil
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
