package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"streamgate/app/rpc"
)

// h2c is a client for gRPC without TLS.
func h2c(t *testing.T) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestRPCProtocols(t *testing.T) {
	b := newBench(t)
	for name, opts := range map[string][]connect.ClientOption{
		"connect":      nil,
		"connect JSON": {connect.WithProtoJSON()},
		"connect GET":  {connect.WithHTTPGet()},
		"gRPC":         {connect.WithGRPC()},
		"gRPC-Web":     {connect.WithGRPCWeb()},
	} {
		t.Run(name, func(t *testing.T) {
			client := rpc.NewLibraryClient(h2c(t), b.url, append(opts, withKey(b.keys["admin"]))...)
			v, err := client.CreateVideo(t.Context(), &rpc.CreateVideoRequest{Title: "t"})
			if err != nil || v.UploadUrl != b.url+"/api/v1/uploads" {
				t.Fatalf("CreateVideo = %v, %v", v, err)
			}
			if v, err = client.GetVideo(t.Context(), &rpc.GetVideoRequest{Id: v.Id}); err != nil || v.Title != "t" {
				t.Errorf("GetVideo = %v, %v", v, err)
			}
			_, err = client.GetVideo(t.Context(), &rpc.GetVideoRequest{Id: "none"})
			if reason, _ := rpc.Reason(err); reason != "video_not_found" || connect.CodeOf(err) != connect.CodeNotFound {
				t.Errorf("error %v", err)
			}
			wrong := rpc.NewLibraryClient(h2c(t), b.url, append(opts, withKey("sg_a_b"))...)
			_, err = wrong.GetVideo(t.Context(), &rpc.GetVideoRequest{Id: "none"})
			if reason, _ := rpc.Reason(err); reason != "invalid_key" {
				t.Errorf("wrong key: %v", err)
			}
		})
	}
}

// A plain POST of JSON to an RPC path works, as curl sends it.
func TestRPCByPath(t *testing.T) {
	b := newBench(t)
	r := b.do("read", "POST", "/streamgate.Transcoder/GetMetrics", `{}`, "Content-Type", "application/json")
	if v := r.json(t); r.StatusCode != http.StatusOK || v["total_workers"] != 0.0 {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	r = b.do("read", "POST", "/streamgate.Transcoder/GetMetrics", `{"x":1}`, "Content-Type", "application/json")
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("unknown field: %d %s", r.StatusCode, r.body)
	}
}

func reflected(t *testing.T, url string) []string {
	t.Helper()
	stream := grpcreflect.NewClient(h2c(t), url, connect.WithGRPC()).NewStream(t.Context())
	defer stream.Close()
	names, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	slices.Sort(list)
	return list
}

func TestReflectionAndHealth(t *testing.T) {
	b := newBench(t)
	want := []string{"streamgate.Access", "streamgate.Alerts", "streamgate.Library", "streamgate.Monitor", "streamgate.Transcoder", "streamgate.Uploads", "streamgate.Webhooks"}
	if got := reflected(t, b.url); !slices.Equal(got, want) {
		t.Errorf("reflection lists %v", got)
	}
	if got := health(t, b.url, "streamgate.Library"); !strings.Contains(got, "SERVING") {
		t.Errorf("health %s", got)
	}
}

// health asks as curl would.
func health(t *testing.T, url, service string) string {
	t.Helper()
	resp, err := http.Post(url+"/"+grpchealth.HealthV1ServiceName+"/Check", "application/json", strings.NewReader(`{"service":"`+service+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	resp.Write(&b)
	return b.String()
}

// linker answers with a link.
type linker struct {
	rpc.UnimplementedLibraryHandler
}

func (linker) GetVideo(ctx context.Context, _ *rpc.GetVideoRequest) (*rpc.Video, error) {
	return &rpc.Video{WatchUrl: rpc.BaseURL(ctx) + "/watch/v"}, nil
}

// The transcoder's own listener: metrics are open, nothing else is.
func TestNewRPC(t *testing.T) {
	b := newBench(t)
	url := serve(t, NewRPC(RPCConfig{
		Services: []Service{Transcoder(b.transcoder), Library(linker{})}, Auth: b.access,
		Open: []string{rpc.TranscoderGetMetricsProcedure}, Log: slog.New(slog.DiscardHandler),
	}))
	stranger := rpc.NewTranscoderClient(h2c(t), url, connect.WithGRPC())
	m, err := stranger.GetMetrics(t.Context(), &rpc.GetMetricsRequest{})
	if err != nil || m.TotalWorkers == nil || m.AverageTaskTime != "0s" {
		t.Errorf("GetMetrics = %v, %v", m, err)
	}
	_, err = stranger.CreateTask(t.Context(), &rpc.CreateTaskRequest{})
	if reason, _ := rpc.Reason(err); reason != "unauthenticated" {
		t.Errorf("CreateTask by a stranger: %v", err)
	}
	known := rpc.NewTranscoderClient(h2c(t), url, connect.WithGRPC(), withKey(b.keys["uploader"]))
	if _, err := known.CreateTask(t.Context(), &rpc.CreateTaskRequest{}); err != nil {
		t.Error(err)
	}
	if got := reflected(t, url); !slices.Equal(got, []string{"streamgate.Library", "streamgate.Transcoder"}) {
		t.Errorf("reflection lists %v", got)
	}
	// Media is not served here, so links must not lead here.
	v, err := rpc.NewLibraryClient(h2c(t), url, connect.WithGRPC()).GetVideo(t.Context(), &rpc.GetVideoRequest{})
	if err != nil || v.WatchUrl != "/watch/v" {
		t.Errorf("GetVideo = %v, %v", v, err)
	}
	resp, err := http.Get(url + "/api/v1/videos")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("REST on the RPC listener: %s", resp.Status)
	}
}

// TestTraceOverRPC: a call between nodes goes on in its caller's trace.
func TestTraceOverRPC(t *testing.T) {
	b := newBench(t)
	url := serve(t, NewRPC(RPCConfig{
		Services: []Service{Transcoder(b.transcoder)}, Auth: b.access, Log: slog.New(slog.DiscardHandler),
	}))
	var got string
	b.transcoder.create = func(ctx context.Context) error {
		got = rpc.Traceparent(ctx)
		return nil
	}
	client := rpc.NewTranscoderClient(h2c(t), url, connect.WithGRPC(), withKey(b.keys["uploader"]), rpc.SendTrace())
	for _, want := range []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""} {
		if _, err := client.CreateTask(rpc.ContinueTrace(t.Context(), want), &rpc.CreateTaskRequest{}); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("traceparent %q arrived as %q", want, got)
		}
	}
}
