package gateway

import (
	"log/slog"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"streamgate/app/rpc"
)

// Service mounts one generated service with the gateway's handler options.
type Service func(...connect.HandlerOption) (path string, h http.Handler)

// Library mounts the library. A generated client is a handler too, here and
// below: that is how a node offers a service that runs on another.
func Library(h rpc.LibraryHandler) Service {
	return func(o ...connect.HandlerOption) (string, http.Handler) { return rpc.NewLibraryHandler(h, o...) }
}

// Uploads mounts the uploads.
func Uploads(h rpc.UploadsHandler) Service {
	return func(o ...connect.HandlerOption) (string, http.Handler) { return rpc.NewUploadsHandler(h, o...) }
}

// Transcoder mounts the transcoder.
func Transcoder(h rpc.TranscoderHandler) Service {
	return func(o ...connect.HandlerOption) (string, http.Handler) { return rpc.NewTranscoderHandler(h, o...) }
}

// Access mounts access.
func Access(h rpc.AccessHandler) Service {
	return func(o ...connect.HandlerOption) (string, http.Handler) { return rpc.NewAccessHandler(h, o...) }
}

// Alerts mounts the alerts.
func Alerts(h rpc.AlertsHandler) Service {
	return func(o ...connect.HandlerOption) (string, http.Handler) { return rpc.NewAlertsHandler(h, o...) }
}

// Webhooks mounts the webhooks.
func Webhooks(h rpc.WebhooksHandler) Service {
	return func(o ...connect.HandlerOption) (string, http.Handler) { return rpc.NewWebhooksHandler(h, o...) }
}

// Monitor mounts the monitor.
func Monitor(h rpc.MonitorHandler) Service {
	return func(o ...connect.HandlerOption) (string, http.Handler) { return rpc.NewMonitorHandler(h, o...) }
}

// mount is a handler at a path of the public mux.
type mount struct {
	path    string // "/streamgate.Library/"
	handler http.Handler
	rest    bool // may have REST annotations
}

// Handle puts services, reflection and health on a mux whose callers are known
// already: it authenticates nobody.
func Handle(mux *http.ServeMux, services []Service, log *slog.Logger) {
	for _, m := range mountServices(services, log) {
		mux.Handle(m.path, m.handler)
	}
}

// mountServices returns the services' handlers, then reflection (v1 and
// v1alpha) and health.
func mountServices(services []Service, log *slog.Logger) []mount {
	options := append(rpc.HandlerOptions(log), connect.WithInterceptors(answerInterceptor()))
	var mounts []mount
	var names []string
	for _, s := range services {
		path, h := s(options...)
		mounts = append(mounts, mount{path, h, true})
		names = append(names, strings.Trim(path, "/"))
	}
	reflector := grpcreflect.NewStaticReflector(names...)
	path, h := grpcreflect.NewHandlerV1(reflector)
	mounts = append(mounts, mount{path: path, handler: h})
	path, h = grpcreflect.NewHandlerV1Alpha(reflector)
	mounts = append(mounts, mount{path: path, handler: h})
	path, h = grpchealth.NewHandler(grpchealth.NewStaticChecker(names...))
	return append(mounts, mount{path: path, handler: h})
}
