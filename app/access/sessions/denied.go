package sessions

import (
	"connectrpc.com/connect"

	"streamgate/app/access/decisions"
	"streamgate/app/access/rules"
	"streamgate/app/events"
)

// refuse is the refusal of a viewer who wants to watch a video. It is announced if
// the rule has said no: not if the viewer has yet to sign in or to show
// something, nor if a chain could not be asked.
func (m *Manager) refuse(videoID string, d rules.Decision, viewer rules.Viewer) error {
	err := decisions.Refusal(d, viewer)
	if connect.CodeOf(err) == connect.CodePermissionDenied {
		events.AccessDenied.Announce(m.Bus, m.Log, events.Denial{VideoID: videoID, Reason: string(d.Reason)})
	}
	return err
}
