package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// overviewView answers: is all well, and what is going on?
type overviewView struct {
	Alerts  []alert
	Figures []figure
	Running []taskRow
	Waiting []taskRow
	Failed  []taskRow
	Empty   bool // no video yet
	May     bool
}

// alert is something that wants a look, and where to.
type alert struct{ Text, Href, State string }

// figure is one number with its page.
type figure struct{ Name, Value, Note, Href string }

const shown = 5 // rows of each list

func (v *visit) overview() {
	view, err := v.newOverview()
	if err != nil {
		v.fail(err)
		return
	}
	title := "Overview"
	if n := len(view.Alerts); n > 0 {
		title = many(n, "thing wants", "things want") + " a look"
	}
	v.page(http.StatusOK, title, "/console/", overviewPage(view))
}

func (v *visit) newOverview() (overviewView, error) {
	view := overviewView{May: v.may(console.Operator)}
	videos, err := v.titles(v.ctx)
	if err != nil {
		return view, err
	}
	counts, err := v.taskCounts(v.ctx)
	if err != nil {
		return view, err
	}
	queue, err := v.Transcoder.GetQueue(v.ctx, &rpc.GetQueueRequest{})
	if err != nil {
		return view, err
	}
	workers, err := v.Transcoder.ListWorkers(v.ctx, &rpc.ListWorkersRequest{})
	if err != nil {
		return view, err
	}
	node, err := v.Monitor.GetNode(v.ctx, &rpc.GetNodeRequest{})
	if err != nil {
		return view, err
	}
	view.Empty = len(videos) == 0
	for _, list := range []struct {
		state string
		into  *[]taskRow
	}{{"processing", &view.Running}, {"queued", &view.Waiting}, {"failed", &view.Failed}} {
		if *list.into, err = v.firstTasks(list.state, videos); err != nil {
			return view, err
		}
	}
	explain(view.Waiting, "order", queue.Paused)
	view.Alerts = append(v.firing(), notes(queue, node, counts)...)
	view.Figures, err = v.figures(queue, workers.Workers, node, counts, videos)
	return view, err
}

// firstTasks are the first few tasks of a state.
func (v *visit) firstTasks(state string, videos map[string]*rpc.Video) ([]taskRow, error) {
	list, err := v.Transcoder.ListTasks(v.ctx, &rpc.ListTasksRequest{State: state, Limit: 200})
	if err != nil {
		return nil, err
	}
	var rows []taskRow
	for _, t := range list.Tasks {
		rows = append(rows, newTaskRow(t, videos))
	}
	if state != "failed" {
		sortTasks(rows, "order")
	}
	return rows[:min(len(rows), shown)], nil
}

// notes are what no alert is about and yet wants a look.
func notes(queue *rpc.QueueState, node *rpc.Node, counts map[string]count) (out []alert) {
	if used := diskUsed(node); used > 90 {
		out = append(out, alert{fmt.Sprintf("The disk is %.0f %% full: %s are free.", used, size(node.DiskFreeBytes).Short), "/console/metrics?range=7d#disk", "warn"})
	}
	if queue.Paused {
		out = append(out, alert{"The queue is paused: nothing begins.", "/console/queue", "paused"})
	}
	if n := counts["failed"]; n.n > 0 {
		out = append(out, alert{n.String() + " of the tasks have failed.", "/console/queue?state=failed", "failed"})
	}
	return out
}

func diskUsed(n *rpc.Node) float64 {
	if n.DiskTotalBytes == 0 {
		return 0
	}
	return 100 * (1 - n.DiskFreeBytes/n.DiskTotalBytes)
}

func (v *visit) figures(queue *rpc.QueueState, workers []*rpc.Worker, node *rpc.Node, counts map[string]count, videos map[string]*rpc.Video) ([]figure, error) {
	waiting := figure{"Waiting", counts["queued"].String(), "nothing waits", "/console/queue?state=queued"}
	if queue.OldestTaskSeconds != nil {
		waiting.Note = "the oldest for " + clock(*queue.OldestTaskSeconds)
	}
	busy, pace := 0, 0.0
	for _, w := range workers {
		if w.TaskId != "" {
			busy++
			pace += w.Speed
		}
	}
	out := []figure{
		{"Running", counts["processing"].String(), many(int(queue.JobsRunning), "job", "jobs") + " at work", "/console/queue?state=processing"},
		waiting,
		{"Workers busy", fmt.Sprintf("%d of %d", busy, len(workers)), "see each", "/console/workers"},
		{"Throughput", speed(pace), "seconds of video a second", "/console/workers"},
	}
	if v.may(console.Operator) {
		sessions, err := v.Access.ListSessions(v.ctx, &rpc.ListSessionsRequest{State: "live", Limit: 200})
		if err != nil {
			return nil, err
		}
		n := count{len(sessions.Sessions), sessions.NextCursor != ""}
		out = append(out, figure{"Watching", n.String(), "live sessions", "/console/access"})
	}
	return append(out,
		figure{"Disk free", size(node.DiskFreeBytes).Short, fmt.Sprintf("of %s", size(node.DiskTotalBytes).Short), "/console/metrics?range=24h#disk"},
		figure{"Videos", count{len(videos), len(videos) >= maxVideos}.String(), "in the library", "/console/videos"},
	), nil
}

// foundRow is something that a search has found.
type foundRow struct{ Href, Title, Kind, Detail string }

// find looks for videos by title and id, and for tasks by id.
func (v *visit) find() {
	q := strings.ToLower(strings.TrimSpace(v.r.URL.Query().Get("q")))
	var rows []foundRow
	if q != "" {
		all, err := v.allVideos(v.ctx)
		if err != nil {
			v.fail(err)
			return
		}
		for _, video := range all {
			if matches(q, video.Title, video.Id, video.TaskId) && len(rows) < pageSize {
				rows = append(rows, foundRow{"/console/videos/" + video.Id, printable(video.Title), "video", video.State})
			}
		}
		if t, err := v.Transcoder.GetTask(v.ctx, &rpc.GetTaskRequest{Id: q}); err == nil {
			rows = append(rows, foundRow{"/console/tasks/" + t.Id, "Task " + shortID(t.Id), "task", t.State})
		}
	}
	if len(rows) == 1 {
		v.redirect((&url.URL{Path: rows[0].Href}).String())
		return
	}
	v.page(http.StatusOK, "Find", "", findPage(q, rows))
}
