package ui

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// oembedAnswer is what a site gets that asks how to show a link (oEmbed 1.0).
type oembedAnswer struct {
	Version         string `json:"version"`
	Type            string `json:"type"` // video; link where no site may frame the player
	Title           string `json:"title"`
	ProviderName    string `json:"provider_name"`
	ProviderURL     string `json:"provider_url"`
	CacheAge        int    `json:"cache_age"` // seconds
	ThumbnailURL    string `json:"thumbnail_url,omitempty"`
	ThumbnailWidth  int    `json:"thumbnail_width,omitempty"`
	ThumbnailHeight int    `json:"thumbnail_height,omitempty"`
	HTML            string `json:"html,omitempty"`
	Width           int    `json:"width,omitempty"`
	Height          int    `json:"height,omitempty"`
}

const (
	oembedCacheAge = 600 // seconds
	frameWidth     = 640 // of an embedded player where the asker sets no bound
	frameLeast     = 200 // an embedded player is not made smaller than this
	maxFrame       = 10_000
)

// oembed answers GET /oembed?url=…&maxwidth=…&maxheight=…&format=json.
func (u *UI) oembed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*") // it tells nothing that depends on who asks
	r = u.traced(r)
	answer, err := u.describeLink(r)
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	json.NewEncoder(w).Encode(answer) //nolint:errcheck,errchkjson // plain fields; the client may have gone
}

func (u *UI) describeLink(r *http.Request) (*oembedAnswer, error) {
	query := r.URL.Query()
	if format := query.Get("format"); format != "" && format != "json" {
		return nil, rpc.StatusErrorf(http.StatusNotImplemented, connect.CodeUnimplemented, "format_not_supported",
			"The format %q is not made here: ask for json.", format)
	}
	width, werr := bound(query, "maxwidth")
	height, herr := bound(query, "maxheight")
	if werr != nil || herr != nil {
		return nil, rpc.Errorf(connect.CodeInvalidArgument, "invalid_argument",
			"maxwidth and maxheight must be whole numbers of pixels from 1 to %d.", maxFrame)
	}
	id, start := u.parseLink(r, query.Get("url"))
	if id == "" {
		return nil, rpc.Errorf(connect.CodeNotFound, "no_such_page",
			"The url must be the whole address of a video's page on this site, like %s/watch/ID.", u.BaseURL(r))
	}
	v, err := u.Library.GetVideo(system(r), &rpc.GetVideoRequest{Id: id})
	if err != nil {
		return nil, err
	}
	c := u.newCard(r, v)
	if c == nil {
		return nil, rpc.Errorf(connect.CodeUnauthenticated, "video_private", "The video is private: nothing is told of it.")
	}
	return u.answerLink(r, v, c, start, width, height), nil
}

// answerLink describes the card's video; the player begins at start if it has
// one, and is within the bounds.
func (u *UI) answerLink(r *http.Request, v *rpc.Video, c *card, start string, maxWidth, maxHeight int) *oembedAnswer {
	answer := &oembedAnswer{
		Version: "1.0", Type: "link", Title: c.Title, ProviderName: "StreamGate", ProviderURL: u.BaseURL(r) + "/",
		CacheAge: oembedCacheAge,
	}
	if p := c.Poster; p != nil && p.Width <= maxWidth && p.Height <= maxHeight {
		answer.ThumbnailURL, answer.ThumbnailWidth, answer.ThumbnailHeight = p.URL, p.Width, p.Height
	}
	if len(u.Framers) == 0 {
		return answer
	}
	address := u.BaseURL(r) + "/embed/" + v.Id
	if start != "" {
		address += "?t=" + url.QueryEscape(start)
	}
	answer.Type = "video"
	answer.Width, answer.Height = frameSize(v, maxWidth, maxHeight)
	answer.HTML = fmt.Sprintf(`<iframe src="%s" width="%d" height="%d" title="%s" style="border:0" `+
		`allow="autoplay; fullscreen; picture-in-picture; clipboard-write" allowfullscreen></iframe>`,
		html.EscapeString(address), answer.Width, answer.Height, html.EscapeString(c.Title))
	return answer
}

// frameSize fits the picture into the bounds. That of a video that a rule
// guards is not told: 16:9 stands in.
func frameSize(v *rpc.Video, maxWidth, maxHeight int) (width, height int) {
	across, down := 16, 9
	if v.Public && v.Width > 0 && v.Height > 0 {
		across, down = int(v.Width), int(v.Height)
	}
	width = min(frameWidth, maxWidth)
	height = width * down / across
	if height > maxHeight {
		width, height = maxHeight*across/down, maxHeight
	}
	return max(width, min(frameLeast, maxWidth)), max(height, min(frameLeast, maxHeight))
}

// bound reads a largest size; without one there is none.
func bound(query url.Values, name string) (int, error) {
	text := query.Get(name)
	if text == "" {
		return maxFrame, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s is %q", name, text)
	}
	return min(int(n), maxFrame), nil
}

// parseLink takes the address of a page of ours apart: the video's id, or "",
// and where playback is to begin.
func (u *UI) parseLink(r *http.Request, link string) (id, start string) {
	base, err := url.Parse(u.BaseURL(r))
	at, lerr := url.Parse(link)
	if err != nil || lerr != nil || base.Host == "" || !strings.EqualFold(at.Host, base.Host) || at.Scheme != "http" && at.Scheme != "https" {
		return "", ""
	}
	path, ok := strings.CutPrefix(at.Path, base.Path)
	if !ok {
		return "", ""
	}
	for _, page := range []string{"/watch/", "/embed/"} {
		if id, ok := strings.CutPrefix(path, page); ok && !strings.Contains(id, "/") {
			return id, at.Query().Get("t")
		}
	}
	return "", ""
}
