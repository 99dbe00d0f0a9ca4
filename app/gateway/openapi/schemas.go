package main

import (
	"maps"
	"slices"
	"strings"
)

const schemaRef = "#/components/schemas/"

// words are the fields that take one of a few words.
var words = map[string][]any{
	"streamgate.Video.state":            {"uploading", "processing", "playable", "ready", "failed"},
	"streamgate.Task.state":             {"queued", "processing", "paused", "succeeded", "failed", "cancelled"},
	"streamgate.Upload.state":           {"receiving", "complete", "expired", "failed"},
	"streamgate.Key.scope":              {"read", "uploader", "operator", "admin"},
	"streamgate.CreateKeyRequest.scope": {"read", "uploader", "operator", "admin"},
}

// queryWords are the parameters that do.
var queryWords = map[string]string{
	"/api/v1/videos?state": "streamgate.Video.state",
	"/api/v1/tasks?state":  "streamgate.Task.state",
}

// always are the fields of messages that are never left out of an answer,
// though they are messages themselves.
var always = []string{"created_at", "streamgate.Video.updated_at", "streamgate.Rule.updated_at", "streamgate.Rule.rule", "streamgate.VideoRule.rule"}

// finishSchemas says what the generator does not know: which fields an answer
// always has, and which words they take. An optional field is left out, not
// null.
func finishSchemas(schemas object) {
	if _, ok := schemas["google.protobuf.Struct"]; ok {
		schemas["google.protobuf.Struct"] = object{"type": "object", "description": "A JSON object.", "additionalProperties": true}
	}
	for name, s := range schemas {
		schema, _ := s.(object)
		properties, _ := schema["properties"].(object)
		var required []any
		for _, field := range slices.Sorted(maps.Keys(properties)) {
			property, _ := properties[field].(object)
			if w := words[name+"."+field]; w != nil {
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
func finishParameters(path string, op object) {
	parameters, _ := op["parameters"].([]any)
	for _, p := range parameters {
		parameter, _ := p.(object)
		schema, _ := parameter["schema"].(object)
		name, _ := parameter["name"].(string)
		if w := queryWords[path+"?"+name]; w != "" {
			schema["enum"] = words[w]
		}
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
	return out
}

// refuse gives an operation its refusals; those that are described already
// become problems.
func refuse(path, method string, op object) {
	responses, _ := op["responses"].(object)
	for _, status := range refusals(path, method, op) {
		if responses[status] == nil {
			responses[status] = object{"$ref": "#/components/responses/Problem"}
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
