package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/app/stream"
	"streamgate/store"
)

// watchView is what the watch page shows.
type watchView struct {
	ID         string
	Title      string
	Link       string // path of the page to share
	State      string
	Facts      string  // "10:34 · 1920×1080 · 1080p, 720p"
	Seconds    float64 // length
	Sound      bool    // no picture
	Base       string  // path under which the media lies, with trailing slash
	Poster     string  // path, or ""
	Storyboard string  // path, or ""
	Original   string  // name of the rendition that is a copy of the source, or ""
	Making     string  // what is still being made, or ""
	Progress   string  // percent, for the meter
	Made       []span
	Failure    string
	LeftOut    []string // what the source has besides
}

// span is a stretch of the seek bar that plays without waiting, in thousandths.
type span struct{ X, Width string }

// watchVideo shows a public video, or the gate of one that a rule guards.
func (u *UI) watchVideo(w http.ResponseWriter, r *http.Request) {
	video, ok := u.video(w, r, r.PathValue("id"))
	if !ok {
		return
	}
	switch {
	case video.Public:
		u.watch(w, r, video, u.Assets.Root+"/v/"+video.Id+"/")
	case video.Gated:
		u.gate(w, r, video)
	default:
		u.refuse(w, r, http.StatusUnauthorized, PrivateTitle, PrivateDetail)
	}
}

// What the watch page says of a video that is neither public nor has a rule.
const (
	PrivateTitle  = "This video is private"
	PrivateDetail = "Ask its owner for a link that lets you watch it."
)

// Unplayable is what the watch page says of a video that has nothing to play,
// also to who may watch it; "" if it has.
func Unplayable(v *rpc.Video) (title, detail string) {
	switch {
	case v.State == "failed":
		return "This video cannot be played", v.GetError().GetMessage()
	case v.State == "uploading":
		return "This video is not here yet", "Its file has not been uploaded completely. Come back in a while."
	case v.DurationSeconds == 0:
		return "Getting ready", "The video has just arrived. This page shows it in a moment."
	}
	return "", ""
}

// watchSession shows the video of a session's ticket.
func (u *UI) watchSession(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("token")
	id, err := u.Ticket(token, time.Now())
	var ended *stream.EndedError
	if errors.As(err, &ended) {
		u.refuse(w, r, http.StatusForbidden, "This session has ended", ended.Sentence)
		return
	}
	if errors.Is(err, store.ErrUnavailable) {
		u.cannot(w, r, err, "The video cannot be shown just now.")
		return
	}
	if err != nil {
		u.refuse(w, r, http.StatusUnauthorized, "This link has ended", "The link is not valid, or no longer. Ask the video's owner for a new one.")
		return
	}
	if video, ok := u.video(w, r, id); ok {
		u.watch(w, r, video, u.Assets.Root+"/s/"+token+"/")
	}
}

func (u *UI) video(w http.ResponseWriter, r *http.Request, id string) (*rpc.Video, bool) {
	video, err := u.Library.GetVideo(system(r), &rpc.GetVideoRequest{Id: id})
	switch {
	case connect.CodeOf(err) == connect.CodeNotFound:
		u.refuse(w, r, http.StatusNotFound, "There is no such video", "It may have been removed, or the link is not complete.")
	case err != nil:
		u.cannot(w, r, fmt.Errorf("read a video: %w", err), "The video cannot be shown just now.")
	}
	return video, err == nil
}

func (u *UI) watch(w http.ResponseWriter, r *http.Request, v *rpc.Video, base string) {
	title, detail := Unplayable(v)
	switch {
	case v.State == "failed":
		u.refuse(w, r, http.StatusGone, title, detail)
	case v.State == "uploading":
		u.refuse(w, r, http.StatusNotFound, title, detail)
	case title != "":
		w.Header().Set("Refresh", "1") // planned within a second or two
		u.refuse(w, r, http.StatusOK, title, detail)
	default:
		view := newWatchView(v, base)
		view.Link = r.URL.Path // of a private video: this link is what its owner made
		if v.Public || v.Gated {
			view.Link = "/watch/" + v.Id
		}
		view.Link = u.Assets.Root + view.Link
		u.render(w, r, http.StatusOK, document(u.Assets, v.Title, u.newCard(r, v), watchPage(u.Assets, view)))
	}
}

func newWatchView(v *rpc.Video, base string) watchView {
	view := watchView{
		ID: v.Id, Title: v.Title, State: v.State, Seconds: v.DurationSeconds, Sound: v.Width == 0, Base: base,
		Facts: facts(v), Making: making(v), Progress: strconv.FormatFloat(v.Progress, 'f', 1, 64),
	}
	for _, w := range v.Warnings {
		view.LeftOut = append(view.LeftOut, w.Message)
	}
	if v.Poster {
		view.Poster = base + "poster.jpg"
	}
	if v.Storyboard {
		view.Storyboard = base + "storyboard.vtt"
	}
	for _, rendition := range shownRenditions(v) {
		if rendition.Copy && rendition.Kind == "video" {
			view.Original = rendition.Name
		}
	}
	for _, m := range v.Made {
		view.Made = append(view.Made, span{
			X:     thousandths(m.Start / v.DurationSeconds),
			Width: thousandths((m.End - m.Start) / v.DurationSeconds),
		})
	}
	if v.Error != nil {
		view.Failure = v.Error.Message
	}
	return view
}

func thousandths(share float64) string { return strconv.FormatFloat(share*1000, 'f', 1, 64) }

// shownRenditions are the renditions that players are shown.
func shownRenditions(v *rpc.Video) (out []*rpc.Rendition) {
	for _, r := range v.Renditions {
		if !r.Next {
			out = append(out, r)
		}
	}
	return out
}

// making says what is still being made.
func making(v *rpc.Video) string {
	if v.State == "ready" || v.Error != nil {
		return ""
	}
	var open []string
	for _, r := range shownRenditions(v) {
		if r.Progress < 100 {
			open = append(open, fmt.Sprintf("%s %d %%", nameOf(r), int(r.Progress))) // 100 % would be done
		}
	}
	return strings.Join(open, ", ")
}

// nameOf is how a rendition is called to viewers: a copy of the source by its
// size.
func nameOf(r *rpc.Rendition) string {
	if r.Copy && r.Height > 0 {
		return fmt.Sprintf("%dp (original)", r.Height)
	}
	return r.Name
}

// facts is the line under the title.
func facts(v *rpc.Video) string {
	parts := []string{clock(v.DurationSeconds)}
	if v.Width > 0 {
		parts = append(parts, fmt.Sprintf("%d×%d", v.Width, v.Height))
	}
	var names []string
	for _, r := range shownRenditions(v) {
		if r.Kind == "video" {
			names = append(names, nameOf(r))
		}
	}
	if len(names) > 0 {
		parts = append(parts, strings.Join(names, ", "))
	}
	return strings.Join(parts, " · ")
}

// clock writes seconds as 1:02:03 or 2:03.
func clock(seconds float64) string {
	s := int(seconds)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
