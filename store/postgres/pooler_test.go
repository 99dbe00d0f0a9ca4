package postgres_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/postgres"
	"streamgate/store/storetest"
)

// Behind PgBouncer in transaction mode each transaction may be on another of few
// sessions.
func TestPooler(t *testing.T) {
	through := startPooler(t)
	t.Run("catalog", func(t *testing.T) {
		storetest.TestCatalog(t, func(t *testing.T) store.Catalog {
			return open(t, through(database(t, migrated)), postgres.Options{}).Catalog()
		})
	})
	t.Run("queue", func(t *testing.T) {
		storetest.TestQueue(t, func(t *testing.T, clock *storetest.Clock) store.Queue {
			return open(t, through(database(t, migrated)), postgres.Options{Now: clock.Now}).Queue()
		})
	})
	t.Run("migration", func(t *testing.T) { open(t, through(database(t, "template0")), postgres.Options{}) })
}

// startPooler starts a PgBouncer before the server; through is a database's
// address there.
func startPooler(t *testing.T) (through func(address string) string) {
	t.Helper()
	if server == nil {
		t.Skip("PostgreSQL is not installed (Debian's package postgresql)")
	}
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/pgbouncer") // which is in root's path only
	}
	if err != nil {
		t.Skip("PgBouncer is not installed (Debian's package pgbouncer)")
	}
	dir := filepath.Join(server.Dir(), "pooler")
	cmd, err := server.Command(path, filepath.Join(dir, "ini"))
	check(t, err)
	check(t, os.Mkdir(dir, 0o700))
	if who := cmd.SysProcAttr.Credential; who != nil {
		check(t, os.Chown(dir, int(who.Uid), int(who.Gid)))
	}
	config := fmt.Sprintf("[databases]\n* = host=%s user=test\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = %s\nauth_type = any\n"+
		"pool_mode = transaction\ndefault_pool_size = 3\n", server.Dir(), dir)
	check(t, os.WriteFile(filepath.Join(dir, "ini"), []byte(config), 0o644))
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	check(t, cmd.Start())
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Error("PgBouncer did not stop")
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Log(out)
		}
	})
	waitFor(t, "PgBouncer listens", func() bool {
		_, err := os.Stat(filepath.Join(dir, ".s.PGSQL.6432"))
		return err == nil
	})
	return func(address string) string {
		return strings.Replace(address, "host="+server.Dir(), "host="+dir+" port=6432", 1)
	}
}
