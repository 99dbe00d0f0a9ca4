package servertest

import (
	"errors"
	"io"
	"testing"
)

// Need starts a server for a test, which ends with it; where its programs are
// missing it skips the test.
func Need[S io.Closer](t testing.TB, start func() (S, error)) S {
	t.Helper()
	server, err := start()
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// NeedPostgres is Need of a PostgreSQL.
func NeedPostgres(t testing.TB, opts PostgresOptions) *Postgres {
	t.Helper()
	return Need(t, func() (*Postgres, error) { return StartPostgres(opts) })
}

// NeedMinIO is Need of the MinIO at bin.
func NeedMinIO(t testing.TB, bin string) *MinIO {
	t.Helper()
	return Need(t, func() (*MinIO, error) { return StartMinIO(bin) })
}
