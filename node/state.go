package node

import (
	"context"
	"maps"
	"sync"
	"time"
)

// The phases of a node, as /readyz tells them.
const (
	phaseStarting = "starting"
	phaseReady    = "ready"
	phaseStopping = "stopping"
	notReady      = "not ready"
)

// checkTimeout bounds all checks of one /readyz together.
const checkTimeout = 2 * time.Second

// state is where the node stands: its phase, its checks and the addresses of
// its servers.
type state struct {
	mu     sync.Mutex
	phase  string
	checks map[string]func(context.Context) error
	addrs  map[string]string
}

func newState() *state {
	return &state{
		phase:  phaseStarting,
		checks: map[string]func(context.Context) error{},
		addrs:  map[string]string{},
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

func (s *state) setAddr(server, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs[server] = addr
}

func (s *state) addr(server string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs[server]
}

// Readiness is the answer of /readyz.
type Readiness struct {
	// Status is ready, starting, stopping, or "not ready" when a check fails.
	Status string `json:"status"`
	// Checks holds "ok" or what is wrong, by the name of the part.
	Checks map[string]string `json:"checks"`
	// Listeners holds the addresses of the node's servers, by their names: only
	// on the admin socket.
	Listeners map[string]string `json:"listeners,omitempty"`
}

// listeners returns the addresses of all servers by their names.
func (s *state) listeners() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.addrs)
}

// readiness runs every check.
func (s *state) readiness(ctx context.Context) Readiness {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	s.mu.Lock()
	out := Readiness{Status: s.phase, Checks: make(map[string]string, len(s.checks))}
	checks := maps.Clone(s.checks)
	s.mu.Unlock()
	for name, check := range checks {
		out.Checks[name] = "ok"
		if err := check(ctx); err != nil {
			out.Checks[name] = err.Error()
			if out.Status == phaseReady {
				out.Status = notReady
			}
		}
	}
	return out
}
