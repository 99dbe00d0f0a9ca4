package upload

import "context"

// Sweep is one round of the janitor.
func (s *Service) Sweep(ctx context.Context) error { return s.sweep(ctx) }

// Hold takes an upload's lock and does not let go when asked.
func (s *Service) Hold(ctx context.Context, id string) (func(), error) { return s.locks.hold(ctx, id) }

// Parsers, for fuzzing.
var (
	ParseMetadata = parseMetadata
	ParseDigest   = parseDigest
	ParseChecksum = func(s string) error { _, err := parseChecksum(s); return err }
	TitleFrom     = titleFrom
)
