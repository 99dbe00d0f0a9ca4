package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"streamgate/app/apptest"
	"streamgate/app/events"
	"streamgate/app/rpc"
)

// spanSink is an OTLP collector that keeps what it is sent.
type spanSink struct {
	collector.UnimplementedTraceServiceServer
	mu        sync.Mutex
	spans     []*otlp.Span
	resources []string
}

// Export implements collector.TraceServiceServer.
func (s *spanSink) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range req.ResourceSpans {
		s.resources = append(s.resources, r.Resource.String())
		for _, scope := range r.ScopeSpans {
			s.spans = append(s.spans, scope.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// startSink serves a collector on loopback and returns its URL.
func startSink(t *testing.T) (*spanSink, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink, server := &spanSink{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(server, sink)
	go server.Serve(ln)
	t.Cleanup(server.Stop)
	return sink, "http://" + ln.Addr().String()
}

// span is one that was received, with what the tests look at.
type span struct {
	*otlp.Span
	id, parent, trace string
	attrs             map[string]string
}

// all returns the spans that were received, by id.
func (s *spanSink) all() map[string]span {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]span{}
	for _, raw := range s.spans {
		sp := span{raw, hex.EncodeToString(raw.SpanId), hex.EncodeToString(raw.ParentSpanId), hex.EncodeToString(raw.TraceId), map[string]string{}}
		for _, a := range raw.Attributes {
			if text, ok := a.Value.Value.(*common.AnyValue_StringValue); ok {
				sp.attrs[a.Key] = text.StringValue
			} else {
				sp.attrs[a.Key] = strconv.FormatInt(a.Value.GetIntValue(), 10)
			}
		}
		out[sp.id] = sp
	}
	return out
}

// client sends uploads to a node over its socket.
type client struct {
	t    *testing.T
	http *http.Client
	n    *Node
	over chan events.Task // tasks that have succeeded or failed
}

func newClient(t *testing.T, n *Node) *client {
	t.Helper()
	c := &client{t: t, http: socketClient(n.kernel.DataDir), n: n, over: make(chan events.Task, 10)}
	for _, topic := range []events.Topic[events.Task]{events.TaskCompleted, events.TaskFailed} {
		if _, err := topic.Listen(n.kernel.Bus, func(task events.Task) { c.over <- task }); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *client) send(method, path string, body []byte, header map[string]string, out any) int {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://socket"+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text := readAll(c.t, resp); json.Unmarshal([]byte(text), out) != nil {
		c.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode
}

func (c *client) newVideo() string {
	c.t.Helper()
	var video struct{ ID string }
	c.send(http.MethodPost, "/api/v1/videos", []byte(`{"title": "A secret title"}`), nil, &video)
	return video.ID
}

// upload sends a source and waits until its task is over.
func (c *client) upload(source []byte, header map[string]string) (video string) {
	c.t.Helper()
	video = c.newVideo()
	var out struct {
		TaskID string `json:"task_id"`
	}
	if status := c.send(http.MethodPut, "/api/v1/videos/"+video+"/source", source, header, &out); status != http.StatusAccepted {
		c.t.Fatalf("PUT: %d", status)
	}
	for {
		select {
		case task := <-c.over:
			if task.TaskID != out.TaskID {
				continue
			}
			if task.State != "succeeded" {
				c.t.Fatalf("the task is %s", task.State)
			}
			return video
		case <-time.After(time.Minute):
			c.t.Fatal("the task is not over after a minute")
		}
	}
}

// shortClip is 5 s that must be encoded, with a tone.
func shortClip(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a-secret-name.mkv")
	args := "-nostdin -v error -f lavfi -i testsrc2=size=320x180:rate=25:duration=5 -f lavfi -i sine=frequency=440:duration=5 " +
		"-c:v mpeg4 -q:v 6 -c:a aac -metadata title=secret " + path
	if out, err := exec.Command("ffmpeg", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestTrace: one trace leads from the upload's last byte to the last cell, and
// all of it has reached the collector when the node has stopped.
func TestTrace(t *testing.T) {
	sink, url := startSink(t)
	cfg := testConfig(t, t.TempDir())
	cfg.Monitor.OTLPEndpoint = url
	n := startNode(t, cfg)
	c := newClient(t, n)
	source := shortClip(t)

	own := c.upload(source, nil)
	const caller, callerSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	told := c.upload(source, map[string]string{"Traceparent": "00-" + caller + "-" + callerSpan + "-01"})
	var problem struct {
		TraceID string `json:"trace_id"`
	}
	refused := c.newVideo()
	c.send(http.MethodPut, "/api/v1/videos/"+refused+"/source", source,
		map[string]string{"Repr-Digest": "sha-256=:" + strings.Repeat("A", 43) + "=:"}, &problem)

	cells := map[string][]string{}
	for _, video := range []string{own, told} {
		plan, err := n.kernel.Stores.Catalog.Plans.Plan(t.Context(), video)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range plan.Renditions {
			for seg := range plan.Timeline.Segments() {
				cells[video] = append(cells[video], fmt.Sprintf("%s/%d", r.Name, seg))
			}
		}
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}

	spans := sink.all()
	wantTrace(t, spans, own, "", cells[own])
	if got := wantTrace(t, spans, told, callerSpan, cells[told]); got != caller {
		t.Errorf("the caller's trace %s went on as %s", caller, got)
	}
	for _, s := range spans {
		if s.attrs["streamgate.video.id"] == refused && (s.trace != problem.TraceID || s.Status.GetMessage() != "checksum_mismatch") {
			t.Errorf("the refused upload is told of as %s, and traced as %v", problem.TraceID, s)
		}
		if text := s.String(); strings.Contains(text, "secret") {
			t.Errorf("a span tells too much: %s", text)
		}
	}
	if r := strings.Join(sink.resources, "\n"); !strings.Contains(r, n.kernel.NodeID) {
		t.Errorf("the spans do not say which node sent them: %s", r)
	}
}

// wantTrace checks the trace of a video whose upload came from a span of its
// caller's, or from none, and returns the trace's id.
func wantTrace(t *testing.T, spans map[string]span, video, caller string, cells []string) string {
	t.Helper()
	var root span
	for _, s := range spans {
		if s.Name == "upload finish" && s.attrs["streamgate.video.id"] == video {
			root = s
		}
	}
	if root.Span == nil || root.parent != caller {
		t.Fatalf("the upload's span is %v", root)
	}
	count, made := map[string]int{}, []string{}
	for _, s := range spans {
		if id := s.attrs["streamgate.video.id"]; id == video && s.trace != root.trace {
			t.Errorf("%s is in trace %s, not in that of its video", s.Name, s.trace)
		}
		if s.trace != root.trace {
			continue
		}
		count[s.Name]++
		if s.Name == "cell" {
			made = append(made, s.attrs["streamgate.rendition"]+"/"+s.attrs["streamgate.segment"])
		}
		if kind := s.attrs["streamgate.job.kind"]; kind != "" && (s.attrs["streamgate.job.outcome"] != "done" || s.attrs["streamgate.worker"] == "") {
			t.Errorf("the job's span says %v", s.attrs)
		}
		if s.id != root.id {
			wantParent(t, spans, s)
		}
	}
	slices.Sort(made)
	slices.Sort(cells)
	if !slices.Equal(made, cells) {
		t.Errorf("cells %v, want %v", made, cells)
	}
	for _, name := range []string{"upload finish", "task create", "task submitted", "task started", "job plan", "plan", "job stills", "task completed"} {
		if count[name] != 1 {
			t.Errorf("%d spans %q", count[name], name)
		}
	}
	if count["job chunk"] < 2 || count["job audio"] < 1 || count["encode"] < 3 {
		t.Errorf("spans by name: %v", count)
	}
	return root.trace
}

// wantParent checks that a span's parent is the right one, and that its time is
// within its parent's; jobs come after the span in which their task was made.
func wantParent(t *testing.T, spans map[string]span, s span) {
	t.Helper()
	parents := map[string]string{
		"task create": "upload finish", "task submitted": "task create", "task started": "job plan",
		"plan": "job plan", "encode": "job ", "cell": "encode", "task completed": "job ",
	}
	want, known := parents[s.Name]
	if !known {
		want = "task create" // jobs
	}
	parent, ok := spans[s.parent]
	if !ok || parent.trace != s.trace || !strings.HasPrefix(parent.Name, want) {
		t.Errorf("%q is under %q (%v), not under %q", s.Name, parent.Name, ok, want)
		return
	}
	const rounding = 2000 // ns: a Jaeger tells start and length in µs
	if s.StartTimeUnixNano > s.EndTimeUnixNano || s.StartTimeUnixNano < parent.StartTimeUnixNano ||
		known && s.EndTimeUnixNano > parent.EndTimeUnixNano+rounding {
		t.Errorf("%q ran outside of %q", s.Name, parent.Name)
	}
}

// TestUnreachableCollector: nothing waits for it and nothing fails; the log
// has one line about it.
func TestUnreachableCollector(t *testing.T) {
	source := shortClip(t)
	for name, accepts := range map[string]bool{"refuses": false, "is silent": true} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			if !accepts {
				ln.Close()
			}
			log := &apptest.Log{}
			cfg := testConfig(t, t.TempDir())
			cfg.Monitor.OTLPEndpoint = "http://" + ln.Addr().String()
			n, err := New(cfg, Options{Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			newClient(t, n).upload(source, nil)
			begun := time.Now()
			if err := n.Stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			if took := time.Since(begun); took > spanGrace+serverGrace {
				t.Errorf("the stop took %v", took)
			}
			if text := log.String(); strings.Count(text, "spans cannot be sent") != 1 || strings.Count(text, "\n") != 1 {
				t.Errorf("the log says\n%s", text)
			}
		})
	}
}

// downExporter fails as long as err is set.
type downExporter struct {
	sdktrace.SpanExporter
	err error
}

func (d *downExporter) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return d.err }

func TestExporterTellsOnce(t *testing.T) {
	log := &apptest.Log{}
	down := &downExporter{err: errors.New("no route")}
	e := &exporter{SpanExporter: down, log: slog.New(slog.NewTextHandler(log, nil))}
	batch := make([]sdktrace.ReadOnlySpan, 5)
	export := func(times int) {
		for range times {
			if err := e.ExportSpans(t.Context(), batch); err != nil {
				t.Errorf("the SDK would write %v to standard error", err)
			}
		}
	}
	export(3)
	down.err = nil
	export(2)
	down.err = errors.New("again")
	export(2)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 || !containsAll(lines[0], []string{"WARN", "no route"}) || !containsAll(lines[1], []string{"sent again", "lost=15"}) ||
		!strings.Contains(lines[2], "again") {
		t.Errorf("the log says\n%s", log)
	}
}

func TestSpanIDs(t *testing.T) {
	id := rpc.NewTraceID()
	if got, span := (spanIDs{}).NewIDs(rpc.WithTrace(t.Context(), id, nil)); got.String() != id || !span.IsValid() {
		t.Errorf("trace %s of a request with %s", got, id)
	}
	if got, _ := (spanIDs{}).NewIDs(t.Context()); !got.IsValid() {
		t.Error("no trace id without a request")
	}
}
