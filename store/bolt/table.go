package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// table implements store.Table on a bucket of records and one index bucket.
//
// The index has an entry by parent whose value is the state, and one by state.
// So a page by state, by parent or of everything reads no more than it
// returns; one by parent and state reads that parent's entries.
type table[T store.Record] struct {
	db   *DB
	name string
}

// Create implements store.Table.
func (t *table[T]) Create(ctx context.Context, rec T) error {
	row := rec.Row()
	if row.ID == "" {
		return fmt.Errorf("create in %s: the record has no id", t.name)
	}
	return t.db.write(ctx, func(c *change) error {
		if c.get(t.name, []byte(row.ID)) != nil {
			return fmt.Errorf("create %s in %s: %w", row.ID, t.name, store.ErrExists)
		}
		return t.save(c, nil, rec)
	})
}

// Get implements store.Table.
func (t *table[T]) Get(ctx context.Context, id string) (rec T, err error) {
	err = t.db.view(ctx, func(tx *bbolt.Tx) error {
		rec, err = t.load(tx, id)
		return err
	})
	return rec, err
}

// Update implements store.Table. fn runs inside the write transaction.
func (t *table[T]) Update(ctx context.Context, id string, fn func(*T) error) (T, error) {
	var stored T
	err := t.db.write(ctx, func(c *change) error {
		rec, err := t.load(c.tx, id)
		if err != nil {
			return err
		}
		was := rec.Row()
		if err := fn(&rec); err != nil {
			return err
		}
		if rec.Row().ID != id {
			return fmt.Errorf("update %s in %s: the id was changed to %q", id, t.name, rec.Row().ID)
		}
		stored = rec
		return t.save(c, &was, rec)
	})
	if err != nil {
		var none T
		return none, err
	}
	return stored, nil
}

// Delete implements store.Table.
func (t *table[T]) Delete(ctx context.Context, id string) error {
	return t.db.write(ctx, func(c *change) error {
		rec, err := t.load(c.tx, id)
		if err != nil {
			return err
		}
		return errors.Join(
			t.unindex(c, rec.Row()),
			c.delete(t.name, []byte(id)))
	})
}

// List implements store.Table.
func (t *table[T]) List(ctx context.Context, q store.Query) (recs []T, next string, err error) {
	before, err := backend.ParseCursor(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := backend.PageSize(q.Limit)
	err = t.db.view(ctx, func(tx *bbolt.Tx) error {
		for id := range t.ids(tx, q, before) {
			if len(recs) == limit {
				next = backend.FormatCursor(recs[limit-1].Row().ID)
				return nil
			}
			rec, err := t.load(tx, id)
			if err != nil {
				return err
			}
			recs = append(recs, rec)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return recs, next, nil
}

// ids yields the ids that match the query, newest first, below before.
func (t *table[T]) ids(tx *bbolt.Tx, q store.Query, before string) iter.Seq[string] {
	bucket, prefix := t.name, []byte(nil)
	switch {
	case q.Parent != "":
		bucket, prefix = t.name+indexSuffix, parentKey(q.Parent, "")
	case q.State != "":
		bucket, prefix = t.name+indexSuffix, stateKey(q.State, "")
	}
	return func(yield func(string) bool) {
		for key, value := range descend(tx.Bucket([]byte(bucket)), prefix, before) {
			if q.Parent != "" && q.State != "" && string(value) != q.State {
				continue
			}
			if !yield(string(key[len(prefix):])) {
				return
			}
		}
	}
}

func (t *table[T]) load(tx *bbolt.Tx, id string) (rec T, err error) {
	data := tx.Bucket([]byte(t.name)).Get([]byte(id))
	if data == nil {
		return rec, fmt.Errorf("%s in %s: %w", id, t.name, store.ErrNotFound)
	}
	if err := json.Unmarshal(data, &rec); err != nil {
		return rec, fmt.Errorf("read %s in %s: %w", id, t.name, err)
	}
	return rec, nil
}

// save stores a record and keeps its index; was is nil for a new one.
func (t *table[T]) save(c *change, was *store.Row, rec T) error {
	row := rec.Row()
	data, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("write %s in %s: %w", row.ID, t.name, err)
	}
	if was != nil && *was != row {
		if err := t.unindex(c, *was); err != nil {
			return err
		}
	}
	if was == nil || *was != row {
		if err := t.index(c, row); err != nil {
			return err
		}
	}
	return c.put(t.name, []byte(row.ID), data)
}

func (t *table[T]) index(c *change, row store.Row) error {
	if row.Parent != "" {
		if err := c.put(t.name+indexSuffix, parentKey(row.Parent, row.ID), []byte(row.State)); err != nil {
			return err
		}
	}
	if row.State != "" {
		return c.put(t.name+indexSuffix, stateKey(row.State, row.ID), []byte(row.Parent))
	}
	return nil
}

func (t *table[T]) unindex(c *change, row store.Row) error {
	return errors.Join(
		c.delete(t.name+indexSuffix, parentKey(row.Parent, row.ID)),
		c.delete(t.name+indexSuffix, stateKey(row.State, row.ID)))
}

func parentKey(parent, id string) []byte { return append(keyName([]byte{'p'}, parent), id...) }

func stateKey(state, id string) []byte { return append(keyName([]byte{'s'}, state), id...) }
