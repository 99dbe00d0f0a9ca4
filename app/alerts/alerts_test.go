package alerts

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/apptest"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
)

const patience = 60 * time.Second

// topic is somebody's ntfy, which refuses at first.
type topic struct {
	*httptest.Server
	mu     sync.Mutex
	refuse int
	got    []string
}

func newTopic(t *testing.T, refuse int) *topic {
	t.Helper()
	n := &topic{refuse: refuse}
	n.Server = httptest.NewServer(n)
	t.Cleanup(n.Close)
	return n
}

// ServeHTTP implements http.Handler.
func (n *topic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse > 0 {
		n.refuse--
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	h := r.Header
	n.got = append(n.got, strings.Join([]string{r.Method, h.Get("Title"), h.Get("Priority"), h.Get("Tags"), h.Get("Click"), h.Get("Authorization"), string(body)}, "|"))
}

func (n *topic) all() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.got, "\n")
}

type bench struct {
	*Service
	t      *testing.T
	ctx    context.Context
	log    *apptest.Log
	events *nats.Subscription
	now    time.Time
}

func newBench(t *testing.T, ntfy string) *bench {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	bus := apptest.NewBus(t)
	b := &bench{t: t, ctx: rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeOperator, Person: "ada"}), log: &apptest.Log{}, now: time.Now()}
	b.Service = New(Config{
		Alerts: db.Catalog().Alerts, Bus: bus, Limits: testLimits, Ntfy: Ntfy{URL: ntfy, Token: "tk_hidden"}, Version: "test",
		PublicURL: func() string { return "https://video.example.org" }, Log: slog.New(slog.NewTextHandler(b.log, nil)),
	})
	if b.events, err = bus.SubscribeSync("alert.>"); err != nil {
		t.Fatal(err)
	}
	return b
}

// see observes a queue of that length, 15 s after the reading before.
func (b *bench) see(waiting float64) {
	b.now = b.now.Add(15 * time.Second)
	b.Observe(b.ctx, Reading{At: b.now, Node: "n", Values: map[string]float64{"queue_length": waiting}})
}

func (b *bench) until(what string, cond func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s: not after %v; the log:\n%s", what, patience, b.log.String())
		}
	}
}

// alert is one of the list.
func (b *bench) alert(id string) *rpc.Alert {
	b.t.Helper()
	list, err := b.ListAlerts(b.ctx, &rpc.ListAlertsRequest{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, a := range list.Alerts {
		if a.Id == id {
			return a
		}
	}
	b.t.Fatalf("there is no alert %s in %v", id, list.Alerts)
	return nil
}

// news is what is announced next, without what only pages hear.
func (b *bench) news() (string, events.Alert) {
	b.t.Helper()
	for {
		m, err := b.events.NextMsg(patience)
		if err != nil {
			b.t.Fatalf("no news: %v", err)
		}
		var a events.Alert
		if err := json.Unmarshal(m.Data, &a); err != nil || events.ID(m) == "" {
			b.t.Fatalf("%s: %v", m.Data, err)
		}
		if m.Subject != events.AlertChanged.Subject {
			return m.Subject, a
		}
	}
}

// TestNews: an alert is announced, pushed although the topic fails at first, and
// so is its end; a node that comes back tells what the one before could not.
func TestNews(t *testing.T) {
	n := newTopic(t, 1)
	b := newBench(t, n.URL)
	b.see(100)
	b.see(101)
	if a := b.alert("queue_length_critical"); a.State != "firing" || a.Summary != "101 tasks wait." || a.GetValue() != 101 || a.Threshold != 100 || a.FiredAt == nil {
		t.Errorf("%v", a)
	}
	if a := b.alert("queue_length_warning"); a.State != "pending" {
		t.Errorf("%v", a)
	}
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer run.Wait()
	defer stop()
	subject, e := b.news()
	if subject != "alert.firing" || e.AlertID != "queue_length_critical" || e.Severity != "critical" || e.Summary != "101 tasks wait." || e.Threshold != 100 || e.Unit != "tasks" {
		t.Errorf("%s %+v", subject, e)
	}
	b.until("the failure is told", func() bool { return b.alert("queue_length_critical").NotifyError == "ntfy answered 502" })
	b.until("it is pushed", func() bool { return n.all() != "" })
	want := "POST|StreamGate: queue length critical, firing|urgent|rotating_light,queue_length_critical|https://video.example.org/console/queue?state=queued|Bearer tk_hidden|101 tasks wait.\nLet more workers"
	if got := n.all(); !strings.HasPrefix(got, want) {
		t.Errorf("pushed: %s", got)
	}
	b.until("nothing is left to tell", func() bool {
		a, err := b.Alerts.Get(t.Context(), "queue_length_critical")
		return err == nil && a.Notice == nil
	})
	for range 3 {
		b.see(60)
	}
	if subject, e := b.news(); subject != "alert.resolved" || e.AlertID != "queue_length_critical" {
		t.Errorf("%s %+v", subject, e)
	}
	b.until("its end is pushed", func() bool { return strings.Contains(n.all(), "low|white_check_mark") })
	if strings.Contains(b.log.String(), "tk_hidden") || strings.Contains(b.log.String(), n.URL) {
		t.Errorf("the log has secrets: %s", b.log.String())
	}
}

// TestAgain: what was not told before a kill is told under the same id.
func TestAgain(t *testing.T) {
	b := newBench(t, "")
	b.see(101)
	a, err := b.Alerts.Get(t.Context(), "queue_length_critical")
	if err != nil || a.Notice == nil {
		t.Fatalf("%+v, %v", a, err)
	}
	id := ""
	for range 2 { // the first did not come to note it
		if err := b.tellOne(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := b.events.NextMsg(patience)
			if err != nil {
				t.Fatal(err)
			}
			if m.Subject == events.AlertFiring.Subject {
				if id != "" && id != events.ID(m) {
					t.Errorf("ids %s and %s", id, events.ID(m))
				}
				id = events.ID(m)
				break
			}
		}
	}
}

func TestSilence(t *testing.T) {
	b := newBench(t, "")
	for _, c := range []struct {
		req  *rpc.SilenceAlertRequest
		want string
	}{
		{&rpc.SilenceAlertRequest{Id: "queue_length_critical", Seconds: 3600, Reason: " moving house "}, ""},
		{&rpc.SilenceAlertRequest{Id: "queue_length_critical", Seconds: 59, Reason: "r"}, "invalid_seconds"},
		{&rpc.SilenceAlertRequest{Id: "queue_length_critical", Seconds: 1 << 30, Reason: "r"}, "invalid_seconds"},
		{&rpc.SilenceAlertRequest{Id: "queue_length_critical", Seconds: 60, Reason: " "}, "invalid_reason"},
		{&rpc.SilenceAlertRequest{Id: "queue_length_critical", Seconds: 60, Reason: "a\x00b"}, "invalid_reason"},
		{&rpc.SilenceAlertRequest{Id: "queue_length_critical", Seconds: 60, Reason: strings.Repeat("ü", 201)}, "invalid_reason"},
		{&rpc.SilenceAlertRequest{Id: "nothing", Seconds: 60, Reason: "r"}, "alert_not_found"},
	} {
		_, err := b.SilenceAlert(b.ctx, c.req)
		if reason, _ := rpc.Reason(err); reason != c.want {
			t.Errorf("%v: %v", c.req, err)
		}
	}
	b.see(101)
	a := b.alert("queue_length_critical")
	if a.State != "firing" || a.Silence.GetReason() != "moving house" || a.Silence.GetBy() != "person ada" {
		t.Errorf("%v", a)
	}
	rec, err := b.Alerts.Get(t.Context(), a.Id)
	if err != nil || rec.Notice != nil {
		t.Errorf("silenced, and yet %+v, %v", rec.Notice, err)
	}
	if a, err = b.UnsilenceAlert(b.ctx, &rpc.UnsilenceAlertRequest{Id: a.Id}); err != nil || a.Silence != nil {
		t.Errorf("%v, %v", a, err)
	}
	b.see(101)
	if rec, err = b.Alerts.Get(t.Context(), a.Id); err != nil || rec.Notice == nil {
		t.Errorf("no longer silenced, and yet no news: %v", err)
	}
	reader := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead})
	_, silence := b.SilenceAlert(reader, &rpc.SilenceAlertRequest{Id: a.Id, Seconds: 60, Reason: "r"})
	_, unsilence := b.UnsilenceAlert(reader, &rpc.UnsilenceAlertRequest{Id: a.Id})
	_, list := b.ListAlerts(t.Context(), &rpc.ListAlertsRequest{})
	_, state := b.ListAlerts(reader, &rpc.ListAlertsRequest{State: "broken"})
	for i, err := range []error{silence, unsilence, list, state} {
		if err == nil {
			t.Errorf("request %d is not refused", i)
		}
	}
}

// TestForgotten: what is over leaves no record, and a part that is gone holds no
// more.
func TestForgotten(t *testing.T) {
	b := newBench(t, "")
	count := func() int {
		list, _, err := b.Alerts.List(t.Context(), store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	b.see(60) // pending
	if n := count(); n != 1 {
		t.Errorf("%d records", n)
	}
	b.see(1)
	if n := count(); n != 0 {
		t.Errorf("%d records of what never fired", n)
	}
	b.Observe(b.ctx, Reading{At: b.now, Node: "n", Faults: map[string]string{"media": "is gone"}})
	b.Observe(b.ctx, Reading{At: b.now, Node: "n"})
	b.Observe(b.ctx, Reading{At: b.now.Add(settle), Node: "n"})
	if a := b.alert("service_unavailable.media.n"); a.State != "resolved" {
		t.Errorf("%v", a)
	}
	b.Observe(b.ctx, Reading{At: b.now.Add(settle + keepResolved), Node: "n"})
	rec, err := b.Alerts.Get(t.Context(), "service_unavailable.media.n")
	if err != nil { // its news is still to be told
		t.Fatal(err)
	}
	if err := b.tellOne(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	b.Observe(b.ctx, Reading{At: b.now.Add(settle + keepResolved), Node: "n"})
	if n := count(); n != 0 {
		t.Errorf("%d records after a week", n)
	}
}

// TestOneNodePushes: of two nodes that have read the same news, one tells of it.
func TestOneNodePushes(t *testing.T) {
	ntfy := newTopic(t, 0)
	b := newBench(t, ntfy.URL)
	a := store.Alert{ID: "queue", Rule: "queue", State: store.AlertFiring, Notice: &store.Notice{State: store.AlertFiring, At: time.Now().UTC()}}
	if err := b.Alerts.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	other := New(b.Config)
	for _, node := range []*Service{b.Service, other} { // both with what they had read before
		if err := node.tellOne(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(ntfy.got); n != 1 {
		t.Errorf("told %d times: %s", n, ntfy.all())
	}
}
