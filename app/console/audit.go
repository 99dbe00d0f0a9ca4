package console

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// Log is the audit log: append-only, a chain of hashes.
type Log struct {
	entries store.Table[store.AuditEntry]
	heads   store.Table[store.AuditHead]
	mu      sync.Mutex // one at a time on this node; nodes meet at the numbers
}

// NewLog returns the audit log of a deployment.
func NewLog(c store.Catalog) *Log { return &Log{entries: c.Audit, heads: c.AuditHeads} }

// Change is what somebody has done.
type Change struct {
	Action string // noun.verb
	Object string // id of the noun
	// Before and After are what changed: JSON objects, or nil.
	Before, After any
}

const (
	headID   = "head"
	maxState = 4 << 10 // bytes of Before and of After that are kept
	// tries bounds how often an entry is renumbered because another node was
	// faster.
	tries = 100
	// recordFor is how long a store that is not there is waited for: the change has
	// been made, and a database is back, or another in its place, after seconds.
	recordFor   = 10 * time.Second
	recordPause = 200 * time.Millisecond
	// lookBack is how many entries other nodes may have added while one does not
	// know whether its own was written.
	lookBack = 10
)

// Append adds a change by the caller. An error means that the change is not in
// the log, though it was made.
func (l *Log) Append(ctx context.Context, c Change) error {
	// The change has been made: it is recorded even if who made it has gone.
	ctx = context.WithoutCancel(ctx)
	who := rpc.Caller(ctx)
	entry := store.AuditEntry{
		At: time.Now().UTC(), Who: name(who), Client: who.Client, Action: c.Action, Object: c.Object,
	}
	entry.Kind, _, _ = strings.Cut(c.Action, ".")
	entry.Before, entry.After = difference(c.Before, c.After)
	deadline := time.Now().Add(recordFor)
	var made string
	for range tries {
		hash, err := l.append(ctx, entry, made)
		switch {
		case errors.Is(err, store.ErrUnavailable) && time.Now().Before(deadline):
			made = cmp.Or(hash, made)
			time.Sleep(recordPause)
		case !errors.Is(err, store.ErrExists):
			return err
		}
	}
	return errors.New("append to the audit log: other nodes are always faster")
}

// append adds an entry, unless the one with this hash, of which it is not known
// whether it was written, is there; it returns the hash of what it tried to write.
func (l *Log) append(ctx context.Context, entry store.AuditEntry, made string) (hash string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest, _, err := l.entries.List(ctx, store.Query{Limit: lookBack})
	if err != nil {
		return "", err
	}
	for _, e := range newest {
		if e.Hash == made {
			return made, l.remember(ctx, e)
		}
	}
	var last store.AuditEntry
	if len(newest) > 0 {
		last = newest[0]
	}
	entry.ID, entry.Prev = next(last.ID), last.Hash
	entry.Hash = hashOf(entry)
	if err := l.entries.Create(ctx, entry); err != nil {
		return entry.Hash, fmt.Errorf("append to the audit log: %w", err)
	}
	return entry.Hash, l.remember(ctx, entry)
}

// remember moves the head. It only moves forward.
func (l *Log) remember(ctx context.Context, e store.AuditEntry) error {
	forward := func(h *store.AuditHead) error {
		if e.ID > h.Last {
			h.Last, h.Hash = e.ID, e.Hash
		}
		return nil
	}
	_, err := l.heads.Update(ctx, headID, forward)
	if errors.Is(err, store.ErrNotFound) {
		err = l.heads.Create(ctx, store.AuditHead{ID: headID, Last: e.ID, Hash: e.Hash})
	}
	if errors.Is(err, store.ErrExists) { // another node was faster
		_, err = l.heads.Update(ctx, headID, forward)
	}
	if err != nil {
		return fmt.Errorf("move the head of the audit log: %w", err)
	}
	return nil
}

// List returns entries, newest first: of one object or kind, if given. Scope:
// operator.
func (l *Log) List(ctx context.Context, q store.Query) ([]store.AuditEntry, string, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, "", err
	}
	list, cursor, err := l.entries.List(ctx, q)
	if errors.Is(err, store.ErrCursor) {
		return nil, "", rpc.Invalid("invalid_cursor", "The cursor is none of this list; begin at its first page.")
	}
	return list, cursor, err
}

// Verdict is what Verify found.
type Verdict struct {
	Entries int
	// Fault says what is wrong, "" if the chain is whole.
	Fault string
	// At is the entry where it is wrong.
	At string
}

// Verify walks the whole chain. Scope: operator.
func (l *Log) Verify(ctx context.Context) (Verdict, error) {
	var v Verdict
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return v, err
	}
	head, err := l.heads.Get(ctx, headID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return v, fmt.Errorf("read the head of the audit log: %w", err)
	}
	var after *store.AuditEntry // the entry that follows, which was read before
	for e, err := range store.All(ctx, l.entries, store.Query{}) {
		if err != nil {
			return v, fmt.Errorf("read the audit log: %w", err)
		}
		v.Entries++
		if v.Fault, v.At = fault(e, after, head); v.Fault != "" {
			return v, nil
		}
		after = &e
	}
	switch {
	case after == nil && head.Last != "":
		v.Fault, v.At = "The whole log is gone.", head.Last
	case after != nil && (after.ID != next("") || after.Prev != ""):
		v.Fault, v.At = "What was before this entry is gone.", after.ID
	}
	return v, nil
}

// fault says what is wrong with an entry, given the one that follows it.
func fault(e store.AuditEntry, after *store.AuditEntry, head store.AuditHead) (what, at string) {
	switch {
	case e.Hash != hashOf(e):
		return "This entry was changed.", e.ID
	case after == nil && e.ID < head.Last:
		return "The log is cut off after this entry.", e.ID
	case e.ID == head.Last && e.Hash != head.Hash:
		return "This entry is not the one that was written.", e.ID
	case after != nil && after.ID != next(e.ID):
		return "Entries after this one are missing.", e.ID
	case after != nil && after.Prev != e.Hash:
		return "The entry after this one does not follow it.", e.ID
	}
	return "", ""
}

// next is the id after another; "" has the first one after it.
func next(id string) string {
	n := 0
	if _, err := fmt.Sscanf(id, "%d", &n); err != nil {
		n = 0
	}
	return fmt.Sprintf("%020d", n+1)
}

// hashOf covers every field but Hash; fields are separated by their lengths.
func hashOf(e store.AuditEntry) string {
	h := sha256.New()
	for _, field := range []string{
		e.ID, e.At.UTC().Format(time.RFC3339Nano), e.Who, e.Client, e.Action, e.Kind, e.Object, string(e.Before), string(e.After), e.Prev,
	} {
		fmt.Fprintf(h, "%d:%s", len(field), field)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// name is how the log calls who made a change.
func name(who rpc.Identity) string {
	switch {
	case who.Person != "":
		return "person " + who.Person
	case who.KeyID != "":
		return "key " + who.KeyID
	case who.Wallet != "":
		return "wallet " + who.Wallet
	case who.Scope == rpc.ScopeAdmin:
		return "this machine"
	}
	return "nobody"
}

// difference keeps, of two JSON objects, the fields that differ.
func difference(before, after any) (b, a json.RawMessage) {
	old, now := fields(before), fields(after)
	for _, key := range []string{"updated_at", "watch_url"} { // they tell nothing
		delete(old, key)
		delete(now, key)
	}
	if old == nil || now == nil {
		return encode(old), encode(now)
	}
	for key, value := range old {
		if string(now[key]) == string(value) {
			delete(old, key)
			delete(now, key)
		}
	}
	return encode(old), encode(now)
}

// fields is a JSON object in parts; nil for nothing.
func fields(v any) map[string]json.RawMessage {
	if v == nil {
		return nil
	}
	data, err := marshal(v)
	var out map[string]json.RawMessage
	if err != nil || json.Unmarshal(data, &out) != nil {
		return nil
	}
	return out
}

func encode(m map[string]json.RawMessage) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	if len(data) > maxState {
		return json.RawMessage(fmt.Sprintf(`{"left_out":"%d bytes"}`, len(data)))
	}
	return data
}

// unrecorded is what a caller is told whose change is not in the log.
func unrecorded(ctx context.Context, err error) error {
	rpc.Outward(ctx, fmt.Errorf("a change is not in the audit log: %w", err)) //nolint:errcheck // for its log line
	return rpc.Errorf(connect.CodeUnavailable, "not_recorded",
		"The change was made, but the audit log, which should have it, cannot be written now. Look at what there is before you try again.")
}
