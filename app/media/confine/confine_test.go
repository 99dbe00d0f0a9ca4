package confine

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	Main() // the helper
	os.Exit(m.Run())
}

// confined runs a shell script under a policy.
func confined(t *testing.T, p Policy, program string, args ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	argv, err := p.Command(self, path, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	return string(out), err
}

func TestWhatIsGivenCanBeUsed(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := confined(t, Policy{Read: []string{source}}, "cat", source); err != nil || out != "hello" {
		t.Errorf("the source: %q, %v", out, err)
	}
	scratch := filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := confined(t, Policy{Write: []string{scratch}}, "touch", filepath.Join(scratch, "new")); err != nil {
		t.Errorf("the scratch folder: %q, %v", out, err)
	}
	t.Setenv("SECRET", "leaked")
	if out, err := confined(t, Policy{}, "env"); err != nil || out != "" {
		t.Errorf("the environment: %q, %v", out, err)
	}
}

func TestWhatIsNotGivenCannot(t *testing.T) {
	if Check().Landlock == 0 {
		t.Skip("this kernel has no Landlock")
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/etc/passwd", secret, "/proc/self/environ"} {
		if out, err := confined(t, Policy{}, "cat", path); err == nil {
			t.Errorf("%s can be read: %q", path, out)
		}
	}
	if _, err := confined(t, Policy{Read: []string{secret}}, "truncate", "-s", "0", secret); err == nil {
		t.Error("what may be read can be written")
	}
	if _, err := confined(t, Policy{}, "touch", filepath.Join(dir, "new")); err == nil {
		t.Error("a file can be made")
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a file was made")
	}
}

func TestNoTCP(t *testing.T) {
	if !Check().TCP() {
		t.Skip("this kernel's Landlock cannot deny TCP")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	url := "http://" + ln.Addr().String() + "/"
	out, err := confined(t, Policy{}, "ffmpeg", "-v", "error", "-i", url)
	if err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("ffmpeg reached %s: %q, %v", url, out, err)
	}
}

func TestLimits(t *testing.T) {
	out, err := confined(t, Policy{Read: []string{"/proc/self/limits"}, Nice: 3}, "cat", "/proc/self/limits")
	if err != nil {
		t.Skipf("limits cannot be read under Landlock here: %v", err)
	}
	for _, want := range []string{"Max open files            64 ", "Max core file size        0 "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestWhatCannotBeStartedSaysSo(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, argv := range map[string][]string{
		"no such program": {flag, "{}", "/nowhere/ffmpeg"},
		"no policy":       {flag, "{", "/bin/true"},
		"no such source":  {flag, `{"read":["/nowhere/source"]}`, "/bin/true"},
	} {
		out, err := exec.Command(self, argv...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != ExitCode || !strings.HasPrefix(string(out), "confine ") {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func TestSentences(t *testing.T) {
	seen := map[string]bool{}
	for abi := range 6 {
		seen[strings.SplitN(Force{Landlock: abi}.Sentence(), "(", 2)[0]] = true
	}
	if len(seen) != 3 {
		t.Errorf("sentences: %v", seen)
	}
}
