package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGeneratedGoClient: a client that oapi-codegen generates from the node's
// own description compiles, and walks through the API: apiclient/main.go.
func TestGeneratedGoClient(t *testing.T) {
	n := startNode(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("apiclient")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "openapi.json"), get(t, n.url+"/openapi.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	film := ffmpeg(t, "clip.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=2 "+x264)
	key := strings.TrimSpace(n.ctl("keys", "create", "--scope", "uploader"))
	for _, args := range [][]string{
		{"go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", "openapi.json"},
		{"go", "run", ".", n.url, key, film},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args[:2], " "), err, out)
		}
	}
}
