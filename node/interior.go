package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"

	"streamgate/app/gateway"
	"streamgate/app/rpc"
	"streamgate/node/cluster"
)

// clusterServer is the name of the server on cluster.listen.
const clusterServer = "cluster"

// interior serves other nodes what this node's roles are for, and the CA's
// requests where it is: over mutual TLS, to nobody else.
type interior struct{}

func (interior) Name() string { return clusterServer }

func (interior) Start(ctx context.Context, k *Kernel) error {
	if !k.clustered() {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/", k.fromNodes(k.ownServices()))
	if k.ca != nil {
		signing := k.ca.Handler(k.Log)
		mux.Handle(cluster.JoinPath, signing)
		mux.Handle(cluster.RenewPath, signing)
	}
	return k.Serve(ctx, Server{
		Name: clusterServer, Key: "cluster.listen", Addr: k.Config.Cluster.Listen, Handler: mux, TLS: k.identity.ServerTLS(),
	})
}

func (interior) Stop(context.Context) error { return nil }

// ownServices are the services that run on this node.
func (k *Kernel) ownServices() http.Handler {
	mux := http.NewServeMux()
	if k.has(RoleStreaming) {
		mux.Handle("/s/", k.media)
		mux.Handle("/v/", k.media)
	}
	if k.has(RoleUpload) {
		for _, pattern := range []string{uploadsPattern, uploadPattern, sourcePattern} {
			mux.Handle(pattern, k.Mounts[pattern])
		}
	}
	if k.has(RoleTranscoder) && k.pieces != nil {
		mux.Handle(piecePattern, http.HandlerFunc(k.servePiece))
	}
	own := []gateway.Service{gateway.Monitor(k.Peers.Monitor)}
	for _, s := range []struct {
		role     Role
		services func() []gateway.Service
	}{
		{RoleMetadata, func() []gateway.Service {
			return []gateway.Service{gateway.Library(k.Peers.Library), gateway.Access(k.Peers.Access), gateway.Webhooks(k.Peers.Webhooks)}
		}},
		{RoleUpload, func() []gateway.Service { return []gateway.Service{gateway.Uploads(k.Peers.Uploads)} }},
		{RoleTranscoder, func() []gateway.Service { return []gateway.Service{gateway.Transcoder(k.Peers.Transcoder)} }},
	} {
		if k.has(s.role) {
			own = append(own, s.services()...)
		}
	}
	gateway.Handle(mux, own, k.Log)
	return mux
}

// fromNodes lets only nodes of the deployment in, and puts on whose behalf they
// ask into the request. A node whose clock is off lets in nobody.
func (k *Kernel) fromNodes(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := k.identity.Caller(r, k.Log)
		if off := k.clockOff(); err == nil && off != nil {
			err = fmt.Errorf("%w: %w", cluster.ErrClock, off)
		}
		if err == nil {
			next.ServeHTTP(cluster.Sending(w, r), r.WithContext(ctx))
			return
		}
		k.Log.Warn("a request to the cluster's port was refused", "from", r.RemoteAddr, "path", r.URL.Path, "err", err)
		coded := rpc.Errorf(connect.CodePermissionDenied, "not_a_node", "Only nodes of the deployment are served here: %s.", err)
		switch {
		case errors.Is(err, cluster.ErrNoPeer):
			coded = rpc.Errorf(connect.CodeUnauthenticated, "not_a_node", "Only nodes of the deployment are served here: %s.", err)
		case errors.Is(err, cluster.ErrClock):
			w.Header().Set(cluster.RefusedHeader, err.Error())
			coded = rpc.Errorf(connect.CodeFailedPrecondition, "clocks_differ", "%s.", err)
		}
		if refuse.IsSupported(r) {
			_ = refuse.Write(w, r, coded) // the node is gone if it fails
			return
		}
		rpc.WriteProblem(w, r, coded)
	})
}
