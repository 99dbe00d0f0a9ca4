package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamgate/store"
	"streamgate/store/postgres"
)

func TestFailure(t *testing.T) {
	other := errors.New("other")
	for _, test := range []struct {
		err  error
		want error // nil: none of the store's
	}{
		{&pgconn.PgError{Code: "53100"}, store.ErrFull},
		{&pgconn.PgError{Code: "57P01"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "08006"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "25006"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "53300"}, store.ErrUnavailable},
		{fmt.Errorf("write: %w", io.ErrUnexpectedEOF), store.ErrUnavailable},
		{&net.OpError{Op: "dial", Err: other}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "57P04"}, nil}, // the database was dropped
		{&pgconn.PgError{Code: "42P01"}, nil}, // there is no such table
		{other, nil},
	} {
		got := postgres.Failure(t.Context(), test.err)
		if !errors.Is(got, test.err) {
			t.Errorf("%v became %v", test.err, got)
		}
		for _, known := range []error{store.ErrFull, store.ErrUnavailable} {
			if errors.Is(got, known) != (known == test.want) { //nolint:errorlint // identity is meant
				t.Errorf("%v became %v", test.err, got)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := postgres.Failure(ctx, io.EOF); !errors.Is(got, context.Canceled) || errors.Is(got, store.ErrUnavailable) {
		t.Errorf("a cancelled call ended with %v", got)
	}
}

// No server is told at once, and in words.
func TestOpenNowhere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := postgres.Open(ctx, "host="+t.TempDir()+" user=test dbname=test", postgres.Options{})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if _, err := postgres.Open(ctx, "postgres://user:secret@host:notaport/db", postgres.Options{}); err == nil || contains(err, "secret") {
		t.Errorf("a bad address ended with %v", err)
	}
}

func TestClosed(t *testing.T) {
	db := open(t, database(t, migrated), postgres.Options{})
	db.Close()
	if err := db.Queue().Push(t.Context(), store.Job{ID: "a"}); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("push: %v", err)
	}
	if _, err := db.Queue().Job(t.Context(), "a"); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("job: %v", err)
	}
	if _, err := db.Catalog().Videos.Get(t.Context(), "a"); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("get: %v", err)
	}
}
