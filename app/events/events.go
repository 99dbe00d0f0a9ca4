// Package events lists every topic of StreamGate: its subject, its payload
// and how to publish and listen.
//
// # Usage
//
//	events.VideoChanged.Announce(bus, log, events.Video{VideoID: id, State: "ready"})
//	sub, err := events.CellsReady.Listen(bus, func(c events.Cells) { … })
//
// # Guarantees
//
// An event is a hint; the store is the truth. Delivery is at most once: an
// event is lost when a listener is slow or a node restarts, which must cost
// no more than one poll interval. A listener therefore re-reads the store and
// never acts on a payload alone. Payloads carry ids and public words only:
// no secret, no token.
//
// Trace, where a payload has it, is the W3C traceparent of what is told of; ""
// if nobody traces that.
//
// # Testing
//
// By the services that publish and listen, over an embedded NATS.
package events

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/store"
)

// Topic is a subject whose messages all carry a T as JSON.
type Topic[T any] struct{ Subject string }

// The topics.
var (
	TaskSubmitted = Topic[Task]{"transcode.task.submitted"}
	TaskStarted   = Topic[Task]{"transcode.task.started"}
	TaskProgress  = Topic[Task]{"transcode.task.progress"}
	TaskCompleted = Topic[Task]{"transcode.task.completed"}
	TaskFailed    = Topic[Task]{"transcode.task.failed"}
	TaskRetried   = Topic[Task]{"transcode.task.retried"}
	TaskPaused    = Topic[Task]{"transcode.task.paused"}
	TaskResumed   = Topic[Task]{"transcode.task.resumed"}
	TaskCancelled = Topic[Task]{"transcode.task.cancelled"}
	JobsReady     = Topic[Jobs]{"transcode.jobs.ready"}
	CellsReady    = Topic[Cells]{"transcode.cells.ready"}

	UploadProgress  = Topic[Upload]{"upload.progress"}
	UploadCompleted = Topic[Upload]{"upload.completed"}
	UploadExpired   = Topic[Upload]{"upload.expired"}
	UploadFailed    = Topic[Upload]{"upload.failed"} // a fetch

	VideoChanged = Topic[Video]{"video.changed"}
	VideoDeleted = Topic[Video]{"video.deleted"}
	// A video comes to these once, beside the VideoChanged of it.
	VideoPlayable = Topic[Video]{"video.playable"}
	VideoReady    = Topic[Video]{"video.ready"}
	VideoFailed   = Topic[Video]{"video.failed"}

	SessionEnded = Topic[Session]{"access.session.ended"}
	RulesChanged = Topic[Rules]{"access.rules.changed"}
	AccessDenied = Topic[Denial]{"access.denied"}

	WebhookDisabled = Topic[Webhook]{"webhook.disabled"}

	AlertFiring   = Topic[Alert]{"alert.firing"}
	AlertResolved = Topic[Alert]{"alert.resolved"}
	// AlertChanged tells of every other change of an alert, for pages.
	AlertChanged = Topic[Alert]{"alert.changed"}

	// These are for nodes only: no client hears of what begins with node.
	KeyRevoked     = Topic[Key]{"node.key.revoked"}
	SessionStarted = Topic[Session]{"node.session.started"}
	// WritesPaused has nodes refuse changes for a while, or serve them again.
	WritesPaused = Topic[Pause]{"node.writes.paused"}
)

// Public are the subjects that GET /api/v1/events streams.
func Public() []string {
	return []string{"transcode.task.>", "upload.>", "video.>", "access.>", "webhook.>", "alert.>"}
}

// ForWebhooks are the topics that a webhook may choose.
func ForWebhooks() []string {
	return []string{
		UploadCompleted.Subject, UploadExpired.Subject, UploadFailed.Subject,
		TaskSubmitted.Subject, TaskCompleted.Subject, TaskFailed.Subject, TaskCancelled.Subject,
		VideoPlayable.Subject, VideoReady.Subject, VideoFailed.Subject, VideoDeleted.Subject,
		AccessDenied.Subject, SessionEnded.Subject, WebhookDisabled.Subject,
		AlertFiring.Subject, AlertResolved.Subject,
	}
}

// PublicTypes are the topics under Public.
func PublicTypes() []string {
	return []string{
		TaskSubmitted.Subject, TaskStarted.Subject, TaskProgress.Subject, TaskCompleted.Subject, TaskFailed.Subject,
		TaskRetried.Subject, TaskPaused.Subject, TaskResumed.Subject, TaskCancelled.Subject,
		UploadProgress.Subject, UploadCompleted.Subject, UploadExpired.Subject, UploadFailed.Subject,
		VideoChanged.Subject, VideoPlayable.Subject, VideoReady.Subject, VideoFailed.Subject, VideoDeleted.Subject,
		SessionEnded.Subject, RulesChanged.Subject, AccessDenied.Subject, WebhookDisabled.Subject,
		AlertFiring.Subject, AlertResolved.Subject, AlertChanged.Subject,
	}
}

// Task is the payload of the transcode.task topics.
type Task struct {
	TaskID   string    `json:"task_id"`
	VideoID  string    `json:"video_id"`
	State    string    `json:"state"`
	Progress float64   `json:"progress"` // 0–100
	Speed    float64   `json:"speed"`    // seconds of video per second
	At       time.Time `json:"at"`
	Trace    string    `json:"trace,omitempty"`
}

// Jobs says that jobs can be leased, the most urgent of this rank.
type Jobs struct {
	Rank int `json:"rank"`
}

// Cells says that cells of a rendition exist now.
type Cells struct {
	VideoID   string `json:"video_id"`
	Rendition string `json:"rendition"`
	Segment   int    `json:"segment"`
	Trace     string `json:"trace,omitempty"`
}

// Upload is the payload of the upload topics.
type Upload struct {
	UploadID  string `json:"upload_id"`
	VideoID   string `json:"video_id"`
	Offset    int64  `json:"offset"`     // bytes
	SizeBytes int64  `json:"size_bytes"` // 0 while unknown
	Trace     string `json:"trace,omitempty"`
}

// Video is the payload of the video topics.
type Video struct {
	VideoID string `json:"video_id"`
	State   string `json:"state"`
}

// Session is the payload of the session topics.
type Session struct {
	SessionID string `json:"session_id"`
	VideoID   string `json:"video_id"`
	Reason    string `json:"reason"` // stable word
}

// Key says that an API key counts no more.
type Key struct {
	KeyID string `json:"key_id"`
}

// Pause says that for so long from now on nothing is to be changed; 0 ends it.
type Pause struct {
	Seconds float64 `json:"seconds"`
}

// Denial says that a rule has refused a viewer who had shown all it asks for.
type Denial struct {
	VideoID string `json:"video_id"`
	Reason  string `json:"reason"` // stable word
}

// Webhook says that the node has disabled a webhook.
type Webhook struct {
	WebhookID string `json:"webhook_id"`
	Reason    string `json:"reason"` // stable word
}

// Alert is the payload of the alert topics.
type Alert struct {
	AlertID   string    `json:"alert_id"`
	Rule      string    `json:"rule"`
	Severity  string    `json:"severity"` // critical or warning
	State     string    `json:"state"`
	Summary   string    `json:"summary"`
	NodeID    string    `json:"node_id,omitempty"`
	Value     float64   `json:"value"`
	Threshold float64   `json:"threshold"`
	Unit      string    `json:"unit"`
	At        time.Time `json:"at"`
}

// Rules says that a named rule has changed; those of videos come with
// VideoChanged.
type Rules struct {
	Name string `json:"name"`
}

// Announce sends one event. That it is lost is worth a line in the log at
// most.
func (t Topic[T]) Announce(nc *nats.Conn, log *slog.Logger, payload T) {
	t.AnnounceAs(nc, log, store.NewID(), payload)
}

// AnnounceAs is Announce of an event whose id can be made again from what is
// stored (store.NamedID), so that whoever finds it there knows it is the same.
func (t Topic[T]) AnnounceAs(nc *nats.Conn, log *slog.Logger, id string, payload T) {
	if err := t.publish(nc, id, payload); err != nil {
		log.Debug("event lost", "topic", t.Subject, "err", err)
	}
}

// Publish is Announce for a caller that must know; an error means that the
// event is lost, nothing more.
func (t Topic[T]) Publish(nc *nats.Conn, payload T) error {
	return t.publish(nc, store.NewID(), payload)
}

func (t Topic[T]) publish(nc *nats.Conn, id string, payload T) error {
	data, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encode %s: %w", t.Subject, err)
	}
	return nc.PublishMsg(&nats.Msg{Subject: t.Subject, Header: nats.Header{idHeader: {id}}, Data: data})
}

// idHeader carries an event's id, which is the same for all who hear it.
const idHeader = "Event-Id"

// ID is the id of a message of any topic; "" if it was not published here.
func ID(m *nats.Msg) string { return m.Header.Get(idHeader) }

// Listen calls fn for each event, one at a time, until the subscription is
// drained. fn must be quick: a slow listener loses events.
func (t Topic[T]) Listen(nc *nats.Conn, fn func(T)) (*nats.Subscription, error) {
	sub, err := nc.Subscribe(t.Subject, func(m *nats.Msg) {
		var payload T
		if json.Unmarshal(m.Data, &payload) == nil { // a foreign message is no hint
			fn(payload)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", t.Subject, err)
	}
	return sub, nil
}
