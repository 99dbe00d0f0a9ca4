package alerts

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const prometheusRules = "../../packaging/prometheus/streamgate.rules.yaml"

// TestPrometheusRules: the file for Prometheus has every rule, with its severity.
func TestPrometheusRules(t *testing.T) {
	text, err := os.ReadFile(prometheusRules)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range (Limits{}).rules() {
		_, after, ok := strings.Cut(string(text), "- alert: "+rule.name+"\n")
		own, _, _ := strings.Cut(after, "- alert: ")
		if !ok || !strings.Contains(own, "{severity: "+rule.severity+"}") {
			t.Errorf("%s (%s) is not in the file: %q", rule.name, rule.severity, own)
		}
	}
}

// promtool is Prometheus's own, on the path or where the Makefile unpacks it.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		tool = "../../bin/tools/promtool"
	}
	if _, err := os.Stat(tool); err != nil {
		t.Fatalf("promtool is not there: %v; make install-test fetches it", err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

// TestPromtool: Prometheus takes the file, and its rules fire as the node's alerts
// do.
func TestPromtool(t *testing.T) {
	promtool(t, "check", "rules", prometheusRules)
	promtool(t, "test", "rules", "testdata/streamgate.test.yaml")
}
