package gateway

import (
	"net/http"
	"time"

	"github.com/rs/cors"
)

// preflightAge is for how long browsers remember a preflight's answer.
const preflightAge = 2 * time.Hour

// crossOrigin lets the pages of these origins call us with a key; "*" stands
// for all. It never allows credentials: a cookie is for our own pages only.
// Without an origin browsers keep all other sites' pages out.
func crossOrigin(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		},
		AllowedHeaders:     allowedHeaders(),
		ExposedHeaders:     exposedHeaders(),
		MaxAge:             int(preflightAge / time.Second),
		OptionsPassthrough: true, // for the path's own Allow
	}).Handler(next)
}

// allowedHeaders are what clients send: of HTTP, of tus, of Connect and
// gRPC-Web, and of tracing.
func allowedHeaders() []string {
	return []string{
		"Accept", "Accept-Language", "Authorization", "Cache-Control", "Content-Type", "Idempotency-Key",
		"If-Match", "If-None-Match", "Last-Event-ID", "Range", "X-Requested-With", "X-Request-Id",
		"Tus-Resumable", "Upload-Length", "Upload-Defer-Length", "Upload-Offset", "Upload-Metadata",
		"Upload-Concat", "Upload-Checksum", "X-HTTP-Method-Override",
		"Connect-Protocol-Version", "Connect-Timeout-Ms", "Connect-Accept-Encoding", "Connect-Content-Encoding",
		"Grpc-Timeout", "X-Grpc-Web", "X-User-Agent",
		"Traceparent", "Tracestate", "Baggage",
	}
}

// exposedHeaders are what scripts may read of an answer.
func exposedHeaders() []string {
	return []string{
		"ETag", "Location", "Retry-After", "Allow", "WWW-Authenticate", requestIDHeader, "Idempotent-Replayed",
		"RateLimit", "RateLimit-Policy", "Content-Length", "Content-Range", "Accept-Ranges",
		"Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm",
		"Upload-Length", "Upload-Defer-Length", "Upload-Offset", "Upload-Metadata", "Upload-Concat", "Upload-Expires",
		"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin",
	}
}
