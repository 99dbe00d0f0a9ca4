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

// notRun are the README's blocks of code that are no part of its script, by
// their beginnings.
var notRun = map[string]string{
	"location /videos/":  "the configuration of nginx: TestUnderPath runs one",
	"handle /videos*":    "the configuration of Caddy: likewise",
	"make cluster":       "needs servers that take minutes to build, and runs until Ctrl-C",
	"packaging/compose":  "needs Docker and images from a registry",
	"streamgate ca":      "other machines: TestCluster runs them",
	"streamgate migrate": "needs the servers of a cluster: TestMigrate runs it",
	"kubectl":            "needs a Kubernetes",
	"make demo":          "installs Debian packages and runs until Ctrl-C",
	"make test":          "runs this test",
	"{\"any\": [":        "a rule, of a chain that is not there",
	"chains:":            "a part of the configuration",
	"records:":           "a part of the configuration, of servers that are not there",
}

// readmeScript joins the README's shell blocks, in order, with a check after
// each that every variable it sets has a value. The lines that run for ever, or
// build what the test has built, are left out: the node runs already.
func readmeScript(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -euxo pipefail\n")
	for _, b := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```").FindAllStringSubmatch(string(readme), -1) {
		if b[1] != "sh" {
			if !isNotRun(b[2]) {
				t.Errorf("the README has a block that is neither run nor on the list of those that are not:\n%s", b[2])
			}
			continue
		}
		for line := range strings.Lines(b[2]) {
			if line != "make build-monolith\n" && !strings.HasPrefix(line, "bin/streamgate serve ") {
				script.WriteString(line)
			}
		}
		for _, v := range regexp.MustCompile(`(?m)^([A-Z_]+)=`).FindAllStringSubmatch(b[2], -1) {
			script.WriteString(`: "${` + v[1] + `:?is empty after its line in the README}"` + "\n")
		}
	}
	return script.String()
}

func isNotRun(block string) bool {
	for start := range notRun {
		if strings.HasPrefix(block, start) {
			return true
		}
	}
	return false
}

func TestReadme(t *testing.T) {
	n := startNode(t)
	runReadme(t, n, n.transcoder)
}

// TestReadmeOnACluster runs the same against a gateway.
func TestReadmeOnACluster(t *testing.T) {
	f := startFleet(t, writeFile(t, "streamgate.yaml", ""), "metadata", "monitor", "transcoder", "upload", "streaming", "api-gateway")
	runReadme(t, f.front, f.node("transcoder").transcoder)
}

// runReadme runs all of the README's shell blocks as printed, but for the ports
// and the data directory, in order in one fresh shell.
func runReadme(t *testing.T, n *node, transcoder string) {
	t.Helper()
	run := strings.NewReplacer("http://127.0.0.1:8080", n.url, "localhost:9092", transcoder, "/srv/video", n.data).Replace(readmeScript(t))

	film := ffmpeg(t, "film.mp4", testPicture+testTone+x264+"-g 50 -c:a aac -t 4")
	dir := filepath.Dir(film)
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, "streamgate")); err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", tools, "github.com/fullstorydev/grpcurl/cmd/grpcurl").CombinedOutput(); err != nil {
		t.Fatalf("build grpcurl: %v\n%s", err, out)
	}
	cmd := exec.Command("bash", "--noprofile", "--norc", "-c", run)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + tools + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()} // fresh
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, lastLines(string(out), 20))
	}
	text := string(out)
	for _, want := range []string{`"processing"`, n.url + "/s/", "Upload-Offset: 100000", `"total_workers"`, "event: ", " may watch."} {
		if !strings.Contains(text, want) {
			t.Errorf("the examples did not print %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	// grpcurl's answer has all seven fields, zeros included.
	var metrics map[string]any
	if err := json.Unmarshal([]byte(regexp.MustCompile(`\{[^{}]*"total_workers"[^{}]*\}`).FindString(text)), &metrics); err != nil {
		t.Fatalf("grpcurl printed no metrics: %v\n%s", err, text)
	}
	for _, field := range []string{"total_workers", "active_workers", "idle_workers", "unhealthy_workers",
		"total_tasks_processed", "total_tasks_failed", "average_task_time"} {
		if _, ok := metrics[field]; !ok {
			t.Errorf("GetMetrics has no %s: %v", field, metrics)
		}
	}
}
