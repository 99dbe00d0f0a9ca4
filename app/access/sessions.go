package access

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// CreateSession implements rpc.AccessHandler. A session is its ticket:
// nothing is stored.
func (s *Service) CreateSession(ctx context.Context, req *rpc.CreateSessionRequest) (*rpc.Session, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	v, err := s.Catalog.Videos.Get(ctx, req.VideoId)
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.VideoId)
	}
	if v.State == store.VideoFailed {
		return nil, rpc.Errorf(connect.CodeFailedPrecondition, "video_failed",
			"The video could not be made; it has nothing to play.")
	}
	t := Ticket{
		SessionID: store.NewID(), VideoID: v.ID,
		Expires: time.Now().UTC().Add(s.SessionTTL).Truncate(time.Second),
	}
	token := s.Tickets.Sign(t)
	play := rpc.BaseURL(ctx) + "/s/" + token + "/"
	return &rpc.Session{
		Id: t.SessionID, VideoId: v.ID, Token: token, ExpiresAt: timestamppb.New(t.Expires),
		HlsUrl: play + "master.m3u8", DashUrl: play + "manifest.mpd", WatchUrl: play,
	}, nil
}
