package node

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"streamgate/app/egress"
	"streamgate/app/rpc"
	"streamgate/app/upload"
	"streamgate/store"
)

// uploads receives sources over tus and PUT.
type uploads struct{ service *upload.Service }

func (u *uploads) Name() string { return "upload" }

func (u *uploads) Start(ctx context.Context, k *Kernel) error {
	cfg := &k.Config.Upload
	networks, err := prefixes(cfg.Fetch.AllowedNetworks)
	if err != nil {
		return err
	}
	service, err := upload.New(upload.Config{
		Catalog: k.Stores.Catalog, Objects: k.Stores.Objects, Bus: k.Bus, Transcoder: k.Peers.Transcoder,
		Owner: store.Owner{Node: k.NodeID, Boot: k.BootID}, Alive: k.living(), Shared: k.Config.Media.URL != "",
		Dir: filepath.Join(k.DataDir, "uploads"), MaxSize: int64(cfg.MaxSize), MinFree: int64(cfg.MinFreeDisk),
		Access: func() rpc.AccessClient { return k.recorded().Access }, Profiles: k.Config.Transcoder.profileNames(),
		FetchFrom: egress.Policy{Allowed: networks}, FetchTimeout: cfg.Fetch.Timeout, Version: k.Version,
		ExpireAfter: cfg.ExpireAfter, Log: k.Log.With("service", "upload"), Tracer: k.Tracer,
	})
	if err != nil {
		return err
	}
	if err := service.Recover(ctx); err != nil {
		return fmt.Errorf("take up unfinished uploads: %w", err)
	}
	u.service, k.Peers.Uploads = service, service
	k.drain.workers = append(k.drain.workers, service)
	k.mountUploads(service.Handler(), http.HandlerFunc(service.PutSource))
	// Transfers end, durable, as soon as the node begins to stop: the server
	// would not wait for them, and clients resume.
	context.AfterFunc(k.Draining(), service.Close)
	k.Go("expire uploads", service.RunExpiry)
	k.Go("fetch sources", service.RunFetches)
	return nil
}

func (u *uploads) Stop(context.Context) error {
	u.service.Close()
	return nil
}

// What of uploads goes over HTTP: tus, and a whole source in one request.
const (
	uploadsPattern = "/api/v1/uploads"
	uploadPattern  = "/api/v1/uploads/"
	sourcePattern  = "PUT /api/v1/videos/{id}/source"
)

func (k *Kernel) mountUploads(tus, source http.Handler) {
	k.Mounts[uploadsPattern], k.Mounts[uploadPattern], k.Mounts[sourcePattern] = tus, tus, source
}
