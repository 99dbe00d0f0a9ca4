package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/access/eth/ethtest"
	"streamgate/app/access/identities"
	"streamgate/app/apptest"
	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/assets"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/memory"
)

// services answer every call of the pages with next to nothing. Like the real
// ones they want the scope that the schema names for what changes something.
type services struct {
	rpc.LibraryClient
	rpc.TranscoderClient
	rpc.AccessClient
	rpc.MonitorClient
	rpc.WebhooksClient
	rpc.AlertsClient
}

func (services) ListVideos(ctx context.Context, _ *rpc.ListVideosRequest) (*rpc.ListVideosResponse, error) {
	return &rpc.ListVideosResponse{Videos: []*rpc.Video{{Id: "film", Title: hostile, State: "ready", Gated: true}}}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) GetVideo(ctx context.Context, req *rpc.GetVideoRequest) (*rpc.Video, error) {
	if req.Id == "away" {
		return nil, fmt.Errorf("read it: %w", store.ErrUnavailable)
	}
	if req.Id != "film" {
		return nil, rpc.NotFound(store.ErrNotFound, "video", req.Id)
	}
	return &rpc.Video{Id: "film", Title: hostile, State: "ready", DurationSeconds: 12}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) GetCells(ctx context.Context, _ *rpc.GetCellsRequest) (*rpc.Cells, error) {
	return &rpc.Cells{VideoId: "film", Bounds: []float64{0, 4, 8, 12}, Renditions: []*rpc.RenditionCells{
		{Name: "720p", Kind: "video", Ready: []*rpc.SegmentRun{{From: 0, To: 1}}},
	}}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) UpdateVideo(ctx context.Context, _ *rpc.UpdateVideoRequest) (*rpc.Video, error) {
	return &rpc.Video{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) DeleteVideo(ctx context.Context, _ *rpc.DeleteVideoRequest) (*rpc.DeleteVideoResponse, error) {
	return &rpc.DeleteVideoResponse{}, rpc.Require(ctx, rpc.ScopeOperator)
}

// bin has one deleted video.
type bin struct{}

func (bin) Delete(ctx context.Context, id string) (store.Video, error) {
	return store.Video{ID: id, Title: hostile}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (bin) Undo(ctx context.Context, id string) (store.Video, error) {
	if id != "film" && id != "deleted" {
		return store.Video{}, rpc.Invalid("deletion_over", "The video is gone for good.")
	}
	return store.Video{ID: id, Title: hostile}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (bin) List(ctx context.Context) ([]store.Video, error) {
	return []store.Video{
		{ID: "deleted", Title: hostile, DeleteAt: time.Now().Add(29 * time.Second)},
		{ID: "removing", Title: hostile, DeleteAt: time.Now(), Removing: true},
	}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) GetTask(ctx context.Context, req *rpc.GetTaskRequest) (*rpc.Task, error) {
	if req.Id != "task" {
		return nil, rpc.NotFound(store.ErrNotFound, "task", req.Id)
	}
	return &rpc.Task{Id: "task", VideoId: "film", State: "processing", Progress: 33}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) ListTasks(ctx context.Context, _ *rpc.ListTasksRequest) (*rpc.ListTasksResponse, error) {
	return &rpc.ListTasksResponse{Tasks: []*rpc.Task{{Id: "task", VideoId: "film", State: "failed", Error: &rpc.Failure{Message: hostile}}}}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) ListJobs(ctx context.Context, _ *rpc.ListJobsRequest) (*rpc.ListJobsResponse, error) {
	return &rpc.ListJobsResponse{Jobs: []*rpc.Job{{Id: "task/chunk/000001", Kind: "chunk", State: "leased", FromSegment: 1, ToSegment: 2, Attempts: []*rpc.Attempt{
		{Error: &rpc.Failure{Message: hostile}, Log: hostile},
	}}}}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) ListWorkers(ctx context.Context, _ *rpc.ListWorkersRequest) (*rpc.ListWorkersResponse, error) {
	return &rpc.ListWorkersResponse{Workers: []*rpc.Worker{{Id: "w1", State: "active", TaskId: "task", VideoId: "film", Command: hostile, Log: hostile}}}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) GetQueue(ctx context.Context, _ *rpc.GetQueueRequest) (*rpc.QueueState, error) {
	return &rpc.QueueState{}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) PauseQueue(ctx context.Context, _ *rpc.PauseQueueRequest) (*rpc.QueueState, error) {
	return &rpc.QueueState{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) ResumeQueue(ctx context.Context, _ *rpc.ResumeQueueRequest) (*rpc.QueueState, error) {
	return &rpc.QueueState{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) CreateTask(ctx context.Context, _ *rpc.CreateTaskRequest) (*rpc.Task, error) {
	return &rpc.Task{Id: "task"}, rpc.Require(ctx, rpc.ScopeUploader)
}

func (services) GetNode(ctx context.Context, _ *rpc.GetNodeRequest) (*rpc.Node, error) {
	return &rpc.Node{Id: "node", Version: "test", DiskFreeBytes: 50, DiskTotalBytes: 100}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) ListNodes(ctx context.Context, _ *rpc.ListNodesRequest) (*rpc.ListNodesResponse, error) {
	return &rpc.ListNodesResponse{Nodes: []*rpc.Node{{Id: "node", Host: hostile, State: "ready", Parts: []*rpc.NodePart{{Name: "media", Problem: hostile}},
		Checks: []*rpc.NodeCheck{{Name: "ffmpeg", Found: hostile, Mend: hostile}}},
		{Id: "drained", State: "draining", Jobs: 2}, {Id: "dead", State: "unreachable"}}}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) DrainNode(ctx context.Context, _ *rpc.DrainNodeRequest) (*rpc.Node, error) {
	return &rpc.Node{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) ResumeNode(ctx context.Context, _ *rpc.ResumeNodeRequest) (*rpc.Node, error) {
	return &rpc.Node{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) RemoveNode(ctx context.Context, _ *rpc.RemoveNodeRequest) (*rpc.RemoveNodeResponse, error) {
	return &rpc.RemoveNodeResponse{}, rpc.Require(ctx, rpc.ScopeAdmin)
}

func (services) GetMetricsHistory(ctx context.Context, req *rpc.GetMetricsHistoryRequest) (*rpc.MetricsHistory, error) {
	at := float64(req.From.Seconds)
	return &rpc.MetricsHistory{Step: 15, Series: []*rpc.MetricSeries{
		{Name: "queue_length", Promql: "a", Points: []*rpc.MetricPoint{{At: at, Value: 1}, {At: at + 45, Value: 2}}},
		{Name: "jobs_ready", Promql: "b", Points: []*rpc.MetricPoint{{At: at + 15, Value: 3}}},
	}}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) ListAlerts(ctx context.Context, _ *rpc.ListAlertsRequest) (*rpc.ListAlertsResponse, error) {
	return &rpc.ListAlertsResponse{Alerts: []*rpc.Alert{
		{Id: "film", Rule: "r", State: "firing", Severity: "critical", Summary: hostile, Mend: hostile, Page: "//evil.example/", NotifyError: "e"},
		{Id: "b", Rule: "r", State: "resolved", Severity: "warning", Summary: hostile, Silence: &rpc.Silence{By: hostile, Reason: hostile}},
	}}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) SilenceAlert(ctx context.Context, req *rpc.SilenceAlertRequest) (*rpc.Alert, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if req.Reason == "" {
		return nil, rpc.Invalid("invalid_reason", "Write why.")
	}
	return &rpc.Alert{Id: req.Id, Rule: "r"}, nil
}

func (services) UnsilenceAlert(ctx context.Context, _ *rpc.UnsilenceAlertRequest) (*rpc.Alert, error) {
	return &rpc.Alert{}, rpc.Require(ctx, rpc.ScopeOperator)
}

// hook is a webhook of somebody who means no good.
var hook = &rpc.Webhook{Id: "film", Url: "https://a.example/" + hostile, Description: hostile, Events: []string{"video.ready"}, Failure: &rpc.Failure{Message: hostile}}

func (services) ListWebhooks(ctx context.Context, _ *rpc.ListWebhooksRequest) (*rpc.ListWebhooksResponse, error) {
	return &rpc.ListWebhooksResponse{Webhooks: []*rpc.Webhook{hook}}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) GetWebhook(ctx context.Context, _ *rpc.GetWebhookRequest) (*rpc.Webhook, error) {
	return hook, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) CreateWebhook(ctx context.Context, req *rpc.CreateWebhookRequest) (*rpc.Webhook, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if req.Url == "" {
		return nil, rpc.Invalid("invalid_url", "Write a URL.")
	}
	return &rpc.Webhook{Id: "film", Secret: "whsec_shown"}, nil
}

func (services) RotateWebhook(ctx context.Context, _ *rpc.RotateWebhookRequest) (*rpc.Webhook, error) {
	return &rpc.Webhook{Id: "film", Secret: "whsec_rotated"}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) UpdateWebhook(ctx context.Context, _ *rpc.UpdateWebhookRequest) (*rpc.Webhook, error) {
	return hook, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) DeleteWebhook(ctx context.Context, _ *rpc.DeleteWebhookRequest) (*rpc.DeleteWebhookResponse, error) {
	return &rpc.DeleteWebhookResponse{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) TestWebhook(ctx context.Context, _ *rpc.TestWebhookRequest) (*rpc.Delivery, error) {
	return &rpc.Delivery{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) ListDeliveries(ctx context.Context, _ *rpc.ListDeliveriesRequest) (*rpc.ListDeliveriesResponse, error) {
	payload, err := structpb.NewStruct(map[string]any{"a": "<script>alert(1)</script>"})
	if err != nil {
		return nil, err
	}
	return &rpc.ListDeliveriesResponse{NextCursor: "next", Deliveries: []*rpc.Delivery{
		{Id: "d", Event: "video.ready", State: "failed", LastError: hostile, Answer: hostile, Payload: payload},
	}}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) Redeliver(ctx context.Context, _ *rpc.RedeliverRequest) (*rpc.Delivery, error) {
	return &rpc.Delivery{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) ListSessions(ctx context.Context, _ *rpc.ListSessionsRequest) (*rpc.ListSessionsResponse, error) {
	return &rpc.ListSessionsResponse{Sessions: []*rpc.Session{{Id: "s1", VideoId: "film", State: "live", Wallet: "0x52908400098527886E0F7030069857D2E4169EE7"}}}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) SimulateRule(ctx context.Context, req *rpc.SimulateRuleRequest) (*rpc.Decision, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if req.Wallet == "nonsense" {
		return nil, rpc.Invalid("invalid_wallet", "The wallet is no address.")
	}
	return &rpc.Decision{Admit: req.Wallet == "holder", Sentence: hostile, Tree: &rpc.RuleResult{Kind: "all", Parts: []*rpc.RuleResult{
		{Kind: "erc721", Result: "pass", Wants: "a token of " + hostile},
		{Kind: "all", Wants: "both", Parts: []*rpc.RuleResult{{Kind: "erc20", Result: "fail", Wants: "100 coins", Sentence: "It has 3."}}},
	}}}, nil
}

func (services) CreateSession(ctx context.Context, _ *rpc.CreateSessionRequest) (*rpc.Session, error) {
	return &rpc.Session{Id: "s", Token: "ticket"}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) DeleteVideoRule(ctx context.Context, _ *rpc.DeleteVideoRuleRequest) (*rpc.DeleteVideoRuleResponse, error) {
	return &rpc.DeleteVideoRuleResponse{}, rpc.Require(ctx, rpc.ScopeOperator)
}

// named is a rule of somebody who means no good.
func named() *rpc.Rule {
	rule, err := structpb.NewStruct(map[string]any{"any": []any{map[string]any{"note": "<script>alert(1)</script>"}, map[string]any{"rule": "film"}}})
	if err != nil {
		panic(err)
	}
	return &rpc.Rule{Name: "film", Rule: rule}
}

func (services) ListRules(ctx context.Context, _ *rpc.ListRulesRequest) (*rpc.ListRulesResponse, error) {
	return &rpc.ListRulesResponse{Rules: []*rpc.Rule{named(), {Name: hostile, Rule: named().Rule}}, NextCursor: "next"}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) GetRule(ctx context.Context, req *rpc.GetRuleRequest) (*rpc.Rule, error) {
	if req.Name != "film" {
		return nil, rpc.NotFound(store.ErrNotFound, "rule", req.Name)
	}
	return named(), rpc.Require(ctx, rpc.ScopeRead)
}

func (services) PutRule(ctx context.Context, req *rpc.PutRuleRequest) (*rpc.Rule, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if req.Name == "" {
		return nil, rpc.Invalid("invalid_name", "Write a name.")
	}
	return &rpc.Rule{Name: req.Name, Rule: req.Rule}, nil
}

func (services) DeleteRule(ctx context.Context, _ *rpc.DeleteRuleRequest) (*rpc.DeleteRuleResponse, error) {
	return &rpc.DeleteRuleResponse{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) GetVideoRule(ctx context.Context, req *rpc.GetVideoRuleRequest) (*rpc.VideoRule, error) {
	return &rpc.VideoRule{VideoId: req.VideoId, Rule: named().Rule}, rpc.Require(ctx, rpc.ScopeRead)
}

func (services) ListCodes(ctx context.Context, _ *rpc.ListCodesRequest) (*rpc.ListCodesResponse, error) {
	return &rpc.ListCodesResponse{Pools: []*rpc.CodePool{{Pool: hostile, Codes: 3, Used: 1}}, More: true}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) CreateCodes(ctx context.Context, req *rpc.CreateCodesRequest) (*rpc.Codes, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if req.Pool == "" {
		return nil, rpc.Invalid("invalid_pool", "Write a pool.")
	}
	return &rpc.Codes{Pool: req.Pool, Codes: []string{"AAAA-BBBB", "CCCC-DDDD"}}, nil
}

func (services) DeleteCodes(ctx context.Context, _ *rpc.DeleteCodesRequest) (*rpc.DeleteCodesResponse, error) {
	return &rpc.DeleteCodesResponse{}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (services) ListKeys(ctx context.Context, _ *rpc.ListKeysRequest) (*rpc.ListKeysResponse, error) {
	return &rpc.ListKeysResponse{Keys: []*rpc.Key{{Id: "key", Name: hostile, Scope: "read"}}}, rpc.Require(ctx, rpc.ScopeAdmin)
}

func (services) CreateKey(ctx context.Context, _ *rpc.CreateKeyRequest) (*rpc.Key, error) {
	return &rpc.Key{Id: "key", Secret: "the-secret"}, rpc.Require(ctx, rpc.ScopeAdmin)
}

func (services) RevokeKey(ctx context.Context, _ *rpc.RevokeKeyRequest) (*rpc.RevokeKeyResponse, error) {
	return &rpc.RevokeKeyResponse{}, rpc.Require(ctx, rpc.ScopeAdmin)
}

// hostile is what strangers write: a script, a control that turns what follows
// around, bytes that are no text, and much of it.
var hostile = `<script>alert(1)</script>"><img src=x onerror=alert(1)>` + "\u202e\x00\xff" + strings.Repeat("long ", 300)

// site is the console with one person of each role.
type site struct {
	*Console
	mux     *http.ServeMux
	people  *console.Service
	cache   store.Cache
	catalog store.Catalog
	cookies map[console.Role]*http.Cookie
}

const testPassword = "correct horse battery"

func newSite(t *testing.T) *site {
	t.Helper()
	db, err := bolt.Open(t.TempDir()+"/db", bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	set, err := assets.Load()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	audit := console.NewLog(db.Catalog())
	cache := memory.NewCache(memory.Options{})
	people := console.New(console.Config{
		Catalog: db.Catalog(), Cache: cache, Audit: audit, Log: log, Site: func() string { return "https://site.example" },
		Wallets: identities.NewSignIn(identities.SignInConfig{Cache: cache, Chains: ethtest.NewChains(), Use: "console/"}),
	})
	none := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rpc.Require(r.Context(), rpc.ScopeUploader) != nil {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	s := services{}
	c, err := New(Config{
		Library: s, Transcoder: s, Access: s, Monitor: s, Webhooks: s, Alerts: s, Deletions: bin{}, UndoFor: 30 * time.Second, People: people, Audit: audit, Bus: apptest.NewBus(t), Assets: set,
		Uploads: none, PutSource: none, Still: func(http.ResponseWriter, *http.Request, string, string) {},
		Decisions: console.NewDecisions(console.DecisionsConfig{Catalog: db.Catalog()}),
		Settings:  func() []Setting { return []Setting{{Key: "a", Value: "b"}} }, Chains: func() []ChainState { return nil }, Log: log,
		SiteURL: func(*http.Request) string { return "https://site.example" },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	decided := store.Decision{ID: "d", VideoID: "film", Outcome: store.DecisionRefused, Client: hostile, Why: hostile, Count: 2, Last: time.Now()}
	if err := db.Catalog().Decisions.Create(t.Context(), decided); err != nil {
		t.Fatal(err)
	}
	out := &site{catalog: db.Catalog(), cache: cache, Console: c, mux: http.NewServeMux(), people: people, cookies: map[console.Role]*http.Cookie{}}
	c.Routes(out.mux)
	for _, role := range console.Roles() {
		out.cookies[role] = out.signedIn(t, role)
	}
	return out
}

// signedIn adds a person of a role, who signs in.
func (s *site) signedIn(t *testing.T, role console.Role) *http.Cookie {
	t.Helper()
	err := s.people.Add(rpc.System(t.Context()), console.NewPerson{Name: string(role), Role: role, Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	w := s.send(http.MethodPost, "/console/sign-in", url.Values{"name": {string(role)}, "password": {testPassword}}, nil, nil)
	for _, c := range w.Result().Cookies() {
		if c.Name == cookieName {
			return c
		}
	}
	t.Fatalf("%s is not signed in: status %d, %s", role, w.Code, w.Body)
	return nil
}

func (s *site) send(method, path string, form url.Values, cookie *http.Cookie, header http.Header) *httptest.ResponseRecorder {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, path, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if cookie != nil {
		r.AddCookie(cookie)
	}
	ctx, stop := context.WithCancel(r.Context())
	if strings.HasSuffix(path, "/events") {
		stop() // a stream that nobody listens to any more
	}
	defer stop()
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r.WithContext(ctx))
	return w
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// address is a path of a route, and the method to ask it with.
func (r route) address() (method, path string) {
	method, path, found := strings.Cut(r.pattern, " ")
	if !found {
		method, path = http.MethodPost, r.pattern
	}
	switch {
	case strings.Contains(path, "/tasks/"):
		path = placeholder.ReplaceAllString(path, "task")
	case strings.Contains(path, "/{$}"):
		path = strings.TrimSuffix(path, "{$}")
	default:
		path = placeholder.ReplaceAllString(path, "film")
	}
	return method, path
}

// TestRoutes asks every route as everybody: nobody, each role, and from another
// site's page.
func TestRoutes(t *testing.T) {
	s := newSite(t)
	for _, route := range s.routes() {
		method, path := route.address()
		t.Run(method+" "+path, func(t *testing.T) {
			changes := method != http.MethodGet
			forged := s.send(method, path, url.Values{}, s.cookies[console.Admin], http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}})
			if changes && forged.Code != http.StatusForbidden {
				t.Errorf("forged: status %d", forged.Code)
			}
			checkHeaders(t, route, forged)
			s.checkNobody(t, route, s.send(method, path, url.Values{}, nil, nil))
			for _, role := range console.Roles() {
				if path == "/console/sign-out" || strings.HasSuffix(path, "/password") {
					continue // they would end the session or spend attempts
				}
				w := s.send(method, path, url.Values{}, s.cookies[role], nil)
				checkHeaders(t, route, w)
				may := role.Includes(route.need)
				if refused := w.Code == http.StatusForbidden; refused == may && route.need != "" {
					t.Errorf("%s: status %d", role, w.Code)
				}
				if may && w.Code >= http.StatusInternalServerError {
					t.Errorf("%s: status %d: %s", role, w.Code, w.Body)
				}
				checkHostile(t, w)
			}
		})
	}
}

// checkNobody: whoever has not signed in is sent to the sign-in, or refused.
func (s *site) checkNobody(t *testing.T, route route, w *httptest.ResponseRecorder) {
	t.Helper()
	to := w.Header().Get("Location")
	switch {
	case route.need == "":
		return
	case w.Code == http.StatusUnauthorized, w.Code == http.StatusSeeOther && strings.HasPrefix(to, "/console/sign-in"):
	default:
		t.Errorf("nobody: status %d to %q", w.Code, to)
	}
}

func checkHeaders(t *testing.T, route route, w *httptest.ResponseRecorder) {
	t.Helper()
	if strings.HasSuffix(route.pattern, "poster.jpg") {
		return // a picture has the media service's
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": policy, "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// checkHostile: what strangers wrote is text, and nothing is inline.
func checkHostile(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	body := w.Body.String()
	for _, bad := range []string{"<script>alert", "<img src=x", "\u202e", "\x00", "\xff", "<style", " style=", "hx-on", "js:"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, m := range regexp.MustCompile(`<script[^>]*>`).FindAllString(body, -1) {
		if !strings.Contains(m, "src=") {
			t.Errorf("an inline script: %s", m)
		}
	}
}

// TestNodeButtons: each role sees the buttons for what it may do, and a node that
// does not answer none but Remove.
func TestNodeButtons(t *testing.T) {
	s := newSite(t)
	for role, want := range map[console.Role][3]bool{ // Drain, Resume, Remove
		console.ReadOnly: {}, console.Operator: {true, true, false}, console.Admin: {true, true, true},
	} {
		page := s.send(http.MethodGet, "/console/nodes", nil, s.cookies[role], nil).Body.String()
		got := [3]bool{strings.Contains(page, `value="drain"`), strings.Contains(page, `value="resume"`), strings.Contains(page, "/console/nodes/remove")}
		if got != want || strings.Count(page, `name="do"`) > 2 || !strings.Contains(page, "2 jobs and 0 requests left") {
			t.Errorf("%s sees Drain, Resume, Remove: %v, want %v\n%s", role, got, want, page)
		}
	}
}

// TestSignIn: a wrong password is refused, and after a few tries the right one
// too; a token that a browser brings along never becomes a session.
func TestSignIn(t *testing.T) {
	s := newSite(t)
	fixed := &http.Cookie{Name: cookieName, Value: "FIXED"}
	good := url.Values{"name": {"admin"}, "password": {testPassword}}
	w := s.send(http.MethodPost, "/console/sign-in", good, fixed, nil)
	if w.Code != http.StatusSeeOther || strings.Contains(w.Header().Get("Set-Cookie"), "FIXED") {
		t.Errorf("status %d, %s", w.Code, w.Header().Get("Set-Cookie"))
	}
	if w := s.send(http.MethodGet, "/console/", nil, fixed, nil); w.Code != http.StatusSeeOther {
		t.Errorf("a fixed token is let in: %d", w.Code)
	}
	cookie := s.cookies[console.Admin]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" {
		t.Errorf("the cookie is %s", cookie)
	}
	said := ""
	for range clientTries {
		said = s.send(http.MethodPost, "/console/sign-in", url.Values{"name": {"admin"}, "password": {"wrong"}}, nil, nil).Body.String()
	}
	if !strings.Contains(said, "Too many tries") {
		t.Errorf("after %d tries: %s", clientTries, said)
	}
	if w := s.send(http.MethodPost, "/console/sign-in", good, nil, nil); w.Code != http.StatusUnauthorized {
		t.Errorf("the right password after too many tries: %d", w.Code)
	}
}

const clientTries = 12

// While the store is away a page says so, and when to try again.
func TestStoreAway(t *testing.T) {
	s := newSite(t)
	w := s.send(http.MethodGet, "/console/videos/away", nil, s.cookies[console.ReadOnly], nil)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "try again in a moment") {
		t.Errorf("got %d, %v:\n%s", w.Code, w.Header(), w.Body)
	}
}

// TestSecure: over TLS the cookie has the prefix that keeps other hosts from
// setting it.
func TestSecure(t *testing.T) {
	s := newSite(t)
	s.PublicURL = "https://video.example.org"
	w := s.send(http.MethodPost, "/console/sign-in", url.Values{"name": {"admin"}, "password": {testPassword}}, nil, nil)
	set := w.Header().Get("Set-Cookie")
	if !strings.HasPrefix(set, "__Host-") || !strings.Contains(set, "Secure") {
		t.Errorf("the cookie is %s", set)
	}
	if w := s.send(http.MethodGet, "/console/", nil, s.cookies[console.Admin], nil); w.Code != http.StatusSeeOther {
		t.Errorf("a cookie without the prefix is let in: %d", w.Code)
	}
}

// TestUnderPath: every link, form, picture and redirect of a site that has a
// path of its host stays in there.
func TestUnderPath(t *testing.T) {
	s := newSite(t)
	s.Assets.Root = "/videos"
	stays := func(t *testing.T, what string) {
		t.Helper()
		if strings.HasPrefix(what, "/") && !strings.HasPrefix(what, "/videos/") {
			t.Errorf("it leads to %s", what)
		}
	}
	paths := regexp.MustCompile(`(?:href|src|action|hx-get|hx-sse:connect|data-endpoint|data-[a-z]*url)="([^"]*)"`)
	for _, route := range s.routes() {
		method, path := route.address()
		t.Run(method+" "+path, func(t *testing.T) {
			cookie := s.cookies[console.Admin]
			if path == "/console/sign-out" || strings.HasSuffix(path, "/password") {
				cookie = nil
			}
			for _, c := range []*http.Cookie{cookie, nil} {
				w := s.send(method, path, url.Values{}, c, nil)
				stays(t, w.Header().Get("Location"))
				for _, m := range paths.FindAllStringSubmatch(w.Body.String(), -1) {
					stays(t, m[1])
				}
			}
		})
	}
	for _, c := range s.send(http.MethodPost, "/console/sign-in", url.Values{"name": {"admin"}, "password": {testPassword}}, nil, nil).Result().Cookies() {
		if c.Path != "/videos/" {
			t.Errorf("the cookie is %s", c)
		}
	}
	w := s.send(http.MethodPost, "/console/queue", url.Values{}, nil, http.Header{"Referer": {"https://site.example/videos/console/queue?state=failed"}})
	if to := w.Header().Get("Location"); to != "/videos/console/sign-in?to=%2Fconsole%2Fqueue%3Fstate%3Dfailed" {
		t.Errorf("after a session that ended: %s", to)
	}
}

// TestLocal: a form cannot lead away from the console.
func TestLocal(t *testing.T) {
	for in, want := range map[string]string{
		"/console/queue?state=failed": "/console/queue?state=failed", "https://evil.example/console/": "/console/",
		"//evil.example/console/": "/console/", "/watch/x": "/console/", "": "/console/", "/console/\\evil": "/console/", "javascript:alert(1)": "/console/",
	} {
		if got := local(in); got != want {
			t.Errorf("%q leads to %q", in, got)
		}
	}
}
