package rules

import _ "embed"

//go:embed rule.schema.json
var schema string

// RuleSchema is the JSON Schema (2020-12) of the rules that the API takes: what
// ParseRule reads, and contract leaves (rulekind.go). What a schema cannot say
// (checksums, totals over the tree, the order of times), ParseRule checks
// beyond it.
func Schema() string { return schema }
