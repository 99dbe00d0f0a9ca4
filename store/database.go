package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Database is all that a Catalog and a Queue keep, as a whole: so it is moved to
// another backend.
type Database interface {
	// Standing tells whether the database is in use.
	Standing(ctx context.Context) (Standing, error)
	// SetStanding says so. A database is left (StandingMoved) only while it is held
	// by this program: ErrHoldLost.
	SetStanding(ctx context.Context, s Standing) error
	// Hold refuses every write but those of this contract with ErrReadOnly, on
	// whichever node, for ttl from now on. When it returns, all writes that had begun
	// have ended. Called again it holds for longer; ErrHoldLost if there was a moment
	// in which writes went on.
	Hold(ctx context.Context, ttl time.Duration) error
	// Release lets writes go on; nil if the database is not held.
	Release(ctx context.Context) error
	// Dump yields everything, table by table in the order of Tables. Leases are given
	// back: a job that is leased comes as one that waits. While the database is held
	// it is one state. An error ends it.
	Dump(ctx context.Context) iter.Seq2[Entry, error]
	// Restore puts entries in the place of everything; they come table by table in the
	// order of Tables. The database is not in use meanwhile (StandingArriving).
	Restore(ctx context.Context, entries iter.Seq2[Entry, error]) error
}

// Entry is one thing that a database keeps, the same in every backend: a record's
// document byte for byte, ids, revisions and times included.
type Entry struct {
	Table string
	ID    string // unique in the table
	Data  json.RawMessage
}

// The tables of entries that are no records.
const (
	TablePlans   = "plans"   // by video: its Plan
	TableCells   = "cells"   // by CellsID: a CellSet
	TableSecrets = "secrets" // by name: bytes
	TableJobs    = "jobs"    // by id: a Job
	TableQueue   = "queue"   // QueuePausedID: true if the queue is paused
)

// QueuePausedID is the only entry of TableQueue, if the queue is paused.
const QueuePausedID = "paused"

// Tables are the names of all tables. Those of records come first.
func Tables() []string {
	return []string{
		"videos", "tasks", "uploads", "keys", "removals",
		"rules", "sessions", "codes", "sign_outs", "chain_cursors",
		"webhooks", "deliveries", "people", "setup_links", "console_sessions", "passkeys", "wallets",
		"audit_entries", "audit_heads", "alerts", "decisions",
		TablePlans, TableCells, TableSecrets, TableJobs, TableQueue,
	}
}

// CellsID is the id of the cells of a rendition. No video's id has a slash.
func CellsID(videoID, rendition string) string { return videoID + "/" + rendition }

// The states of a database as a whole.
const (
	StandingInUse = ""
	// StandingArriving: another one is being moved to it.
	StandingArriving = "arriving"
	// StandingComplete: all of it is there, and the other one is about to be left.
	StandingComplete = "complete"
	// StandingMoved: it was moved to another one, and is out of date.
	StandingMoved = "moved"
)

// Standing is where a database as a whole stands.
type Standing struct {
	State      string    `json:"state,omitempty"`
	Deployment string    `json:"deployment,omitempty"` // whose it is or was
	Other      string    `json:"other,omitempty"`      // the configuration file of the other database
	At         time.Time `json:"at,omitzero"`
}

// The errors of Database.
var (
	// ErrReadOnly: the database is held; the same write may succeed later.
	ErrReadOnly = fmt.Errorf("%w for writes: it is read-only for a moment, while it is moved", ErrUnavailable)
	// ErrMoved: the database is not in use any more, or not yet.
	ErrMoved = errors.New("the database is not in use")
	// ErrHoldLost: the database is not held, or was not all the time.
	ErrHoldLost = errors.New("the database is not held any more")
)

// Refusal is why nothing may be done with the database: ErrMoved, or nil if it is
// in use.
func (s Standing) Refusal() error {
	at := s.At.UTC().Format("2006-01-02 15:04:05 MST")
	switch s.State {
	case StandingInUse:
		return nil
	case StandingMoved:
		return fmt.Errorf("%w: the deployment was moved away from it at %s; start the node with --config %s, and to go back run there: streamgate migrate --to FILE, with the configuration of this one", ErrMoved, at, s.Other)
	default:
		return fmt.Errorf("%w: a move to it began at %s and has not ended; start the node with --config %s, as before, which tells how it stands, and run streamgate migrate there", ErrMoved, at, s.Other)
	}
}

// Unavailable adds ErrUnavailable to the refusal of a database that nodes still run
// on: what they do from memory goes on.
func Unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
