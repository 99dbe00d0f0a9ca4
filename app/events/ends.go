package events

import (
	"time"

	"streamgate/store"
)

// The events below tell how something has ended. Their ids are made of what the
// records say, so that an end that nobody heard of can be told of later, and
// one that was heard is known again.

// OfTask is the payload that tells where a task stood at a time.
func OfTask(t store.Task, at time.Time) Task {
	return Task{
		TaskID: t.ID, VideoID: t.VideoID, State: string(t.State), Progress: t.Progress, Speed: t.Speed, At: at, Trace: t.Trace,
	}
}

// TaskEnd is the event of a task that is over, and its id.
func TaskEnd(t store.Task) (topic Topic[Task], id string) {
	switch t.State {
	case store.TaskSucceeded:
		topic = TaskCompleted
	case store.TaskFailed:
		topic = TaskFailed
	default:
		topic = TaskCancelled
	}
	return topic, store.NamedID(t.Finished, topic.Subject+" "+t.ID)
}

// VideoEnd is the event of a video that is ready, or has failed with its newest
// task, and the event's id and time; none for a video that is neither.
func VideoEnd(v store.Video, t store.Task) (topic Topic[Video], id string, at time.Time, ok bool) {
	switch {
	case v.State == store.VideoReady && !v.Ready.IsZero():
		topic, at = VideoReady, v.Ready
	case v.State == store.VideoFailed && v.TaskID == t.ID && t.State.Final():
		topic, at = VideoFailed, t.Finished
	default:
		return topic, "", at, false
	}
	return topic, store.NamedID(at, topic.Subject+" "+v.ID), at, true
}
