package console

import (
	"fmt"
	"net/http"
	"time"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// workersView is the workers of this node.
type workersView struct {
	Cards   []workerCard
	May     bool
	Drained bool // all of them
	Total   string
}

// workerCard is one worker and what it is doing.
type workerCard struct {
	ID, State, Reason, TaskID, Title, Job, Progress, Speed, ETA, CPU, Command, Log string
	Memory                                                                         text
	Began                                                                          stamp
	Express, Drained                                                               bool
	PID                                                                            int32
}

func newWorkerCard(w *rpc.Worker, videos map[string]*rpc.Video) workerCard {
	c := workerCard{
		ID: w.Id, State: w.State, Reason: printable(w.Reason), TaskID: w.TaskId, Express: w.Express,
		Drained: w.State == "draining" || w.State == "drained",
	}
	if w.TaskId == "" {
		return c
	}
	c.Title = shortID(w.VideoId)
	if v := videos[w.VideoId]; v != nil {
		c.Title = printable(v.Title)
	}
	c.Job = w.Kind
	switch {
	case w.ToSegment > w.FromSegment+1:
		c.Job += fmt.Sprintf(", segments %d–%d", w.FromSegment, w.ToSegment-1)
	case w.ToSegment > w.FromSegment:
		c.Job += fmt.Sprintf(", segment %d", w.FromSegment)
	}
	c.Progress, c.Speed, c.ETA = percent(w.Progress), speed(w.Speed), eta(w.Eta)
	c.Began, c.PID, c.Command, c.Log = agoOf(w.StartedAt), w.Pid, printable(w.Command), printable(w.Log)
	c.Memory = size(w.ResidentBytes)
	if took := time.Since(w.StartedAt.AsTime()).Seconds(); w.CpuSeconds > 0 && took > 0 {
		c.CPU = fmt.Sprintf("%.0f %%", 100*w.CpuSeconds/took)
	} else {
		c.CPU = "–"
	}
	return c
}

func (v *visit) workers() {
	list, err := v.Transcoder.ListWorkers(v.ctx, &rpc.ListWorkersRequest{})
	if err != nil {
		v.fail(err)
		return
	}
	videos, err := v.titles(v.ctx)
	if err != nil {
		v.fail(err)
		return
	}
	view := workersView{May: v.may(console.Operator), Drained: len(list.Workers) > 0}
	busy := 0
	for _, w := range list.Workers {
		card := newWorkerCard(w, videos)
		view.Cards = append(view.Cards, card)
		view.Drained = view.Drained && card.Drained
		if w.TaskId != "" {
			busy++
		}
	}
	view.Total = fmt.Sprintf("%d of %s busy", busy, many(len(list.Workers), "worker", "workers"))
	v.page(http.StatusOK, "Workers: "+view.Total, "/console/workers", workersPage(view))
}

func (v *visit) changeWorkers() {
	const to = "/console/workers"
	id := v.r.PostFormValue("id")
	switch v.r.PostFormValue("do") {
	case "drain":
		_, err := v.Transcoder.DrainWorker(v.ctx, &rpc.DrainWorkerRequest{Id: id})
		v.back(to, "Worker "+id+" finishes its job and takes no more.", err)
	case "resume":
		_, err := v.Transcoder.ResumeWorker(v.ctx, &rpc.ResumeWorkerRequest{Id: id})
		v.back(to, "Worker "+id+" takes jobs again.", err)
	case "drain-all":
		_, err := v.Transcoder.DrainTranscoder(v.ctx, &rpc.DrainTranscoderRequest{})
		v.back(to, "Every worker finishes its job and takes no more; players that wait for a part are told to come again.", err)
	case "resume-all":
		_, err := v.Transcoder.ResumeTranscoder(v.ctx, &rpc.ResumeTranscoderRequest{})
		v.back(to, "Every worker takes jobs again.", err)
	default:
		v.back(to, "", rpc.Invalid("unknown_action", "There is no such action."))
	}
}
