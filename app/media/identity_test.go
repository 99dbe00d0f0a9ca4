package media

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// otherFFmpeg is an ffmpeg whose encoder takes x264's settings in its own way, as
// another version might.
func otherFFmpeg(t *testing.T, real, option string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ffmpeg")
	script := fmt.Sprintf(`#!/bin/bash
args=()
for a in "$@"; do
	args+=("$a")
	if [ "$a" = "libx264" ]; then args+=(%s); fi
done
exec %s "${args[@]}"
`, option, real)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// Encoders are told apart by the headers that they write, and by nothing else.
func TestIdentify(t *testing.T) {
	t.Parallel()
	tools := testTools
	tools.Confine = false // the wrappers are scripts
	first, err := tools.Identify(t.Context())
	if err != nil || len(first) != identityDigits {
		t.Fatalf("got %q, %v", first, err)
	}
	for _, tc := range []struct {
		option string
		same   bool
	}{
		{`-level 5.1`, false},
		{`-profile:v main`, false},
		{`-x264-params aq-strength=1.3`, true}, // other pictures, the same header
	} {
		other := tools
		other.FFmpeg = otherFFmpeg(t, tools.FFmpeg, tc.option)
		got, err := other.Identify(t.Context())
		if err != nil || (got == first) != tc.same {
			t.Errorf("with %s: got %q, %v; the usual is %q", tc.option, got, err, first)
		}
	}
	tools.Confine = true
	if got, err := tools.Identify(t.Context()); err != nil || got != first {
		t.Errorf("confined: got %q, %v, want %q", got, err, first)
	}
}
