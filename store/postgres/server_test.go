package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/store/postgres"
)

// server is the PostgreSQL of this test binary; nil if the machine has none.
var server *testServer

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if server, err = startServer(); err != nil {
		fmt.Fprintln(os.Stderr, "start PostgreSQL:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := server.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// testServer listens on a socket in a directory of its own.
type testServer struct {
	dir       string
	cmd       *exec.Cmd
	ended     chan error
	admin     *pgx.Conn
	databases atomic.Int64
}

// migrated is a database with all tables, of which tests get copies.
const migrated = "migrated"

func startServer() (*testServer, error) {
	bin := newestBin()
	if bin == "" {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &testServer{dir: dir, ended: make(chan error, 1)}
	if err := s.start(bin); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, fmt.Errorf("%w\n%s", errors.Join(err, s.stop()), log)
	}
	return s, nil
}

// newestBin is where Debian keeps PostgreSQL's programs; several versions may be
// there.
func newestBin() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		return ""
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
}

func version(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

func (s *testServer) start(bin string) error {
	initdb, err := s.command(filepath.Join(bin, "initdb"), "--pgdata", "data", "--username", "test", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
	if err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	args := []string{"-D", "data", "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=150", "-c", "shared_buffers=128MB"}
	if benchmarks := flag.Lookup("test.bench").Value.String() != ""; benchmarks {
		args = append(args, "-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB")
	} else {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	if s.cmd, err = s.command(filepath.Join(bin, "postgres"), args...); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return s.prepare()
}

// command prepares a program that ends with this process. PostgreSQL refuses to
// be root's.
func (s *testServer) command(path string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		return cmd, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return cmd, errors.Join(err1, err2, os.Chown(s.dir, int(uid), int(gid)))
}

// prepare waits until the server answers and makes the database that is copied.
func (s *testServer) prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		var err error
		if s.admin, err = pgx.Connect(ctx, s.address("postgres")); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("it ended at its start: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+migrated); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, s.address(migrated), postgres.Options{})
	if err != nil {
		return err
	}
	db.Close()
	return nil
}

func (s *testServer) address(database string) string {
	return "host=" + s.dir + " user=test dbname=" + database
}

func (s *testServer) stop() error {
	if s == nil {
		return nil
	}
	defer os.RemoveAll(s.dir)
	if s.admin != nil {
		s.admin.Close(context.Background())
	}
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil { // clients are sent away
		return err
	}
	select {
	case err := <-s.ended:
		return err
	case <-time.After(time.Minute):
		return errors.Join(errors.New("it did not stop"), syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL))
	}
}

// database makes a new database that ends with the test: a copy of template.
func database(t testing.TB, template string) (address string) {
	t.Helper()
	if server == nil {
		t.Skip("PostgreSQL is not installed (Debian's package postgresql)")
	}
	name := fmt.Sprint("test", server.databases.Add(1))
	admin(t, "CREATE DATABASE "+name+" TEMPLATE "+template)
	t.Cleanup(func() { admin(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	return server.address(name)
}

func admin(t testing.TB, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := server.admin.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// open opens a database as a node does.
func open(t testing.TB, address string, opts postgres.Options) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), address, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// connect opens a connection beside those of the nodes.
func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec1(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
