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

// TestPromtool: Prometheus itself takes the file.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (package prometheus)")
	}
	if out, err := exec.CommandContext(t.Context(), tool, "check", "rules", prometheusRules).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
