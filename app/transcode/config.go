package transcode

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"streamgate/app/media"
	"streamgate/store"
)

// Config is what the service needs.
type Config struct {
	Queue   store.Queue
	Catalog store.Catalog
	Objects store.Objects
	Cache   store.Cache
	Bus     *nats.Conn
	Tools   media.Tools
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracer  trace.Tracer // default: nothing is traced

	// Owner names this node and its boot; workers add their own name.
	Owner store.Owner
	// Alive tells whether a boot of a node may still be there, as far as is known.
	// The jobs of one that is not are taken at once, not when their leases end.
	// Default: only this node's other boots are known to be gone.
	Alive func(node, boot string) bool
	// Encoder tells which encoder this node has (media.Tools.Identify); it may wait
	// until that is known. Jobs that need another are left to the nodes that have
	// it. Default: all encoders are the same.
	Encoder func(ctx context.Context) string
	// Encoders are those of the nodes that are there. Default: this node's.
	Encoders func() []string
	// EncoderPatience is how long a task waits for its encoder to come back, before
	// it is planned again with another. Default: not at all.
	EncoderPatience time.Duration
	// Scratch is a local directory for files in the making.
	Scratch string
	// Profiles are the ladders by name; "default" must be among them.
	Profiles map[string]media.Profile

	// Workers is how many jobs run at once at the start, besides demanded ones.
	// Default: the number of cores that this process may use.
	Workers int
	// Scaling moves their number; with the zero value it stays.
	Scaling Scaling
	// HealthInterval is for how long a worker that was replaced is still shown,
	// as unhealthy. Default 30 s.
	HealthInterval time.Duration
	// DiskFloor is how much room media must have for a job to be taken up,
	// bytes. Default: none.
	DiskFloor int64
	// KeepTasks is how long tasks that are over are remembered, the newest of
	// each video excepted. Default 30 days.
	KeepTasks time.Duration
	// KeepRetired is how long renditions that are no longer shown can still be
	// played: at least as long as a session lasts, since a player keeps the
	// addresses that it was given. Default 24 h.
	KeepRetired time.Duration
	// MaxTasks bounds the tasks that have jobs at the same time. Default 16.
	MaxTasks int
	// MaxQueue bounds the tasks that wait. Default 1000.
	MaxQueue int
	// JobTimeout ends an attempt of one job. Default 1 h.
	JobTimeout time.Duration
	// LeaseTTL is how long a silent worker keeps its job. Default 30 s.
	LeaseTTL time.Duration
	// Drain is how long running jobs may go on when the node stops. Default 60 s.
	Drain time.Duration
	// Poll is how often the store is read when no event comes. Default 1 s.
	Poll time.Duration
}

func (c Config) withDefaults() Config {
	c.Workers = cmp.Or(c.Workers, runtime.GOMAXPROCS(0))
	c.HealthInterval = cmp.Or(c.HealthInterval, 30*time.Second)
	c.KeepTasks = cmp.Or(c.KeepTasks, 30*24*time.Hour)
	c.KeepRetired = cmp.Or(c.KeepRetired, 24*time.Hour)
	c.MaxTasks = cmp.Or(c.MaxTasks, 16)
	c.MaxQueue = cmp.Or(c.MaxQueue, 1000)
	c.JobTimeout = cmp.Or(c.JobTimeout, time.Hour)
	c.LeaseTTL = cmp.Or(c.LeaseTTL, 30*time.Second)
	c.Drain = cmp.Or(c.Drain, time.Minute)
	c.Poll = cmp.Or(c.Poll, time.Second)
	if c.Tracer == nil {
		c.Tracer = noop.Tracer{}
	}
	return c
}
