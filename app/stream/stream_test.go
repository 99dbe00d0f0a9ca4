package stream_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/apptest"
	"streamgate/app/events"
	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/app/stream"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
)

// tickets opens the video whose id follows "ok-".
type tickets struct{}

func (tickets) Verify(token string, _ time.Time) (string, error) {
	switch id, found := strings.CutPrefix(token, "ok-"); {
	case found:
		return id, nil
	case token == "old":
		return "", stream.ErrTicketExpired
	case token == "sold":
		return "", &stream.EndedError{Code: "not_a_holder", Sentence: "The token was sold.", Admits: []string{"Buy it back."}}
	}
	return "", stream.ErrTicketInvalid
}

// transcoder records demands and does to each what the test says.
type transcoder struct {
	rpc.TranscoderClient // nothing but Demand is called
	demands              chan *rpc.DemandRequest
	onDemand             atomic.Pointer[func(*rpc.DemandRequest) error]
}

func (tc *transcoder) Demand(ctx context.Context, req *rpc.DemandRequest) (*rpc.DemandResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return nil, err
	}
	select {
	case tc.demands <- req:
	default:
	}
	if fn := tc.onDemand.Load(); fn != nil {
		return &rpc.DemandResponse{}, (*fn)(req)
	}
	return &rpc.DemandResponse{}, nil
}

// countingTable counts the reads of video records.
type countingTable struct {
	store.Table[store.Video]
	gets  atomic.Int32
	fault atomic.Pointer[error] // of every Get
	stall atomic.Bool           // Get waits until it is given up
}

func (c *countingTable) Get(ctx context.Context, id string) (store.Video, error) {
	c.gets.Add(1)
	if c.stall.Load() {
		<-ctx.Done()
		return store.Video{}, ctx.Err()
	}
	if fault := c.fault.Load(); fault != nil {
		return store.Video{}, *fault
	}
	return c.Table.Get(ctx, id)
}

// watchedObjects counts what is asked, and tells of each Stat that found nothing.
type watchedObjects struct {
	store.Objects
	stats              chan struct{}
	stat, got, listing atomic.Int32
}

func (w *watchedObjects) Get(ctx context.Context, key string) (io.ReadSeekCloser, store.Object, error) {
	w.got.Add(1)
	return w.Objects.Get(ctx, key)
}

func (w *watchedObjects) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	w.listing.Add(1)
	return w.Objects.List(ctx, prefix)
}

func (w *watchedObjects) Stat(ctx context.Context, key string) (store.Object, error) {
	w.stat.Add(1)
	o, err := w.Objects.Stat(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		select {
		case w.stats <- struct{}{}:
		default:
		}
	}
	return o, err
}

// bench is a service over real stores, behind a real HTTP server.
type bench struct {
	t          testing.TB
	url        string
	handler    http.Handler
	service    *stream.Service
	catalog    store.Catalog
	videos     *countingTable
	objects    *watchedObjects
	bus        *nats.Conn
	transcoder *transcoder
	log        *bytes.Buffer
	registry   *prometheus.Registry
}

func newBench(t testing.TB, change ...func(*stream.Config)) *bench {
	t.Helper()
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "db"), bolt.Options{})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	disk, err := files.Open(filepath.Join(dir, "media"))
	must(t, err)
	objects := &watchedObjects{Objects: disk, stats: make(chan struct{}, 1)}
	b := &bench{t: t, catalog: db.Catalog(), objects: objects, bus: apptest.NewBus(t), log: &bytes.Buffer{}, registry: prometheus.NewRegistry(),
		transcoder: &transcoder{demands: make(chan *rpc.DemandRequest, 16)}}
	b.videos = &countingTable{Table: b.catalog.Videos}
	config := stream.Config{
		Plans: b.catalog.Plans, Videos: b.videos, Objects: objects, Bus: b.bus, Transcoder: b.transcoder,
		Tickets: tickets{}, Metrics: b.registry, Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Hold: 5 * time.Second, Fresh: time.Hour,
	}
	for _, c := range change {
		c(&config)
	}
	b.service, err = stream.New(config)
	must(t, err)
	t.Cleanup(b.service.Close)
	b.handler = b.service.Handler()
	web := httptest.NewServer(b.handler)
	t.Cleanup(web.Close)
	b.url = web.URL
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// film is a plan of three segments with picture and sound.
func film() store.Plan {
	p := store.Plan{
		Source:   store.Source{Width: 1280, Height: 720, FrameRate: 25},
		Timeline: store.Timeline{Timescale: 25, Bounds: []int64{0, 50, 100, 200}, Frames: []int{0, 50, 100, 200}},
		Renditions: []store.Rendition{
			{Name: "720p", Kind: store.KindVideo, Codecs: "avc1.64001f", Init: []byte("init of 720p"), Timescale: 25, Width: 1280, Height: 720, Bandwidth: 3e6, AverageBandwidth: 2e6},
			{Name: "360p", Kind: store.KindVideo, Codecs: "avc1.64001e", Init: []byte("init of 360p"), Timescale: 25, Width: 640, Height: 360, Bandwidth: 1e6, AverageBandwidth: 5e5},
			{Name: "audio", Kind: store.KindAudio, Codecs: "mp4a.40.2", Init: []byte("init of sound"), Timescale: 48000, Channels: 2, SampleRate: 48000, Bandwidth: 136e3, AverageBandwidth: 128e3},
		},
	}
	for _, b := range p.Timeline.Bounds {
		p.Renditions[2].Bounds = append(p.Renditions[2].Bounds, (b*1920+1023)/1024*1024)
	}
	return p
}

// addVideo stores a video, and its plan if it has one.
func (b *bench) addVideo(v store.Video, plan *store.Plan) {
	b.t.Helper()
	must(b.t, b.catalog.Videos.Create(b.t.Context(), v))
	if plan != nil {
		must(b.t, b.catalog.Plans.SavePlan(b.t.Context(), v.ID, *plan))
	}
}

func (b *bench) addFilm(id string, public bool) {
	b.t.Helper()
	p := film()
	b.addVideo(store.Video{ID: id, Public: public, State: store.VideoPlayable}, &p)
}

func (b *bench) put(key, body string) {
	b.t.Helper()
	_, err := store.PutBytes(b.t.Context(), b.objects, key, []byte(body), store.Replace)
	must(b.t, err)
}

// reply is a response that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) code(t *testing.T) string {
	t.Helper()
	var p rpc.Problem
	if r.header.Get("Content-Type") != rpc.ProblemType || json.Unmarshal([]byte(r.body), &p) != nil {
		t.Fatalf("%d is no problem: %v %q", r.status, r.header, r.body)
	}
	if p.Title == "" || p.Detail == "" || p.Instance == "" || p.TraceID == "" {
		t.Errorf("a problem with gaps: %+v", p)
	}
	return p.Code
}

func (b *bench) do(method, path string, header ...string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, nil)
	must(b.t, err)
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	must(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(b.t, err)
	return reply{resp.StatusCode, resp.Header, string(body)}
}

func (b *bench) get(path string, header ...string) reply {
	b.t.Helper()
	return b.do(http.MethodGet, path, header...)
}

// Every address: what it answers and with which headers, under both scopes;
// and HEAD answers the same without the body.
func TestAddresses(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	b.put(store.CellKey("pub", "720p", 1), "cell 1 of 720p")
	b.put(store.CellKey("pub", "audio", 0), "cell 0 of sound")
	b.put(store.StillKey("pub", "poster.jpg"), "poster")
	b.put(store.StillKey("pub", "storyboard.vtt"), "WEBVTT")
	b.put(store.StillKey("pub", "storyboard-0.jpg"), "sheet")

	const forever = "max-age=31536000, immutable"
	list, still := [2]string{"private, no-cache", "public, max-age=2"}, [2]string{"private, max-age=3600", "public, max-age=3600"}
	cell := [2]string{"private, " + forever, "public, " + forever}
	tests := []struct {
		name, contentType, body string // a part of the body
		caching                 [2]string
	}{
		{"master.m3u8", "application/vnd.apple.mpegurl", "#EXT-X-STREAM-INF", list},
		{"manifest.mpd", "application/dash+xml", "<MPD", list},
		{"720p/index.m3u8", "application/vnd.apple.mpegurl", "2.m4s", list},
		{"audio/index.m3u8", "application/vnd.apple.mpegurl", "2.m4s", list},
		{"360p/iframes.m3u8", "application/vnd.apple.mpegurl", "I-FRAMES-ONLY", list},
		{"720p/init.mp4", "video/mp4", "init of 720p", cell},
		{"audio/init.mp4", "audio/mp4", "init of sound", cell},
		{"360p/init.mp4", "video/mp4", "init of 360p", cell},
		{"720p/1.m4s", "video/mp4", "cell 1 of 720p", cell},
		{"audio/0.m4s", "audio/mp4", "cell 0 of sound", cell},
		{"poster.jpg", "image/jpeg", "poster", still},
		{"storyboard.vtt", "text/vtt; charset=utf-8", "WEBVTT", still},
		{"storyboard-0.jpg", "image/jpeg", "sheet", still},
	}
	for i, base := range [2]string{"/s/ok-pub/", "/v/pub/"} {
		for _, tt := range tests {
			t.Run(base+tt.name, func(t *testing.T) {
				got := b.get(base + tt.name)
				if got.status != 200 || !strings.Contains(got.body, tt.body) {
					t.Fatalf("%d %q", got.status, got.body)
				}
				for name, want := range map[string]string{
					"Content-Type": tt.contentType, "Cache-Control": tt.caching[i], "Accept-Ranges": "bytes",
					"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Content-Length, Content-Range, ETag",
					"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				} {
					if got := got.header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				etag := got.header.Get("Etag")
				if len(etag) < 3 || etag[0] != '"' || got.header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("headers %v", got.header)
				}
				sameHead(t, got, b.do(http.MethodHead, base+tt.name))
				conditions(t, b, base+tt.name, got)
			})
		}
	}
}

func sameHead(t *testing.T, get, head reply) {
	t.Helper()
	get.header.Del("Date")
	head.header.Del("Date")
	a, _ := json.Marshal(get.header)
	b, _ := json.Marshal(head.header)
	if head.status != get.status || head.body != "" || !bytes.Equal(a, b) {
		t.Errorf("HEAD %d %s\n GET %d %s", head.status, b, get.status, a)
	}
}

// conditions tries ranges and validators on a resource that answered whole.
func conditions(t *testing.T, b *bench, path string, whole reply) {
	t.Helper()
	etag := whole.header.Get("Etag")
	tests := []struct {
		name   string
		header []string
		status int
		body   string
	}{
		{"known", []string{"If-None-Match", etag}, 304, ""},
		{"changed", []string{"If-None-Match", `"other"`}, 200, whole.body},
		{"range", []string{"Range", "bytes=1-3"}, 206, whole.body[1:4]},
		{"range if unchanged", []string{"Range", "bytes=-2", "If-Range", etag}, 206, whole.body[len(whole.body)-2:]},
		{"range if changed", []string{"Range", "bytes=0-1", "If-Range", `"other"`}, 200, whole.body},
		{"beyond the end", []string{"Range", "bytes=900000-"}, 416, ""},
	}
	for _, tt := range tests {
		got := b.get(path, tt.header...)
		if got.status != tt.status || tt.body != "" && got.body != tt.body {
			t.Errorf("%s: %d %q, want %d %q", tt.name, got.status, got.body, tt.status, tt.body)
		}
	}
}

func TestErrors(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	b.addFilm("secret", false)
	b.addVideo(store.Video{ID: "bad", Public: true, State: store.VideoFailed,
		Failure: &store.Failure{Code: "not_a_video", Message: "The file is not a video."}}, nil)
	tests := []struct {
		path   string
		status int
		code   string
	}{
		{"/v/secret/master.m3u8", 401, "session_required"},
		{"/v/secret/720p/0.m4s", 401, "session_required"},
		{"/v/secret/poster.jpg", 401, "session_required"},
		{"/s/old/master.m3u8", 401, "ticket_expired"},
		{"/s/forged/720p/0.m4s", 401, "ticket_invalid"},
		{"/s/sold/720p/0.m4s", 403, "not_a_holder"},
		{"/s/sold/session", 403, "not_a_holder"},
		{"/s/old/session", 401, "ticket_expired"},
		{"/v/secret/session", 401, "session_required"},
		{"/v/none/master.m3u8", 404, "video_not_found"},
		{"/s/ok-none/720p/0.m4s", 404, "video_not_found"},
		{"/v/pub/4k/index.m3u8", 404, "not_found"},
		{"/v/pub/4k/init.mp4", 404, "not_found"},
		{"/v/pub/4k/0.m4s", 404, "not_found"},
		{"/v/pub/720p/3.m4s", 404, "not_found"}, // one past the end
		{"/v/pub/360p/iframe-3.m4s", 404, "not_found"},
		{"/v/pub/source", 404, "not_found"},
		{"/s/ok-secret/720p/../720p", 404, "not_found"},
		{"/v/pub/poster.jpg", 404, "still_not_made"},
		{"/v/bad/master.m3u8", 410, "video_failed"},
		{"/v/bad/720p/0.m4s", 410, "video_failed"},
	}
	for _, tt := range tests {
		got := b.get(tt.path)
		if got.status != tt.status || got.code(t) != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.path, got.status, got.body, tt.status, tt.code)
		}
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: headers %v", tt.path, got.header)
		}
		if strings.Contains(got.body, "ok-") || strings.Contains(got.body, "forged") {
			t.Errorf("%s: the error names the ticket: %s", tt.path, got.body)
		}
	}
	if got := b.get("/s/sold/720p/0.m4s"); !strings.Contains(got.body, `"admits":["Buy it back."]`) {
		t.Errorf("what would admit the viewer is not told: %s", got.body)
	}
	if got := b.get("/s/ok-secret/session"); got.status != 204 || got.header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("a session that plays: %d %v", got.status, got.header)
	}
	if got := b.get("/v/bad/master.m3u8"); !strings.Contains(got.body, "The file is not a video.") {
		t.Errorf("the reason is not told: %s", got.body)
	}
	if strings.Contains(b.log.String(), "ok-") || strings.Contains(b.log.String(), "forged") {
		t.Errorf("the log names a ticket: %s", b.log)
	}
}

func TestMethods(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	if got := b.do(http.MethodPost, "/v/pub/master.m3u8"); got.status != 405 || got.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: %d %v", got.status, got.header)
	}
	got := b.do(http.MethodOptions, "/s/anything/720p/0.m4s", "Origin", "https://example.org", "Access-Control-Request-Method", "GET")
	for name, want := range map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
		"Access-Control-Allow-Headers": "Authorization, Range"} {
		if got.status != 204 || got.header.Get(name) != want {
			t.Errorf("OPTIONS: %d, %s %q", got.status, name, got.header.Get(name))
		}
	}
}

func TestGzip(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	whole := b.get("/v/pub/master.m3u8")
	got := b.get("/v/pub/master.m3u8", "Accept-Encoding", "br, gzip")
	zr, err := gzip.NewReader(strings.NewReader(got.body))
	must(t, err)
	text, err := io.ReadAll(zr)
	must(t, err)
	if string(text) != whole.body || got.header.Get("Content-Encoding") != "gzip" || got.header.Get("Vary") != "Accept-Encoding" ||
		whole.header.Get("Vary") != "Accept-Encoding" || got.header.Get("Etag") == whole.header.Get("Etag") {
		t.Errorf("gzip: %v\nwhole: %v", got.header, whole.header)
	}
	if again := b.get("/v/pub/master.m3u8", "Accept-Encoding", "gzip", "If-None-Match", got.header.Get("Etag")); again.status != 304 {
		t.Errorf("unchanged: %d", again.status)
	}
	b.put(store.CellKey("pub", "720p", 0), strings.Repeat("a", 1000))
	if cell := b.get("/v/pub/720p/0.m4s", "Accept-Encoding", "gzip"); cell.header.Get("Content-Encoding") != "" || cell.header.Get("Content-Length") != "1000" {
		t.Errorf("a cell was compressed: %v", cell.header)
	}
}

// A cell that does not exist is demanded, and comes as soon as it is there.
func TestCellIsDemanded(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	made := func(req *rpc.DemandRequest) error {
		b.put(store.CellKey(req.VideoId, req.Rendition, int(req.Segment)), "made to order")
		return events.CellsReady.Publish(b.bus, events.Cells{VideoID: req.VideoId, Rendition: req.Rendition, Segment: int(req.Segment)})
	}
	b.transcoder.onDemand.Store(&made)
	got := b.get("/v/pub/360p/2.m4s")
	if got.status != 200 || got.body != "made to order" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if req := <-b.transcoder.demands; req.VideoId != "pub" || req.Rendition != "360p" || req.Segment != 2 {
		t.Errorf("demanded %v", req)
	}
}

// soldLater opens a video until its token is sold.
type soldLater struct{ sold atomic.Bool }

func (s *soldLater) Verify(string, time.Time) (string, error) {
	if s.sold.Load() {
		return "", &stream.EndedError{Code: "not_a_holder", Sentence: "The token was sold."}
	}
	return "secret", nil
}

// A session that ends while its request is held gets nothing any more.
func TestSoldWhileHeld(t *testing.T) {
	gate := &soldLater{}
	b := newBench(t, func(c *stream.Config) { c.Tickets = gate })
	b.addFilm("secret", false)
	made := func(req *rpc.DemandRequest) error {
		gate.sold.Store(true)
		b.put(store.CellKey(req.VideoId, req.Rendition, int(req.Segment)), "too late")
		return events.CellsReady.Publish(b.bus, events.Cells{VideoID: req.VideoId, Rendition: req.Rendition, Segment: int(req.Segment)})
	}
	b.transcoder.onDemand.Store(&made)
	if got := b.get("/s/ticket/360p/2.m4s"); got.status != 403 || got.code(t) != "not_a_holder" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// byEventOnly lets nothing but an event end a hold in time.
func byEventOnly(c *stream.Config) { c.Poll, c.Hold = time.Hour, 2*time.Second }

// The event alone wakes the request.
func TestCellEventWakes(t *testing.T) {
	b := newBench(t, byEventOnly)
	b.addFilm("pub", true)
	got := make(chan reply, 1)
	looked := b.objects.stats
	go func() { got <- b.get("/v/pub/720p/1.m4s") }()
	<-looked // and saw nothing
	b.put(store.CellKey("pub", "720p", 1), "late")
	must(t, events.CellsReady.Publish(b.bus, events.Cells{VideoID: "pub", Rendition: "720p", Segment: 1}))
	if r := <-got; r.status != 200 || r.body != "late" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestCellNeverComes(t *testing.T) {
	b := newBench(t, func(c *stream.Config) { c.Hold = 20 * time.Millisecond })
	b.addFilm("pub", true)
	for _, path := range []string{"/v/pub/720p/0.m4s", "/v/pub/360p/iframe-0.m4s"} {
		if got := b.get(path); got.status != 503 || got.header.Get("Retry-After") != "1" || got.code(t) != "cell_pending" {
			t.Errorf("%s: %d %v %s", path, got.status, got.header, got.body)
		}
	}
	over := func(*rpc.DemandRequest) error {
		return rpc.Errorf(connect.CodeFailedPrecondition, "cell_not_coming", "The task was cancelled.")
	}
	b.transcoder.onDemand.Store(&over)
	if got := b.get("/v/pub/720p/0.m4s"); got.status != 410 || got.code(t) != "cell_not_coming" {
		t.Errorf("%d %s", got.status, got.body)
	}
	unreachable := func(*rpc.DemandRequest) error { return errors.New("connection refused") }
	b.transcoder.onDemand.Store(&unreachable)
	if got := b.get("/v/pub/720p/0.m4s"); got.status != 503 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestTooManyWait(t *testing.T) {
	b := newBench(t, func(c *stream.Config) { c.Waiters = 1 })
	b.addFilm("pub", true)
	held := make(chan reply, 1)
	go func() { held <- b.get("/v/pub/720p/0.m4s") }()
	<-b.transcoder.demands
	if got := b.get("/v/pub/720p/1.m4s"); got.status != 503 || got.code(t) != "too_many_waiting" {
		t.Errorf("%d %s", got.status, got.body)
	}
	b.service.Close()
	if got := <-held; got.status != 503 || got.code(t) != "shutting_down" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A playlist asked for before the plan exists is held until it does.
func TestPlanIsAwaited(t *testing.T) {
	b := newBench(t, byEventOnly)
	b.addVideo(store.Video{ID: "new", Public: true, State: store.VideoProcessing}, nil)
	got := make(chan reply, 1)
	go func() { got <- b.get("/v/new/master.m3u8") }()
	b.until(func() bool { return b.videos.gets.Load() >= 2 }) // the hold has looked
	p := film()
	must(t, b.catalog.Plans.SavePlan(t.Context(), "new", p))
	must(t, events.VideoChanged.Publish(b.bus, events.Video{VideoID: "new"}))
	if r := <-got; r.status != 200 || !strings.Contains(r.body, "720p/index.m3u8") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestPlanNeverComes(t *testing.T) {
	b := newBench(t, func(c *stream.Config) { c.Hold = 20 * time.Millisecond })
	b.addVideo(store.Video{ID: "new", Public: true, State: store.VideoProcessing}, nil)
	if got := b.get("/v/new/720p/0.m4s"); got.status != 503 || got.code(t) != "video_pending" || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

// waitFor reads the metrics until a gauge has a value.
func (b *bench) waitFor(name string, want float64) {
	b.t.Helper()
	b.until(func() bool {
		families, err := b.registry.Gather()
		must(b.t, err)
		for _, f := range families {
			if f.GetName() == name && f.GetMetric()[0].GetGauge().GetValue() == want {
				return true
			}
		}
		return false
	})
}

// until waits for what another goroutine is about to do.
func (b *bench) until(done func() bool) {
	b.t.Helper()
	for start := time.Now(); !done(); {
		if time.Since(start) > 5*time.Second {
			b.t.Fatal("it does not happen")
		}
	}
}

// A known video is not read again until an event says that it has changed;
// an event that is lost costs no more than Fresh.
func TestVideoIsRemembered(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	b.put(store.CellKey("pub", "720p", 0), "cell")
	for range 5 {
		b.get("/v/pub/720p/0.m4s")
		b.get("/s/ok-pub/master.m3u8")
	}
	if n := b.videos.gets.Load(); n != 1 {
		t.Errorf("read %d times, want once", n)
	}
	_, err := b.catalog.Videos.Update(t.Context(), "pub", func(v *store.Video) error { v.Public = false; return nil })
	must(t, err)
	must(t, events.VideoChanged.Publish(b.bus, events.Video{VideoID: "pub"}))
	b.until(func() bool { return b.get("/v/pub/720p/0.m4s").status == 401 })
	must(t, b.catalog.Videos.Delete(t.Context(), "pub"))
	must(t, events.VideoDeleted.Publish(b.bus, events.Video{VideoID: "pub"}))
	b.until(func() bool { return b.get("/s/ok-pub/720p/0.m4s").status == 404 })
}

// showNext makes another edition what a film shows, as the transcoder does: the
// plan first, then the record.
func (b *bench) showNext(id string) {
	b.t.Helper()
	small := film().Renditions[1]
	small.Name, small.Init = "360p-2", []byte("init of 360p-2")
	plan, err := b.catalog.Plans.UpdatePlan(b.t.Context(), id, func(p *store.Plan) error {
		p.Begin(store.Edition{TaskID: "t2", Renditions: []store.Rendition{small, p.Renditions[2]}}, time.Time{})
		p.Show(time.Now().Add(time.Hour))
		return nil
	})
	must(b.t, err)
	_, err = b.catalog.Videos.Update(b.t.Context(), id, func(v *store.Video) error { v.PlanRevision = plan.Revision; return nil })
	must(b.t, err)
}

// When another edition is shown, playlists name it, and what the old ones named
// goes on playing until it is removed; also if the event was missed.
func TestAnotherEditionIsShown(t *testing.T) {
	for name, event := range map[string]bool{"with the event": true, "without it": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(c *stream.Config) {
				if !event {
					c.Fresh = time.Nanosecond
				}
			})
			b.addFilm("pub", true)
			for _, key := range []string{store.CellKey("pub", "720p", 0), store.CellKey("pub", "360p-2", 0), store.CellKey("pub", "audio", 0)} {
				b.put(key, "cell "+key)
			}
			old := []string{"720p/index.m3u8", "720p/init.mp4", "720p/0.m4s", "360p/index.m3u8", "360p/iframes.m3u8", "audio/0.m4s"}
			before := map[string]string{}
			for _, path := range append(old, "master.m3u8", "manifest.mpd") {
				before[path] = b.get("/v/pub/" + path).body
			}
			if got := b.get("/v/pub/360p-2/0.m4s"); got.status != 404 {
				t.Errorf("a cell of nothing that is planned: %d", got.status)
			}
			b.showNext("pub")
			if event {
				must(t, events.VideoChanged.Publish(b.bus, events.Video{VideoID: "pub"}))
			}
			b.until(func() bool { return b.get("/v/pub/master.m3u8").body != before["master.m3u8"] })

			for _, path := range []string{"master.m3u8", "manifest.mpd"} {
				got := b.get("/v/pub/" + path)
				if !strings.Contains(got.body, "360p-2") || strings.Contains(got.body, "720p") || got.body == before[path] {
					t.Errorf("%s:\n%s", path, got.body)
				}
			}
			for path, want := range map[string]string{
				"360p-2/init.mp4": "init of 360p-2", "360p-2/0.m4s": "cell ", "360p-2/index.m3u8": "2.m4s", "360p-2/iframes.m3u8": "iframe-2.m4s",
			} {
				if got := b.get("/v/pub/" + path); got.status != 200 || !strings.Contains(got.body, want) {
					t.Errorf("%s: %d %q", path, got.status, got.body)
				}
			}
			for _, path := range old {
				if got := b.get("/v/pub/" + path); got.status != 200 || got.body != before[path] {
					t.Errorf("%s of before: %d", path, got.status)
				}
			}
			_, err := b.catalog.Plans.UpdatePlan(t.Context(), "pub", func(p *store.Plan) error {
				p.RemoveRetired(time.Now().Add(2 * time.Hour))
				return nil
			})
			must(t, err)
			_, err = b.catalog.Videos.Update(t.Context(), "pub", func(v *store.Video) error { v.PlanRevision++; return nil })
			must(t, err)
			must(t, events.VideoChanged.Publish(b.bus, events.Video{VideoID: "pub"}))
			b.until(func() bool { return b.get("/v/pub/720p/0.m4s").status == 404 })
			if got := b.get("/v/pub/audio/0.m4s"); got.body != before["audio/0.m4s"] {
				t.Errorf("the sound, which is shown: %d", got.status)
			}
		})
	}
}

func TestLostEventCostsFresh(t *testing.T) {
	b := newBench(t, func(c *stream.Config) { c.Fresh = time.Nanosecond })
	b.addFilm("pub", true)
	if got := b.get("/v/pub/master.m3u8"); got.status != 200 {
		t.Fatal(got.status)
	}
	_, err := b.catalog.Videos.Update(t.Context(), "pub", func(v *store.Video) error { v.Public = false; return nil })
	must(t, err)
	if got := b.get("/v/pub/master.m3u8"); got.status != 401 {
		t.Errorf("%d", got.status)
	}
}

// While the store is away, what was known goes on; what is not known, or is known
// to have changed, is 503.
func TestStoreAway(t *testing.T) {
	away := fmt.Errorf("read: %w", store.ErrUnavailable)
	b := newBench(t, func(c *stream.Config) { c.Fresh = time.Nanosecond })
	for _, id := range []string{"known", "other", "changed"} {
		b.addFilm(id, true)
		b.put(store.CellKey(id, "720p", 0), "cell")
	}
	for _, path := range []string{"/v/known/master.m3u8", "/v/changed/master.m3u8"} {
		if got := b.get(path); got.status != 200 {
			t.Fatal(got.status)
		}
	}
	must(t, events.VideoChanged.Publish(b.bus, events.Video{VideoID: "changed"}))
	b.until(func() bool {
		before := b.videos.gets.Load()
		b.get("/v/changed/720p/0.m4s")
		return b.videos.gets.Load() > before
	})
	must(t, events.VideoChanged.Publish(b.bus, events.Video{VideoID: "changed"}))
	must(t, b.bus.Flush())
	b.videos.fault.Store(&away)
	b.until(func() bool { return b.get("/v/changed/720p/0.m4s").status == 503 })
	for path, want := range map[string]int{
		"/v/known/master.m3u8": 200, "/v/known/720p/index.m3u8": 200, "/v/known/manifest.mpd": 200, "/v/known/720p/0.m4s": 200,
		"/s/ok-known/720p/0.m4s": 200, "/s/ok-known/session": 204, "/v/other/720p/0.m4s": 503, "/v/changed/720p/0.m4s": 503,
	} {
		got := b.get(path)
		if got.status != want || want == 503 && (got.code(t) != "store_unavailable" || got.header.Get("Retry-After") == "") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	b.videos.fault.Store(nil)
	b.videos.stall.Store(true)
	begun := time.Now()
	if got := b.get("/v/known/720p/0.m4s"); got.status != 200 || time.Since(begun) > 4*time.Second {
		t.Errorf("a store that does not answer: %d after %v", got.status, time.Since(begun))
	}
	b.videos.stall.Store(false)
	b.until(func() bool { return b.get("/v/changed/720p/0.m4s").status == 200 })
}

// The measured rate replaces the estimate once a rendition is complete.
func TestRatesBecomeTrue(t *testing.T) {
	b := newBench(t, func(c *stream.Config) { c.Fresh = time.Nanosecond })
	b.addFilm("pub", true)
	before, cell := b.get("/v/pub/master.m3u8"), realCell(t)
	for _, r := range []string{"720p", "360p", "audio"} {
		for i := range 3 {
			body := strings.Repeat("x", 1000)
			if r == "360p" {
				body = string(cell)
			}
			b.put(store.CellKey("pub", r, i), body)
			must(t, b.catalog.Plans.MarkCells(t.Context(), "pub", store.Cell{Rendition: r, Segment: i, Bytes: int64(len(body))}))
		}
	}
	after := b.get("/v/pub/master.m3u8")
	key, err := media.IFrameCell(cell, 0)
	must(t, err)
	// Peaks are those of the first two cells, of 2 s.
	want := []string{"BANDWIDTH=7990,AVERAGE-BANDWIDTH=6000,", fmt.Sprintf("BANDWIDTH=%d,AVERAGE-BANDWIDTH=%d,", 4*len(key), 3*len(key))}
	if !strings.Contains(before.body, "AVERAGE-BANDWIDTH=2128000") || !strings.Contains(after.body, want[0]) ||
		!strings.Contains(after.body, "#EXT-X-I-FRAME-STREAM-INF:"+want[1]) || before.header.Get("Etag") == after.header.Get("Etag") {
		t.Errorf("before:\n%s\nafter:\n%s\nwant %q", before.body, after.body, want)
	}

	// A cell that is lost costs only its rendition the measurement.
	must(t, b.objects.Delete(t.Context(), store.CellKey("pub", "720p", 1)))
	_, err = b.catalog.Videos.Update(t.Context(), "pub", func(v *store.Video) error { v.Storyboard = true; return nil })
	must(t, err)
	b.put(store.StillKey("pub", "storyboard-0.jpg"), "a sheet of 16 bytes")
	if got := b.get("/v/pub/manifest.mpd"); !strings.Contains(got.body, `id="720p" bandwidth="3000000"`) ||
		!strings.Contains(got.body, `bandwidth="3990"`) || !strings.Contains(got.body, `contentType="image"`) {
		t.Errorf("with a lost cell:\n%s", got.body)
	}
}

// To measure asks once for each rendition, and for the heads of cells once in the life
// of a video, whatever number of documents, nodes and starts there is.
func TestRatesAskSeldom(t *testing.T) {
	b := newBench(t, func(c *stream.Config) { c.Fresh = time.Nanosecond })
	p := film()
	b.addVideo(store.Video{ID: "pub", Public: true, State: store.VideoPlayable}, &p)
	cell := realCell(t)
	for _, r := range p.Renditions {
		for i := range p.Timeline.Segments() {
			b.put(store.CellKey("pub", r.Name, i), string(cell))
			must(t, b.catalog.Plans.MarkCells(t.Context(), "pub", store.Cell{Rendition: r.Name, Segment: i, Bytes: int64(len(cell))}))
		}
	}
	b.put(store.StillKey("pub", "storyboard-0.jpg"), "a sheet of 16 bytes")
	var first string
	for i, want := range []struct{ stat, got, listing int32 }{{0, 1 + 3, 3}, {0, 1, 3 + 1}} {
		_, err := b.catalog.Videos.Update(t.Context(), "pub", func(v *store.Video) error { v.Storyboard = i > 0; return nil })
		must(t, err)
		b.objects.stat.Store(0)
		b.objects.got.Store(0)
		b.objects.listing.Store(0)
		for _, name := range []string{"manifest.mpd", "master.m3u8"} {
			got := b.get("/v/pub/" + name)
			if got.status != 200 {
				t.Fatalf("%s: %d %s", name, got.status, got.body)
			}
			if name == "master.m3u8" && i == 0 {
				first = got.body
			} else if name == "master.m3u8" && got.body != first {
				t.Errorf("measured anew:\n%s\nbefore:\n%s", got.body, first)
			}
		}
		if stat, got, listing := b.objects.stat.Load(), b.objects.got.Load(), b.objects.listing.Load(); stat != want.stat || got != want.got || listing != want.listing {
			t.Errorf("round %d: %d objects were looked at, %d opened, %d lists read; want %+v", i, stat, got, listing, want)
		}
	}
}

// More videos than are kept in memory are all served.
func TestShelfIsBounded(t *testing.T) {
	b := newBench(t, func(c *stream.Config) { c.Known = 2 })
	for _, id := range []string{"a", "b", "c"} {
		b.addFilm(id, true)
	}
	for _, id := range []string{"a", "b", "a", "c", "a"} { // c pushes b out, the least lately used
		if got := b.get("/v/" + id + "/master.m3u8"); got.status != 200 {
			t.Errorf("%s: %d", id, got.status)
		}
	}
	if n := b.videos.gets.Load(); n != 3 {
		t.Errorf("read %d times, want 3", n)
	}
}

// The one who leaves is not waited for.
func TestClientLeaves(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/v/pub/720p/0.m4s", nil)
	must(t, err)
	gone := make(chan error, 1)
	go func() { _, err := http.DefaultClient.Do(req); gone <- err }()
	<-b.transcoder.demands
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b.waitFor("streamgate_stream_waiters", 0)
}

// readerFrom is a ResponseWriter that sees what it is to read from.
type readerFrom struct {
	*httptest.ResponseRecorder
	src io.Reader
}

func (w *readerFrom) ReadFrom(src io.Reader) (int64, error) {
	w.src = src
	return io.Copy(w.ResponseRecorder, src)
}

// The server's own ReadFrom gets the file itself, whole or in part: only then
// does the kernel send it.
func TestSendfileSurvives(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	b.put(store.CellKey("pub", "720p", 0), "a whole cell")
	for _, ranged := range []string{"", "bytes=2-6"} {
		w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodGet, "/v/pub/720p/0.m4s", nil)
		if ranged != "" {
			r.Header.Set("Range", ranged)
		}
		b.handler.ServeHTTP(w, r)
		limited, ok := w.src.(*io.LimitedReader)
		if !ok {
			t.Fatalf("range %q: ReadFrom saw %T", ranged, w.src)
		}
		if _, ok := limited.R.(*os.File); !ok {
			t.Errorf("range %q: ReadFrom saw %T", ranged, limited.R)
		}
	}
}

func TestMetrics(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	b.put(store.CellKey("pub", "720p", 0), "12345678")
	b.get("/v/pub/720p/0.m4s")
	b.get("/v/pub/master.m3u8")
	b.get("/v/pub/nothing")
	families, err := b.registry.Gather()
	must(t, err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"streamgate_stream_requests_total 2xx cell": 1, "streamgate_stream_requests_total 2xx playlist": 1,
		"streamgate_stream_requests_total 4xx other": 1, "streamgate_stream_bytes_total cell": 8,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
}
