package node

import (
	"context"

	"streamgate/app/webhooks"
	"streamgate/store"
)

// hooks tell other servers of events.
type hooks struct{}

func (hooks) Name() string { return "webhooks" }

func (hooks) Start(_ context.Context, k *Kernel) error {
	service, err := webhooks.New(webhooks.Config{
		Catalog: k.Stores.Catalog, Bus: k.Bus, Owner: store.Owner{Node: k.NodeID, Boot: k.BootID},
		Log: k.Log.With("service", "webhooks"), Metrics: k.Metrics, Version: k.Version, Now: k.now,
		AllowPrivate: k.Config.Webhooks.AllowPrivate,
	})
	if err != nil {
		return err
	}
	k.Peers.Webhooks = service
	k.Go("webhooks", service.Run)
	return nil
}

func (hooks) Stop(context.Context) error { return nil }
