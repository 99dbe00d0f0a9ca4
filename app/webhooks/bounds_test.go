package webhooks

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Of 10,000 events for an endpoint that takes none, as many wait as may; the
// rest is counted, and the records are no more.
func TestManyWaiting(t *testing.T) {
	b := newBench(t)
	r := receive(t, answers(500))
	n := b.start("a", func(c *Config) { c.MaxWaiting, c.Retries = 100, []time.Duration{time.Hour} })
	w := n.create(r.URL)
	const refused = 2000
	for range refused {
		b.ok(events.AccessDenied.Publish(b.bus, events.Denial{VideoID: "v"}))
	}
	b.until("refused viewers fill half of the room", func() bool { return n.counted(resultDropped) == refused-50 })
	const uploads = 8000
	for i := range uploads {
		b.ok(events.UploadCompleted.Publish(b.bus, events.Upload{UploadID: fmt.Sprint(i)}))
	}
	b.until("the rest is dropped", func() bool { return n.counted(resultDropped) == refused-50+uploads-50 })
	all := n.deliveries(w.Id)
	if len(all) != 100 || n.schedule.waiting(w.Id) != 100 || len(n.schedule.places) != 100 {
		t.Errorf("%d deliveries, %d wait", len(all), n.schedule.waiting(w.Id))
	}
	if _, err := n.Redeliver(n.ctx, &rpc.RedeliverRequest{WebhookId: w.Id, Id: all[0].Id}); reason(err) != "too_many_deliveries" {
		t.Errorf("one more: %v", err)
	}
	b.until("each was tried once", func() bool { return n.counted(resultRetried) == 100 })
	text, err := testutil.GatherAndCount(n.registry, "streamgate_webhooks_waiting", "streamgate_webhooks_oldest_waiting_seconds")
	b.ok(err)
	if count, oldest := n.schedule.state(); count != 100 || text != 2 || age(n.schedule) <= 0 {
		t.Errorf("%d wait since %v; %d gauges", count, oldest, text)
	}
	if _, err := n.DeleteWebhook(n.ctx, &rpc.DeleteWebhookRequest{Id: w.Id}); err != nil {
		t.Error(err)
	}
	left, _, err := b.catalog.Deliveries.List(t.Context(), store.Query{})
	b.ok(err)
	if len(left) != 0 || n.schedule.waiting(w.Id) != 0 || age(n.schedule) != 0 {
		t.Errorf("after the deletion %d deliveries are left, %d wait", len(left), n.schedule.waiting(w.Id))
	}
}

// What has finished is kept for a week, and not more of it than may be; what is
// removed is not made up for.
func TestRetention(t *testing.T) {
	b := newBench(t)
	r := receive(t, nil)
	n := b.start("a", func(c *Config) { c.MaxKept = 8 })
	w := n.create(r.URL)
	for i := range 40 {
		b.upload(fmt.Sprint("u", i))
	}
	b.until("all are delivered", func() bool { return len(r.all()) == 40 })
	b.until("few are kept", func() bool { return len(n.deliveries(w.Id)) <= 8+8/4 })
	n.stop()
	kept := n.deliveries(w.Id)
	rec, err := b.catalog.Webhooks.Get(t.Context(), w.Id)
	b.ok(err)
	if !rec.Since.After(rec.Created) {
		t.Errorf("events count since %v, from the webhook's making at %v", rec.Since, rec.Created)
	}
	_, err = b.catalog.Deliveries.Update(t.Context(), kept[0].Id, func(d *store.Delivery) error {
		d.Finished = d.Finished.Add(-keepFor)
		return nil
	})
	b.ok(err)
	b.ok(n.retain(t.Context()))
	for _, d := range n.deliveries(w.Id) {
		if d.Id == kept[0].Id {
			t.Error("a week-old delivery is kept")
		}
	}
}

// Ends that no event has told of are delivered all the same, and once.
func TestMakeUp(t *testing.T) {
	b := newBench(t)
	r := receive(t, nil)
	n := b.node("a")
	w := n.create(r.URL)
	now := time.Now().UTC()
	task := func(id string, state store.TaskState, finished time.Time, video store.Video) store.Task {
		video.ID, video.TaskID = "v"+id, id
		b.ok(b.catalog.Videos.Create(t.Context(), video))
		rec := store.Task{ID: id, VideoID: video.ID, State: state, Created: finished, Finished: finished}
		b.ok(b.catalog.Tasks.Create(t.Context(), rec))
		return rec
	}
	later := now.Add(time.Second)
	task("1", store.TaskSucceeded, now.Add(-3*horizon), store.Video{State: store.VideoReady, Ready: now.Add(-3 * horizon)})
	task("2", store.TaskSucceeded, now.Add(-time.Hour), store.Video{State: store.VideoReady, Ready: now.Add(-time.Hour)}) // before the webhook
	done := task("3", store.TaskSucceeded, later, store.Video{State: store.VideoReady, Ready: later})
	task("4", store.TaskFailed, later, store.Video{State: store.VideoFailed})
	task("5", store.TaskProcessing, later, store.Video{State: store.VideoPlayable})

	n = b.start("a", func(c *Config) { c.SweepEvery = 10 * time.Millisecond })
	topic, id := events.TaskEnd(done) // one is told of late
	topic.AnnounceAs(b.bus, n.Log, id, events.OfTask(done, later))
	want := "transcode.task.completed v3, transcode.task.failed v4, video.failed v4, video.ready v3"
	b.until("four are delivered", func() bool { return n.counted(resultDelivered) == 4 })
	for range 3 {
		b.ok(n.sweep(t.Context()))
	}
	var got []string
	for _, d := range n.deliveries(w.Id) {
		got = append(got, d.Event+" "+d.Payload.Fields["data"].GetStructValue().Fields["video_id"].GetStringValue())
	}
	if text := strings.Join(sorted(got), ", "); text != want || len(r.all()) != 4 {
		t.Errorf("delivered: %s, by %d requests", text, len(r.all()))
	}
}

func TestRefusedRequests(t *testing.T) {
	b := newBench(t)
	n := b.node("a", func(c *Config) { c.AllowPrivate = false })
	for _, c := range []struct {
		url    string
		events []string
		about  string
		want   string
	}{
		{"https://hooks.example.org/x?y=1", nil, "", ""},
		{"https://[2606:4700::1111]:8443/", []string{"video.ready", "*"}, "mine", ""},
		{"http://hooks.example.org/", nil, "", "invalid_url"},
		{"ftp://hooks.example.org/", nil, "", "invalid_url"},
		{"hooks.example.org", nil, "", "invalid_url"},
		{"https://", nil, "", "invalid_url"},
		{"https://:443/", nil, "", "invalid_url"},
		{"https://a:b@hooks.example.org/", nil, "", "invalid_url"},
		{"https://hooks.example.org/#x", nil, "", "invalid_url"},
		{"https://hooks.example.org/" + strings.Repeat("x", 2000), nil, "", "invalid_url"},
		{"https://hooks.example.org/\x00", nil, "", "invalid_url"},
		{"https://127.0.0.1/", nil, "", "private_address"},
		{"https://[::ffff:10.0.0.1]/", nil, "", "private_address"},
		{"https://hooks.example.org/", []string{"video.changed"}, "", "unknown_event"},
		{"https://hooks.example.org/", []string{"video.ready", "video.ready"}, "", "repeated_event"},
		{"https://hooks.example.org/", nil, "a\nb", "invalid_description"},
		{"https://hooks.example.org/", nil, strings.Repeat("ü", 201), "invalid_description"},
	} {
		w, err := n.CreateWebhook(n.ctx, &rpc.CreateWebhookRequest{Url: c.url, Events: c.events, Description: c.about})
		if reason(err) != c.want {
			t.Errorf("%q %v %q: %v", c.url, c.events, c.about, err)
		}
		if err == nil {
			_, err = n.UpdateWebhook(n.ctx, &rpc.UpdateWebhookRequest{Id: w.Id, Url: &c.url, Description: &c.about, Events: c.events})
			b.ok(err)
		}
	}
	all, err := n.ListWebhooks(n.ctx, &rpc.ListWebhooksRequest{})
	b.ok(err)
	for i := len(all.Webhooks); i < maxWebhooks; i++ {
		n.create("https://hooks.example.org/")
	}
	if _, err := n.CreateWebhook(n.ctx, &rpc.CreateWebhookRequest{Url: "https://hooks.example.org/"}); reason(err) != "too_many_webhooks" {
		t.Errorf("one too many: %v", err)
	}
	for _, scope := range []rpc.Scope{rpc.ScopeNone, rpc.ScopeRead, rpc.ScopeUploader} {
		ctx := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: scope})
		id := all.Webhooks[0].Id
		_, create := n.CreateWebhook(ctx, &rpc.CreateWebhookRequest{Url: "https://hooks.example.org/"})
		_, get := n.GetWebhook(ctx, &rpc.GetWebhookRequest{Id: id})
		_, list := n.ListWebhooks(ctx, &rpc.ListWebhooksRequest{})
		_, update := n.UpdateWebhook(ctx, &rpc.UpdateWebhookRequest{Id: id})
		_, remove := n.DeleteWebhook(ctx, &rpc.DeleteWebhookRequest{Id: id})
		_, rotate := n.RotateWebhook(ctx, &rpc.RotateWebhookRequest{Id: id})
		_, test := n.TestWebhook(ctx, &rpc.TestWebhookRequest{Id: id})
		_, deliveries := n.ListDeliveries(ctx, &rpc.ListDeliveriesRequest{WebhookId: id})
		_, again := n.Redeliver(ctx, &rpc.RedeliverRequest{WebhookId: id})
		for i, err := range []error{create, get, list, update, remove, rotate, test, deliveries, again} {
			if word := reason(err); word != "permission_denied" && word != "unauthenticated" {
				t.Errorf("scope %q, method %d: %v", scope, i, err)
			}
		}
	}
}

func TestPause(t *testing.T) {
	s := &Service{Config: Config{}.withDefaults()}
	var sum time.Duration
	for i, base := range defaultRetries() {
		d, more := s.pause(i+1, outcome{})
		if !more || d < base*8/10 || d > base*12/10 {
			t.Errorf("after attempt %d: %v", i+1, d)
		}
		sum += base
	}
	if _, more := s.pause(len(defaultRetries())+1, outcome{}); more || sum < 22*time.Hour || sum > 24*time.Hour {
		t.Errorf("it goes on after %v", sum)
	}
	for _, c := range []struct {
		status int
		header string
		want   time.Duration
	}{
		{503, "120", 2 * time.Minute}, {429, "9999999", maxRetryAfter}, {429, "", 0}, {429, "-1", 0}, {503, "soon", 0}, {500, "120", 0},
	} {
		got := retryAfter(&http.Response{StatusCode: c.status, Header: http.Header{"Retry-After": {c.header}}})
		if d, _ := s.pause(1, outcome{retryAfter: got}); got != c.want || d < c.want {
			t.Errorf("%d, %q: %v", c.status, c.header, got)
		}
	}
}
