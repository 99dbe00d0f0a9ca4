package postgres_test

import (
	"errors"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/postgres"
)

// TestLook: what streamgate doctor tells of a database, before and after a node
// has made its tables; looking makes none.
func TestLook(t *testing.T) {
	empty, used := database(t, "template0"), database(t, migrated)
	for address, tables := range map[string]bool{empty: false, used: true} {
		r, err := postgres.Look(t.Context(), address)
		if err != nil || r.Number < postgres.OldestServer || r.Server == "" || r.Encoding != "UTF8" || r.Known == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if want := map[bool]int{true: r.Known}[tables]; r.Schema != want {
			t.Errorf("the tables are of version %d, want %d", r.Schema, want)
		}
		if r.Ahead.Abs() > 5*time.Second {
			t.Errorf("the clock of this very machine is %v ahead of it", r.Ahead)
		}
	}
	if by, err := open(t, used, postgres.Options{}).Ahead(t.Context()); err != nil || by.Abs() > 5*time.Second {
		t.Errorf("ahead by %v, %v", by, err)
	}
	if _, err := postgres.Look(t.Context(), "host=/none dbname=x user=y"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("where no server is: %v", err)
	}
}

func TestValidAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"postgres://u:p@h:5432/d?sslmode=verify-full": true, "host=/run user=u dbname=d": true,
		"mysql://h/d": false, "h:5432": false, "postgres://h:port/d": false,
	} {
		if got := postgres.ValidAddress(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
