package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"streamgate/app/egress"
	"streamgate/app/rpc"
	"streamgate/app/upload/fetch"
	"streamgate/store"
)

// Config is what a Service needs. Zero durations and numbers mean their
// default; the other fields are required unless they say otherwise.
type Config struct {
	Catalog    store.Catalog
	Objects    store.Objects
	Bus        *nats.Conn
	Transcoder rpc.TranscoderClient
	// Access sets the rules that come with uploads; it is asked for when there
	// is one. nil: such uploads are refused.
	Access func() rpc.AccessClient
	// Profiles are the names of the ladders that a new video may ask for;
	// rpc.DefaultProfile is always one of them.
	Profiles []string

	// Owner is this start of this node. Uploads are held under it.
	Owner store.Owner
	// Alive tells whether a start of a node may still run, of which uploads are
	// left alone. nil: only this one does.
	Alive func(node, boot string) bool

	// Dir is where the bytes of unfinished uploads lie; best on the disk of
	// Objects, so that a finished file is moved and not copied. It is made if
	// need be and must be used for nothing else, by no other node either.
	Dir string
	// Shared tells that every node reaches Objects: then bytes are there before they
	// are acknowledged, any node goes on with what another began, and Dir has only
	// what is being gathered, PartBytes twice for each transfer.
	Shared bool
	// PartBytes is how much is stored at once of an upload that is shared, bytes; at
	// least store.ComposeMin where the medium asks for that. Default 16 MiB.
	PartBytes int64
	// MaxSize bounds one source, bytes. Default 50 GiB.
	MaxSize int64
	// MinFree is what uploads leave free on the disk, bytes. Default 0.
	MinFree int64
	// ExpireAfter is how long an upload may rest between two bytes. Default 24 h.
	ExpireAfter time.Duration
	// MaxOpen bounds the unfinished uploads of all nodes. Default 1000.
	MaxOpen int
	// MaxTransfers bounds the requests whose body is being received. Default 64.
	MaxTransfers int
	// LockWait is how long a request waits for another one's upload to be let
	// go. Default 10 s.
	LockWait time.Duration
	// IdleTimeout ends a transfer from which no byte comes. Default 60 s.
	IdleTimeout time.Duration

	// FetchFrom says from which addresses sources may be fetched. Default: public
	// ones.
	FetchFrom egress.Policy
	// FetchResolver resolves names of servers to fetch from. Default: the machine's.
	FetchResolver *net.Resolver
	// FetchTimeout bounds one fetch, all tries together. Default 6 h.
	FetchTimeout time.Duration
	// FetchStall is how long a server may send nothing. Default 30 s.
	FetchStall time.Duration
	// FetchRetries is how often in a row a fetch is tried again that brings
	// nothing new. Default 5.
	FetchRetries int
	// FetchPause is how long is waited before the first of them; it doubles.
	// Default 1 s.
	FetchPause time.Duration
	// FetchesAtOnce bounds the fetches that run; one that waits for its server
	// lets another run. Default 4.
	FetchesAtOnce int
	// Version is what the node calls itself to servers that it fetches from.
	Version string

	Log    *slog.Logger
	Now    func() time.Time // default time.Now
	Tracer trace.Tracer     // default: nothing is traced
}

func (c Config) withDefaults() Config {
	c.PartBytes = cmp.Or(c.PartBytes, partBytes)
	c.MaxSize = cmp.Or(c.MaxSize, 50<<30)
	c.ExpireAfter = cmp.Or(c.ExpireAfter, 24*time.Hour)
	c.MaxOpen = cmp.Or(c.MaxOpen, 1000)
	c.MaxTransfers = cmp.Or(c.MaxTransfers, 64)
	c.LockWait = cmp.Or(c.LockWait, 10*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, time.Minute)
	c.FetchTimeout = cmp.Or(c.FetchTimeout, 6*time.Hour)
	c.FetchStall = cmp.Or(c.FetchStall, 30*time.Second)
	c.FetchRetries = cmp.Or(c.FetchRetries, 5)
	c.FetchPause = cmp.Or(c.FetchPause, time.Second)
	c.FetchesAtOnce = cmp.Or(c.FetchesAtOnce, 4)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Tracer == nil {
		c.Tracer = noop.Tracer{}
	}
	return c
}

// Service receives uploads.
type Service struct {
	Config
	spool  spool
	ledger ledger
	locks  locker
	slots  chan struct{} // one per running transfer
	puts   chan struct{} // one per part that is being stored
	tus    http.Handler

	fetcher *fetch.Client
	fetches *fetches

	mu   sync.Mutex
	live map[string]*live

	stopping context.Context // done once Close was called
	stop     context.CancelFunc
}

var _ rpc.UploadsHandler = (*Service)(nil)

// live is what only a running process knows of an upload. Its fields belong
// to whoever holds the upload's lock.
type live struct {
	sum  hash.Hash // SHA-256 of the first n bytes
	n    int64     // -1: not running; it is computed from the file at the end
	told time.Time // when progress was last published
	torn bool      // something may be stored that the record does not tell
}

// restart is for an upload that goes on elsewhere than the hash ended.
func (l *live) restart(at int64) {
	l.n = -1
	if at == 0 {
		l.sum.Reset()
		l.n = 0
	}
}

// New returns a service over cfg.Dir.
func New(cfg Config) (*Service, error) {
	cfg = cfg.withDefaults()
	if cfg.Dir == "" || cfg.Objects == nil || cfg.Bus == nil || cfg.Transcoder == nil ||
		cfg.Catalog.Uploads == nil || cfg.Catalog.Videos == nil || cfg.Catalog.Tasks == nil {
		return nil, errors.New("upload: Dir, Objects, Bus, Transcoder and Catalog are required")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the upload directory: %w", err)
	}
	s := &Service{
		Config: cfg,
		spool:  spool{dir: cfg.Dir},
		locks:  newLocker(),
		slots:  make(chan struct{}, cfg.MaxTransfers),
		puts:   make(chan struct{}, putsAtOnce),
		live:   make(map[string]*live),
		fetcher: fetch.New(fetch.Config{
			Policy: cfg.FetchFrom, Resolver: cfg.FetchResolver, Stall: cfg.FetchStall, Agent: "StreamGate/" + cmp.Or(cfg.Version, "0"),
		}),
		fetches: newFetches(cfg.FetchesAtOnce),
	}
	s.ledger = ledger{open: make(map[string]claim), max: cfg.MaxOpen, minFree: cfg.MinFree, free: s.free, known: s.openIDs}
	s.stopping, s.stop = context.WithCancel(context.Background())
	var err error
	if s.tus, err = s.newTus(); err != nil {
		return nil, fmt.Errorf("make the tus handler: %w", err)
	}
	if err := s.promise(context.Background()); err != nil {
		return nil, err
	}
	return s, s.answerReleases()
}

// promise enters the uploads that an earlier process of this node left open.
func (s *Service) promise(ctx context.Context) error {
	open, err := s.list(ctx, store.UploadReceiving)
	if err != nil {
		return err
	}
	for _, rec := range open {
		if ours, err := s.ours(ctx, rec); err != nil || !ours {
			if err != nil {
				return err
			}
			continue
		}
		if err := s.enter(ctx, rec); err != nil {
			return err
		}
	}
	return nil
}

// enter opens the claim of an upload that was accepted before.
func (s *Service) enter(ctx context.Context, rec store.Upload) error {
	have, err := s.offset(ctx, rec)
	if err != nil {
		return err
	}
	s.ledger.load(rec.ID, rec.SizeBytes, have)
	return nil
}

// Close ends the running transfers: what they received is made durable and
// their clients are told to come back. Later requests are refused.
func (s *Service) Close() { s.stop() }

// free is the number of bytes that can still be written: a source needs room
// where it arrives and where it stays. Shared ones do not arrive on this disk.
func (s *Service) free(ctx context.Context) (int64, error) {
	if s.Shared {
		return store.Unlimited, nil
	}
	here, err := s.spool.free()
	if err != nil {
		return 0, err
	}
	there, _, err := s.Objects.Space(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	return min(here, there), nil
}

// slot takes one of the places for a running transfer.
func (s *Service) slot() (release func(), ok bool) {
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, true
	default:
		return nil, false
	}
}

// liveOf returns the upload's live state, made on first use.
func (s *Service) liveOf(id string) *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.live[id]
	if l == nil {
		l = &live{sum: newSHA256()}
		s.live[id] = l
	}
	return l
}

// forget drops what is kept in memory of an upload.
func (s *Service) forget(id string) {
	s.mu.Lock()
	delete(s.live, id)
	s.mu.Unlock()
	s.ledger.close(id)
}

func (s *Service) now() time.Time { return s.Now().UTC() }
