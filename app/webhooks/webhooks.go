// Package webhooks tells other people's servers of events, as Standard Webhooks
// says (https://www.standardwebhooks.com).
//
// # What
//
// Service implements rpc.WebhooksHandler: webhooks (endpoints.go, check.go,
// keys.go) and their deliveries (deliveries.go). Run makes a delivery of each
// event that a webhook has chosen (listen.go, make.go), and sends it
// (sender.go, attempt.go, request.go, guard.go) when it is due (schedule.go),
// until the endpoint takes it or a day has passed (retry.go). What no event has
// told of is made up for, and what is old is removed (sweep.go, retain.go).
//
// # Usage
//
//	svc, err := webhooks.New(webhooks.Config{Catalog: …, Bus: bus, Owner: owner, Log: log})
//	go svc.Run(ctx)
//
// # Guarantees
//
// A delivery is a record: it outlives restarts and is sent at least once. An
// endpoint may get one twice (a node died before it could note the answer); its
// webhook-id is the same then. There is no order among deliveries.
//
// An event is a hint and may be lost, and with it its delivery. How tasks and
// videos have ended (completed, failed, cancelled, ready) is certain all the
// same, for two days: a sweep finds it in the records.
//
// Every node may run this. An event has one id, a delivery's id is made of that
// and the webhook's, so that it is made once; a lease in its record keeps two
// nodes from sending it at the same time. Due times and leases go by
// the deployment's clock.
//
// Deliveries go to public addresses only, unless Config.AllowPrivate; that is
// checked of the address that is dialled, not of the name. Redirects are not
// followed and proxies of the environment not used. Everything is bounded:
// webhooks, deliveries that wait and that are kept, requests under way, the
// time and the bytes of an answer.
//
// # Testing
//
// Against the embedded backend and receivers that fail, hang, are gone, or
// verify with the library of Standard Webhooks.
package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/rpc"
	"streamgate/store"
)

// What Config's zero values mean.
const (
	DefaultTimeout    = 15 * time.Second
	DefaultMaxWaiting = 1000
	DefaultMaxKept    = 1000
	DefaultSweepEvery = 5 * time.Minute
)

// Bounds that nobody has needed otherwise.
const (
	maxWebhooks = 50
	maxInFlight = 4 // requests to one webhook, of one node
	keepFor     = 7 * 24 * time.Hour
)

// Config is what webhooks need. The fields up to Log are required.
type Config struct {
	Catalog store.Catalog
	Bus     *nats.Conn
	Owner   store.Owner // of the leases that this node takes
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: no metrics
	Version string                // of the User-Agent
	Now     func() time.Time      // the deployment's clock; nil: time.Now

	// AllowPrivate lets webhooks go to http URLs and to addresses that are not
	// public.
	AllowPrivate bool
	// Timeout bounds one attempt.
	Timeout time.Duration
	// Retries are the pauses after attempts that failed, give or take a fifth;
	// one more that fails is the last. nil means a day of them.
	Retries []time.Duration
	// MaxWaiting bounds the deliveries of a webhook that wait; further events
	// are not delivered to it.
	MaxWaiting int
	// MaxKept bounds the finished deliveries of a webhook that are kept, for a
	// week at most.
	MaxKept int
	// SweepEvery is how often the records are looked through.
	SweepEvery time.Duration
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.MaxWaiting = cmp.Or(c.MaxWaiting, DefaultMaxWaiting)
	c.MaxKept = cmp.Or(c.MaxKept, DefaultMaxKept)
	c.SweepEvery = cmp.Or(c.SweepEvery, DefaultSweepEvery)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Retries == nil {
		c.Retries = defaultRetries()
	}
	return c
}

// Service is the webhooks.
type Service struct {
	Config
	client   *http.Client
	schedule *schedule
	kept     *kept
	metrics  *metrics
}

var (
	_ rpc.WebhooksHandler = (*Service)(nil)
	_ rpc.WebhooksClient  = (*Service)(nil)
)

// New returns the webhooks over their stores. Run delivers.
func New(cfg Config) (*Service, error) {
	cfg = cfg.withDefaults()
	s := &Service{Config: cfg, client: newClient(cfg.AllowPrivate), schedule: newSchedule(), kept: newKept()}
	var err error
	if s.metrics, err = newMetrics(cfg.Metrics, s.schedule); err != nil {
		return nil, fmt.Errorf("webhooks metrics: %w", err)
	}
	return s, nil
}

// now is the deployment's time: by it deliveries are due and leases end, on whatever
// node.
func (s *Service) now() time.Time { return s.Now() }

// Run makes deliveries of events and sends them until ctx ends. Requests under
// way are then cut off; they will be made again.
func (s *Service) Run(ctx context.Context) error {
	stop, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer stop()
	defer s.client.CloseIdleConnections()
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() { s.sweepUntil(ctx) })
	s.sendUntil(ctx)
	return nil
}
