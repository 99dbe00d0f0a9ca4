package node

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"streamgate/app/upload"
)

// uploads receives sources over tus and PUT.
type uploads struct{ service *upload.Service }

func (u *uploads) Name() string { return "upload" }

func (u *uploads) Start(ctx context.Context, k *Kernel) error {
	cfg := &k.Config.Upload
	service, err := upload.New(upload.Config{
		Catalog: k.Stores.Catalog, Objects: k.Stores.Objects, Bus: k.Bus, Transcoder: k.Peers.Transcoder,
		Dir: filepath.Join(k.DataDir, "uploads"), MaxSize: int64(cfg.MaxSize), MinFree: int64(cfg.MinFreeDisk),
		ExpireAfter: cfg.ExpireAfter, Log: k.Log.With("service", "upload"), Tracer: k.Tracer,
	})
	if err != nil {
		return err
	}
	if err := service.Recover(ctx); err != nil {
		return fmt.Errorf("take up unfinished uploads: %w", err)
	}
	u.service, k.Peers.Uploads = service, service
	k.Mounts["/api/v1/uploads"] = service.Handler()
	k.Mounts["/api/v1/uploads/"] = service.Handler()
	k.Mounts["PUT /api/v1/videos/{id}/source"] = http.HandlerFunc(service.PutSource)
	// Transfers end, durable, as soon as the node begins to stop: the server
	// would not wait for them, and clients resume.
	context.AfterFunc(k.Draining(), service.Close)
	k.Go("expire uploads", service.RunExpiry)
	return nil
}

func (u *uploads) Stop(context.Context) error {
	u.service.Close()
	return nil
}
