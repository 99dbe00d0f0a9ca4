package node

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"streamgate/app/apptest"
)

// TestJaeger: a video's trace is read back from a Jaeger, whole. `make
// test-jaeger` builds one and names it here.
func TestJaeger(t *testing.T) {
	program := os.Getenv("JAEGER")
	if program == "" {
		t.Skip("no Jaeger: `make test-jaeger` builds one and runs this test with it")
	}
	otlpAddress, query := startJaeger(t, program)
	cfg := testConfig(t, t.TempDir())
	cfg.Monitor.OTLPEndpoint = "http://" + otlpAddress
	n := startNode(t, cfg)
	const caller, callerSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	video := newClient(t, n).upload(shortClip(t), map[string]string{"Traceparent": "00-" + caller + "-" + callerSpan + "-01"})
	plan, err := n.kernel.Stores.Catalog.Plans.Plan(t.Context(), video)
	if err != nil {
		t.Fatal(err)
	}
	var cells []string
	for _, r := range plan.Renditions {
		for seg := range plan.Timeline.Segments() {
			cells = append(cells, fmt.Sprintf("%s/%d", r.Name, seg))
		}
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := wantTrace(t, readJaeger(t, query, caller), video, callerSpan, cells); got != caller {
		t.Errorf("the caller's trace %s went on as %s", caller, got)
	}
}

// startJaeger runs a Jaeger that keeps traces in memory; it returns where it
// takes OTLP over gRPC and where it is asked.
func startJaeger(t *testing.T, program string) (otlpAddress, query string) {
	t.Helper()
	free := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	otlpAddress, query = free(), free()
	cmd := exec.CommandContext(t.Context(), program,
		"--collector.otlp.grpc.host-port="+otlpAddress, "--query.http-server.host-port="+query,
		"--collector.otlp.http.host-port="+free(), "--query.grpc-server.host-port="+free(),
		"--collector.http-server.host-port="+free(), "--collector.grpc-server.host-port="+free(),
		"--admin.http.host-port="+free())
	said := &apptest.Log{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if conn, err := net.Dial("tcp", otlpAddress); err == nil {
			conn.Close()
			return otlpAddress, query
		}
		if time.Now().After(deadline) {
			t.Fatal("Jaeger does not listen after a minute")
		}
	}
}

// readJaeger asks for a trace until Jaeger has it: it takes spans in before it
// answers for them.
func readJaeger(t *testing.T, query, trace string) map[string]span {
	t.Helper()
	var answer struct {
		Data []struct {
			Spans []jaegerSpan
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get("http://" + query + "/api/traces/" + trace)
		if err == nil {
			err = json.NewDecoder(resp.Body).Decode(&answer)
			resp.Body.Close()
		}
		if err == nil && len(answer.Data) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Jaeger does not know trace %s (%v)", trace, err)
		}
	}
	spans := map[string]span{}
	for _, s := range answer.Data[0].Spans {
		spans[s.SpanID] = s.span()
	}
	return spans
}

// jaegerSpan is a span as Jaeger answers it.
type jaegerSpan struct {
	TraceID, SpanID, OperationName string
	StartTime, Duration            uint64 // µs
	References                     []struct{ SpanID string }
	Tags                           []struct {
		Key   string
		Value any
	}
}

func (j jaegerSpan) span() span {
	out := span{
		Span: &otlp.Span{
			Name: j.OperationName, StartTimeUnixNano: j.StartTime * 1000,
			EndTimeUnixNano: (j.StartTime + j.Duration) * 1000,
		},
		id: j.SpanID, trace: j.TraceID, attrs: map[string]string{},
	}
	if len(j.References) > 0 {
		out.parent = j.References[0].SpanID
	}
	for _, tag := range j.Tags {
		out.attrs[tag.Key] = fmt.Sprint(tag.Value)
	}
	return out
}
