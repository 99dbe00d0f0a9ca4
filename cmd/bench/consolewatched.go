package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	watchedConsoles = 100
	watchedTasks    = 4
	watchedPercent  = 10 // of a core, at most
	watchedTurn     = 10 * time.Second
	watchedRefresh  = 5 * time.Second // without a hint, as the page says
)

// benchConsoleWatched measures what 100 browsers that have the queue open cost a
// node while four tasks run: the CPU time of the node's own process, without
// ffmpeg, with them and without them, in turns. A browser here does what the page
// does: it listens for hints, and at each asks for its page again, unless it still
// waits for the last one.
func benchConsoleWatched(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.sources.file(ctx, foreign10min)
	if err != nil {
		return nil, err
	}
	n, err := b.startNode(ctx, unlimitedYAML)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	cost, pages, err := b.watchedCost(ctx, &consoleNode{node: n}, file)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, n.said())
	}
	what := fmt.Sprintf("CPU for %d open consoles that watch the queue while %d tasks run (%.0f pages a second)", watchedConsoles, watchedTasks, pages.median())
	return []result{atMost(what, watchedPercent, "% of a core", cost)}, nil
}

func (b *bench) watchedCost(ctx context.Context, c *consoleNode, file string) (cost, pages series, err error) {
	if err := c.signIn(ctx); err != nil {
		return nil, nil, err
	}
	for range watchedTasks {
		if _, _, err := c.upload(ctx, file, "no-copy", true); err != nil {
			return nil, nil, err
		}
	}
	if err := c.awaitRunning(ctx, watchedTasks); err != nil {
		return nil, nil, err
	}
	for range b.runs(3, 1) {
		without, err := c.ownPercent(ctx)
		if err != nil {
			return nil, nil, err
		}
		crowd := c.openConsoles(ctx)
		with, err := c.ownPercent(ctx)
		read, failed := crowd.close()
		if err == nil {
			err = failed
		}
		if err != nil {
			return nil, nil, err
		}
		cost, pages = append(cost, with-without), append(pages, float64(read)/watchedTurn.Seconds())
		b.logf("   %.1f %% with, %.1f %% without; %.0f pages a second", with, without, last(pages))
	}
	return cost, pages, c.awaitRunning(ctx, watchedTasks) // else fewer ran than it says
}

// awaitRunning returns when so many tasks are under way.
func (n *node) awaitRunning(ctx context.Context, tasks int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("never %d tasks run", tasks))
	defer cancel()
	for {
		var list struct {
			Tasks []struct{} `json:"tasks"`
		}
		if err := n.call(ctx, http.MethodGet, "/api/v1/tasks?state=processing", nil, &list); err != nil {
			return err
		}
		if len(list.Tasks) == tasks {
			return nil
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			return context.Cause(ctx)
		}
	}
}

// ownPercent is how much of a core the node's own process takes for one turn.
func (n *node) ownPercent(ctx context.Context) (float64, error) {
	before, err := ownSeconds(n.pid())
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := sleep(ctx, watchedTurn); err != nil {
		return 0, err
	}
	after, err := ownSeconds(n.pid())
	return 100 * (after - before) / time.Since(began).Seconds(), err
}

// consoles are open pages.
type consoles struct {
	stop  context.CancelFunc
	wg    sync.WaitGroup
	mu    sync.Mutex
	pages int
	err   error
}

// openConsoles opens them all, and returns when each has its page.
func (c *consoleNode) openConsoles(ctx context.Context) *consoles {
	ctx, stop := context.WithCancel(ctx)
	all := &consoles{stop: stop}
	var opened sync.WaitGroup
	for range watchedConsoles {
		opened.Add(1)
		all.wg.Go(func() { all.note(ctx, c.watch(ctx, all, opened.Done)) })
	}
	opened.Wait()
	all.mu.Lock()
	defer all.mu.Unlock()
	all.pages = 0
	return all
}

func (a *consoles) note(ctx context.Context, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && a.err == nil && ctx.Err() == nil {
		a.err = err
	}
}

// close closes them, and returns how many pages they have read.
func (a *consoles) close() (int, error) {
	a.stop()
	a.wg.Wait()
	return a.pages, a.err
}

// watch is one browser.
func (c *consoleNode) watch(ctx context.Context, all *consoles, opened func()) error {
	client := &http.Client{Jar: c.jar, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var once sync.Once
	defer once.Do(opened)
	hints, err := c.listen(ctx, client)
	if err != nil {
		return err
	}
	for {
		if _, err := c.readPage(ctx, client, "/console/queue?state=processing"); err != nil {
			return err
		}
		all.mu.Lock()
		all.pages++
		all.mu.Unlock()
		once.Do(opened)
		select {
		case _, ok := <-hints:
			if !ok {
				return fmt.Errorf("the stream of hints ended: %w", io.ErrUnexpectedEOF)
			}
		case <-time.After(watchedRefresh):
		}
	}
}

// listen tells of each hint about the queue; one that comes while the last was not
// taken is dropped.
func (c *consoleNode) listen(ctx context.Context, client *http.Client) (<-chan struct{}, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/console/events", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req) //nolint:bodyclose // the goroutine that reads it closes it
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("the stream of hints: %s", resp.Status)
	}
	hints := make(chan struct{})
	go func() {
		defer resp.Body.Close()
		defer close(hints)
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if strings.TrimSpace(lines.Text()) != "event: queue" {
				continue
			}
			select {
			case hints <- struct{}{}:
			default:
			}
		}
	}()
	return hints, nil
}
