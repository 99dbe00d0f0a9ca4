package webhooks

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"streamgate/app/apptest"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
)

// patience is how long a test waits for what must come: the machine may be busy.
const patience = 60 * time.Second

// bench is a deployment's store and bus, on which nodes come and go.
type bench struct {
	t       *testing.T
	catalog store.Catalog
	bus     *nats.Conn
	log     *apptest.Log
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &bench{t: t, catalog: db.Catalog(), bus: apptest.NewBus(t), log: &apptest.Log{}}
	t.Cleanup(func() { apptest.WantNoSecrets(t, b.log.String()) })
	return b
}

// node is one node's webhooks, running.
type node struct {
	*Service
	t        *testing.T
	ctx      context.Context // of the node itself
	registry *prometheus.Registry
	stop     func()
}

// start starts a node. Loopback is allowed unless change forbids it.
func (b *bench) start(name string, change ...func(*Config)) *node {
	b.t.Helper()
	n := b.node(name, change...)
	ctx, cancel := context.WithCancel(b.t.Context())
	over := make(chan error, 1)
	go func() { over <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-over; err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(n.stop)
	// What is announced before the node listens is not heard.
	b.until("the node listens", func() bool { return b.bus.NumSubscriptions() >= len(events.ForWebhooks()) })
	b.ok(b.bus.Flush())
	return n
}

// node is one that does not run.
func (b *bench) node(name string, change ...func(*Config)) *node {
	b.t.Helper()
	reg := prometheus.NewRegistry()
	cfg := Config{
		Catalog: b.catalog, Bus: b.bus, Owner: store.Owner{Node: name, Boot: store.NewID()},
		Log: slog.New(slog.NewTextHandler(b.log, nil)), Metrics: reg, Version: "test", AllowPrivate: true,
		Retries: []time.Duration{time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond},
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	b.ok(err)
	return &node{Service: s, t: b.t, ctx: rpc.System(b.t.Context()), registry: reg}
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) until(what string, cond func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s: not after %v; the log:\n%s", what, patience, b.log.String())
		}
	}
}

// create adds a webhook for a receiver.
func (n *node) create(url string, chosen ...string) *rpc.Webhook {
	n.t.Helper()
	w, err := n.CreateWebhook(n.ctx, &rpc.CreateWebhookRequest{Url: url, Events: chosen})
	if err != nil {
		n.t.Fatal(err)
	}
	return w
}

// deliveries are those of a webhook, newest first.
func (n *node) deliveries(webhook string) []*rpc.Delivery {
	n.t.Helper()
	list, err := n.ListDeliveries(n.ctx, &rpc.ListDeliveriesRequest{WebhookId: webhook, Limit: store.MaxLimit})
	if err != nil {
		n.t.Fatal(err)
	}
	return list.Deliveries
}

// counted is how many deliveries have had the result.
func (n *node) counted(result string) float64 {
	return testutil.ToFloat64(n.metrics.results.WithLabelValues(result))
}

// only waits until the webhook has one delivery, in that state.
func (b *bench) only(n *node, webhook, state string) *rpc.Delivery {
	b.t.Helper()
	var all []*rpc.Delivery
	b.until("one delivery, "+state, func() bool {
		all = n.deliveries(webhook)
		return len(all) == 1 && all[0].State == state
	})
	return all[0]
}

// upload announces the end of an upload.
func (b *bench) upload(id string) {
	b.t.Helper()
	b.ok(events.UploadCompleted.Publish(b.bus, events.Upload{UploadID: id, VideoID: "v" + id, Offset: 5, SizeBytes: 5}))
	b.ok(b.bus.Flush())
}

// got is a request that a receiver has had.
type got struct {
	header http.Header
	body   []byte
}

// receiver is somebody else's endpoint.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []got
	answer func(n int, w http.ResponseWriter, r *http.Request) // n counts from 1
}

// receive starts a receiver that answers as it is told; nil answers 200.
func receive(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.got = append(r.got, got{req.Header, body})
	n := len(r.got)
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(n, w, req)
	}
}

func (r *receiver) all() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// answers gives one status after another, the last for ever.
func answers(statuses ...int) func(int, http.ResponseWriter, *http.Request) {
	return func(n int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(statuses[min(n, len(statuses))-1])
	}
}
