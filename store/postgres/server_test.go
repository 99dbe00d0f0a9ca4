package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/store/postgres"
	"streamgate/store/servertest"
)

// server is the PostgreSQL of this test binary; nil if the machine has none.
var server *testServer

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if server, err = startServer(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := server.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// testServer is a server with a database that tests get copies of.
type testServer struct {
	*servertest.Postgres
	admin     *pgx.Conn
	databases atomic.Int64
}

// migrated is a database with all tables, of which tests get copies.
const migrated = "migrated"

func startServer() (*testServer, error) {
	var opts servertest.PostgresOptions
	if benchmarks := flag.Lookup("test.bench").Value.String() != ""; benchmarks {
		opts = servertest.PostgresOptions{Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=8GB"}}
	}
	pg, err := servertest.StartPostgres(opts)
	if errors.Is(err, servertest.ErrMissing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &testServer{Postgres: pg}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// prepare makes the database that is copied.
func (s *testServer) prepare() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if s.admin, err = pgx.Connect(ctx, s.Address("postgres")); err != nil {
		return err
	}
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+migrated); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, s.Address(migrated), postgres.Options{})
	if err != nil {
		return err
	}
	db.Close()
	return nil
}

func (s *testServer) stop() error {
	if s == nil {
		return nil
	}
	if s.admin != nil {
		s.admin.Close(context.Background())
	}
	return s.Close()
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
	return server.Address(name)
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
