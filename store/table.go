package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"iter"
	"strconv"
	"time"
)

// Row is what a table knows of a record besides its bytes: its id and the two
// fields a list can be narrowed by.
type Row struct {
	ID     string
	Parent string // id of the record it belongs to, or ""
	State  string // lower-case word, or ""
}

// Record is a plain struct that a Table can keep. Records are stored as JSON.
type Record interface {
	Row() Row
}

// Table keeps records of one type by id.
type Table[T Record] interface {
	// Create stores a new record; ErrExists if its id is taken.
	Create(ctx context.Context, rec T) error
	// Get returns the record; ErrNotFound.
	Get(ctx context.Context, id string) (T, error)
	// Update applies fn to the current record and stores the outcome, alone
	// among concurrent updates of that record. If fn fails, nothing is stored
	// and its error is returned as it is. fn must not do I/O, may run more
	// than once, and must not change the id. Returns what was stored;
	// ErrNotFound.
	Update(ctx context.Context, id string, fn func(*T) error) (T, error)
	// Delete removes the record; ErrNotFound.
	Delete(ctx context.Context, id string) error
	// List returns records newest first (descending id), narrowed by q, and
	// the cursor of the next page ("" on the last); ErrCursor.
	List(ctx context.Context, q Query) (recs []T, next string, err error)
}

// Query narrows and pages a List. The zero value means: the first page of
// everything.
type Query struct {
	Parent string
	State  string
	Cursor string
	Limit  int // records a page; 0 means DefaultLimit, more than MaxLimit is MaxLimit
}

// Page sizes of List.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// All yields every record of a table that q matches, newest first. It reads
// page by page; an error ends it.
func All[T Record](ctx context.Context, t Table[T], q Query) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q.Limit = MaxLimit
		for {
			recs, next, err := t.List(ctx, q)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, rec := range recs {
				if !yield(rec, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			q.Cursor = next
		}
	}
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a new id of 24 lower-case characters that sorts by time of
// creation (millisecond) and carries 72 random bits.
func NewID() string {
	var b [15]byte
	binary.BigEndian.PutUint64(b[:8], uint64(time.Now().UnixMilli())<<16)
	rand.Read(b[6:]) // never fails (crypto/rand)
	return idEncoding.EncodeToString(b[:])
}

// NamedID returns the id of what happened at t and is told apart by name. It
// looks and sorts like one of NewID, but is the same whoever makes it.
func NamedID(t time.Time, name string) string {
	var b [15]byte
	binary.BigEndian.PutUint64(b[:8], uint64(t.UnixMilli())<<16)
	sum := sha256.Sum256(strconv.AppendInt([]byte(name+"\x00"), t.UnixNano(), 10))
	copy(b[6:], sum[:])
	return idEncoding.EncodeToString(b[:])
}
