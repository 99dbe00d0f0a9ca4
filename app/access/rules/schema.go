package rules

import _ "embed"

//go:embed rule.schema.json
var schema string

// Schema is the JSON Schema (2020-12) of the rules that the API takes: what
// Parse reads, and contract leaves (struct.go). What a schema cannot say
// (checksums, totals over the tree, the order of times), Parse checks
// beyond it.
func Schema() string { return schema }
