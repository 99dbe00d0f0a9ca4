package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/access"
	"streamgate/app/library"
	"streamgate/app/rpc"
	"streamgate/app/stream"
)

// metadata keeps the videos and says who may call and watch.
type metadata struct{}

func (metadata) Name() string { return "metadata" }

func (metadata) Start(ctx context.Context, k *Kernel) error {
	tickets, err := access.NewTickets(ctx, k.Stores.Catalog.Secrets)
	if err != nil {
		return err
	}
	gate := access.New(access.Config{
		Catalog: k.Stores.Catalog, Tickets: tickets, SessionTTL: k.Config.Streaming.SessionTTL,
		Log: k.Log.With("service", "access"),
	})
	k.Peers.Access, k.Auth = gate, gate
	k.Peers.Library = library.New(library.Config{
		Catalog: k.Stores.Catalog, Objects: k.Stores.Objects, Bus: k.Bus,
		Uploads: k.Peers.Uploads, Transcoder: k.Peers.Transcoder,
		Profiles: slices.Sorted(maps.Keys(k.Config.Transcoder.Profiles)),
		Log:      k.Log.With("service", "library"),
	})
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

// ticketGate makes the tickets of package access what package stream asks for.
type ticketGate struct{ tickets *access.Tickets }

func newTicketGate(ctx context.Context, k *Kernel) (ticketGate, error) {
	tickets, err := access.NewTickets(ctx, k.Stores.Catalog.Secrets)
	return ticketGate{tickets}, err
}

func (g ticketGate) Verify(token string, now time.Time) (string, error) {
	ticket, err := g.tickets.Verify(token, now)
	switch {
	case err == nil:
		return ticket.VideoID, nil
	case errors.Is(err, access.ErrExpired):
		return "", stream.ErrTicketExpired
	default:
		return "", stream.ErrTicketInvalid
	}
}
