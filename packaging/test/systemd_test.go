package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnits: systemd knows every option of the units, and they say nothing that it
// would warn of. Skipped where it is not installed.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	found, err := filepath.Glob("../../systemd/*.service")
	if err != nil || len(found) < 2 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, unit := range found {
		t.Run(filepath.Base(unit), func(t *testing.T) {
			text := string(read(t, unit))
			if out := verify(t, analyze, filepath.Base(unit), text); out != "" {
				t.Errorf("%s", out)
			}
			slip := strings.Replace(text, "[Service]\n", "[Service]\nProtectEverything=yes\n", 1)
			if out := verify(t, analyze, filepath.Base(unit), slip); !strings.Contains(out, "ProtectEverything") {
				t.Errorf("an option that systemd does not know passes: %q", out)
			}
		})
	}
}

// verify is what systemd says of a unit whose program and user are there.
func verify(t *testing.T, analyze, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	if strings.Contains(name, "@.") { // roles are its instances
		name = strings.Replace(name, "@.", "@transcoder.", 1)
	}
	text = strings.ReplaceAll(text, "/usr/bin/streamgate", "/bin/true")
	text = strings.ReplaceAll(text, "User=streamgate", "User=daemon")
	text = strings.ReplaceAll(text, "Group=streamgate", "Group=daemon")
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return string(out)
}
