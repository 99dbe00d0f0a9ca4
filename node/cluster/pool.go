package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Pool sends requests to the nodes of a role: to the less busy of two, or, for
// what a node keeps (media of a video), to the same one as long as it is there. A
// node that does not answer is left out for a while.
type Pool struct {
	registry Registry
	identity *Identity

	mu         sync.Mutex
	nodes      map[string]*health // by address
	transports map[string]*http.Transport
}

// health is what was seen of a node.
type health struct {
	busy     int // requests that it has of us now
	failures int // in a row
	until    time.Time
}

// A node is left out after a failure: for a second, then twice as long each time.
const (
	firstEjection = time.Second
	mostEjection  = 30 * time.Second
)

// dialLimit bounds connecting to a node, TLS included.
const dialLimit = 3 * time.Second

// NewPool finds nodes in registry and is known to them by identity.
func NewPool(registry Registry, identity *Identity) *Pool {
	return &Pool{registry: registry, identity: identity, nodes: map[string]*health{}, transports: map[string]*http.Transport{}}
}

// Close ends idle connections.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.transports {
		t.CloseIdleConnections()
	}
}

// ErrNoNode means that no node of a role is there.
var ErrNoNode = errors.New("no node with that role is there")

type (
	keyKey struct{}
	oneKey struct{}
)

// WithKey has requests that carry the same key go to the same node.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyKey{}, key)
}

// WithNode has requests go to this node and no other.
func WithNode(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, oneKey{}, id)
}

// Transport sends requests to nodes of a role, whatever host their URL has. A
// request that a node did not take goes to another one; so does one that failed on
// the way if doing it twice is harmless.
func (p *Pool) Transport(role string) http.RoundTripper { return transport{p, role, true} }

// Streaming is Transport over HTTP/1.1, for bodies of media and uploads.
func (p *Pool) Streaming(role string) http.RoundTripper { return transport{p, role, false} }

type transport struct {
	pool  *Pool
	role  string
	multi bool // several requests on one connection (HTTP/2)
}

// mostTries is how many nodes a request is offered.
const mostTries = 3

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var tried []string
	var last error
	for range mostTries {
		node, err := t.pool.pick(r.Context(), t.role, tried)
		if err != nil {
			return nil, errors.Join(last, err)
		}
		tried = append(tried, node.Addr)
		out, err := again(r, len(tried))
		if err != nil {
			return nil, errors.Join(last, err)
		}
		out.URL.Scheme, out.URL.Host = "https", node.Addr
		if err := t.pool.identity.Sign(out, t.role); err != nil {
			return nil, err
		}
		resp, err := t.pool.do(t.pool.transport(t.role, t.multi), out, node)
		if err == nil {
			return resp, nil
		}
		last = fmt.Errorf("%s node %s: %w", t.role, node.ID, err)
		if r.Context().Err() != nil || !mayRepeat(r, err) {
			return nil, last
		}
	}
	return nil, last
}

// again is the request for its nth try.
func again(r *http.Request, n int) (*http.Request, error) {
	out := r.Clone(r.Context())
	if n > 1 && r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	return out, nil
}

type repeatKey struct{}

// WithRepeat marks requests as harmless if done twice.
func WithRepeat(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatKey{}, true)
}

// mayRepeat tells whether a request that failed may be sent to another node.
func mayRepeat(r *http.Request, err error) bool {
	rewinds := r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
	var none *untaken
	if errors.As(err, &none) {
		return rewinds
	}
	harmless, _ := r.Context().Value(repeatKey{}).(bool)
	return rewinds && (harmless || r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions)
}

// pick chooses a node of a role that was not tried.
func (p *Pool) pick(ctx context.Context, role string, tried []string) (Instance, error) {
	one, _ := ctx.Value(oneKey{}).(string)
	var all []Instance
	for _, i := range p.registry.Instances() {
		if i.Has(role) && i.Addr != "" && !slices.Contains(tried, i.Addr) && (one == "" || one == i.ID) {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return Instance{}, fmt.Errorf("%w: %s", ErrNoNode, role)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	best := p.well(all, time.Now())
	if key, ok := ctx.Value(keyKey{}).(string); ok {
		return slices.MaxFunc(best, func(a, b Instance) int { return cmp.Compare(weight(a.ID, key), weight(b.ID, key)) }), nil
	}
	a, b := best[rand.IntN(len(best))], best[rand.IntN(len(best))]
	if p.load(b) < p.load(a) {
		a = b
	}
	return a, nil
}

// Keeper is the node of a role that has a key now, and answers; "" if there is none.
func (p *Pool) Keeper(role, key string) string {
	node, err := p.pick(WithKey(context.Background(), key), role, nil)
	if err != nil {
		return ""
	}
	return node.ID
}

// well are the nodes that answer and are not draining; all of them if there are
// none such.
func (p *Pool) well(all []Instance, now time.Time) []Instance {
	for _, fit := range []func(Instance) bool{
		func(i Instance) bool { return !i.Draining && !p.of(i.Addr).until.After(now) },
		func(i Instance) bool { return !p.of(i.Addr).until.After(now) },
	} {
		if some := slices.DeleteFunc(slices.Clone(all), func(i Instance) bool { return !fit(i) }); len(some) > 0 {
			return some
		}
	}
	return all
}

// load compares nodes: what they say, and what we have sent since.
func (p *Pool) load(i Instance) float64 { return i.Load + float64(p.of(i.Addr).busy)/16 }

func (p *Pool) of(addr string) *health {
	h := p.nodes[addr]
	if h == nil {
		h = &health{}
		p.nodes[addr] = h
	}
	return h
}

// weight orders nodes for a key, each key in its own way (rendezvous hashing): a
// node that goes takes only its own keys along.
func weight(id, key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id + "\x00" + key)) // never fails
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

// do sends a request to a node and notes how that went.
func (p *Pool) do(t *http.Transport, r *http.Request, node Instance) (*http.Response, error) {
	p.note(node.Addr, func(h *health) { h.busy++ })
	resp, err := t.RoundTrip(r)
	if err == nil {
		err = refusal(resp)
	}
	if err != nil {
		p.note(node.Addr, func(h *health) {
			h.busy--
			if r.Context().Err() == nil {
				h.until = time.Now().Add(min(mostEjection, firstEjection<<min(h.failures, 5)))
				h.failures++
			}
		})
		return nil, err
	}
	p.note(node.Addr, func(h *health) { h.failures, h.until = 0, time.Time{} })
	resp.Body = &counted{resp.Body, sync.OnceFunc(func() { p.note(node.Addr, func(h *health) { h.busy-- }) })}
	return resp, nil
}

// refusal is why a node took nothing of what it was asked.
func refusal(resp *http.Response) error {
	why := resp.Header.Get(RefusedHeader)
	if why == "" {
		return nil
	}
	_ = resp.Body.Close() // it says the same
	return &untaken{errors.New(why)}
}

func (p *Pool) note(addr string, change func(*health)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.of(addr))
}
