package access

import (
	"connectrpc.com/connect"

	"streamgate/app/events"
)

// refuse is refusal of a viewer who wants to watch a video. It is announced if
// the rule has said no: not if the viewer has yet to sign in or to show
// something, nor if a chain could not be asked.
func (s *Service) refuse(videoID string, d Decision, viewer Viewer) error {
	err := refusal(d, viewer)
	if connect.CodeOf(err) == connect.CodePermissionDenied {
		events.AccessDenied.Announce(s.Bus, s.Log, events.Denial{VideoID: videoID, Reason: string(d.Reason)})
	}
	return err
}
