package transcode

import (
	"testing"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

// What a video has come to is announced once, and the ids of ends are those
// that the records make.
func TestEndsAreAnnounced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1")
	plan := r.uploadPlanned("v1")
	r.processing("t1", "v1")
	for range 2 {
		r.ok(n.settleVideo(t.Context(), "v1", &plan, store.VideoPlayable))
	}
	r.markAll("v1", &plan, 0)
	for range 2 {
		r.ok(ignore(n.settle(t.Context(), "t1"), errOver))
	}
	r.uploadPlanned("v2")
	r.processing("t2", "v2")
	_, err := n.end(t.Context(), "t2", store.TaskFailed, &store.Failure{Code: codeFailed, Message: "It broke."})
	r.ok(err)
	r.ok(r.bus.Flush())
	r.until("all are heard", func() bool {
		return len(r.seen(events.VideoFailed.Subject)) > 0 && len(r.seen(events.TaskFailed.Subject)) > 0
	})

	ready, readyID, _, _ := events.VideoEnd(r.video("v1"), r.task("t1"))
	failed, failedID, at, _ := events.VideoEnd(r.video("v2"), r.task("t2"))
	done, doneID := events.TaskEnd(r.task("t1"))
	broke, brokeID := events.TaskEnd(r.task("t2"))
	for subject, id := range map[string]string{
		events.VideoPlayable.Subject: "", ready.Subject: readyID, failed.Subject: failedID, done.Subject: doneID, broke.Subject: brokeID,
	} {
		got := r.seen(subject)
		if len(got) != 1 || id != "" && events.ID(got[0]) != id {
			t.Errorf("%s: %d times, want id %s", subject, len(got), id)
		}
	}
	if ready.Subject != "video.ready" || failed.Subject != "video.failed" || time.Since(at) > time.Minute {
		t.Errorf("%s and %s at %v", ready.Subject, failed.Subject, at)
	}
}
