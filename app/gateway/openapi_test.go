package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"streamgate/app/rpc"
)

type document struct {
	OpenAPI    string
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Schemas map[string]struct {
			Properties map[string]json.RawMessage
		}
	}
}

func readDocument(t *testing.T) document {
	t.Helper()
	var doc document
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// annotated calls fn with each HTTP annotation of the schema.
func annotated(t *testing.T, fn func(m protoreflect.MethodDescriptor, verb, path string)) {
	t.Helper()
	services := rpc.File_streamgate_proto.Services()
	for i := range services.Len() {
		for j := range services.Get(i).Methods().Len() {
			m := services.Get(i).Methods().Get(j)
			rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
			switch p := rule.GetPattern().(type) {
			case *annotations.HttpRule_Get:
				fn(m, "get", p.Get)
			case *annotations.HttpRule_Post:
				fn(m, "post", p.Post)
			case *annotations.HttpRule_Patch:
				fn(m, "patch", p.Patch)
			case *annotations.HttpRule_Put:
				fn(m, "put", p.Put)
			case *annotations.HttpRule_Delete:
				fn(m, "delete", p.Delete)
			case nil: // not offered as REST
			default:
				t.Errorf("%s: an annotation of a kind this test does not know", m.FullName())
			}
		}
	}
}

// Law: the document has every annotation of the schema, with the status that
// the gateway answers, and every field of its messages.
func TestOpenAPI(t *testing.T) {
	doc := readDocument(t)
	n := 0
	annotated(t, func(m protoreflect.MethodDescriptor, verb, path string) {
		n++
		var op struct{ Responses map[string]json.RawMessage }
		if err := json.Unmarshal(doc.Paths[path][verb], &op); err != nil {
			t.Errorf("%s %s is not in openapi.json; run make generate", verb, path)
			return
		}
		for _, msg := range []protoreflect.MessageDescriptor{m.Input(), m.Output()} {
			wantFields(t, doc, msg)
		}
		procedure := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
		status, _, _ := answerOf(procedure, answerMessage(m))
		want := strconv.Itoa(max(status, 200))
		statuses := slices.Sorted(maps.Keys(op.Responses))
		if statuses[0] != want || statuses[1] < "400" { // the others are problems
			t.Errorf("%s %s has responses %v, want %s and problems", verb, path, statuses, want)
		}
		if !slices.Contains(statuses, "default") || !slices.Contains(statuses, "429") {
			t.Errorf("%s %s has no problem: %v", verb, path, statuses)
		}
	})
	if n < 15 {
		t.Errorf("only %d annotations were seen", n)
	}
	for _, path := range []string{"/api/v1/events", "/api/v1/uploads/{id}", "/api/v1/videos/{id}/source"} {
		if doc.Paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
}

func wantFields(t *testing.T, doc document, msg protoreflect.MessageDescriptor) {
	t.Helper()
	have := doc.Components.Schemas[string(msg.FullName())].Properties
	for i := range msg.Fields().Len() {
		f := msg.Fields().Get(i)
		if f.JSONName() != string(f.Name()) {
			t.Errorf("%s: JSON name %q is not snake_case", f.FullName(), f.JSONName())
		}
		// A GET's request message is its parameters, not a schema.
		if _, ok := have[f.JSONName()]; !ok && !strings.HasSuffix(string(msg.Name()), "Request") {
			t.Errorf("%s is not in openapi.json; run make generate", f.FullName())
		}
	}
}

// answerMessage is an empty message of the method's output type.
func answerMessage(m protoreflect.MethodDescriptor) any {
	switch m.Output().Name() {
	case "Video":
		return &rpc.Video{}
	case "Task":
		return &rpc.Task{}
	case "Upload":
		return &rpc.Upload{}
	case "Webhook":
		return &rpc.Webhook{}
	}
	return nil
}

// Law: whatever is annotated is routed.
func TestEveryAnnotationIsRouted(t *testing.T) {
	b := newBench(t)
	annotated(t, func(m protoreflect.MethodDescriptor, verb, path string) {
		path = strings.NewReplacer("{id}", "x", "{video_id}", "x", "{webhook_id}", "x", "{name}", "x", "{pool}", "x").Replace(path)
		body := ""
		if verb != "get" && verb != "delete" {
			body = "{}"
		}
		r := b.do("admin", strings.ToUpper(verb), path, body)
		if strings.Contains(r.body, "route_not_found") || r.StatusCode == http.StatusMethodNotAllowed {
			t.Errorf("%s: %s %s: %d %s", m.FullName(), verb, path, r.StatusCode, r.body)
		}
	})
}
