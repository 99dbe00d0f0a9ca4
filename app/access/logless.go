package access

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// problemNoLogs stands beside facts of a chain whose endpoints list no logs.
const problemNoLogs = "the chain's endpoints list no logs (eth_getLogs), so that a sale is noticed only when the viewer's holdings are read again, at each new block"

// logless is the chains whose endpoints list no logs: who plays there is asked
// again at each new block instead.
type logless struct {
	listed *prometheus.GaugeVec

	mu     sync.Mutex
	chains map[uint64]struct{}
}

func newLogless(listed *prometheus.GaugeVec) *logless {
	return &logless{listed: listed, chains: map[uint64]struct{}{}}
}

func (l *logless) has(chain uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.chains[chain]
	return ok
}

// set notes whether a chain has no logs, and tells whether that is new.
func (l *logless) set(chain uint64, none bool) (changed bool) {
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
