package store

import (
	"context"
	"encoding/json"
	"time"
)

// Catalog is everything a deployment remembers except jobs and media.
type Catalog struct {
	Videos  Table[Video]
	Tasks   Table[Task]
	Uploads Table[Upload]
	Keys    Table[Key]
	// Removals are of videos that are gone.
	Removals Table[Removal]

	Rules    Table[Rule]
	Sessions Table[Session]
	Codes    Table[Code]
	SignOuts Table[SignOut]
	Cursors  Table[ChainCursor]

	Webhooks        Table[Webhook]
	Deliveries      Table[Delivery]
	People          Table[Person]
	SetupLinks      Table[SetupLink]
	ConsoleSessions Table[ConsoleSession]
	Passkeys        Table[Passkey]
	Wallets         Table[Wallet]
	Audit           Table[AuditEntry]
	AuditHeads      Table[AuditHead]
	Alerts          Table[Alert]
	Decisions       Table[Decision]

	Plans   Plans
	Secrets Secrets
}

// Plans keeps each video's plan and which of its cells exist.
type Plans interface {
	// SavePlan stores the video's plan. A video has one plan for ever: if one
	// is stored already it stays, and ErrExists is returned.
	SavePlan(ctx context.Context, videoID string, p Plan) error
	// UpdatePlan changes the plan as fn does, raises its revision by one, and
	// returns what is stored now; ErrNotFound. If fn returns an error, nothing
	// changes and that is returned. fn may be called more than once.
	UpdatePlan(ctx context.Context, videoID string, fn func(*Plan) error) (Plan, error)
	// RemovalsDue returns the videos of whose plans a retired rendition may be
	// removed at that time, by RemovalDue.
	RemovalsDue(ctx context.Context, at time.Time) (videoIDs []string, err error)
	// Plan returns the video's plan; ErrNotFound.
	Plan(ctx context.Context, videoID string) (Plan, error)
	// MarkCells records that the cells exist. Marking one twice is harmless:
	// its size counts once.
	MarkCells(ctx context.Context, videoID string, cells ...Cell) error
	// Cells tells which cells of the video exist; an empty Cells if none.
	Cells(ctx context.Context, videoID string) (Cells, error)
	// RemoveCells removes the marks of all cells of renditions; nil if there are
	// none.
	RemoveCells(ctx context.Context, videoID string, renditions ...string) error
	// DeletePlan removes the plan and the cells' marks; nil if there is none.
	DeletePlan(ctx context.Context, videoID string) error
}

// Secrets keeps the deployment's own keys (such as the one that signs
// playback tickets).
type Secrets interface {
	// Secret returns the named secret, storing the outcome of make if there
	// is none yet. Concurrent first calls all return the same one.
	Secret(ctx context.Context, name string, make func() []byte) ([]byte, error)
}

// Failure says why something ended badly: a stable snake_case code for
// programs and one sentence for people.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Admits is what would admit the viewer of a session that ended.
	Admits []string `json:"admits,omitempty"`
}

// Warning says what a video lacks of its source: a stable snake_case code for
// programs and a sentence for people.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// VideoState is where a video stands.
type VideoState string

// The states of a video.
const (
	VideoUploading  VideoState = "uploading"  // waits for its source
	VideoProcessing VideoState = "processing" // source is here, nothing to show yet
	VideoPlayable   VideoState = "playable"   // the first cells exist
	VideoReady      VideoState = "ready"      // every cell exists
	VideoFailed     VideoState = "failed"     // refused; see Failure
)

// DeletedVideos is the state under which the table lists the videos that are
// deleted. It is in no record: that keeps the state which the video had.
const DeletedVideos = "deleted"

// Video is one video and its source.
type Video struct {
	ID     string     `json:"id"`
	Title  string     `json:"title"`
	State  VideoState `json:"state"`
	Public bool       `json:"public,omitempty"`
	// Rule says who may watch a video that is not public; with password
	// hashes: never shown. Without one only sessions made by a key play it.
	Rule json.RawMessage `json:"rule,omitempty"`

	Profile  string `json:"profile"`  // of the renditions that are shown, or will be first
	Priority int    `json:"priority"` // 0–100

	SizeBytes  int64  `json:"size_bytes,omitempty"` // of the source
	SHA256     string `json:"sha256,omitempty"`     // of the source, hex
	WantSHA256 string `json:"want_sha256,omitempty"`
	UploadID   string `json:"upload_id,omitempty"` // the upload made with the video
	// SourceUpload is the upload whose bytes are the source, or are about to be: of
	// several that end at once, on whichever nodes, the one that is named here.
	SourceUpload string `json:"source_upload,omitempty"`

	// Known once planned.
	DurationSeconds float64   `json:"duration_seconds,omitempty"`
	Width           int       `json:"width,omitempty"` // as displayed
	Height          int       `json:"height,omitempty"`
	Warnings        []Warning `json:"warnings,omitempty"` // what of the source is left out

	// PlanRevision is the newest of the plan that the record shows.
	PlanRevision int `json:"plan_revision,omitempty"`

	TaskID     string    `json:"task_id,omitempty"`    // the newest task
	Poster     bool      `json:"poster,omitempty"`     // the still exists
	Storyboard bool      `json:"storyboard,omitempty"` // its sheets and index exist
	Failure    *Failure  `json:"failure,omitempty"`
	Created    time.Time `json:"created"`
	Updated    time.Time `json:"updated"`
	Ready      time.Time `json:"ready,omitzero"` // when the last of its cells was there

	// DeleteAt is when a deleted video goes for good, and zero of any other: until
	// its removal has begun, the deletion can be undone.
	DeleteAt time.Time `json:"delete_at,omitzero"`
	// HeldTask is the task that the deletion has paused: an undo resumes it.
	HeldTask string `json:"held_task,omitempty"`
	// Removing: what belongs to it is being removed, and nothing brings it back.
	Removing bool `json:"removing,omitempty"`
}

// Deleted tells whether the video is deleted, be it only until that is undone.
func (v Video) Deleted() bool { return !v.DeleteAt.IsZero() }

// Row implements Record.
func (v Video) Row() Row {
	if v.Deleted() {
		return Row{ID: v.ID, State: DeletedVideos}
	}
	return Row{ID: v.ID, State: string(v.State)}
}

// Removal is what is kept of a removed video for a while: what a worker writes of it
// that has not heard of the removal is swept then.
type Removal struct {
	VideoID string    `json:"video_id"`
	Removed time.Time `json:"removed"`
}

// Row implements Record.
func (r Removal) Row() Row { return Row{ID: r.VideoID} }

// UploadState is where an upload stands.
type UploadState string

// The states of an upload.
const (
	UploadReceiving UploadState = "receiving"
	UploadComplete  UploadState = "complete" // all bytes are safe and handed over
	UploadExpired   UploadState = "expired"  // abandoned; its bytes are gone
	UploadFailed    UploadState = "failed"   // its fetch came to a bad end; its bytes are gone
)

// Upload is one transfer of a source file.
type Upload struct {
	ID         string            `json:"id"`
	VideoID    string            `json:"video_id"`
	State      UploadState       `json:"state"`
	SizeBytes  int64             `json:"size_bytes"` // -1 while deferred
	Offset     int64             `json:"offset"`     // bytes known to be on the disk
	WantSHA256 string            `json:"want_sha256,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"` // tus Upload-Metadata
	Partial    bool              `json:"partial,omitempty"`  // tus concatenation
	Final      bool              `json:"final,omitempty"`
	Parts      []string          `json:"parts,omitempty"` // upload ids, in order
	Fetch      *Fetch            `json:"fetch,omitempty"` // nil: the bytes are sent to us
	Created    time.Time         `json:"created"`
	Expires    time.Time         `json:"expires"`

	// Hold says which node has it. Only that one writes to it, finishes it or gives
	// it up.
	Hold Hold `json:"hold,omitzero"`
	// Finishing: all bytes are safe and are being made the video's source; nobody
	// gives the upload up any more.
	Finishing bool `json:"finishing,omitempty"`
	// Stored is set if its bytes are in Objects, and not on the holder's disk.
	Stored *Stored `json:"stored,omitempty"`
}

// Stored says which objects have the first Offset bytes of an upload: parts of
// PartBytes each, and what is left.
type Stored struct {
	PartBytes int64       `json:"part_bytes"`
	Runs      []StoredRun `json:"runs,omitempty"` // by From
	// SHA256 is the state of the running SHA-256, as its MarshalBinary gives it.
	SHA256 []byte `json:"sha256,omitempty"`
}

// StoredRun says that the parts from one on, up to the next run, were stored
// under that token of the upload's hold: no two holders write to one object.
type StoredRun struct {
	From  int    `json:"from"`
	Token uint64 `json:"token"`
}

// Hold is a node's hold on an upload. Every new one has a higher token: who
// shows an older one has lost the upload.
type Hold struct {
	Token uint64 `json:"token"`
	Owner Owner  `json:"owner"`
}

// Fetch is an upload whose bytes the node fetches from another server.
type Fetch struct {
	// URL may have a secret in its query: it is never shown, and "" once the
	// fetch is over.
	URL   string `json:"url,omitempty"`
	Shown string `json:"shown"` // without the query
	// Validator is what If-Range takes: the entity tag or date of the bytes that
	// are here; "" if the server gave none.
	Validator string    `json:"validator,omitempty"`
	Begun     time.Time `json:"begun,omitzero"`
	MadeVideo bool      `json:"made_video,omitempty"` // the video was made with it
	Untitled  bool      `json:"untitled,omitempty"`   // the answer may still name the video
	Failure   *Failure  `json:"failure,omitempty"`
}

// Row implements Record.
func (u Upload) Row() Row { return Row{ID: u.ID, Parent: u.VideoID, State: string(u.State)} }

// Key is an API key. Its id is the first part of what the client sends; the
// rest is kept only as a hash.
type Key struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Scope   string    `json:"scope"`
	Hash    []byte    `json:"hash"` // SHA-256 of the secret part
	Created time.Time `json:"created"`
}

// Row implements Record.
func (k Key) Row() Row { return Row{ID: k.ID} }
