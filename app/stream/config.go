package stream

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/rpc"
	"streamgate/store"
)

// Config is what the service needs. The fields up to Log are required.
type Config struct {
	Plans      store.Plans
	Videos     store.Table[store.Video]
	Objects    store.Objects
	Bus        *nats.Conn
	Transcoder rpc.TranscoderClient // asked for cells that a player waits for
	Tickets    Verifier
	Metrics    prometheus.Registerer
	Log        *slog.Logger

	// Hold is how long a request waits for what is being made. Players give
	// up after 10 s without a byte. Default 9 s.
	Hold time.Duration
	// Poll is how often a wait looks by itself, should the event be lost.
	// Default 250 ms.
	Poll time.Duration
	// Waiters is how many requests may wait at once; more are answered 503.
	// Default 2048.
	Waiters int
	// Fresh is how long a video's record is trusted without reading it again;
	// it matters only when an event is lost. Default 5 s.
	Fresh time.Duration
	// Known is how many videos are kept in memory with their playlists.
	// Default 128.
	Known int
	// IFrameBytes bounds the memory for the cells of I-frame playlists.
	// Default 16 MiB.
	IFrameBytes int
}

func (c Config) withDefaults() Config {
	c.Hold = cmp.Or(c.Hold, 9*time.Second)
	c.Poll = cmp.Or(c.Poll, 250*time.Millisecond)
	c.Waiters = cmp.Or(c.Waiters, 2048)
	c.Fresh = cmp.Or(c.Fresh, 5*time.Second)
	c.Known = cmp.Or(c.Known, 128)
	c.IFrameBytes = cmp.Or(c.IFrameBytes, 16<<20)
	return c
}

// Verifier checks playback tickets by computation alone: no I/O.
type Verifier interface {
	// Verify returns the video that the ticket opens; ErrTicketExpired, an
	// *EndedError, store.ErrUnavailable if it cannot be known, else ErrTicketInvalid. Its errors do not contain the token.
	Verify(token string, now time.Time) (videoID string, err error)
}

// The ways in which a ticket does not open a video.
var (
	ErrTicketExpired = errors.New("ticket expired")
	ErrTicketInvalid = errors.New("ticket invalid")
)

// EndedError refuses a ticket whose session has been ended before its time.
type EndedError struct {
	Code     string   // stable snake_case word
	Sentence string   // for the viewer
	Admits   []string // what would admit them again; may be empty
}

// Error implements error.
func (e *EndedError) Error() string { return "session ended: " + e.Code }
