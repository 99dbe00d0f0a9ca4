package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// queueView is the queue as one tab shows it.
type queueView struct {
	Path     string // of this very page
	Tabs     []tab
	State    string
	Word     string
	Query    string
	Order    string
	Rows     []taskRow
	Found    int
	Partial  bool // more tasks than were looked at
	Paused   bool
	Oldest   string
	May      bool
	Actions  []action
	Page     int
	Prev     string
	Next     string
	Disabled bool
}

type tab struct {
	Href, Word, State, Count string
	Current                  bool
}

// action is what can be done to tasks.
type action struct{ Value, Word string }

// actionsIn are the actions that a state allows.
func actionsIn(state string) []action {
	pause, resume := action{"pause", "Pause"}, action{"resume", "Resume"}
	cancel, retry := action{"cancel", "Cancel"}, action{"retry", "Retry"}
	switch state {
	case "queued", "processing":
		return []action{pause, cancel}
	case "paused":
		return []action{resume, cancel}
	case "failed", "cancelled":
		return []action{retry}
	}
	return nil
}

func (v *visit) queue() {
	q := v.r.URL.Query()
	view := queueView{State: "queued", Query: strings.TrimSpace(q.Get("q")), Order: q.Get("sort"), May: v.may(console.Operator)}
	counts, err := v.taskCounts(v.ctx)
	if err != nil {
		v.fail(err)
		return
	}
	switch state := q.Get("state"); {
	case state != "":
		view.State = state
	case counts["queued"].n == 0 && counts["processing"].n > 0: // where something is to be seen
		view.State = "processing"
	}
	for _, s := range taskStates {
		t := tab{Href: "/console/queue?state=" + s.state, Word: s.word, State: s.state, Count: counts[s.state].String(), Current: s.state == view.State}
		if t.Current {
			view.Word = s.word
		}
		view.Tabs = append(view.Tabs, t)
	}
	if err := v.fillQueue(&view, q); err != nil {
		v.fail(err)
		return
	}
	v.page(http.StatusOK, fmt.Sprintf("Queue: %s %s", counts[view.State], strings.ToLower(view.Word)), "/console/queue", queuePage(view))
}

func (v *visit) fillQueue(view *queueView, q url.Values) error {
	state, err := v.Transcoder.GetQueue(v.ctx, &rpc.GetQueueRequest{})
	if err != nil {
		return err
	}
	view.Paused = state.Paused
	if state.OldestTaskSeconds != nil {
		view.Oldest = clock(*state.OldestTaskSeconds)
	}
	rows, whole, err := v.taskRows(view.State, view.Query)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(taskOrders, func(o struct{ key, word string }) bool { return o.key == view.Order }) {
		view.Order = "order"
		if len(actionsIn(view.State)) != 2 { // over: the newest matter
			view.Order = "new"
		}
	}
	sortTasks(rows, view.Order)
	if view.State == "queued" {
		explain(rows, view.Order, view.Paused)
	}
	view.Found, view.Partial, view.Actions = len(rows), !whole, actionsIn(view.State)
	view.Page, _ = strconv.Atoi(q.Get("page"))
	view.Page = max(1, min(view.Page, (len(rows)+pageSize-1)/pageSize))
	from := min(len(rows), (view.Page-1)*pageSize)
	view.Rows = rows[from:min(len(rows), from+pageSize)]
	link := func(page int) string {
		p := url.Values{"state": {view.State}, "sort": {view.Order}, "page": {strconv.Itoa(page)}}
		if view.Query != "" {
			p.Set("q", view.Query)
		}
		return "/console/queue?" + p.Encode()
	}
	view.Path = link(view.Page)
	if view.Page > 1 {
		view.Prev = link(view.Page - 1)
	}
	if from+pageSize < len(rows) {
		view.Next = link(view.Page + 1)
	}
	return nil
}

func (v *visit) taskRows(state, query string) ([]taskRow, bool, error) {
	tasks, whole, err := v.tasksIn(v.ctx, state)
	if err != nil {
		return nil, false, err
	}
	videos, err := v.titles(v.ctx)
	if err != nil {
		return nil, false, err
	}
	var rows []taskRow
	query = strings.ToLower(query)
	for _, t := range tasks {
		if row := newTaskRow(t, videos); matches(query, row.Title, row.ID, row.VideoID) {
			rows = append(rows, row)
		}
	}
	return rows, whole, nil
}

// explain says why each task waits, in the order in which they run.
func explain(rows []taskRow, order string, paused bool) {
	inLine := rows
	if order != "order" {
		inLine = slices.Clone(rows)
		sortTasks(inLine, "order")
	}
	place := map[string]int{}
	for i, row := range inLine {
		place[row.ID] = i
	}
	for i := range rows {
		switch n := place[rows[i].ID]; {
		case paused:
			rows[i].Why = "the queue is paused"
		case n == 0:
			rows[i].Why = "next"
		default:
			rows[i].Why = fmt.Sprintf("behind %d", n)
		}
	}
}

func (v *visit) pauseQueue() {
	_, err := v.Transcoder.PauseQueue(v.ctx, &rpc.PauseQueueRequest{})
	v.back("/console/queue", "The queue is paused: what runs is finished, and nothing else begins.", err)
}

func (v *visit) resumeQueue() {
	_, err := v.Transcoder.ResumeQueue(v.ctx, &rpc.ResumeQueueRequest{})
	v.back("/console/queue", "The queue goes on.", err)
}

// changeQueue does something to one row, to the chosen rows, or to all that the
// search matches.
func (v *visit) changeQueue() {
	if err := v.r.ParseForm(); err != nil {
		v.back("/console/queue", "", rpc.Invalid("form", "The form did not arrive whole; try again."))
		return
	}
	form := v.r.PostForm
	to := form.Get("back")
	if one := form.Get("one"); one != "" {
		id, do, _ := strings.Cut(one, " ")
		priority := form.Get("priority." + id)
		v.back(to, doneTo(do, priority), v.act(id, do, priority))
		return
	}
	ids := form["id"]
	if form.Get("all") != "" {
		rows, _, err := v.taskRows(form.Get("state"), form.Get("q"))
		if err != nil {
			v.back(to, "", err)
			return
		}
		ids = nil
		for _, row := range rows {
			ids = append(ids, row.ID)
		}
	}
	if len(ids) == 0 {
		v.back(to, "", rpc.Invalid("none_chosen", "No task was chosen: tick some rows first, or all that match."))
		return
	}
	out, err := v.bulk(form.Get("do"), ids, form.Get("priority"))
	v.back(to, changed(form.Get("do"), out), err)
}

// doneTo says what was done to one task.
func doneTo(do, priority string) string {
	switch do {
	case "pause":
		return "The task is paused; its finished parts stay."
	case "resume":
		return "The task is back in line."
	case "cancel":
		return "The task is cancelled; what was made stays, and Retry makes the rest."
	case "retry":
		return "The task makes what is missing, and no more."
	case "priority":
		return "The priority is now " + priority + "."
	}
	return ""
}

// act does something to one task.
func (v *visit) act(id, do, priority string) error {
	var err error
	switch do {
	case "pause":
		_, err = v.Transcoder.PauseTask(v.ctx, &rpc.PauseTaskRequest{Id: id})
	case "resume":
		_, err = v.Transcoder.ResumeTask(v.ctx, &rpc.ResumeTaskRequest{Id: id})
	case "cancel":
		_, err = v.Transcoder.CancelTask(v.ctx, &rpc.CancelTaskRequest{Id: id})
	case "retry":
		_, err = v.Transcoder.RetryTask(v.ctx, &rpc.RetryTaskRequest{Id: id})
	case "priority":
		var p int32
		if p, err = parsePriority(priority); err == nil {
			_, err = v.Transcoder.UpdateTask(v.ctx, &rpc.UpdateTaskRequest{Id: id, Priority: &p})
		}
	default:
		err = rpc.Invalid("unknown_action", "There is no such action.")
	}
	return err
}

func parsePriority(s string) (int32, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	if err != nil || n < 0 || n > 100 {
		return 0, rpc.Invalid("invalid_priority", "A priority is a whole number from 0 (last) to 100 (first); %q is none.", s)
	}
	return int32(n), nil
}

// bulkMost is how many tasks one request may name.
const bulkMost = 500

func (v *visit) bulk(do string, ids []string, priority string) (*rpc.ChangeTasksResponse, error) {
	total := &rpc.ChangeTasksResponse{}
	for part := range slices.Chunk(ids, bulkMost) {
		out, err := v.bulkPart(do, &rpc.ChangeTasksRequest{Ids: part}, priority)
		if err != nil {
			return total, err
		}
		total.Matched += out.Matched
		total.Changed += out.Changed
		total.Refused = append(total.Refused, out.Refused...)
	}
	return total, nil
}

func (v *visit) bulkPart(do string, req *rpc.ChangeTasksRequest, priority string) (*rpc.ChangeTasksResponse, error) {
	switch do {
	case "pause":
		return v.Transcoder.PauseTasks(v.ctx, req)
	case "resume":
		return v.Transcoder.ResumeTasks(v.ctx, req)
	case "cancel":
		return v.Transcoder.CancelTasks(v.ctx, req)
	case "retry":
		return v.Transcoder.RetryTasks(v.ctx, req)
	case "priority":
		p, err := parsePriority(priority)
		if err != nil {
			return nil, err
		}
		req.Priority = &p
		return v.Transcoder.PrioritiseTasks(v.ctx, req)
	}
	return nil, rpc.Invalid("unknown_action", "There is no such action.")
}

// changed says in numbers what a bulk action did.
func changed(do string, out *rpc.ChangeTasksResponse) string {
	past := map[string]string{"pause": "paused", "resume": "resumed", "cancel": "cancelled", "retry": "retried", "priority": "given their priority"}[do]
	text := fmt.Sprintf("%d of %s: %s.", out.GetChanged(), many(int(out.GetMatched()), "task", "tasks"), past)
	for i, r := range out.GetRefused() {
		if i == 3 {
			return text + " …"
		}
		text += fmt.Sprintf(" %s: %s", shortID(r.Id), r.GetError().GetMessage())
	}
	return text
}
