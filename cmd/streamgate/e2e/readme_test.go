package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the README's shell examples as printed, but for the ports.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -euxo pipefail\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 5 {
		t.Fatalf("the README has %d examples", len(blocks))
	}
	for _, b := range blocks {
		script.WriteString(b[1])
	}
	n := startNode(t)
	run := strings.NewReplacer("http://127.0.0.1:8080", n.url, "localhost:9092", n.transcoder).Replace(script.String())

	bin := t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "streamgate")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/fullstorydev/grpcurl/cmd/grpcurl").CombinedOutput(); err != nil {
		t.Fatalf("build grpcurl: %v\n%s", err, out)
	}
	film := ffmpeg(t, "film.mp4", testPicture+testTone+x264+"-g 50 -c:a aac -t 4")
	cmd := exec.Command("bash", "-c", run)
	cmd.Dir = filepath.Dir(film)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "STREAMGATE_DATA_DIR="+n.data)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, lastLines(string(out), 20))
	}
	text := string(out)
	for _, want := range []string{`"processing"`, n.url + "/s/", "Upload-Offset: 100000", `"total_workers"`, "event: "} {
		if !strings.Contains(text, want) {
			t.Errorf("the examples did not print %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	// grpcurl's answer is the last object: all seven fields, zeros included.
	var metrics map[string]any
	if err := json.Unmarshal([]byte(text[strings.LastIndex(text, "{\n"):]), &metrics); err != nil {
		t.Fatalf("grpcurl printed %q", lastLines(text, 10))
	}
	for _, field := range []string{"total_workers", "active_workers", "idle_workers", "unhealthy_workers",
		"total_tasks_processed", "total_tasks_failed", "average_task_time"} {
		if _, ok := metrics[field]; !ok {
			t.Errorf("GetMetrics has no %s: %v", field, metrics)
		}
	}
}
