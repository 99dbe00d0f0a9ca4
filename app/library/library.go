// Package library keeps the videos and what is known about them.
//
// # What
//
// Service implements rpc.LibraryHandler, and with it rpc.LibraryClient. It
// makes videos, shows them with their progress and addresses, changes their
// title and visibility, and deletes them with all that belongs to them. It
// never moves a video's state: uploads and the transcoder do.
//
// # Usage
//
//	svc := library.New(library.Config{Catalog: …, Objects: …, Bus: …, Uploads: …, Transcoder: …})
//
// Uploads and Transcoder are peers: the services themselves on a node that
// runs them, clients of another node otherwise.
//
// # Guarantees
//
// Every method checks the caller's scope first. Errors are coded. A deletion
// that was cut short can be repeated: the record goes last. One that can be
// undone for a while is a time in the record, which any node keeps.
//
// # Testing
//
// Against the embedded backend, with fakes for the two peers.
package library

import (
	"context"
	"log/slog"
	"slices"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Config is what the library needs.
type Config struct {
	Catalog    store.Catalog
	Objects    store.Objects
	Bus        *nats.Conn
	Uploads    rpc.UploadsClient
	Transcoder rpc.TranscoderClient
	// Profiles are the names of the ladders a video may ask for;
	// rpc.DefaultProfile is always one of them.
	Profiles []string
	Log      *slog.Logger
}

// Service is the library.
type Service struct {
	Config
	videos store.Table[store.Video] // that are not deleted
}

var (
	_ rpc.LibraryHandler = (*Service)(nil)
	_ rpc.LibraryClient  = (*Service)(nil)
)

// New returns the library over its stores and peers.
func New(cfg Config) *Service {
	if !slices.Contains(cfg.Profiles, rpc.DefaultProfile) {
		cfg.Profiles = append([]string{rpc.DefaultProfile}, cfg.Profiles...)
	}
	return &Service{cfg, store.Shown(cfg.Catalog.Videos)}
}

// GetVideo implements rpc.LibraryHandler.
func (s *Service) GetVideo(ctx context.Context, req *rpc.GetVideoRequest) (*rpc.Video, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	v, err := s.videos.Get(ctx, req.Id)
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.Id)
	}
	return s.detail(ctx, v)
}

// UpdateVideo implements rpc.LibraryHandler.
func (s *Service) UpdateVideo(ctx context.Context, req *rpc.UpdateVideoRequest) (*rpc.Video, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	var title string
	if req.Title != nil {
		var err error
		if title, err = rpc.Title(*req.Title); err != nil {
			return nil, err
		}
	}
	if req.Title == nil && req.Public == nil { // nothing changes
		return s.GetVideo(ctx, &rpc.GetVideoRequest{Id: req.Id})
	}
	v, err := s.videos.Update(ctx, req.Id, func(v *store.Video) error {
		if req.Title != nil {
			v.Title = title
		}
		if req.Public != nil {
			v.Public = *req.Public
		}
		v.Updated = now()
		return nil
	})
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.Id)
	}
	s.announce(events.VideoChanged, v)
	return s.detail(ctx, v)
}

// announce publishes where a video stands.
func (s *Service) announce(topic events.Topic[events.Video], v store.Video) {
	topic.Announce(s.Bus, s.Log, events.Video{VideoID: v.ID, State: string(v.State)})
}
