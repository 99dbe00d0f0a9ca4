package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"streamgate/app/rpc"
)

const schemaRef = "#/components/schemas/"

// words are the words that fields and parameters take.
type words struct {
	fields     map[string][]any // "streamgate.Video.state"
	parameters map[string][]any // "/api/v1/videos?state"
}

// readWords reads the words of the code.
func readWords() (words, error) {
	s, err := readSource()
	if err != nil {
		return words{}, err
	}
	problems, err := s.problemCodes()
	if err != nil {
		return words{}, err
	}
	reasons := append([]any{"", "private"}, s.constants("rules.Reason")...)
	w := words{fields: map[string][]any{
		"Problem.code":                 problems,
		"streamgate.Failure.code":      s.failureCodes(problems),
		"streamgate.Decision.reason":   reasons,
		"streamgate.RuleResult.reason": reasons,
		"streamgate.Worker.kind":       append([]any{""}, s.constants("store.JobKind")...), // none: it has no job
		"streamgate.Worker.state":      s.named("app/transcode", "worker"),
		"streamgate.Session.state":     {"live", "ended"}, // past is what both become in a list
		"streamgate.Key.scope":         scopes(), "streamgate.CreateKeyRequest.scope": scopes(),
	}, parameters: map[string][]any{
		"/api/v1/sessions?state": s.constants("store.SessionState"),
	}}
	for field, typ := range map[string]string{
		"Video.state": "store.VideoState", "Task.state": "store.TaskState", "Upload.state": "store.UploadState",
		"Job.kind": "store.JobKind", "Job.state": "store.JobState", "Delivery.state": "store.DeliveryState",
		"Rendition.kind": "store.RenditionKind", "RenditionCells.kind": "store.RenditionKind",
		"RuleResult.kind": "rules.Kind", "RuleResult.result": "rules.Result",
	} {
		w.fields["streamgate."+field] = s.constants(typ)
	}
	for path, field := range map[string]string{
		"/api/v1/videos?state": "Video.state", "/api/v1/tasks?state": "Task.state",
		"/api/v1/webhooks/{webhook_id}/deliveries?state": "Delivery.state",
	} {
		w.parameters[path] = w.fields["streamgate."+field]
	}
	return w, w.check()
}

// check finds words that the code no longer has under the name that is used
// here.
func (w words) check() error {
	for _, table := range []map[string][]any{w.fields, w.parameters} {
		for name, values := range table {
			if len(values) < 2 {
				return fmt.Errorf("the code has no words for %s", name)
			}
		}
	}
	return nil
}

func scopes() (names []any) {
	for scope := rpc.ScopeRead; scope <= rpc.ScopeAdmin; scope++ {
		names = append(names, scope.String())
	}
	return names
}

// always are the fields of messages that are never left out of an answer,
// though they are messages themselves.
var always = []string{"created_at", "streamgate.Video.updated_at", "streamgate.Rule.updated_at", "streamgate.Rule.rule", "streamgate.VideoRule.rule"}

// finishSchemas says what the generator does not know: which fields an answer
// always has, and which words they take. An optional field is left out, not
// null.
func finishSchemas(schemas object, words words) {
	if _, ok := schemas["google.protobuf.Struct"]; ok {
		schemas["google.protobuf.Struct"] = object{"type": "object", "description": "A JSON object.", "additionalProperties": true}
	}
	for name, s := range schemas {
		schema, _ := s.(object)
		properties, _ := schema["properties"].(object)
		var required []any
		for _, field := range slices.Sorted(maps.Keys(properties)) {
			property, _ := properties[field].(object)
			if wholeNumber(field) && property["type"] == "number" {
				property["type"], property["format"] = "integer", "int64"
			}
			if w := words.fields[name+"."+field]; w != nil {
				property["enum"] = w
			}
			if present(name, field, property) {
				required = append(required, field)
			}
		}
		if schema["required"] == nil && len(required) > 0 && strings.HasPrefix(name, "streamgate.") && !strings.HasSuffix(name, "Request") {
			schema["required"] = required
		}
	}
}

// wholeNumber tells whether a field is a count: the schema has those that may
// pass 2³¹ as double, since JSON has an int64 as a string.
func wholeNumber(field string) bool {
	return strings.HasSuffix(field, "_bytes") || slices.Contains([]string{"at", "id", "chain_id", "block", "offset", "bandwidth"}, field)
}

// present tells whether an answer always has the field: the node writes
// defaults, but neither unset optional fields nor unset messages.
func present(schema, field string, property object) bool {
	if slices.Contains(always, field) || slices.Contains(always, schema+"."+field) {
		return true
	}
	return property["nullable"] == nil && property["$ref"] == nil && property["oneOf"] == nil && property["anyOf"] == nil
}

// removeUnused removes the schemas and the other parts that nothing refers to.
func removeUnused(doc object) {
	components, _ := doc["components"].(object)
	for removed := true; removed; {
		removed = false
		used := map[string]bool{}
		references(doc, used)
		for _, kind := range []string{"schemas", "parameters", "responses"} {
			parts, _ := components[kind].(object)
			for name := range parts {
				if !used["#/components/"+kind+"/"+name] {
					delete(parts, name)
					removed = true
				}
			}
		}
	}
}

func references(v any, used map[string]bool) {
	switch v := v.(type) {
	case object:
		for key, inner := range v {
			if ref, ok := inner.(string); ok && key == "$ref" {
				used[ref] = true
			}
			references(inner, used)
		}
	case []any:
		for _, inner := range v {
			references(inner, used)
		}
	}
}

// dropNullable removes a word of OpenAPI 3.0 that 3.1 does not know.
func dropNullable(v any) {
	switch v := v.(type) {
	case object:
		if v["nullable"] == true {
			delete(v, "nullable")
		}
		for _, inner := range v {
			dropNullable(inner)
		}
	case []any:
		for _, inner := range v {
			dropNullable(inner)
		}
	}
}

// finishParameters tells the words of parameters.
func finishParameters(path string, op object, words words) {
	joinTimes(op)
	parameters, _ := op["parameters"].([]any)
	for _, p := range parameters {
		parameter, _ := p.(object)
		schema, _ := parameter["schema"].(object)
		name, _ := parameter["name"].(string)
		if w := words.parameters[path+"?"+name]; w != nil {
			schema["enum"] = w
		}
	}
}

// joinTimes makes one parameter of a time's two fields: over HTTP it is one,
// written as RFC 3339 says.
func joinTimes(op object) {
	list, _ := op["parameters"].([]any)
	var kept []any
	for _, item := range list {
		p, _ := item.(object)
		name, _ := p["name"].(string)
		if strings.HasSuffix(name, ".nanos") {
			continue
		}
		if field, isTime := strings.CutSuffix(name, ".seconds"); isTime {
			item = object{
				"name": field, "in": "query", "description": "A time, RFC 3339.",
				"schema": object{"type": "string", "format": "date-time"},
			}
		}
		kept = append(kept, item)
	}
	if kept != nil {
		op["parameters"] = kept
	}
}

// refusals are what an operation may be refused with, each a problem.
func refusals(path, method string, op object) []string {
	out := []string{"400", "429"}
	if security, open := op["security"].([]any); !open || len(security) > 0 {
		out = append(out, "401", "403")
	}
	if strings.Contains(path, "{") {
		out = append(out, "404")
	}
	if method != "get" && method != "head" && method != "options" {
		out = append(out, "409")
	}
	if method == "patch" || method == "put" || method == "delete" {
		out = append(out, "412")
	}
	body, _ := op["requestBody"].(object)
	content, _ := body["content"].(object)
	if content["application/json"] != nil {
		out = append(out, "413", "415")
		if method == "post" {
			out = append(out, "422") // an Idempotency-Key with another body
		}
	}
	return out
}

// refusalPart names the response that describes a refusal.
func refusalPart(status string) string {
	if status == "429" {
		return "TooManyRequests"
	}
	return "Problem"
}

// refuse gives an operation its refusals; those that are described already
// become problems.
func refuse(path, method string, op object) {
	responses, _ := op["responses"].(object)
	for _, status := range refusals(path, method, op) {
		if responses[status] == nil {
			responses[status] = object{"$ref": "#/components/responses/" + refusalPart(status)}
		}
	}
	for status, r := range responses {
		response, _ := r.(object)
		if status >= "400" && status <= "599" && response["$ref"] == nil {
			response["content"] = object{"application/problem+json": object{"schema": object{"$ref": schemaRef + "Problem"}}}
		}
	}
	responses["default"] = object{"$ref": "#/components/responses/Problem"}
}
