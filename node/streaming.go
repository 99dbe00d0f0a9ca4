package node

import (
	"context"
	"fmt"

	"streamgate/app/stream"
	"streamgate/store"
)

// streaming serves playlists and cells to players.
type streaming struct{ service *stream.Service }

func (s *streaming) Name() string { return "streaming" }

func (s *streaming) Start(_ context.Context, k *Kernel) error {
	service, err := stream.New(stream.Config{
		Plans: k.Stores.Catalog.Plans, Videos: store.Shown(k.Stores.Catalog.Videos), Objects: k.Stores.Objects,
		Bus: k.Bus, Transcoder: k.Peers.Transcoder, Tickets: k.tickets,
		Hold: k.Config.Streaming.Hold, Metrics: k.Metrics, Log: k.Log.With("service", "stream"),
	})
	if err != nil {
		return fmt.Errorf("start streaming: %w", err)
	}
	s.service = service
	// Held requests are answered 503 as soon as the node begins to stop: the
	// server would not wait for them, and players ask again.
	context.AfterFunc(k.Draining(), service.Close)
	k.media = service.Handler()
	k.Mux.Handle("/s/", k.media)
	k.Mux.Handle("/v/", k.media)
	return nil
}

func (s *streaming) Stop(context.Context) error {
	s.service.Close()
	return nil
}
