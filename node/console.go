package node

import (
	"context"

	"streamgate/assets"
	"streamgate/ui"
)

// console serves the pages for people.
type console struct{}

func (console) Name() string { return "console" }

func (console) Start(_ context.Context, k *Kernel) error {
	set, err := assets.Load()
	if err != nil {
		return err
	}
	set.Root = k.Config.APIGateway.root()
	ui.New(ui.Config{
		Library: k.Peers.Library, Ticket: k.tickets.Verify, Assets: set, BaseURL: k.baseURL,
		Framers: k.Config.Embed.AllowedOrigins, DemoChain: k.Config.Access.DemoChain, Log: k.Log.With("service", "ui"),
	}).Routes(k.Mux)
	return nil
}

func (console) Stop(context.Context) error { return nil }
