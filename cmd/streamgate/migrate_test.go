package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"streamgate/node"
	"streamgate/store/postgres"
	"streamgate/store/servertest"
)

// TestMigrateDryRun: what there is to move is told, and what cannot be moved to is
// refused with the reason.
func TestMigrateDryRun(t *testing.T) {
	pg := servertest.NeedPostgres(t, servertest.PostgresOptions{})
	dir, _ := startNode(t)
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "other.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wantNoTables := func() {
		t.Helper()
		if r, err := postgres.Look(t.Context(), pg.Address("postgres")); err != nil || r.Schema != 0 {
			t.Errorf("a dry run has made tables: %+v, %v", r, err)
		}
	}
	other := write("records: {url: \"" + pg.Address("postgres") + "\"}\n")
	migrate := func(args ...string) outcome {
		return runCommand(t, nil, append([]string{"migrate", "--data", dir}, args...)...)
	}
	if got := runCommand(t, nil, "keys", "create", "--scope", "read", "--data", dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	for range 2 { // the first has changed nothing
		got := migrate("--to", other, "--dry-run", "--json")
		var plan struct {
			node.MigratePlan
			Moved bool `json:"moved"`
		}
		if err := json.Unmarshal([]byte(got.out), &plan); err != nil || got.code != 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if plan.State != "empty" || plan.Moved || plan.Tables["keys"] != 1 || plan.Next[0] != "serve" {
			t.Errorf("%+v", plan)
		}
	}
	if got := migrate("--to", other, "--dry-run"); got.code != 0 || !strings.Contains(got.out, "empty") || !strings.Contains(got.out, "postgres on ") {
		t.Errorf("%+v", got)
	}
	wantNoTables()
	for _, row := range []struct {
		what, file string
		args       []string
		want       string
		code       int
	}{
		{"no file", "", nil, "--to FILE is missing", exitUsage},
		{"a file that is not there", "/nonexistent.yaml", nil, "/nonexistent.yaml", exitFailure},
		{"a wrong key", write("recordz: 1\n"), nil, "recordz", exitFailure},
		{"the same records", write("log: {level: debug}\n"), nil, "records.url", exitFailure},
		{"no server", write("records: {url: \"postgres://nobody@127.0.0.1:1/x\"}\n"), nil, "see that it runs", exitFailure},
		{"servers that are away", other, []string{"--set", "deployment.mode=cluster", "--set", "api_gateway.public_url=http://127.0.0.1:8080", "--set", "cluster.registry=consul://127.0.0.1:1", "--set", "media.url=http://a:b@127.0.0.1:1/bucket", "--set", "cache.url=redis://127.0.0.1:1"}, "127.0.0.1:1", exitFailure},
	} {
		args := row.args
		if row.file != "" {
			args = append(args, "--to", row.file)
		}
		got := migrate(append(args, "--dry-run")...)
		if got.code != row.code || got.out != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, row.want) {
			t.Errorf("%s: %+v", row.what, got)
		}
	}
	got := runCommand(t, nil, "migrate", "--to", other, "--data", t.TempDir())
	if got.code != exitFailure || !strings.Contains(got.stderr, "no node is running") {
		t.Errorf("without a node: %+v", got)
	}
}
