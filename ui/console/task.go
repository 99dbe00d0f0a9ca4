package console

import (
	"fmt"
	"net/http"
	"strconv"

	"connectrpc.com/connect"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// taskView is one task.
type taskView struct {
	Row      taskRow
	Path     string
	Headline string // "61 % · 3.2× · ready in about 0:48"
	Profile  string
	Created  stamp
	Started  stamp
	Finished stamp
	Failure  string
	May      bool
	Actions  []action
	Map      mapView
	NoMap    string
	Jobs     []jobRow
	Attempts []attemptRow
	Runs     []workerCard
}

// jobRow is one job.
type jobRow struct {
	ID, Kind, State, Segments, Progress, Worker, Error string
	Failures                                           int32
}

// attemptRow is one attempt that failed.
type attemptRow struct {
	Job, Worker, Cause, Code, Log string
	Began                         stamp
	Took                          string
}

func (v *visit) task() {
	id := v.r.PathValue("id")
	t, err := v.Transcoder.GetTask(v.ctx, &rpc.GetTaskRequest{Id: id})
	if err != nil {
		v.fail(err)
		return
	}
	view, err := v.newTask(t)
	if err != nil {
		v.fail(err)
		return
	}
	title := view.Row.Title
	if t.State == "processing" {
		title = view.Row.Progress + " % · " + title
	}
	v.page(http.StatusOK, title, "/console/queue", taskPage(view))
}

func (v *visit) newTask(t *rpc.Task) (taskView, error) {
	videos := map[string]*rpc.Video{}
	video, err := v.Library.GetVideo(v.ctx, &rpc.GetVideoRequest{Id: t.VideoId})
	if err == nil {
		videos[video.Id] = video
	} else if connect.CodeOf(err) != connect.CodeNotFound { // the video may be deleted
		return taskView{}, err
	}
	view := taskView{
		Row: newTaskRow(t, videos), Path: "/console/tasks/" + t.Id, Profile: t.Profile,
		Created: agoOf(t.CreatedAt), Started: agoOf(t.StartedAt), Finished: agoOf(t.FinishedAt),
		May: v.may(console.Operator), Actions: actionsIn(t.State),
	}
	view.Failure = view.Row.Why
	view.Headline = headline(t)
	jobs, err := v.Transcoder.ListJobs(v.ctx, &rpc.ListJobsRequest{TaskId: t.Id})
	if err != nil {
		return view, err
	}
	for _, j := range jobs.Jobs {
		view.Jobs = append(view.Jobs, newJobRow(j))
		view.Attempts = append(view.Attempts, attemptsOf(j)...)
	}
	view.Map, view.NoMap, err = v.chunkMap(t.VideoId, jobs.Jobs)
	if err != nil {
		return view, err
	}
	workers, err := v.Transcoder.ListWorkers(v.ctx, &rpc.ListWorkersRequest{})
	if err != nil {
		return view, err
	}
	for _, w := range workers.Workers {
		if w.TaskId == t.Id {
			view.Runs = append(view.Runs, newWorkerCard(w, videos))
		}
	}
	return view, nil
}

// chunkMap draws the map, or says why there is none.
func (v *visit) chunkMap(videoID string, jobs []*rpc.Job) (mapView, string, error) {
	cells, err := v.Library.GetCells(v.ctx, &rpc.GetCellsRequest{VideoId: videoID})
	switch connect.CodeOf(err) {
	case connect.CodeFailedPrecondition:
		return mapView{}, "The video is not planned yet: its segments are known within a second or two of the task's start.", nil
	case connect.CodeNotFound:
		return mapView{}, "The video has been deleted.", nil
	}
	if err != nil {
		return mapView{}, "", err
	}
	return newMap(cells, jobs), "", nil
}

func headline(t *rpc.Task) string {
	switch t.State {
	case "processing":
		text := percent(t.Progress) + " %"
		if t.Speed > 0 {
			text += " · " + speed(t.Speed)
		}
		if t.Eta != nil {
			text += " · ready in about " + clock(*t.Eta)
		}
		return text
	case "succeeded":
		return "everything is made, in " + clock(t.FinishedAt.AsTime().Sub(t.StartedAt.AsTime()).Seconds())
	}
	return percent(t.Progress) + " % made"
}

func newJobRow(j *rpc.Job) jobRow {
	row := jobRow{
		ID: j.Id, Kind: j.Kind, State: j.State, Progress: percent(j.Progress), Worker: j.Worker, Failures: j.Failures,
		Error: printable(j.GetError().GetMessage()),
	}
	switch {
	case j.ToSegment > j.FromSegment+1:
		row.Segments = fmt.Sprintf("%d–%d", j.FromSegment, j.ToSegment-1)
	case j.ToSegment > j.FromSegment:
		row.Segments = strconv.Itoa(int(j.FromSegment))
	}
	if j.Rendition != "" {
		row.Segments += " of " + j.Rendition
	}
	if j.State == "done" {
		row.Progress = "100"
		if j.Error != nil {
			row.State, row.Progress = "failed", percent(j.Progress)
		}
	}
	return row
}

func attemptsOf(j *rpc.Job) (out []attemptRow) {
	for _, a := range j.Attempts {
		out = append(out, attemptRow{
			Job: j.Kind + " " + newJobRow(j).Segments, Worker: a.Worker, Cause: printable(a.GetError().GetMessage()), Code: a.GetError().GetCode(),
			Log: printable(a.Log), Began: agoOf(a.StartedAt), Took: clock(a.FinishedAt.AsTime().Sub(a.StartedAt.AsTime()).Seconds()),
		})
	}
	return out
}

func (v *visit) changeTask() {
	id := v.r.PathValue("id")
	do, priority := v.r.PostFormValue("do"), v.r.PostFormValue("priority")
	v.back("/console/tasks/"+id, doneTo(do, priority), v.act(id, do, priority))
}
