package node

import (
	"context"

	"connectrpc.com/connect"

	"streamgate/app/library"
	"streamgate/app/monitor"
	"streamgate/app/rpc"
)

// metadata keeps the videos and says who may call and watch.
type metadata struct{}

func (metadata) Name() string { return "metadata" }

func (metadata) Start(ctx context.Context, k *Kernel) error {
	gate, err := newGate(ctx, k)
	if err != nil {
		return err
	}
	k.Go("access", gate.Run)
	k.Mux.HandleFunc("GET /rule.schema.json", serveRuleSchema)
	if k.Peers.Access, err = monitor.CountSignIns(gate, k.Metrics); err != nil {
		return err
	}
	k.Auth = gate
	videos := library.New(library.Config{
		Catalog: k.Stores.Catalog, Objects: k.Stores.Objects, Bus: k.Bus,
		Uploads: k.Peers.Uploads, Transcoder: k.Peers.Transcoder,
		Profiles: k.Config.Transcoder.profileNames(),
		Log:      k.Log.With("service", "library"),
	})
	k.Peers.Library = videos
	k.Go("deletions", videos.RunDeletions)
	return nil
}

func (metadata) Stop(context.Context) error { return nil }

// lateAuth authenticates by whatever part provides it, once it has started.
type lateAuth struct{ k *Kernel }

func (a lateAuth) Authenticate(ctx context.Context, bearer string) (rpc.Identity, error) {
	if a.k.Auth == nil {
		return rpc.Identity{}, rpc.Errorf(connect.CodeUnavailable, "starting", "The node is starting; try again in a moment.")
	}
	return a.k.Auth.Authenticate(ctx, bearer)
}
