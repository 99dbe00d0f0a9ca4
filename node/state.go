package node

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// The phases of a node, as /readyz tells them.
const (
	phaseStarting = "starting"
	phaseReady    = "ready"
	phaseStopping = "stopping"
	notReady      = "not ready"
	phaseDegraded = "degraded"
)

// checkTimeout bounds all checks of one /readyz together.
const checkTimeout = 2 * time.Second

// state is where the node stands: its phase, its checks and the addresses of
// its servers.
type state struct {
	mu     sync.Mutex
	phase  string
	checks map[string]func(context.Context) error
	waits  map[string]error // what parts wait for that do not start yet
	addrs  map[string]string
	lns    map[string]*net.TCPListener // of the servers, by name
}

func newState() *state {
	return &state{
		phase:  phaseStarting,
		checks: map[string]func(context.Context) error{},
		waits:  map[string]error{},
		addrs:  map[string]string{},
		lns:    map[string]*net.TCPListener{},
	}
}

func (s *state) setPhase(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = phase
}

func (s *state) addCheck(name string, check func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks[name] = check
}

// setWait notes what a part waits for that cannot start yet; nil for nothing.
func (s *state) setWait(part string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits[part] = err; err == nil {
		delete(s.waits, part)
	}
}

func (s *state) setAddr(server, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs[server] = addr
}

func (s *state) setListener(server string, ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tcp, ok := ln.(*net.TCPListener); ok {
		s.lns[server] = tcp
	}
}

func (s *state) addr(server string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs[server]
}

// Readiness is the answer of /readyz.
type Readiness struct {
	// Status is ready; degraded, when something is wrong with which the node
	// still does most of its work; "not ready" when a check fails otherwise;
	// draining or drained, when an operator has taken a node of a cluster out of
	// service; starting or stopping.
	Status string `json:"status"`
	// Checks holds "ok" or what is wrong, by the name of the part.
	Checks map[string]string `json:"checks"`
	// Listeners holds the addresses of the node's servers, by their names: only
	// on the admin socket.
	Listeners map[string]string `json:"listeners,omitempty"`
	// Boot tells this start of the node from others; there too.
	Boot string `json:"boot,omitempty"`
}

// Well tells whether the node is as it should be: ready, degraded, or drained, which
// is what somebody wants.
func (r *Readiness) Well() bool {
	return slices.Contains([]string{phaseReady, phaseDegraded, stateDraining, stateDrained}, r.Status)
}

// listeners returns the addresses of all servers by their names.
func (s *state) listeners() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.addrs)
}

// readiness runs every check, all at once.
func (s *state) readiness(ctx context.Context) Readiness {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	s.mu.Lock()
	out := Readiness{Status: s.phase, Checks: make(map[string]string, len(s.checks))}
	checks, waits := maps.Clone(s.checks), maps.Clone(s.waits)
	s.mu.Unlock()
	var mu sync.Mutex
	var running sync.WaitGroup
	for name, check := range checks {
		running.Go(func() {
			err := check(ctx)
			mu.Lock()
			defer mu.Unlock()
			out.note(name, err)
		})
	}
	running.Wait()
	for part, err := range waits {
		out.note(part, err)
	}
	return out
}

// note takes in the outcome of one check.
func (r *Readiness) note(name string, err error) {
	if r.Checks[name] = "ok"; err == nil {
		return
	}
	r.Checks[name] = err.Error()
	var tolerable degraded
	switch {
	case r.Status != phaseReady && r.Status != phaseDegraded:
	case errors.As(err, &tolerable):
		r.Status = phaseDegraded
	default:
		r.Status = notReady
	}
}
