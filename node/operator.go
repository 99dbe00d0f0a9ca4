package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// operator is the operator's listener: health, metrics and profiles, off the
// public port. It starts first and stops last.
type operator struct{}

func (operator) Name() string { return "operator" }

func (operator) Start(ctx context.Context, k *Kernel) error {
	return k.Serve(ctx, Server{
		Name: "operator", Key: "monitor.listen", Addr: k.Config.Monitor.Listen, Handler: k.operatorMux(),
	})
}

func (operator) Stop(context.Context) error { return nil }

func (k *Kernel) operatorMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "StreamGate %s, node %s\n\n/healthz  alive\n/readyz   ready, or what is not\n/metrics  for Prometheus\n/debug/pprof/  profiles\n",
			k.Version, k.NodeID)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET "+ReadyPath, func(w http.ResponseWriter, r *http.Request) {
		writeReadiness(w, k.readiness(r.Context()))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(k.Metrics, promhttp.HandlerOpts{Registry: k.Metrics}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// ReadyPath is where a node says whether it is ready, as a Readiness.
const ReadyPath = "/readyz"

// writeReadiness answers 200 when the node is ready or degraded, else 503, and
// says what is not.
func writeReadiness(w http.ResponseWriter, ready Readiness) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if ready.Status != phaseReady && ready.Status != phaseDegraded {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(ready) // the client is gone if it fails
}
