package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
)

// How full the node is whose console is measured.
const (
	consoleTasks     = 10_000
	consoleVideos    = 1000
	consoleWaiting   = 500 // of the tasks; the others are over
	consoleDecisions = 5000
	consolePassword  = "a long enough password"
)

// consoleNode is a full node, and a browser's cookies of its first admin.
type consoleNode struct {
	*node
	jar  http.CookieJar
	film video // one that is really there
}

// startConsole starts a node with one video that was made, and many records. Its
// queue is paused: those who wait go on waiting.
func (b *bench) startConsole(ctx context.Context) (*consoleNode, error) {
	file, err := b.sources.file(ctx, copied30s)
	if err != nil {
		return nil, err
	}
	n, err := b.startNode(ctx, unlimitedYAML)
	if err != nil {
		return nil, err
	}
	c := &consoleNode{node: n}
	if err := c.prepare(ctx, file); err != nil {
		err = fmt.Errorf("%w\n%s", err, n.said())
		n.kill()
		return nil, err
	}
	return c, nil
}

func (c *consoleNode) prepare(ctx context.Context, file string) (err error) {
	if c.film, _, err = c.upload(ctx, file, "", true); err != nil {
		return err
	}
	if err := c.awaitTask(ctx, c.film.ID); err != nil {
		return err
	}
	if c.film, err = c.video(ctx, c.film.ID); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodPost, "/api/v1/queue:pause", map[string]any{}, nil); err != nil {
		return err
	}
	if err := c.end(syscall.SIGKILL); err != nil {
		return err
	}
	if err := c.fill(ctx); err != nil {
		return err
	}
	if err := c.start(ctx); err != nil {
		return err
	}
	return c.signIn(ctx)
}

// fill gives a node that is down its videos, tasks and decisions.
func (c *consoleNode) fill(ctx context.Context) error {
	db, err := bolt.Open(filepath.Join(c.data(), "streamgate.db"), bolt.Options{})
	if err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(submitsAbout)
	begun := time.Now().UTC().Add(-24 * time.Hour)
	for i := range consoleVideos {
		group.Go(func() error { return db.Catalog().Videos.Create(gctx, consoleVideo(i, begun)) })
	}
	for i := range consoleTasks {
		group.Go(func() error {
			task, job := consoleTask(i, begun)
			err := db.Catalog().Tasks.Create(gctx, task)
			if task.State == store.TaskQueued {
				err = errors.Join(err, db.Queue().Push(gctx, job))
			}
			return err
		})
	}
	for i := range consoleDecisions {
		group.Go(func() error { return db.Catalog().Decisions.Create(gctx, consoleDecision(i)) })
	}
	return errors.Join(group.Wait(), db.Close())
}

func consoleVideoID(i int) string { return fmt.Sprintf("console-video-%06d", i%consoleVideos) }

func consoleVideo(i int, at time.Time) store.Video {
	return store.Video{
		ID: consoleVideoID(i), Title: fmt.Sprintf("Lecture %d: of harbours, ships and the sea", i), State: store.VideoReady,
		Profile: rpc.DefaultProfile, TaskID: fmt.Sprintf("console-task-%06d", i), SizeBytes: 1 << 30, DurationSeconds: 3600, Width: 1920, Height: 1080,
		Created: at, Updated: at, Ready: at,
	}
}

// consoleTask is the task of that number, the first of which wait, and the job of
// one that waits.
func consoleTask(i int, at time.Time) (store.Task, store.Job) {
	t := store.Task{
		ID: fmt.Sprintf("console-task-%06d", i), VideoID: consoleVideoID(i), Profile: rpc.DefaultProfile, Priority: i % 100,
		State: store.TaskSucceeded, Progress: 100, Speed: 2.5, Attempt: 1, Created: at.Add(time.Duration(i) * time.Second), Started: at, Finished: at.Add(time.Hour),
	}
	switch {
	case i < consoleWaiting:
		t.State, t.Progress, t.Started, t.Finished = store.TaskQueued, 0, time.Time{}, time.Time{}
	case i%10 == 0:
		t.State, t.Failure = store.TaskFailed, &store.Failure{Code: "encoder_failed", Message: "ffmpeg ended with status 1 in each of 4 tries."}
	case i%10 == 1:
		t.State = store.TaskCancelled
	}
	return t, store.Job{
		ID: fmt.Sprintf("%s/%s/%06d", t.ID, store.JobPlan, 0), TaskID: t.ID, VideoID: t.VideoID, Kind: store.JobPlan,
		Rank: store.RankOrdinary, Backlog: true, Created: t.Created,
	}
}

func consoleDecision(i int) store.Decision {
	at := time.Now().UTC().Add(-time.Duration(i) * time.Minute)
	d := store.Decision{
		ID: store.NamedID(at, fmt.Sprint(i)), VideoID: consoleVideoID(i), Outcome: store.DecisionAdmitted,
		Wallet: fmt.Sprintf("0x%040x", i%1000), Client: "127.0.0.1", Count: 1, First: at, Last: at,
	}
	if i%3 == 0 {
		d.Outcome, d.Reason, d.Why = store.DecisionRefused, "not_a_holder", "The wallet does not hold a token of the collection."
	}
	return d
}

// signIn makes the first admin by the set-up link, and keeps the cookies.
func (c *consoleNode) signIn(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, c.cmd.Path, "setup-link", "--data", c.data()).Output()
	if err != nil {
		return fmt.Errorf("make a set-up link: %w", err)
	}
	link, err := url.Parse(strings.TrimSpace(string(out)))
	if err != nil {
		return err
	}
	if c.jar, err = cookiejar.New(nil); err != nil {
		return err
	}
	form := url.Values{
		"token": {link.Query().Get("token")}, "name": {"bench"}, "password": {consolePassword}, "again": {consolePassword},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/console/setup", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{Jar: c.jar}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.Request.URL.Path != "/console/" || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the first admin is not signed in: %s of %s", resp.Status, resp.Request.URL.Path)
	}
	return nil
}

// pages are the console's pages, by path.
func (c *consoleNode) pages() []string {
	return []string{
		"/console/", "/console/videos", "/console/videos?q=ships&page=3", "/console/videos/" + c.film.ID, "/console/tasks/" + c.film.TaskID,
		"/console/queue", "/console/queue?state=queued&q=lecture&sort=title", "/console/queue?state=failed", "/console/queue?state=succeeded", "/console/workers",
		"/console/access", "/console/access?video=" + consoleVideoID(0), "/console/access?wallet=0x" + strings.Repeat("0", 39) + "9", "/console/metrics", "/console/alerts",
		"/console/nodes", "/console/webhooks", "/console/keys", "/console/people", "/console/settings", "/console/audit", "/console/you",
		"/console/find?q=harbours",
	}
}
