package transcode

import (
	"fmt"
	"slices"

	"streamgate/store"
)

// How much of the timeline one job covers, seconds: the first job of each
// kind is one segment, then they grow.
const (
	maxChunkSeconds = 24  // encoded video: small enough to lose in a crash
	maxCopySeconds  = 120 // copies: cheap, but each cell is an fsync
	maxAudioSeconds = 300 // encoded audio: long, so that joins are few
	stillsAfter     = 60  // stills wait until this much video is made
)

// planJob is the first job of a task.
func planJob(t store.Task) store.Job {
	job := newJob(t, store.JobPlan, 0, 0)
	job.Rank = store.RankFirst
	return job
}

// waitingPlanJob is a plan job that waits for admit.
func waitingPlanJob(t store.Task) store.Job {
	job := planJob(t)
	job.Backlog = true
	return job
}

// planJobs lists the jobs that make every cell of what a task makes. Their ids
// depend on the plan alone, so that planning again pushes nothing twice.
func planJobs(t store.Task, p *store.Plan) []store.Job {
	var jobs []store.Job
	for _, kind := range []store.JobKind{store.JobCopy, store.JobChunk, store.JobAudio} {
		if len(family(p.MadeBy(t.ID), kind)) == 0 {
			continue
		}
		for _, r := range ranges(&p.Timeline, kind) {
			job := newJob(t, kind, r.from, r.to)
			if r.from == 0 {
				job.Rank = store.RankFirst
			}
			jobs = append(jobs, job)
		}
	}
	if p.Source.VideoStream >= 0 {
		job := newJob(t, store.JobStills, 0, 0)
		job.Ordinal = p.Timeline.At(stillsAfter * int64(p.Timeline.Timescale))
		jobs = append(jobs, job)
	}
	return jobs
}

func newJob(t store.Task, kind store.JobKind, from, to int) store.Job {
	return store.Job{
		ID:     fmt.Sprintf("%s/%s/%06d", t.ID, kind, from),
		TaskID: t.ID, VideoID: t.VideoID, Kind: kind,
		Rank: store.RankOrdinary, Priority: t.Priority, Created: t.Created,
		Ordinal: from, From: from, To: to, Trace: t.Trace,
	}
}

// demandJob makes one cell that a player waits for.
func demandJob(t store.Task, p *store.Plan, rendition string, segment int) (store.Job, bool) {
	r, ok := p.Rendition(rendition)
	if !ok || segment < 0 || segment >= p.Timeline.Segments() {
		return store.Job{}, false
	}
	job := newJob(t, kindOf(r), segment, segment+1)
	job.ID = fmt.Sprintf("%s/demand/%s/%06d", t.ID, rendition, segment)
	job.Rank, job.Rendition, job.Encoder = store.RankDemanded, rendition, r.Encoder
	return job, true
}

// kindOf tells which kind of job makes a rendition.
func kindOf(r *store.Rendition) store.JobKind {
	switch {
	case r.Copy:
		return store.JobCopy
	case r.Kind == store.KindAudio:
		return store.JobAudio
	default:
		return store.JobChunk
	}
}

// family returns the names of those renditions that one kind of job makes.
func family(renditions []store.Rendition, kind store.JobKind) []string {
	var names []string
	for i := range renditions {
		if kindOf(&renditions[i]) == kind {
			names = append(names, renditions[i].Name)
		}
	}
	return names
}

// span is a run of segments, [from, to).
type span struct{ from, to int }

// ranges cuts the timeline into the spans of one kind's jobs: one segment,
// then twice as long each time up to the kind's maximum. A rest of less than
// half of that goes with the last one: every run of ffmpeg has its overhead.
func ranges(t *store.Timeline, kind store.JobKind) []span {
	limit := map[store.JobKind]float64{
		store.JobCopy: maxCopySeconds, store.JobChunk: maxChunkSeconds, store.JobAudio: maxAudioSeconds,
	}[kind]
	var spans []span
	want := 0.0 // seconds; the first span is one segment whatever its length
	for from := 0; from < t.Segments(); {
		to := from + 1
		for to < t.Segments() && t.Seconds(t.Bounds[to+1]-t.Bounds[from]) <= want {
			to++
		}
		if from > 0 && t.Seconds(t.Ticks()-t.Bounds[to]) < limit/2 {
			to = t.Segments()
		}
		spans = append(spans, span{from, to})
		want = min(limit, 2*t.Seconds(t.Bounds[to]-t.Bounds[from]))
		from = to
	}
	return spans
}

// covering returns the id of the ordinary job that makes a segment.
func covering(t store.Task, p *store.Plan, kind store.JobKind, segment int) (string, bool) {
	for _, r := range ranges(&p.Timeline, kind) {
		if r.from <= segment && segment < r.to {
			return newJob(t, kind, r.from, r.to).ID, true
		}
	}
	return "", false
}

// batch is what one run of ffmpeg makes: segments [from, to) of renditions.
type batch struct {
	span
	renditions []string
}

// cellsIn counts the cells of batches.
func cellsIn(batches []batch) int {
	n := 0
	for _, b := range batches {
		n += (b.to - b.from) * len(b.renditions)
	}
	return n
}

// missing groups the cells of a job that do not exist yet into batches of
// consecutive segments that lack the same renditions.
func missing(j store.Job, p *store.Plan, have store.Cells) []batch {
	names := family(p.MadeBy(j.TaskID), j.Kind)
	if j.Rendition != "" {
		names = []string{j.Rendition}
	}
	var batches []batch
	for seg := j.From; seg < j.To; seg++ {
		var lack []string
		for _, name := range names {
			if !have.Has(name, seg) {
				lack = append(lack, name)
			}
		}
		if len(lack) == 0 {
			continue
		}
		if n := len(batches); n > 0 && batches[n-1].to == seg && slices.Equal(batches[n-1].renditions, lack) {
			batches[n-1].to++
		} else {
			batches = append(batches, batch{span{seg, seg + 1}, lack})
		}
	}
	return batches
}
