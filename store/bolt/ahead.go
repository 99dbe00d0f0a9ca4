package bolt

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// ahead is what the redo log has and the file's pages have not. While nobody
// reads, a commit is durable with the log's sync alone: the transaction stays
// open, the next changes go into it too, and its pages are written once for all
// of them, when somebody reads, or when there are many. A lone producer saves a
// third of its time with that. While there are readers each commit is written
// beside the log's sync, so that none of them has to wait.
//
// A power cut finds nothing new in that: what the file has beyond its base is
// done again from the log anyway.
type ahead struct {
	tx      *bbolt.Tx // open, with all the records; nil if there are none, or if it was dropped
	records []byte    // the operations of what was acknowledged, one after the other
	quiet   int       // commits since somebody read
	reads   uint64    // when that was looked at last
}

const (
	// quietCommits is how many commits must pass without a read until pages
	// wait: a database that is read pays for one transaction at most.
	quietCommits = 8
	// maxAhead bounds the memory of the open transaction, and the time that the
	// first reader waits.
	maxAhead = 256 << 10
)

// mayWait tells whether the pages of the next commit can wait.
func (w *writer) mayWait() bool {
	a, d := &w.ahead, w.disk
	if reads := w.reads.Load(); reads != a.reads {
		a.reads, a.quiet = reads, 0
	}
	a.quiet++
	return a.quiet > quietCommits && len(a.records) < maxAhead &&
		d.base != nil && d.broken == nil && d.syncing == nil && d.redo.at < d.checkpointBytes
}

// begin returns the transaction that the next changes go into.
func (w *writer) begin() (*bbolt.Tx, error) {
	a := &w.ahead
	if a.tx != nil {
		return a.tx, nil
	}
	if len(a.records) == 0 {
		if err := w.disk.before(); err != nil {
			return nil, err
		}
	}
	tx, err := w.db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", store.Full(err))
	}
	if err := apply(a.records, &change{tx: tx, commit: new(commit)}); err != nil {
		return nil, errors.Join(fmt.Errorf("begin: %w", store.Full(err)), tx.Rollback())
	}
	a.tx = tx
	return tx, nil
}

// rollback drops the transaction, with what was acknowledged of it: begin does
// that again.
func (w *writer) rollback() error {
	tx := w.ahead.tx
	w.ahead.tx = nil
	return tx.Rollback()
}

// log acknowledges the newest changes of the open transaction by the log alone.
// If the log fails, or has no room for them, the file decides, as in
// durability.commit.
func (w *writer) log(record []byte) error {
	a, d := &w.ahead, w.disk
	fits := d.redo.fits(record)
	if fits && d.redo.append(record) == nil {
		a.records = append(a.records, record[recordHeader:]...)
		w.behind.Store(true)
		return nil
	}
	err := a.tx.Commit()
	a.tx = nil
	if err == nil {
		w.caughtUp()
	} else if cerr := w.catchUp(); cerr != nil {
		if fits {
			d.fail(cerr) // the log has these changes, perhaps
		}
		return errors.Join(err, cerr)
	}
	d.leave()
	if fits {
		d.discard()
	}
	return errors.Join(err, d.broken)
}

// catchUp writes the pages that wait.
func (w *writer) catchUp() error {
	a := &w.ahead
	if len(a.records) == 0 {
		return nil
	}
	tx, err := w.begin()
	if err != nil {
		return err
	}
	a.tx = nil
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit what was acknowledged: %w", store.Full(err))
	}
	w.disk.commits++
	w.caughtUp()
	return nil
}

func (w *writer) caughtUp() {
	w.ahead.records = w.ahead.records[:0]
	w.behind.Store(false)
}

// reading is called before a read: it waits until the pages have all that was
// acknowledged before.
func (w *writer) reading(ctx context.Context) error {
	w.reads.Add(1)
	if !w.behind.Load() {
		return nil
	}
	return w.do(ctx, func(*change) error { return nil }) // with a read just now, it catches up
}
