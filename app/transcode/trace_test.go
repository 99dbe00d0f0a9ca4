package transcode

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// runsOf lists how the runs of a kind of job ended, in the order of their end.
func runsOf(spans tracetest.SpanStubs, kind store.JobKind) (outcomes []string, runs tracetest.SpanStubs) {
	for _, s := range spans {
		if s.Name == "job "+string(kind) {
			outcomes, runs = append(outcomes, attr(s, keyOutcome)), append(runs, s)
		}
	}
	return outcomes, runs
}

func attr(s tracetest.SpanStub, key attribute.Key) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// TestFailuresInTheTrace: a run that fails and the one that follows it are
// told apart, in the trace of whoever asked for the task, and without a word
// of what the error said.
func TestFailuresInTheTrace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.impatient()
	spans := tracetest.NewInMemoryExporter()
	n := r.node("b1", func(c *Config) {
		c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test")
	})
	r.uploadPlanned("v1")
	n.fails(store.CellKey("v1", "180p", 0), 1, errors.New("secret words"))
	const trace = "0af7651916cd43dd8448eb211c80319c"
	ctx := rpc.ContinueTrace(rpc.System(t.Context()), "00-"+trace+"-b7ad6b7169203331-01")
	task, err := n.CreateTask(ctx, &rpc.CreateTaskRequest{VideoId: "v1"})
	r.ok(err)
	n.run()
	r.until("the end", func() bool { return len(r.seen(events.TaskCompleted.Subject)) > 0 })
	stored := r.task(task.Id)
	n.kill() // and with it the last span has ended

	got := spans.GetSpans()
	outcomes, runs := runsOf(got, store.JobChunk)
	retried := slices.Index(outcomes, outcomeRetried)
	if retried < 0 || !slices.Contains(outcomes[retried:], outcomeDone) {
		t.Fatalf("the chunks' runs ended with %v", outcomes)
	}
	if bad := runs[retried]; bad.Status.Code != codes.Error || bad.Status.Description != codeFailed || attr(bad, keyFailure) != codeFailed {
		t.Errorf("the failed run says %v %v", bad.Status, bad.Attributes)
	}
	for _, s := range got {
		if s.SpanContext.TraceID().String() != trace {
			t.Errorf("%s is in trace %s", s.Name, s.SpanContext.TraceID())
		}
		if len(s.Events) > 0 || strings.Contains(s.Status.Description, " ") {
			t.Errorf("%s tells what went wrong: %v %v", s.Name, s.Status, s.Events)
		}
	}
	// The jobs and the events lead to the span in which the task was made.
	told := payload[events.Task](t, r.seen(events.TaskCompleted.Subject)[0])
	cell := payload[events.Cells](t, r.seen(events.CellsReady.Subject)[0])
	if !strings.Contains(stored.Trace, trace) || told.Trace != stored.Trace || !strings.Contains(cell.Trace, trace) {
		t.Errorf("the task is of %s, its end of %s, a cell of %s", stored.Trace, told.Trace, cell.Trace)
	}
	for _, job := range r.jobs(task.Id) {
		if job.Trace != stored.Trace {
			t.Errorf("job %s is of %s", job.ID, job.Trace)
		}
	}
}
