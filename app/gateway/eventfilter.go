package gateway

import (
	"net/url"
	"slices"
	"strings"

	"streamgate/app/events"
	"streamgate/app/rpc"
)

// maxFilters bounds the videos and the types that one stream may name.
const maxFilters = 50

// eventFilter says which events a stream wants; nil means all.
type eventFilter struct {
	videos []string
	types  []string // "video.changed", or "transcode.task.*" for all of a kind
}

// parseFilter reads the query of an event stream: video_id and type, each as
// often as one likes.
func parseFilter(query url.Values) (f eventFilter, err error) {
	for name := range query {
		if !slices.Contains([]string{"video_id", "type", "ticket", "last_event_id"}, name) {
			return f, rpc.Invalid("invalid_request", "There is no parameter %q; an event stream takes video_id, type, last_event_id and ticket.", name)
		}
	}
	f = eventFilter{videos: query["video_id"], types: query["type"]}
	if len(f.videos) > maxFilters || len(f.types) > maxFilters {
		return f, rpc.Invalid("invalid_request", "A stream takes at most %d of video_id and of type; open another one for the rest.", maxFilters)
	}
	for _, t := range f.types {
		if !knownType(t) {
			return f, rpc.Invalid("invalid_type", "There is no event type %q; take one of %s, or all of a kind, like transcode.task.*.",
				t, strings.Join(events.PublicTypes(), ", "))
		}
	}
	return f, nil
}

func knownType(t string) bool {
	return slices.ContainsFunc(events.PublicTypes(), func(known string) bool { return covers(t, known) })
}

// covers tells whether a type, or all of a kind, names a subject.
func covers(t, subject string) bool {
	kind, all := strings.CutSuffix(t, ".*")
	return t == subject || all && strings.HasPrefix(subject, kind+".")
}

func (f eventFilter) match(e event) bool {
	if len(f.videos) > 0 && !slices.Contains(f.videos, e.video) {
		return false
	}
	return len(f.types) == 0 || slices.ContainsFunc(f.types, func(t string) bool { return covers(t, e.subject) })
}
