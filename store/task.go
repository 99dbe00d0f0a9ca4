package store

import "time"

// TaskState is where a task stands.
type TaskState string

// The states of a task. The last three are final.
const (
	TaskQueued     TaskState = "queued"
	TaskProcessing TaskState = "processing"
	TaskPaused     TaskState = "paused"
	TaskSucceeded  TaskState = "succeeded"
	TaskFailed     TaskState = "failed"
	TaskCancelled  TaskState = "cancelled"
)

// Final tells whether the task is over.
func (s TaskState) Final() bool {
	return s == TaskSucceeded || s == TaskFailed || s == TaskCancelled
}

// codeCancelled is the failure of a video whose task was cancelled.
const codeCancelled = "cancelled"

// Task is one request to transcode one video with one profile. Its jobs are
// in the Queue; they move its state.
type Task struct {
	ID       string    `json:"id"`
	VideoID  string    `json:"video_id"`
	Profile  string    `json:"profile"`
	Priority int       `json:"priority"` // 0–100
	State    TaskState `json:"state"`
	Progress float64   `json:"progress"` // 0–100
	Speed    float64   `json:"speed"`    // seconds of video per second
	Attempt  int       `json:"attempt"`  // most attempts any job needed: failures and one
	Failure  *Failure  `json:"failure,omitempty"`
	// NeedBytes is what its cells need on the disk in all, an estimate; 0 until
	// planned and when over.
	NeedBytes int64 `json:"need_bytes,omitempty"`
	// Measured is since when Speed counts, and MeasuredFrom the progress then.
	Measured     time.Time `json:"measured,omitzero"`
	MeasuredFrom float64   `json:"measured_from,omitempty"`
	// Trace is the W3C traceparent of the request that made it, or "".
	Trace    string    `json:"trace,omitempty"`
	Created  time.Time `json:"created"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// Row implements Record.
func (t Task) Row() Row { return Row{ID: t.ID, Parent: t.VideoID, State: string(t.State)} }

// Ended shows in the video that its task is over without success. A video of
// which nothing can be played has failed; of one that is ready nothing was
// lost, whatever became of a further task. It tells whether that is news: the
// video must wait for this task, and not know yet.
//
// The task's record is written first, and decides between those who end it at
// the same time. Who reads a video under way reads its task too, and calls
// this: so nobody sees the two disagree, whenever the writer died.
func (v *Video) Ended(t Task) bool {
	switch {
	case v.TaskID != t.ID, v.State == VideoReady, t.State != TaskFailed && t.State != TaskCancelled:
		return false
	case v.Failure != nil && v.State != VideoProcessing:
		return false
	}
	v.Failure = t.Failure
	if v.Failure == nil {
		v.Failure = &Failure{Code: codeCancelled, Message: "The transcode was cancelled."}
	}
	if v.State == VideoProcessing {
		v.State = VideoFailed
	}
	return true
}
