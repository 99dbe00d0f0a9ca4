package ui

import (
	"fmt"
	"net/http"
	"net/url"

	"streamgate/app/rpc"
)

// card is what services read from a page to which somebody shared a link (Open
// Graph, Twitter cards, the discovery of oEmbed). It goes to everybody: of a
// video that a rule guards it tells the title alone, as its gate does.
type card struct {
	Title       string
	Description string
	Watch       string // absolute address of the video's page
	OEmbed      string // absolute address of what oembed answers for it
	Poster      *still // nil: none, or not for everybody
}

// still is a picture by its absolute address.
type still struct {
	URL           string
	Width, Height int // pixels
}

// posterWidth is the most that a poster is wide (app/media makes it so).
const posterWidth = 1280

// newCard describes a public video or one that a rule guards; nil for others,
// and where links would not be absolute.
func (u *UI) newCard(r *http.Request, v *rpc.Video) *card {
	base := u.BaseURL(r)
	if base == "" || !v.Public && !v.Gated {
		return nil
	}
	c := &card{Title: v.Title, Description: describe(v), Watch: base + "/watch/" + v.Id}
	c.OEmbed = base + "/oembed?url=" + url.QueryEscape(c.Watch)
	if v.Public && v.Poster && v.Width > 0 && v.Height > 0 {
		width := min(posterWidth, int(v.Width))
		c.Poster = &still{base + "/v/" + v.Id + "/poster.jpg", width, width * int(v.Height) / int(v.Width)}
	}
	return c
}

// describe says in a line what there is to watch.
func describe(v *rpc.Video) string {
	switch {
	case !v.Public:
		return "This video is for those whom its rule admits: open it to see how to watch."
	case v.Width == 0:
		return "Listen: " + clock(v.DurationSeconds)
	}
	return fmt.Sprintf("Watch: %s, %d×%d", clock(v.DurationSeconds), v.Width, v.Height)
}
