package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tab is a page in a real browser that remembers every complaint.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

func openTab(t *testing.T, url string) *tab {
	t.Helper()
	return openTabFor(t, url, 100*time.Second)
}

// openTabFor opens a tab that lasts no longer than the limit.
func openTabFor(t *testing.T, url string, limit time.Duration) *tab {
	t.Helper()
	b := &tab{t: t}
	ctx, cancel := chromedp.NewContext(context.Background(),
		chromedp.WithAllocatorOptions(
			chromedp.NoSandbox, chromedp.WindowSize(1280, 900),
			chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
			chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-sync", true), chromedp.Flag("mute-audio", true),
			chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		),
		chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, limit)
	t.Cleanup(stop)
	b.ctx = ctx
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return b
}

// listen keeps console errors and warnings, exceptions, failed requests and
// CSP violations.
func (b *tab) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			text := ""
			for _, a := range e.Args {
				text += string(a.Value) + a.Description + " "
			}
			b.complaints = append(b.complaints, "console: "+text)
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Source == "security" {
			b.complaints = append(b.complaints, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

func (b *tab) expectQuiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complained:\n%s", strings.Join(b.complaints, "\n"))
	}
}

// eval runs a script that may return a promise, and decodes its JSON value.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
		"Promise.resolve((async () => {"+script+"})()).then(v => JSON.stringify(v === undefined ? null : v))", chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		b.t.Fatalf("%s returned %q: %v", script, text, err)
	}
	return v
}

// until waits in the page for a condition and returns how long it took.
func (b *tab) until(what, condition string, limit time.Duration) time.Duration {
	b.t.Helper()
	begun := time.Now()
	ok := eval[bool](b, fmt.Sprintf(`
		const end = performance.now() + %d;
		while (performance.now() < end) {
			if (%s) return true;
			await new Promise(r => setTimeout(r, 30));
		}
		return false`, limit.Milliseconds(), condition))
	if !ok {
		b.t.Fatalf("%s: not within %s; %s", what, limit, eval[string](b, `
			const v = document.querySelector('video');
			return v ? 'at ' + v.currentTime + ' of ' + v.duration + ', ready ' + v.readyState + ', error ' + (v.error && v.error.message) : 'no video'`))
	}
	return time.Since(begun)
}
