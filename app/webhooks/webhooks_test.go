package webhooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// What is delivered says what the event stream says, and the library of
// Standard Webhooks verifies it with the key that was shown.
func TestDelivery(t *testing.T) {
	b := newBench(t)
	r := receive(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("thanks")) })
	n := b.start("a")
	w := n.create(r.URL+"/hook?x=1", events.UploadCompleted.Subject)
	b.ok(events.UploadExpired.Publish(b.bus, events.Upload{UploadID: "not chosen"}))
	b.upload("u1")
	d := b.only(n, w.Id, "delivered")

	req := r.all()[0]
	verifier, err := standard.NewWebhook(w.Secret)
	b.ok(err)
	if err := verifier.Verify(req.body, req.header); err != nil {
		t.Errorf("verify: %v\n%v\n%s", err, req.header, req.body)
	}
	var body struct {
		Type      string
		Timestamp time.Time
		Data      events.Upload
	}
	b.ok(json.Unmarshal(req.body, &body))
	if body.Type != "upload.completed" || time.Since(body.Timestamp) > patience || body.Data.UploadID != "u1" || body.Data.SizeBytes != 5 {
		t.Errorf("the body is %s", req.body)
	}
	if d.EventId != req.header.Get("webhook-id") || d.Attempts != 1 || d.LastStatus != 200 || d.Answer != "thanks" || d.LastError != "" ||
		d.NextAttemptAt != nil || d.FinishedAt == nil || d.Payload.Fields["type"].GetStringValue() != "upload.completed" {
		t.Errorf("the delivery is %v", d)
	}
	b.until("it is counted", func() bool { return n.counted(resultDelivered) == 1 })
}

func TestRetry(t *testing.T) {
	b := newBench(t)
	r := receive(t, answers(500, 302, 200))
	n := b.start("a")
	w := n.create(r.URL)
	b.upload("u1")
	d := b.only(n, w.Id, "delivered")
	all := r.all()
	if d.Attempts != 3 || len(all) != 3 {
		t.Fatalf("%d attempts, %d requests", d.Attempts, len(all))
	}
	for _, req := range all {
		if req.header.Get("webhook-id") != d.EventId || string(req.body) != string(all[0].body) {
			t.Errorf("an attempt is another message: %v %s", req.header, req.body)
		}
	}
	b.until("it no longer counts as failing", func() bool {
		now, err := n.GetWebhook(n.ctx, &rpc.GetWebhookRequest{Id: w.Id})
		return err == nil && now.FailingSince == nil
	})
}

func TestGiveUp(t *testing.T) {
	b := newBench(t)
	r := receive(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		w.Write([]byte("\x00\xff" + strings.Repeat("x", 10_000)))
	})
	n := b.start("a")
	w := n.create(r.URL)
	b.upload("u1")
	d := b.only(n, w.Id, "failed")
	if d.Attempts != 4 || d.LastStatus != 500 || d.LastError != "The endpoint answered 500." {
		t.Errorf("the delivery is %v", d)
	}
	if want := "\uFFFD\uFFFD" + strings.Repeat("x", 4094); d.Answer != want {
		t.Errorf("%d bytes of the answer are kept: %q", len(d.Answer), d.Answer[:20])
	}
	b.until("it is failing and enabled", func() bool {
		now, err := n.GetWebhook(n.ctx, &rpc.GetWebhookRequest{Id: w.Id})
		return err == nil && now.FailingSince != nil && now.Enabled
	})
}

// An endpoint that hangs costs its time-out, and keeps no other from getting
// its own.
func TestHang(t *testing.T) {
	b := newBench(t)
	release := make(chan struct{})
	var busy, most atomic.Int32
	hangs := receive(t, func(_ int, _ http.ResponseWriter, req *http.Request) {
		if now := busy.Add(1); now > most.Load() {
			most.Store(now)
		}
		defer busy.Add(-1)
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	defer close(release)
	healthy := receive(t, nil)
	n := b.start("a", func(c *Config) { c.Timeout, c.Retries = 500*time.Millisecond, []time.Duration{} })
	stuck, good := n.create(hangs.URL), n.create(healthy.URL)
	for i := range 10 {
		b.upload(fmt.Sprint("u", i))
	}
	b.until("the healthy one has all", func() bool { return len(healthy.all()) == 10 })
	if got := most.Load(); got > maxInFlight {
		t.Errorf("%d were in flight", got)
	}
	b.until("all have timed out", func() bool {
		for _, d := range n.deliveries(stuck.Id) {
			if d.State != "failed" || d.LastError != "The endpoint did not answer within 500ms." {
				return false
			}
		}
		return true
	})
	if len(n.deliveries(good.Id)) != 10 {
		t.Errorf("%v", n.deliveries(good.Id))
	}
}

func TestGone(t *testing.T) {
	b := newBench(t)
	r := receive(t, answers(http.StatusGone))
	n := b.start("a")
	told := receive(t, nil)
	n.create(told.URL, events.WebhookDisabled.Subject)
	w := n.create(r.URL)
	b.upload("u1")
	d := b.only(n, w.Id, "failed")
	if d.Attempts != 1 {
		t.Errorf("%d attempts", d.Attempts)
	}
	var now *rpc.Webhook
	b.until("it is disabled", func() bool {
		now, _ = n.GetWebhook(n.ctx, &rpc.GetWebhookRequest{Id: w.Id})
		return !now.Enabled
	})
	if now.Failure.GetCode() != "gone" {
		t.Errorf("the webhook is %v", now)
	}
	b.until("it is told of and logged", func() bool {
		return len(told.all()) == 1 && strings.Contains(b.log.String(), "webhook disabled")
	})
	b.upload("u2")
	if _, err := n.TestWebhook(n.ctx, &rpc.TestWebhookRequest{Id: w.Id}); reason(err) != "webhook_disabled" {
		t.Errorf("a test of a disabled webhook: %v", err)
	}
	yes := true
	again, err := n.UpdateWebhook(n.ctx, &rpc.UpdateWebhookRequest{Id: w.Id, Enabled: &yes})
	if err != nil || !again.Enabled || again.Failure != nil {
		t.Errorf("%v, %v", again, err)
	}
	if rec, err := b.catalog.Webhooks.Get(t.Context(), w.Id); err != nil || !rec.Since.Equal(rec.Updated) || !rec.Failing.IsZero() {
		t.Errorf("enabled again it counts from %v and has failed since %v, %v", rec.Since, rec.Failing, err)
	}
	if all := n.deliveries(w.Id); len(all) != 1 {
		t.Errorf("what happened meanwhile is delivered: %v", all)
	}
}

// An endpoint that has failed for three days is disabled by the next failure.
func TestFailingForDays(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name            string
		failing, failed time.Duration // ago
		disabled        bool
	}{
		{"for three days", failingFor, time.Hour, true},
		{"not yet", failingFor - time.Hour, time.Hour, false},
		{"and was not tried meanwhile", 2 * failingFor, failingGap + time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			r := receive(t, answers(500))
			n := b.start("a", func(c *Config) { c.Retries = []time.Duration{} })
			w := n.create(r.URL)
			_, err := b.catalog.Webhooks.Update(t.Context(), w.Id, func(w *store.Webhook) error {
				w.Failing, w.Failed = now.Add(-c.failing), now.Add(-c.failed)
				return nil
			})
			b.ok(err)
			b.upload("u1")
			b.only(n, w.Id, "failed")
			var rec store.Webhook
			b.until("the failure counts", func() bool {
				rec, err = b.catalog.Webhooks.Get(t.Context(), w.Id)
				b.ok(err)
				return rec.Failed.After(now)
			})
			if disabled := rec.State == store.WebhookDisabled; disabled != c.disabled || disabled && rec.Failure.Code != "failing" {
				t.Errorf("the webhook is %s, %v", rec.State, rec.Failure)
			}
		})
	}
}

// What waits, and what was being sent, is delivered after a restart, once.
func TestRestart(t *testing.T) {
	b := newBench(t)
	hang := make(chan struct{})
	r := receive(t, func(n int, w http.ResponseWriter, req *http.Request) {
		if n == 1 {
			select {
			case <-hang:
			case <-req.Context().Done():
			}
		}
	})
	defer close(hang)
	n := b.start("a", func(c *Config) { c.Timeout = patience })
	w := n.create(r.URL)
	b.upload("u1")
	b.until("it is being sent", func() bool { return len(r.all()) == 1 })
	n.stop()
	if d := n.deliveries(w.Id)[0]; d.State != "waiting" || d.Attempts != 0 {
		t.Errorf("after the stop: %v", d)
	}
	again := b.start("a")
	d := b.only(again, w.Id, "delivered")
	all := r.all()
	if len(all) != 2 || all[1].header.Get("webhook-id") != d.EventId || all[0].header.Get("webhook-id") != d.EventId {
		t.Errorf("%d requests: %v", len(all), all)
	}
}

// A lease of a node that died is waited for; its own node takes it at once.
func TestDeadLease(t *testing.T) {
	b := newBench(t)
	r := receive(t, nil)
	n := b.node("a")
	w := n.create(r.URL)
	rec, err := b.catalog.Webhooks.Get(t.Context(), w.Id)
	b.ok(err)
	lease := func(node string, d time.Duration) string {
		made, err := n.newDelivery(rec, event{id: store.NewID(), subject: "upload.completed", data: json.RawMessage("{}")})
		b.ok(err)
		made.Lease = store.Lease{Token: 1, Owner: store.Owner{Node: node, Boot: "dead"}, Expires: time.Now().Add(d)}
		b.ok(b.catalog.Deliveries.Create(t.Context(), made))
		return made.ID
	}
	own, theirs, expired := lease("a", time.Hour), lease("b", time.Hour), lease("b", 200*time.Millisecond)
	n = b.start("a")
	b.until("two are delivered", func() bool { return len(r.all()) == 2 })
	for id, want := range map[string]store.DeliveryState{
		own: store.DeliveryDelivered, expired: store.DeliveryDelivered, theirs: store.DeliveryWaiting,
	} {
		b.until(id+" is "+string(want), func() bool {
			d, err := b.catalog.Deliveries.Get(t.Context(), id)
			return err == nil && d.State == want
		})
	}
	b.until("one waits", func() bool { return n.schedule.waiting(w.Id) == 1 })
}

// Two nodes hear of the same events: each is delivered once.
func TestTwoNodes(t *testing.T) {
	b := newBench(t)
	r := receive(t, answers(503, 200))
	a := b.start("a")
	second := b.start("b")
	b.until("both listen", func() bool { return b.bus.NumSubscriptions() == 2*len(events.ForWebhooks()) })
	w := a.create(r.URL)
	const n = 50
	for i := range n {
		b.upload(fmt.Sprint("u", i))
	}
	b.until("all are delivered", func() bool {
		all := second.deliveries(w.Id)
		for _, d := range all {
			if d.State != "delivered" {
				return false
			}
		}
		return len(all) == n
	})
	if got := len(r.all()); got != n+1 {
		t.Errorf("%d requests for %d deliveries, one of which failed once", got, n)
	}
}

func TestRedeliver(t *testing.T) {
	b := newBench(t)
	r := receive(t, answers(500, 500, 500, 500, 200))
	n := b.start("a")
	w := n.create(r.URL)
	other := n.create(r.URL+"/other", events.VideoReady.Subject)
	b.upload("u1")
	failed := b.only(n, w.Id, "failed")
	if _, err := n.Redeliver(n.ctx, &rpc.RedeliverRequest{WebhookId: other.Id, Id: failed.Id}); reason(err) != "delivery_not_found" {
		t.Errorf("of another webhook: %v", err)
	}
	d, err := n.Redeliver(n.ctx, &rpc.RedeliverRequest{WebhookId: w.Id, Id: failed.Id})
	if err != nil || d.State != "waiting" || d.Attempts != 0 {
		t.Errorf("%v, %v", d, err)
	}
	d = b.only(n, w.Id, "delivered")
	if got := r.all(); d.Attempts != 1 || len(got) != 5 || got[4].header.Get("webhook-id") != failed.EventId {
		t.Errorf("%v after %d requests", d, len(got))
	}
	test, err := n.TestWebhook(n.ctx, &rpc.TestWebhookRequest{Id: other.Id})
	b.ok(err)
	if d := b.only(n, other.Id, "delivered"); d.Id != test.Id || d.Event != "webhook.test" {
		t.Errorf("the test is %v", d)
	}
}

// For a day deliveries are signed with the old key too.
func TestRotate(t *testing.T) {
	b := newBench(t)
	r := receive(t, nil)
	n := b.start("a")
	first := n.create(r.URL)
	second, err := n.RotateWebhook(n.ctx, &rpc.RotateWebhookRequest{Id: first.Id})
	b.ok(err)
	if second.Secret == first.Secret || !strings.HasPrefix(second.Secret, "whsec_") {
		t.Errorf("%q, then %q", first.Secret, second.Secret)
	}
	if shown, _ := n.GetWebhook(n.ctx, &rpc.GetWebhookRequest{Id: first.Id}); shown.Secret != "" {
		t.Error("the key is shown again")
	}
	verify := func(i int, secret string) error {
		b.until("it arrives", func() bool { return len(r.all()) > i })
		verifier, err := standard.NewWebhook(secret)
		b.ok(err)
		return verifier.Verify(r.all()[i].body, r.all()[i].header)
	}
	b.upload("u1")
	for _, secret := range []string{first.Secret, second.Secret} {
		if err := verify(0, secret); err != nil {
			t.Error(err)
		}
	}
	_, err = b.catalog.Webhooks.Update(t.Context(), first.Id, func(w *store.Webhook) error {
		if left := time.Until(w.Keys[1].Expires); left < 23*time.Hour || left > 24*time.Hour {
			t.Errorf("the old key expires in %v", left)
		}
		w.Keys[1].Expires = time.Now()
		return nil
	})
	b.ok(err)
	b.upload("u2")
	if verify(1, second.Secret) != nil || verify(1, first.Secret) == nil {
		t.Error("the expired key still signs, or the new one does not")
	}
	for range 10 {
		_, err := n.RotateWebhook(n.ctx, &rpc.RotateWebhookRequest{Id: first.Id})
		b.ok(err)
	}
	if rec, _ := b.catalog.Webhooks.Get(t.Context(), first.Id); len(rec.Keys) != maxKeys {
		t.Errorf("%d keys are kept", len(rec.Keys))
	}
}

// reason is the stable word of an error.
func reason(err error) string {
	word, _ := rpc.Reason(err)
	return word
}

// TestFastClock: a node whose clock is fast does not send what another is sending.
func TestFastClock(t *testing.T) {
	b := newBench(t)
	n := b.node("a", func(c *Config) { c.Now = func() time.Time { return time.Now().Add(-5 * time.Minute) } })
	for name, held := range map[string]time.Duration{"held": time.Minute, "over": -time.Minute} {
		d := store.Delivery{State: store.DeliveryWaiting, Next: n.now().Add(-time.Hour)}
		d.Lease = store.Lease{Token: 1, Owner: store.Owner{Node: "b"}, Expires: n.now().Add(held)}
		if err := n.claimable(d); errors.Is(err, errEarly) != (held > 0) {
			t.Errorf("the lease is %s: %v", name, err)
		}
	}
}
