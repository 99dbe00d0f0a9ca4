package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const (
	paintMs      = 500 // first contentful paint, at most
	paintShift   = 0.02
	paintEventMs = 1000 // from an event to the changed picture
	// paintSettle is for how long what a page has moved counts after it is there.
	paintSettle = time.Second
)

// benchConsolePaint measures in Chromium, on a full node: when something of a page
// is first seen, without a cache; by how much it moves afterwards (the sum of its
// layout shifts); and how long it takes from a change by the API until the open
// queue shows it.
func benchConsolePaint(ctx context.Context, b *bench) ([]result, error) {
	c, err := b.startConsole(ctx)
	if err != nil {
		return nil, err
	}
	defer c.kill()
	page, stop, err := c.openBrowser(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	paints, shifts, err := c.paints(page, b.runs(5, 1))
	if err != nil {
		return nil, err
	}
	events, err := c.eventToPixel(ctx, page, b.runs(30, 5))
	if err != nil {
		return nil, err
	}
	slowest := most(paints, func(s series) float64 { return s.quantile(0.99) })
	jumpiest := most(shifts, func(s series) float64 { return s.quantile(1) })
	b.logf("   slowest %s, moves most %s", slowest, jumpiest)
	full := fmt.Sprintf("%d tasks and %d videos", consoleTasks, consoleVideos)
	return []result{
		atMost(fmt.Sprintf("first contentful paint in Chromium, %s, the slowest of the console's %d pages (%s)", full, len(paints), slowest), paintMs, "ms", paints[slowest]),
		atMost(fmt.Sprintf("cumulative layout shift of the page that moves most (%s)", jumpiest), paintShift, "", shifts[jumpiest]),
		atMostP99("event to changed picture of the open queue in Chromium", paintEventMs, "ms", events),
	}, nil
}

// openBrowser opens a browser in which the admin has signed in.
func (c *consoleNode) openBrowser(ctx context.Context) (page context.Context, stop func(), err error) {
	page, stop = chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(
		chromedp.NoSandbox, chromedp.WindowSize(1280, 900), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	))
	fail := func(err error) (context.Context, func(), error) {
		stop()
		return nil, nil, fmt.Errorf("open a browser: %w", err)
	}
	site, err := url.Parse(c.url)
	if err != nil {
		return fail(err)
	}
	if err := chromedp.Do(page, chromedp.Navigate("about:blank")); err != nil {
		return fail(err)
	}
	for _, cookie := range c.jar.Cookies(site) {
		params := network.SetCookieParams{Name: cookie.Name, Value: cookie.Value, URL: c.url}
		if _, err := chromedp.Call(page, network.SetCookie, params); err != nil {
			return fail(err)
		}
	}
	if _, err := chromedp.Call(page, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}); err != nil {
		return fail(err)
	}
	return page, stop, nil
}

// paints opens every page so many times: milliseconds until the first contentful
// paint, and the layout shifts.
func (c *consoleNode) paints(page context.Context, times int) (paints, shifts map[string]series, err error) {
	paints, shifts = map[string]series{}, map[string]series{}
	for range times {
		for _, path := range c.pages() {
			if err := chromedp.Do(page, chromedp.Navigate(c.url+path)); err != nil {
				return nil, nil, fmt.Errorf("open %s: %w", path, err)
			}
			seen, err := evaluate[struct{ Paint, Shift float64 }](page, fmt.Sprintf(paintScript, paintSettle.Milliseconds()))
			if err != nil {
				return nil, nil, fmt.Errorf("look at %s: %w", path, err)
			}
			paints[path], shifts[path] = append(paints[path], seen.Paint), append(shifts[path], seen.Shift)
		}
	}
	return paints, shifts, nil
}

// paintScript waits for a page's first contentful paint, and then adds up its
// layout shifts.
const paintScript = `(async () => {
	const paint = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
	for (const end = performance.now() + 20000; paint() === undefined && performance.now() < end;) await new Promise((r) => setTimeout(r, 20));
	let shift = 0;
	new PerformanceObserver((list) => list.getEntries().forEach((e) => { if (!e.hadRecentInput) shift += e.value; })).observe({type: 'layout-shift', buffered: true});
	await new Promise((r) => setTimeout(r, %d));
	return {Paint: paint() ?? 20000, Shift: shift};
})()`

// evaluate runs a script that returns a promise.
func evaluate[T any](page context.Context, script string) (T, error) {
	return chromedp.Run(page, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// eventToPixel pauses and resumes a task that waits, and returns how many
// milliseconds after the API's answer the open page of paused tasks has drawn it.
func (c *consoleNode) eventToPixel(ctx context.Context, page context.Context, times int) (took series, err error) {
	if err := chromedp.Do(page, chromedp.Navigate(c.url+"/console/queue?state=paused")); err != nil {
		return nil, err
	}
	live, err := evaluate[bool](page, liveScript)
	if err != nil {
		return nil, err
	}
	if !live {
		return nil, errors.New("the open page hears no events")
	}
	for i := range times {
		id, do, there := "console-task-000003", "pause", true
		if i%2 == 1 {
			do, there = "resume", false
		}
		row := fmt.Sprintf(`!!document.querySelector('#task-%s') === %t`, id, there)
		if _, err := evaluate[bool](page, fmt.Sprintf(pixelScript, row)); err != nil {
			return nil, err
		}
		if err := c.call(ctx, http.MethodPost, "/api/v1/tasks/"+id+":"+do, map[string]any{}, nil); err != nil {
			return nil, err
		}
		answered := float64(time.Now().UnixMicro()) / 1000
		drawn, err := evaluate[float64](page, `window.drawn`)
		if err != nil {
			return nil, err
		}
		if drawn == 0 {
			return nil, errors.New("the open page does not show the change")
		}
		took = append(took, max(0, drawn-answered))
		if err := sleep(ctx, 2*time.Second); err != nil { // the pause between hints is over
			return nil, err
		}
	}
	return took, nil
}

// liveScript waits until the page hears events.
const liveScript = `(async () => {
	const live = () => !!document.querySelector('.live-state.on');
	for (const end = performance.now() + 20000; !live() && performance.now() < end;) await new Promise((r) => setTimeout(r, 20));
	return live();
})()`

// pixelScript makes a promise of the time (ms since 1970) when a condition is
// drawn: two frames after the document has it.
const pixelScript = `(async () => {
	const holds = () => %s;
	window.drawn = new Promise((done) => {
		const look = () => {
			if (!holds()) return false;
			requestAnimationFrame(() => requestAnimationFrame(() => done(Date.now())));
			return true;
		};
		if (look()) return;
		const watch = new MutationObserver(() => look() && watch.disconnect());
		watch.observe(document.documentElement, {childList: true, subtree: true});
		setTimeout(() => done(0), 20000);
	});
	return true;
})()`
