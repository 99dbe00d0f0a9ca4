package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"streamgate/app/monitor"
	"streamgate/app/monitor/history"
)

// listener is somebody's server for webhooks (/hook) and for ntfy (/topic).
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	heard  []string // what came, in order; of webhooks those whose signature is right
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

// ServeHTTP implements http.Handler.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.URL.Path == "/topic" {
		l.heard = append(l.heard, "ntfy "+r.Header.Get("Priority")+" "+r.Header.Get("Title"))
		return
	}
	verifier, err := standard.NewWebhook(l.secret)
	if err == nil {
		err = verifier.Verify(body, r.Header)
	}
	var message struct {
		Type string
		Data struct {
			AlertID string `json:"alert_id"`
		}
	}
	if jerr := json.Unmarshal(body, &message); err != nil || jerr != nil {
		l.heard = append(l.heard, fmt.Sprintf("not signed well: %v, %v", err, jerr))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.heard = append(l.heard, strings.TrimSpace("hook "+message.Type+" "+message.Data.AlertID))
}

func (l *listener) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.heard, "\n"), text)
}

// remember fills a node's history with a week, so that there is something to see.
func (n *node) remember() {
	n.t.Helper()
	metrics := monitor.Metrics()
	names := make([]string, len(metrics))
	for i, m := range metrics {
		names[i] = m.Name
	}
	log, err := history.Open(filepath.Join(n.data, "metrics"), names)
	if err != nil {
		n.t.Fatal(err)
	}
	now := time.Now()
	for at := -7 * 24 * time.Hour; at < -time.Minute; {
		values := make([]float64, len(metrics))
		for i, m := range metrics {
			wave := 1 + math.Sin(at.Hours()*(1+float64(i)/7))
			values[i] = math.Round(20*wave) / 4
			if strings.Contains(m.Name, "fail") {
				values[i] = 0 // or that is an alert of its own
			}
			if strings.Contains(m.Unit, "bytes") {
				values[i] = (3 + wave) * 1e9
			}
		}
		if err := log.Append(now.Add(at), values); err != nil {
			n.t.Fatal(err)
		}
		if at += history.FineStep; at < -2*time.Hour {
			at += history.CoarseStep - history.FineStep
		}
	}
	if err := log.Close(); err != nil {
		n.t.Fatal(err)
	}
}

// TestAlertStory: add a webhook, let an alert fire, receive it there and by
// ntfy, silence it, see it resolved, read the metrics after a kill, and find all
// of it in the audit log.
func TestAlertStory(t *testing.T) {
	l := listen(t)
	n := newNode(t, "--set", "alerts.queue_critical=0", "--set", "alerts.ntfy_url="+l.URL+"/topic", "--set", "webhooks.allow_private=true",
		"--set", "transcoder.max_concurrent_tasks=1")
	n.remember()
	n.start()
	b := openTabFor(t, n.setupLink(), 9*time.Minute)
	b.setUp()

	b.open(n.url + "/console/webhooks")
	b.fill("#hook-url", "ftp://a.example")
	b.follow("form.stack button.primary")
	b.arrive("a wrong address is refused", `document.querySelector('.said.bad')`)
	b.fill("#hook-url", l.URL+"/hook")
	b.fill("#hook-about", "the operator's pager")
	b.follow("form.stack button.primary")
	l.mu.Lock()
	l.secret = eval[string](b, `return document.querySelector('.made code').textContent`)
	l.mu.Unlock()
	b.look("webhooks")
	b.follow("td.name a")
	hook := eval[string](b, `return location.pathname`)
	b.follow("button[value=test]")
	n.poll("the test is delivered", func() bool { return l.has("hook webhook.test") })

	n.ctl("queue", "pause")
	for i := range 3 {
		film := ffmpeg(t, fmt.Sprintf("short-%d.mp4", i), testPicture+testTone+x264+"-t 2")
		push := n.command("push", film) // it waits for the queue, as the alert does
		if err := push.Start(); err != nil {
			t.Fatal(err)
		}
		defer push.Wait()
	}
	n.poll("the alert is received at the webhook", func() bool { return l.has("hook alert.firing queue_length_critical") })
	n.poll("and by ntfy", func() bool { return l.has("ntfy urgent StreamGate: queue length critical, firing") })
	b.open(n.url + "/console/alerts")
	b.until("it is on the page", `document.querySelector('.alert-card.critical')`, time.Minute)
	b.open(n.url + "/console/")
	if first := eval[string](b, `return document.querySelector('.alerts a').textContent`); !strings.Contains(first, "tasks wait") {
		t.Errorf("the overview begins with %q", first)
	}

	b.open(n.url + "/console/alerts")
	eval[any](b, `document.querySelector('.silence').open = true; return null`)
	b.look("alerts-silence")
	b.fill("[name=reason]", `We know: <b>moving</b>`)
	b.follow(".silence button")
	b.arrive("it is silenced", `document.querySelector('.acts .state.silenced')?.textContent.includes('<b>moving</b>')`)
	b.follow("form[action$=unsilence] button")
	n.ctl("queue", "resume")
	n.poll("its end is received", func() bool { return l.has("hook alert.resolved queue_length_critical") && l.has("ntfy low") })
	if l.has("not signed well") {
		t.Errorf("heard: %v", l.heard)
	}

	b.open(n.url + hook)
	b.until("its deliveries", `document.querySelectorAll('.delivery').length >= 3`, time.Minute)
	b.look("webhook")
	b.fill("#hook-url", "ftp://a.example")
	b.follow("#change button")
	b.arrive("what is wrong stands beside the field", `document.querySelector('#hook-url-error') && document.querySelector('#change').checkVisibility()`)
	b.look("webhook-wrong")
	b.fill("#hook-url", l.URL+"/hook")
	b.fill("#hook-about", "the pager of the night")
	b.follow("#change button")
	b.arrive("it is saved", `document.querySelector('.said')?.textContent.includes('saved') && document.querySelector('#hook-about').value === 'the pager of the night'`)
	b.follow(".delivery form button")
	b.arrive("it is sent again", `document.querySelector('.said')?.textContent.includes('again')`)

	n.kill()
	n.start()
	b.open(n.url + "/console/metrics?range=1h")
	b.readCharts(n)
	b.open(n.url + "/console/nodes")
	b.look("nodes")
	b.open(n.url + "/console/audit")
	said := eval[string](b, `return document.querySelector('table').textContent`)
	for _, want := range []string{"webhook.create", "webhook.update", "webhook.test", "webhook.redeliver", "alert.silence", "moving", "alert.unsilence"} {
		if !strings.Contains(said, want) {
			t.Errorf("the audit log does not tell of %s:\n%s", want, said)
		}
	}
	b.forgive("status of 422")  // the address that was wrong
	b.forgive("ERR_CONNECTION") // while the node was dead
	b.forgive("Failed to fetch")
	b.forgive("ERR_INCOMPLETE_CHUNKED")
	b.forgive("htmx:sse:error")
	b.expectQuiet()
}

// readCharts: every chart is drawn and has its past; the mouse reads it and
// zooms; it goes on by itself.
func (b *tab) readCharts(n *node) {
	b.t.Helper()
	b.until("the charts are drawn", `document.querySelectorAll('figure.chart canvas').length === document.querySelectorAll('figure.chart').length`, 30*time.Second)
	if seen := eval[int](b, `return JSON.parse(document.querySelector('#values-queue').dataset.points).series[0].filter(v => v !== null).length`); seen < 200 {
		b.t.Errorf("after a kill an hour has %d points", seen)
	}
	eval[any](b, `document.querySelector('#queue .values details').open = true; document.querySelector('#queue .promql').open = true; return null`)
	b.look("metrics-open")
	const mouse = `
		const over = document.querySelector('#cpu .u-over'), box = over.getBoundingClientRect();
		const at = (type, share) => over.dispatchEvent(new MouseEvent(type, {bubbles: true, clientX: box.left + share * box.width, clientY: box.top + 20, movementX: 9, buttons: type === 'mouseup' ? 0 : 1, button: 0, detail: 1}));
		`
	eval[any](b, mouse+`over.scrollIntoView(); return null`)
	eval[any](b, mouse+`at('mouseenter', .3); at('mousemove', .3); await new Promise(r => setTimeout(r, 200)); return null`)
	b.until("the mouse reads all charts", `document.querySelector('#cpu .reading-time').textContent && document.querySelector('#queue .reading-time').textContent`, 10*time.Second)
	before := eval[string](b, `return document.querySelector('#values-queue').dataset.to`)
	b.until("it goes on by itself", `document.querySelector('#values-queue').dataset.to !== '`+before+`' && document.querySelector('#queue .values details').open`, time.Minute)
	eval[any](b, mouse+`at('mousemove', .3); at('mousedown', .3); at('mousemove', .5); document.dispatchEvent(new MouseEvent('mouseup', {bubbles: true, clientX: box.left + .5 * box.width, clientY: box.top + 20})); return null`)
	b.arrive("a drag is a zoom", `location.search.startsWith('?from=')`)
}
