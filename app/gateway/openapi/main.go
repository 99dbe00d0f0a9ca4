// Command openapi finishes the OpenAPI document that is generated from the
// schema: a filter from standard input to standard output.
//
// The generator knows only answers of 200. The schema's comments say more
// ("Answers 201 with a Location."), every operation may be refused with a
// problem, answers always have most of their fields, and many fields take one of
// the words that the code has as constants: this command writes all that into the
// document, removes what nothing refers to, and sorts it, so
// that the committed file changes only when the schema does.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

type object = map[string]any

func run(in io.Reader, out io.Writer) error {
	var doc object
	if err := json.NewDecoder(in).Decode(&doc); err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	words, err := readWords()
	if err != nil {
		return err
	}
	paths, ok := doc["paths"].(object)
	if !ok {
		return fmt.Errorf("the document has no paths")
	}
	for path, item := range paths {
		for method, op := range operations(item) {
			answer(op)
			finishParameters(path, op, words)
			if path != "/rule.schema.json" {
				refuse(path, method, op)
			}
		}
	}
	if components, ok := doc["components"].(object); ok {
		schemas, _ := components["schemas"].(object)
		finishSchemas(schemas, words)
	}
	dropNullable(doc)
	removeUnused(doc)
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(unwrap(doc))
}

// operations returns the operations of a path item by method, without its
// other keys.
func operations(item any) map[string]object {
	ops := map[string]object{}
	keys, _ := item.(object)
	for method, v := range keys {
		if op, ok := v.(object); ok && op["responses"] != nil {
			ops[method] = op
		}
	}
	return ops
}

// answer replaces the generated 200 by the status the comment names.
func answer(op object) {
	pattern := regexp.MustCompile(`Answers (\d{3})( with a\s+Location)?\.`)
	text, _ := op["description"].(string)
	match := pattern.FindStringSubmatch(text)
	responses, _ := op["responses"].(object)
	success, ok := responses["200"].(object)
	if match == nil || !ok {
		return
	}
	delete(responses, "200")
	responses[match[1]] = success
	if match[1] == "204" {
		delete(success, "content")
	}
	if match[2] != "" {
		success["headers"] = object{"Location": object{"schema": object{"type": "string"}}}
	}
}

// unwrap joins the lines of every description: the schema breaks them at 80.
func unwrap(v any) any {
	switch v := v.(type) {
	case object:
		for key, inner := range v {
			if text, ok := inner.(string); ok && key == "description" {
				v[key] = strings.Join(strings.Fields(text), " ")
				continue
			}
			v[key] = unwrap(inner)
		}
	case []any:
		for i := range v {
			v[i] = unwrap(v[i])
		}
	}
	return v
}
