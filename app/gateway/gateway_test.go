package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"

	"streamgate/app/access"
	"streamgate/app/access/identities"
	"streamgate/app/access/sessions"
	"streamgate/app/apptest"
	"streamgate/app/library"
	"streamgate/app/rpc"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/memory"
)

// transcoder is a fake whose CreateTask can be held, fail or panic.
type transcoder struct {
	rpc.UnimplementedTranscoderHandler
	mu     sync.Mutex
	calls  int
	create func(ctx context.Context) error // nil: succeeds
}

func (tr *transcoder) CreateTask(ctx context.Context, req *rpc.CreateTaskRequest) (*rpc.Task, error) {
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return nil, err
	}
	tr.mu.Lock()
	tr.calls++
	create := tr.create
	tr.mu.Unlock()
	if create != nil {
		if err := create(ctx); err != nil {
			return nil, err
		}
	}
	return &rpc.Task{Id: "t" + req.VideoId, VideoId: req.VideoId, State: "queued"}, nil
}

func (tr *transcoder) CancelTask(_ context.Context, req *rpc.CancelTaskRequest) (*rpc.Task, error) {
	return &rpc.Task{Id: req.Id, State: "cancelled"}, nil
}

func (tr *transcoder) ListTasks(_ context.Context, req *rpc.ListTasksRequest) (*rpc.ListTasksResponse, error) {
	if req.VideoId == "not-UTF-8" {
		return &rpc.ListTasksResponse{NextCursor: "\xff"}, nil
	}
	return &rpc.ListTasksResponse{Tasks: []*rpc.Task{{Id: req.VideoId, Priority: req.Limit}}}, nil
}

func (tr *transcoder) GetMetrics(ctx context.Context, _ *rpc.GetMetricsRequest) (*rpc.GetMetricsResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	zero := int32(0)
	return &rpc.GetMetricsResponse{TotalWorkers: &zero, AverageTaskTime: "0s"}, nil
}

// bench is a gateway over real services and embedded stores, on a socket.
type bench struct {
	t          *testing.T
	url        string
	gateway    *Gateway
	access     *access.Service
	transcoder *transcoder
	bus        *nats.Conn
	log        *apptest.Log
	keys       map[string]string // secret by scope
}

func newBench(t *testing.T, tune ...func(*Config)) *bench {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	objects, err := files.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tickets, err := sessions.NewTickets(t.Context(), db.Catalog().Secrets)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, transcoder: &transcoder{}, log: &apptest.Log{}, bus: apptest.NewBus(t), keys: make(map[string]string)}
	log := slog.New(slog.NewTextHandler(b.log, nil))
	t.Cleanup(func() { apptest.WantNoSecrets(t, b.log.String()) })
	cache := memory.NewCache(memory.Options{})
	logins, err := identities.NewLogins(t.Context(), db.Catalog())
	if err != nil {
		t.Fatal(err)
	}
	b.access, err = access.New(access.Config{
		Catalog: db.Catalog(), Cache: cache, Bus: b.bus, Tickets: tickets, Logins: logins, Log: log,
		Sites: func() []string { return []string{b.url} },
	})
	if err != nil {
		t.Fatal(err)
	}
	lib := library.New(library.Config{
		Catalog: db.Catalog(), Objects: objects, Bus: b.bus, Transcoder: b.transcoder,
		Uploads: rpc.UnimplementedUploadsHandler{}, Log: log,
	})
	cfg := Config{
		Services: []Service{
			Library(lib), Uploads(rpc.UnimplementedUploadsHandler{}), Transcoder(b.transcoder),
			Access(b.access), Monitor(rpc.UnimplementedMonitorHandler{}), Alerts(rpc.UnimplementedAlertsHandler{}), Webhooks(rpc.UnimplementedWebhooksHandler{}),
		},
		Auth: b.access, Cache: cache, Bus: b.bus, Log: log,
	}
	for _, f := range tune {
		f(&cfg)
	}
	if b.gateway, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	b.gateway.Mount(mux)
	b.url = serve(t, mux)
	for _, scope := range []string{"read", "uploader", "operator", "admin"} {
		key, err := b.access.CreateKey(rpc.System(t.Context()), &rpc.CreateKeyRequest{Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		b.keys[scope] = key.Secret
	}
	return b
}

// serve runs h with HTTP/1 and unencrypted HTTP/2 until the test ends.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

// do sends a request; headers come in pairs.
func (b *bench) do(scope, method, path, body string, headers ...string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if scope != "" {
		req.Header.Set("Authorization", "Bearer "+b.keys[scope])
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{resp, string(data)}
}

// json decodes the body.
func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("%s: %v in %q", r.Request.URL, err, r.body)
	}
	return m
}

// wantProblem checks a problem whole.
func wantProblem(t *testing.T, r reply, status int, code string) rpc.Problem {
	t.Helper()
	var p rpc.Problem
	decoder := json.NewDecoder(strings.NewReader(r.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil && r.Request.Method != http.MethodHead {
		t.Fatalf("%s %s: %v in %q", r.Request.Method, r.Request.URL, err, r.body)
	}
	if r.StatusCode != status || r.Header.Get("Content-Type") != rpc.ProblemType {
		t.Errorf("%s %s: %d %s %s, want %d", r.Request.Method, r.Request.URL, r.StatusCode, r.Header.Get("Content-Type"), r.body, status)
	}
	if r.Request.Method == http.MethodHead {
		return p
	}
	if p.Code != code || p.Status != status || p.Type != "about:blank" || p.Title == "" || p.Detail == "" ||
		p.Instance != r.Request.URL.EscapedPath() || len(p.TraceID) != 32 {
		t.Errorf("%s %s: problem %+v, want code %q", r.Request.Method, r.Request.URL, p, code)
	}
	if !bytes.Contains(openAPI, []byte(`"`+p.Code+`"`)) {
		t.Errorf("%s is no code of openapi.json", p.Code)
	}
	return p
}

func TestREST(t *testing.T) {
	b := newBench(t)
	r := b.do("uploader", "POST", "/api/v1/videos", `{"title":"A film","public":true}`)
	v := r.json(t)
	id, _ := v["id"].(string)
	if r.StatusCode != http.StatusCreated || r.Header.Get("Location") != b.url+"/api/v1/videos/"+id || id == "" {
		t.Errorf("POST: %d %v %s", r.StatusCode, r.Header, r.body)
	}
	// Defaults are written, names are snake_case, what is unset is not there.
	if v["progress"] != 0.0 || v["task_id"] != "" || v["hls_url"] != b.url+"/v/"+id+"/master.m3u8" || v["error"] != nil {
		t.Errorf("POST: %s", r.body)
	}
	if list, ok := v["renditions"].([]any); !ok || len(list) != 0 {
		t.Errorf("renditions: %s", r.body)
	}
	if strings.Contains(r.body, `": `) {
		t.Errorf("spaces in %s", r.body)
	}

	r = b.do("read", "GET", "/api/v1/videos?limit=1", "")
	if videos, _ := r.json(t)["videos"].([]any); r.StatusCode != http.StatusOK || len(videos) != 1 {
		t.Errorf("list: %d %s", r.StatusCode, r.body)
	}
	r = b.do("operator", "PATCH", "/api/v1/videos/"+id, `{"public":false}`)
	if v := r.json(t); r.StatusCode != http.StatusOK || v["public"] != false || v["title"] != "A film" {
		t.Errorf("PATCH: %d %s", r.StatusCode, r.body)
	}
	head, get := b.do("read", "HEAD", "/api/v1/videos/"+id, ""), b.do("read", "GET", "/api/v1/videos/"+id, "")
	if head.StatusCode != http.StatusOK || head.body != "" || head.ContentLength != int64(len(get.body)) ||
		head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
		t.Errorf("HEAD: %d %v, GET: %d %v", head.StatusCode, head.Header, get.StatusCode, get.Header)
	}
	r = b.do("uploader", "POST", "/api/v1/tasks", `{"video_id":"x"}`, "Content-Type", "application/json; charset=UTF-8")
	if r.StatusCode != http.StatusAccepted || r.Header.Get("Location") != b.url+"/api/v1/tasks/tx" {
		t.Errorf("task: %d %v %s", r.StatusCode, r.Header, r.body)
	}
	r = b.do("operator", "POST", "/api/v1/tasks/tx:cancel", "")
	if v := r.json(t); r.StatusCode != http.StatusOK || v["id"] != "tx" || v["state"] != "cancelled" {
		t.Errorf("cancel: %d %s", r.StatusCode, r.body)
	}
	r = b.do("read", "GET", "/api/v1/tasks?limit=7&video_id=a%20b", "")
	if !strings.Contains(r.body, `"id":"a b"`) || !strings.Contains(r.body, `"priority":7`) {
		t.Errorf("query: %s", r.body)
	}
	r = b.do("read", "GET", "/api/v1/transcoder/metrics", "")
	if v := r.json(t); v["total_workers"] != 0.0 || v["average_task_time"] != "0s" {
		t.Errorf("metrics: %s", r.body)
	}
	r = b.do("read", "POST", "/api/v1/videos/"+id+"/sessions", "")
	if v := r.json(t); r.StatusCode != http.StatusCreated || !strings.HasPrefix(v["hls_url"].(string), b.url+"/s/") {
		t.Errorf("session: %d %s", r.StatusCode, r.body)
	}
	r = b.do("operator", "DELETE", "/api/v1/videos/"+id, "")
	if r.StatusCode != http.StatusNoContent || r.body != "" || r.Header.Get("Content-Type") != "" {
		t.Errorf("DELETE: %d %v %q", r.StatusCode, r.Header, r.body)
	}
	wantProblem(t, b.do("read", "GET", "/api/v1/videos/"+id, ""), 404, "video_not_found")
}

func TestProblems(t *testing.T) {
	b := newBench(t)
	const video = "/api/v1/videos"
	for _, tt := range []struct {
		name, scope, method, path, body string
		status                          int
		code                            string
		headers                         []string
	}{
		{"no key", "", "GET", video, "", 401, "unauthenticated", nil},
		{"wrong key", "", "GET", video, "", 401, "invalid_key", []string{"Authorization", "Bearer sg_x_y"}},
		{"wrong scheme", "", "GET", video, "", 401, "unsupported_authorization", []string{"Authorization", "Basic YTpi"}},
		{"weak key", "read", "POST", video, `{"title":"t"}`, 403, "permission_denied", nil},
		{"no such path", "admin", "GET", "/api/v1/nothing?x=1", "", 404, "route_not_found", nil},
		{"no such version", "admin", "GET", "/api/v2/videos", "", 404, "route_not_found", nil},
		{"wrong method", "admin", "PUT", video, "{}", 405, "method_not_allowed", nil},
		{"wrong method on events", "admin", "POST", "/api/v1/events", "{}", 405, "method_not_allowed", nil},
		{"service's own", "admin", "POST", video, `{"title":""}`, 400, "invalid_title", nil},
		{"unknown field", "admin", "POST", video, `{"title":"t","colour":1}`, 400, "invalid_request", nil},
		{"unknown field beside a path", "admin", "PATCH", video + "/x", `{"colour":1}`, 400, "invalid_request", nil},
		{"bad value", "admin", "POST", video, `{"title":7}`, 400, "invalid_request", nil},
		{"not JSON", "admin", "POST", video, `title=t`, 400, "invalid_request", nil},
		{"not JSON beside a path", "admin", "PATCH", video + "/x", `{`, 400, "invalid_request", nil},
		{"two documents", "admin", "POST", video, `{"title":"t"}{}`, 400, "invalid_request", nil},
		{"no body", "admin", "POST", video, "", 400, "invalid_request", nil},
		{"body of GET", "admin", "GET", video, "{}", 400, "invalid_request", nil},
		{"query with a semicolon", "admin", "GET", video + "?limit=1;page=2", "", 400, "invalid_request", nil},
		{"query badly encoded", "admin", "GET", video + "?limit=%zz", "", 400, "invalid_request", nil},
		{"unknown parameter", "admin", "GET", video + "?page=2", "", 400, "invalid_request", nil},
		{"bad parameter", "admin", "GET", video + "?limit=many", "", 400, "invalid_request", nil},
		{"not JSON by type", "admin", "POST", video, "title=t", 415, "unsupported_media_type", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"compressed", "admin", "POST", video, "x", 415, "unsupported_encoding", []string{"Content-Encoding", "gzip"}},
		{"too large", "admin", "POST", video, `{"title":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "body_too_large", nil},
		{"not offered", "admin", "GET", "/api/v1/node", "", 501, "unimplemented", nil},
		{"HEAD", "admin", "HEAD", video + "/x", "", 404, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := b.do(tt.scope, tt.method, tt.path, tt.body, tt.headers...)
			p := wantProblem(t, r, tt.status, tt.code)
			if strings.Contains(p.Detail, "proto") {
				t.Errorf("detail %q", p.Detail)
			}
			if (tt.status == 401) != (r.Header.Get("WWW-Authenticate") != "") || (tt.status == 405) != (r.Header.Get("Allow") != "") {
				t.Errorf("headers %v", r.Header)
			}
		})
	}
	if b.log.String() != "" && strings.Contains(b.log.String(), "level=ERROR") {
		t.Errorf("a client's mistake was logged as an error: %s", b.log)
	}
}

// What was not meant for clients is logged once, under the trace id they get.
func TestInternalErrors(t *testing.T) {
	for name, create := range map[string]func(context.Context) error{
		"plain error": func(context.Context) error { return errors.New("disk sda1 at /var/secret failed") },
		"panic":       func(context.Context) error { panic("at /var/secret") },
		"foreign coded error": func(context.Context) error {
			return connect.NewError(connect.CodeInternal, errors.New("at /var/secret"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.transcoder.create = create
			const trace = "0af7651916cd43dd8448eb211c80319c"
			r := b.do("admin", "POST", "/api/v1/tasks", `{}`, "Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
			p := wantProblem(t, r, 500, "internal")
			if p.TraceID != trace || strings.Contains(r.body, "secret") {
				t.Errorf("problem %s", r.body)
			}
			log := b.log.String()
			if strings.Count(log, trace) != 1 || !strings.Contains(log, "secret") {
				t.Errorf("log %s", log)
			}
			_, err := rpc.NewTranscoderClient(http.DefaultClient, b.url, withKey(b.keys["admin"])).
				CreateTask(t.Context(), &rpc.CreateTaskRequest{})
			if reason, _ := rpc.Reason(err); reason != "internal" || strings.Contains(err.Error(), "secret") {
				t.Errorf("over RPC: %v", err)
			}
		})
	}
}

// An answer that cannot be written is not the client's mistake.
func TestUnwritableAnswer(t *testing.T) {
	b := newBench(t)
	wantProblem(t, b.do("read", "GET", "/api/v1/tasks?video_id=not-UTF-8", ""), 500, "internal")
	if !strings.Contains(b.log.String(), "write the answer") {
		t.Errorf("log %s", b.log)
	}
}

func TestTimeout(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	b.transcoder.create = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	wantProblem(t, b.do("admin", "POST", "/api/v1/tasks", `{}`), 504, "timeout")
}

func TestOpenAPIServed(t *testing.T) {
	b := newBench(t)
	if r := b.do("", "GET", "/openapi.json", ""); r.StatusCode != http.StatusOK || r.json(t)["openapi"] != "3.1.0" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
}

// Uploads pass the edge but not the REST limits.
func TestMounts(t *testing.T) {
	upload := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, deadline := r.Context().Deadline()
		json.NewEncoder(w).Encode(map[string]any{
			"bytes": n, "failed": err != nil, "deadline": deadline, "scope": rpc.Caller(r.Context()).Scope.String(),
			"base": rpc.BaseURL(r.Context()), "method": r.Method,
		})
	})
	b := newBench(t, func(c *Config) {
		c.Mounts = map[string]http.Handler{
			"/api/v1/uploads": upload, "/api/v1/uploads/": upload, "/api/v1/videos/{id}/source": upload,
		}
	})
	for _, path := range []string{"/api/v1/uploads", "/api/v1/uploads/u1", "/api/v1/videos/v1/source"} {
		r := b.do("uploader", "PATCH", path, strings.Repeat("x", 2<<20))
		v := r.json(t)
		if v["bytes"] != 2.0*(1<<20) || v["failed"] != false || v["deadline"] != false || v["scope"] != "uploader" || v["base"] != b.url {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	wantProblem(t, b.do("operator", "GET", "/api/v1/uploads", ""), 501, "unimplemented") // the schema's list
}

func withKey(secret string) connect.ClientOption {
	return connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set("Authorization", "Bearer "+secret)
			return next(ctx, req)
		}
	}))
}
