package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"

	"net/url"
	"path"
	"strconv"
	"strings"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// videosView is the library.
type videosView struct {
	Path, Query, State string
	Cards              []videoCard
	Deleted            []deletedRow
	Found              int
	May                bool
	Prev, Next         string
}

// videoCard is one video of the grid.
type videoCard struct {
	ID, Title, State, Length, Access, Progress string
	Poster, Making                             bool
	Created                                    stamp
}

// videoStates are what the library can be narrowed by.
var videoStates = []string{"uploading", "processing", "playable", "ready", "failed"}

const gridPage = 48

func accessOf(v *rpc.Video) string {
	switch {
	case v.Public:
		return "public"
	case v.Gated:
		return "by rule"
	}
	return "private"
}

func newVideoCard(v *rpc.Video) videoCard {
	c := videoCard{
		ID: v.Id, Title: printable(v.Title), State: v.State, Access: accessOf(v), Progress: percent(v.Progress),
		Poster: v.Poster, Making: v.State == "processing" || v.State == "playable", Created: agoOf(v.CreatedAt),
	}
	if v.DurationSeconds > 0 {
		c.Length = clock(v.DurationSeconds)
	}
	return c
}

func (v *visit) videos() {
	q := v.r.URL.Query()
	view := videosView{Query: strings.TrimSpace(q.Get("q")), State: q.Get("state"), May: v.may(console.Operator)}
	all, err := v.allVideos(v.ctx)
	if err != nil {
		v.fail(err)
		return
	}
	var found []*rpc.Video
	for _, video := range all {
		if matches(strings.ToLower(view.Query), video.Title, video.Id) && (view.State == "" || video.State == view.State) {
			found = append(found, video)
		}
	}
	page, _ := strconv.Atoi(q.Get("page"))
	page = max(1, min(page, (len(found)+gridPage-1)/gridPage))
	from := min(len(found), (page-1)*gridPage)
	end := min(len(found), from+gridPage)
	for _, video := range found[from:end] {
		view.Cards = append(view.Cards, newVideoCard(video))
	}
	link := func(page int) string {
		return "/console/videos?" + url.Values{"q": {view.Query}, "state": {view.State}, "page": {strconv.Itoa(page)}}.Encode()
	}
	if view.Deleted, err = v.deletedRows(); err != nil {
		v.fail(err)
		return
	}
	view.Found, view.Path = len(found), link(page)
	if page > 1 {
		view.Prev = link(page - 1)
	}
	if end < len(found) {
		view.Next = link(page + 1)
	}
	v.page(http.StatusOK, many(len(found), "video", "videos"), "/console/videos", videosPage(view))
}

// tus passes uploads of scripts on, under the person's identity. Links lead back
// here, where the cookie counts.
func (v *visit) tus() {
	ctx := rpc.WithBaseURL(v.ctx, at(v.ctx, "/console"))
	http.StripPrefix("/console", v.Uploads).ServeHTTP(v.w, v.r.WithContext(ctx))
}

// uploadForm takes a file from a form without scripts: it is passed on as it
// comes, and nothing of it is kept here.
func (v *visit) uploadForm() {
	const to = "/console/videos"
	video, err := v.receive()
	v.back(to, "“"+video+"” has arrived and is being made.", err)
}

func (v *visit) receive() (title string, err error) {
	form, err := v.r.MultipartReader()
	if err != nil {
		return "", rpc.Invalid("form", "The form did not arrive as one with a file; try again.")
	}
	public := false
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return "", rpc.Invalid("no_file", "No file was chosen.")
		}
		if err != nil {
			return "", rpc.Invalid("body_incomplete", "The connection broke before the whole file had arrived; nothing was kept.")
		}
		switch part.FormName() {
		case "title":
			text, _ := io.ReadAll(io.LimitReader(part, 1000))
			title = strings.TrimSpace(string(text))
		case "public":
			public = true
		case "file":
			if part.FileName() == "" {
				return "", rpc.Invalid("no_file", "No file was chosen.")
			}
			return v.store(part, title, public)
		}
	}
}

// store makes a video of a file. A video whose file is refused is removed again.
func (v *visit) store(part *multipart.Part, title string, public bool) (string, error) {
	if title == "" {
		name := path.Base(strings.ReplaceAll(part.FileName(), "\\", "/"))
		title = strings.TrimSuffix(name, path.Ext(name))
	}
	video, err := v.Library.CreateVideo(v.ctx, &rpc.CreateVideoRequest{Title: title, Public: public})
	if err != nil {
		return "", err
	}
	put := v.r.Clone(v.ctx)
	put.Method, put.ContentLength, put.Header = http.MethodPut, -1, http.Header{}
	put.Body = io.NopCloser(part)
	put.SetPathValue("id", video.Id)
	var got answer
	v.PutSource(&got, put)
	if got.status == http.StatusAccepted {
		return printable(title), nil
	}
	if _, err := v.Library.DeleteVideo(v.ctx, &rpc.DeleteVideoRequest{Id: video.Id}); err != nil {
		v.Log.Warn("a video whose file was refused stays", "video", video.Id, "err", err)
	}
	return "", got.problem()
}

// answer is the answer of a handler of this node that is asked for somebody.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// problem is the error that the answer tells of (RFC 9457).
func (a *answer) problem() error {
	var p struct{ Code, Detail string }
	if err := json.Unmarshal(a.body.Bytes(), &p); err != nil || p.Detail == "" {
		return fmt.Errorf("status %d: %s", a.status, a.body.String())
	}
	return rpc.Invalid(p.Code, "%s", p.Detail)
}
