package main

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/jackc/pgx/v5"

	"streamgate/store/servertest"
)

// TestDoctorServers: what is told of PostgreSQL and Redis, well and not.
func TestDoctorServers(t *testing.T) {
	pg := servertest.NeedPostgres(t, servertest.PostgresOptions{})
	keeps := servertest.Need(t, servertest.StartRedis)
	evicts := servertest.Need(t, func() (*servertest.Redis, error) { return servertest.StartRedisWith("volatile-lru") })
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pg.Address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`CREATE DATABASE later`, `CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close(ctx)
	later, err := pgx.Connect(ctx, pg.Address("later"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Exec(ctx, `CREATE TABLE schema_versions (version integer); INSERT INTO schema_versions VALUES (99)`); err != nil {
		t.Fatal(err)
	}
	later.Close(context.WithoutCancel(ctx))
	for _, c := range []struct {
		name, records, cache string
		want                 []string
	}{
		{"well", pg.Address("postgres"), keeps.URL(), []string{"ok   PostgreSQL", "a database in UTF8", "ok   its tables       none yet", "ok   its clock", "ok   Redis", "ok   its eviction     maxmemory-policy noeviction"}},
		{"migrated by a newer program", pg.Address("later"), evicts.URL(), []string{"BAD  its tables       version 99", "a newer one", "BAD  its eviction     maxmemory-policy volatile-lru", "config set maxmemory-policy noeviction"}},
		{"another encoding", pg.Address("latin"), "", []string{"BAD  PostgreSQL", "LATIN1", "ENCODING 'UTF8'"}},
		{"not there", "host=/none user=u password=hunter2 dbname=d", "redis://:hunter2@127.0.0.1:1/0", []string{"BAD  PostgreSQL", "psql with the same address", "BAD  Redis", "redis-cli -u"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := []string{"STREAMGATE_RECORDS_URL=" + c.records, "STREAMGATE_CACHE_URL=" + c.cache}
			got := runCommand(t, env, "doctor", "--data", t.TempDir())
			for _, want := range c.want {
				if !strings.Contains(got.out, want) {
					t.Errorf("lacks %q:\n%s%s", want, got.out, got.stderr)
				}
			}
			if strings.Contains(got.out+got.stderr, "hunter2") {
				t.Errorf("a password is told:\n%s", got.out)
			}
		})
	}
}

// TestRegistryCommands: config and doctor tell of what the nodes share, and go on
// without it.
func TestRegistryCommands(t *testing.T) {
	server := servertest.NeedConsul(t, "../../bin/consul")
	client, err := api.NewClient(&api.Config{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"log.level": "debug", "api_gateway.port": "many"} {
		if _, err := client.KV().Put(&api.KVPair{Key: "films/config/" + key, Value: []byte(value)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	vars := []string{
		"HOME=" + home, "STREAMGATE_DEPLOYMENT_MODE=cluster", "STREAMGATE_API_GATEWAY_PUBLIC_URL=https://video.example.org", "STREAMGATE_CLUSTER_REGISTRY=" + server.URL("films"),
		"STREAMGATE_RECORDS_URL=postgres:///none?host=" + home, "STREAMGATE_MEDIA_URL=http://key:secret@127.0.0.1:1/bucket", "STREAMGATE_CACHE_URL=unix://" + home + "/none",
	}
	refused := "the shared value of api_gateway.port is refused"
	if got := runCommand(t, vars, "config", "print"); got.code != 0 || !strings.Contains(got.out, "level: debug") || !strings.Contains(got.stderr, refused) {
		t.Errorf("config print: %+v", got)
	}
	if got := runCommand(t, vars, "config", "check"); got.code != 0 || !strings.Contains(got.stderr, refused) {
		t.Errorf("config check: %+v", got)
	}
	if got := runCommand(t, vars, "doctor"); !strings.Contains(got.out, "healthy nodes of this deployment: 0") {
		t.Errorf("doctor: %+v", got)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := runCommand(t, vars, "config", "print"); got.code != 0 || !strings.Contains(got.out, "level: info") || !strings.Contains(got.stderr, "without what the nodes share") {
		t.Errorf("config print without Consul: %+v", got)
	}
	if got := runCommand(t, vars, "doctor"); got.code == 0 || !strings.Contains(got.out, "consul members") {
		t.Errorf("doctor without Consul: %+v", got)
	}
}
