package transcode

import (
	"slices"
	"testing"
	"time"

	"streamgate/store"
)

// planOf makes a plan of n segments of 4 s (the first two of 2 s) with two
// encoded pictures, one copy and one sound.
func planOf(n int) *store.Plan {
	bounds := []int64{0}
	frames := []int{0}
	for i := range n {
		length := int64(4)
		if i < 2 {
			length = 2
		}
		bounds = append(bounds, bounds[i]+length*1000)
		frames = append(frames, frames[i]+int(length)*25)
	}
	return &store.Plan{
		Timeline: store.Timeline{Timescale: 1000, Bounds: bounds, Frames: frames},
		Renditions: []store.Rendition{
			{Name: "source", Kind: store.KindVideo, Copy: true},
			{Name: "720p", Kind: store.KindVideo},
			{Name: "360p", Kind: store.KindVideo},
			{Name: "audio", Kind: store.KindAudio},
		},
	}
}

func TestRangesCoverTheTimelineAndGrow(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 40, 900} {
		for _, kind := range []store.JobKind{store.JobCopy, store.JobChunk, store.JobAudio} {
			line := planOf(n).Timeline
			spans := ranges(&line, kind)
			if spans[0].to != 1 {
				t.Errorf("%d segments, %s: the first job is %v, not one segment", n, kind, spans[0])
			}
			at := 0
			for _, s := range spans {
				if s.from != at || s.to <= s.from {
					t.Fatalf("%d segments, %s: %v does not follow %d", n, kind, s, at)
				}
				at = s.to
				limit := map[store.JobKind]float64{store.JobCopy: 120, store.JobChunk: 24, store.JobAudio: 300}[kind]
				got := line.Seconds(line.Bounds[s.to] - line.Bounds[s.from])
				if got > limit && s.to < n || got > 1.5*limit { // the last takes a short rest along
					t.Errorf("%d segments, %s: %v lasts %v s, more than %v", n, kind, s, got, limit)
				}
			}
			if at != n {
				t.Errorf("%d segments, %s: the jobs end at %d", n, kind, at)
			}
		}
	}
}

func TestLongFilmHasFewAudioJobs(t *testing.T) {
	line := planOf(900).Timeline // an hour
	if n := len(ranges(&line, store.JobAudio)); n > 25 {
		t.Errorf("an hour of sound takes %d jobs; each join costs pre-roll", n)
	}
}

func TestPlanJobsDependOnThePlanAlone(t *testing.T) {
	task := store.Task{ID: "t1", VideoID: "v1", Priority: 70, Created: time.Unix(1, 0)}
	plan := planOf(30)
	first, again := planJobs(task, plan), planJobs(task, plan)
	ids := func(jobs []store.Job) (out []string) {
		for _, j := range jobs {
			out = append(out, j.ID)
		}
		return out
	}
	if !slices.Equal(ids(first), ids(again)) {
		t.Fatal("planning twice gives other job ids, so jobs would be pushed twice")
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(ids(first)))); len(unique) != len(first) {
		t.Fatal("two jobs have the same id")
	}
	for _, j := range first {
		if urgent := j.Rank == store.RankFirst; urgent != (j.From == 0 && j.Kind != store.JobStills) {
			t.Errorf("job %s has rank %d", j.ID, j.Rank)
		}
		if j.Priority != 70 || !j.Created.Equal(task.Created) {
			t.Errorf("job %s does not carry its task's priority and age", j.ID)
		}
	}
}

func TestMissing(t *testing.T) {
	mark := func(marks ...store.Cell) store.Cells {
		cells := store.Cells{}
		for _, m := range marks {
			cells[m.Rendition], _ = cells[m.Rendition].Mark(m.Segment, 1)
		}
		return cells
	}
	job := store.Job{Kind: store.JobChunk, From: 2, To: 6}
	tests := map[string]struct {
		job  store.Job
		have store.Cells
		want []batch
	}{
		"nothing is there": {job, nil, []batch{{span{2, 6}, []string{"720p", "360p"}}}},
		"one demanded cell is there": {job, mark(store.Cell{Rendition: "360p", Segment: 3}), []batch{
			{span{2, 3}, []string{"720p", "360p"}}, {span{3, 4}, []string{"720p"}}, {span{4, 6}, []string{"720p", "360p"}}}},
		"a whole segment is there": {job, mark(store.Cell{Rendition: "360p", Segment: 2}, store.Cell{Rendition: "720p", Segment: 2}),
			[]batch{{span{3, 6}, []string{"720p", "360p"}}}},
		"only one rendition is asked for": {store.Job{Kind: store.JobChunk, From: 2, To: 3, Rendition: "720p"}, nil,
			[]batch{{span{2, 3}, []string{"720p"}}}},
		"copies":       {store.Job{Kind: store.JobCopy, From: 0, To: 1}, nil, []batch{{span{0, 1}, []string{"source"}}}},
		"all is there": {store.Job{Kind: store.JobAudio, From: 1, To: 2}, mark(store.Cell{Rendition: "audio", Segment: 1}), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := missing(tc.job, planOf(10), tc.have)
			if !slices.EqualFunc(got, tc.want, func(a, b batch) bool {
				return a.span == b.span && slices.Equal(a.renditions, b.renditions)
			}) {
				t.Errorf("missing = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDemandJob(t *testing.T) {
	task, plan := store.Task{ID: "t1"}, planOf(10)
	job, ok := demandJob(task, plan, "audio", 9)
	if !ok || job.Kind != store.JobAudio || job.Rank != store.RankDemanded || job.From != 9 || job.To != 10 {
		t.Errorf("demandJob = %+v, %v", job, ok)
	}
	for _, bad := range []struct {
		rendition string
		segment   int
	}{{"4k", 0}, {"720p", 10}, {"720p", -1}} {
		if _, ok := demandJob(task, plan, bad.rendition, bad.segment); ok {
			t.Errorf("a job for %v, which the plan does not have", bad)
		}
	}
}

func TestCoveringNamesAPlannedJob(t *testing.T) {
	task, plan := store.Task{ID: "t1"}, planOf(50)
	var ids []string
	for _, j := range planJobs(task, plan) {
		ids = append(ids, j.ID)
	}
	for seg := range 50 {
		for _, kind := range []store.JobKind{store.JobChunk, store.JobAudio, store.JobCopy} {
			if id, ok := covering(task, plan, kind, seg); !ok || !slices.Contains(ids, id) {
				t.Errorf("covering(%s, %d) = %q, which no job has", kind, seg, id)
			}
		}
	}
	if _, ok := covering(task, plan, store.JobChunk, 50); ok {
		t.Error("a job covers a segment beyond the end")
	}
}
