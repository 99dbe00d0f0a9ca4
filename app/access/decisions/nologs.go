package decisions

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// noLogs is the chains whose endpoints list no logs: who plays there is asked
// again at each new block instead.
type noLogs struct {
	listed *prometheus.GaugeVec

	mu     sync.Mutex
	chains map[uint64]struct{}
}

func newNoLogs() *noLogs {
	return &noLogs{listed: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "streamgate", Subsystem: "access",
		Name: "chain_logs", Help: "1 if the chain's endpoints list logs (eth_getLogs), 0 if its sessions are asked again at each new block instead."}, []string{"chain"}),
		chains: map[uint64]struct{}{}}
}

func (l *noLogs) has(chain uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.chains[chain]
	return ok
}

// set notes whether a chain has no logs, and tells whether that is new.
func (l *noLogs) set(chain uint64, none bool) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gauge := l.listed.WithLabelValues(strconv.FormatUint(chain, 10))
	_, was := l.chains[chain]
	if none {
		l.chains[chain] = struct{}{}
		gauge.Set(0)
	} else {
		delete(l.chains, chain)
		gauge.Set(1)
	}
	return was != none
}
