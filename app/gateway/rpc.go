package gateway

import (
	"log/slog"
	"net/http"

	"streamgate/app/rpc"
)

// RPCConfig describes a listener that speaks only RPC, such as the
// transcoder's.
type RPCConfig struct {
	Services []Service
	Auth     Authenticator
	// PublicURL is the base of the links in answers. Empty: they are paths, as
	// media is served on another port than this.
	PublicURL string
	// Open are procedures ("/streamgate.Transcoder/GetMetrics") that a caller
	// without a key may read.
	Open []string
	// AllowedOrigins are as in Config.
	AllowedOrigins []string
	Log            *slog.Logger
}

// NewRPC returns the services with reflection and health for a listener of
// their own.
func NewRPC(cfg RPCConfig) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		rpc.WriteStatus(w, r, http.StatusNotFound, "route_not_found", "There is no such procedure.")
	})
	e := &edge{
		auth: cfg.Auth, publicURL: cfg.PublicURL, open: cfg.Open, log: cfg.Log,
		sameSite: sameSite(cfg.PublicURL), origins: cfg.AllowedOrigins,
	}
	for _, m := range mountServices(cfg.Services, cfg.Log) {
		mux.Handle(m.path, m.handler)
		e.routes.mount = append(e.routes.mount, m.path)
	}
	return e.wrap(mux)
}
