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
