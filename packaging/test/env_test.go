package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// product builds the program, once.
var product = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "streamgate")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "streamgate")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", path, "./cmd/streamgate").CombinedOutput(); err != nil {
		return "", &buildError{err, string(out)}
	}
	return path, nil
})

type buildError struct {
	error
	said string
}

func (e *buildError) Error() string { return e.error.Error() + "\n" + e.said }

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := product(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// run runs the program with these variables and no others.
func run(t *testing.T, env map[string]string, args ...string) (string, error) {
	t.Helper()
	path, err := product()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = t.TempDir(), []string{"HOME=" + t.TempDir()}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// variables are the variables of every key of the configuration.
func variables(t *testing.T) map[string]bool {
	t.Helper()
	text, err := run(t, nil, "config", "print", "--json")
	if err != nil {
		t.Fatal(text, err)
	}
	var tree map[string]any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	var walk func(prefix string, tree map[string]any)
	walk = func(prefix string, tree map[string]any) {
		for key, value := range tree {
			name := prefix + "_" + strings.ToUpper(key)
			if below, ok := value.(map[string]any); ok {
				walk(name, below)
				continue
			}
			known[name] = true
		}
	}
	walk("STREAMGATE", tree)
	return known
}

// examples are what the files of secrets hold, by the end of their names.
var examples = map[string]string{
	"records": "postgres://streamgate:secret@postgres/streamgate?sslmode=disable", "cache": "redis://:secret@redis:6379/0",
	"media": "http://streamgate:secret@minio:9000/streamgate", "registry": "consul://consul:8500", "token": "a-token",
}

// checkEnv: each variable is of a key, and the program takes the values.
func checkEnv(t *testing.T, env map[string]string) {
	t.Helper()
	known, given := variables(t), map[string]string{}
	for name, value := range env {
		if !known[name] && !known[strings.TrimSuffix(name, "_FILE")] {
			t.Errorf("%s is of no key", name)
		}
		if strings.HasSuffix(name, "_FILE") && known[strings.TrimSuffix(name, "_FILE")] {
			example, ok := examples[filepath.Base(value)]
			if !ok {
				t.Errorf("%s=%s: nobody knows what is in there", name, value)
			}
			value = filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(value, []byte(example+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if value != "" { // else the cluster puts it in
			given[name] = value
		}
	}
	if out, err := run(t, given, "config", "check"); err != nil {
		t.Errorf("%v: %v\n%s", given, err, out)
	}
}
