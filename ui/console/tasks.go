package console

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"streamgate/app/rpc"
	"streamgate/store"
)

// What one page reads at most: beyond that it says so.
const (
	maxVideos = 5000
	maxTasks  = 1000
	pageSize  = 100
)

// count is how many tasks are in a state.
type count struct {
	n    int
	more bool
}

func (c count) String() string {
	if c.more {
		return strconv.Itoa(c.n) + "+"
	}
	return strconv.Itoa(c.n)
}

// taskStates are the tabs of the queue, and how people call them.
var taskStates = []struct{ state, word string }{
	{"queued", "Waiting"}, {"processing", "Running"}, {"paused", "Paused"},
	{"failed", "Failed"}, {"succeeded", "Done"}, {"cancelled", "Cancelled"},
}

// taskCounts counts the tasks of each state, as far as one page of the list
// reaches.
func (c *Console) taskCounts(ctx context.Context) (map[string]count, error) {
	return c.counts.get(ctx, func(ctx context.Context) (map[string]count, error) {
		out := map[string]count{}
		for _, s := range taskStates {
			list, err := c.Transcoder.ListTasks(ctx, &rpc.ListTasksRequest{State: s.state, Limit: store.MaxLimit})
			if err != nil {
				return nil, err
			}
			out[s.state] = count{len(list.Tasks), list.NextCursor != ""}
		}
		return out, nil
	})
}

// allVideos reads the library, newest first.
func (c *Console) allVideos(ctx context.Context) ([]*rpc.Video, error) {
	return c.videoList.get(ctx, func(ctx context.Context) ([]*rpc.Video, error) {
		var out []*rpc.Video
		cursor := ""
		for len(out) < maxVideos {
			list, err := c.Library.ListVideos(ctx, &rpc.ListVideosRequest{Limit: store.MaxLimit, Cursor: cursor})
			if err != nil {
				return nil, err
			}
			out = append(out, list.Videos...)
			if cursor = list.NextCursor; cursor == "" {
				break
			}
		}
		return out, nil
	})
}

// titles are the videos' titles by id.
func (c *Console) titles(ctx context.Context) (map[string]*rpc.Video, error) {
	all, err := c.allVideos(ctx)
	out := make(map[string]*rpc.Video, len(all))
	for _, v := range all {
		out[v.Id] = v
	}
	return out, err
}

// tasksIn reads the tasks of a state; whole tells whether that is all of them.
func (c *Console) tasksIn(ctx context.Context, state string) (tasks []*rpc.Task, whole bool, err error) {
	cursor := ""
	for len(tasks) < maxTasks {
		list, err := c.Transcoder.ListTasks(ctx, &rpc.ListTasksRequest{State: state, Limit: store.MaxLimit, Cursor: cursor})
		if err != nil {
			return nil, false, err
		}
		tasks = append(tasks, list.Tasks...)
		if cursor = list.NextCursor; cursor == "" {
			return tasks, true, nil
		}
	}
	return tasks, false, nil
}

// taskRow is one task as tables show it.
type taskRow struct {
	ID, VideoID, Title, State, Progress, Speed, ETA, Length string
	Priority                                                int32
	Age                                                     stamp
	Why                                                     string // it waits, or failed
	Attempt                                                 int32
	progress                                                float64
	created                                                 int64
}

func newTaskRow(t *rpc.Task, videos map[string]*rpc.Video) taskRow {
	row := taskRow{
		ID: t.Id, VideoID: t.VideoId, Title: shortID(t.VideoId), State: t.State, Progress: percent(t.Progress),
		Speed: speed(t.Speed), ETA: eta(t.Eta), Priority: t.Priority, Age: agoOf(t.CreatedAt), Attempt: t.Attempt,
		progress: t.Progress, created: t.CreatedAt.AsTime().UnixNano(),
	}
	if t.State != "processing" {
		row.Speed, row.ETA = "–", "–"
	}
	if v := videos[t.VideoId]; v != nil {
		row.Title = printable(v.Title)
		if v.DurationSeconds > 0 {
			row.Length = clock(v.DurationSeconds)
		}
	}
	if t.Error != nil {
		row.Why = printable(t.Error.Message)
	}
	return row
}

// The orders of a list of tasks.
var taskOrders = []struct{ key, word string }{
	{"order", "as they run"}, {"new", "newest first"}, {"old", "oldest first"}, {"progress", "most done first"}, {"title", "by title"},
}

func sortTasks(rows []taskRow, order string) {
	slices.SortStableFunc(rows, func(a, b taskRow) int {
		switch order {
		case "new":
			return cmp.Compare(b.created, a.created)
		case "old":
			return cmp.Compare(a.created, b.created)
		case "progress":
			return cmp.Or(cmp.Compare(b.progress, a.progress), cmp.Compare(a.created, b.created))
		case "title":
			return cmp.Or(cmp.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)), cmp.Compare(a.created, b.created))
		}
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.created, b.created))
	})
}

// matches tells whether a search finds a task or a video.
func matches(q string, fields ...string) bool {
	for _, f := range fields {
		if strings.Contains(strings.ToLower(f), q) {
			return true
		}
	}
	return q == ""
}
