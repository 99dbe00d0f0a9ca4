package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// durability decides how a commit reaches the disk. Either bbolt syncs its
// file with each commit (direct), or the commit's changes are synced to the
// redo log while bbolt writes its pages without a sync (logged).
//
// While logged, the file on the disk is a mixture after a power cut: some
// pages are there, some are not. What makes it whole again is a base: a state
// whose pages are all on the disk and stay there, since a read transaction
// that is kept open holds them, and whose meta page the log remembers. At the
// next open (see restore) the base's meta page is put back and the log's
// records are done again.
//
// A checkpoint makes a newer state the base, so that the log can start anew:
//
//  1. between two commits, a new reader holds the present state and the next
//     generation of the log begins on the other file;
//  2. in the background the database file is synced, then the generation is
//     marked durable;
//  3. the old reader goes.
//
// A power cut before the mark finds the old base, and both logs to do again.
//
// Every field belongs to the caller who leads the writer.
type durability struct {
	bolt *bbolt.DB
	path string
	file *os.File // the database's, to read its meta pages

	limits
	sync func() error // syncs the file

	commits int        // since the base, or since the open
	opening chan *redo // gives the log once its files are there; else nil
	redo    *redo      // nil until then
	without bool       // it failed: never again
	base    *bbolt.Tx  // the reader that holds the base; nil while direct
	syncing chan error // the checkpoint in the background; nil if there is none
	broken  error      // what can no longer be made durable, and why
}

// limits say when something is due.
type limits struct {
	// A database that is hardly written needs no log, whose files take longer
	// to make than a node to start: it begins after so many commits.
	commitsBeforeLog int
	// A checkpoint is due after so much of the log, which bounds the time to
	// do it again, or so many commits: at each of them bbolt looks at the
	// pages that the base holds.
	checkpointBytes   int64
	checkpointCommits int
}

var defaultLimits = limits{commitsBeforeLog: 64, checkpointBytes: redoSize / 2, checkpointCommits: 1024}

func newDurability(b *bbolt.DB, path string) (*durability, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &durability{bolt: b, path: path, file: file, limits: defaultLimits, sync: b.Sync}, nil
}

// before gets ready for a commit.
func (d *durability) before() error {
	select {
	case d.redo = <-d.opening:
		d.opening, d.without = nil, d.redo == nil
	case err := <-d.syncing:
		d.synced(err)
	default:
	}
	switch {
	case d.broken != nil:
		return d.broken
	case d.base != nil:
		if !d.hasRoom() {
			d.leave()
		}
	case d.redo != nil:
		if d.hasRoom() {
			d.enter()
		}
	case d.opening == nil && !d.without && d.commits >= d.commitsBeforeLog:
		d.open()
	}
	return d.broken
}

// open makes the files of the log in the background.
func (d *durability) open() {
	d.opening = make(chan *redo, 1)
	go func() {
		r, err := openRedo(d.path)
		if err != nil {
			r = nil // commits are slower without it, no more
		}
		d.opening <- r
	}()
}

// hasRoom tells whether the file fits into its map: to map it anew, bbolt
// waits for every reader, the base's included.
func (d *durability) hasRoom() bool {
	info, err := d.file.Stat()
	return err == nil && info.Size() < int64(mapBytes-mapBytes/8)
}

// commit ends a write transaction; record has its changes, after room for the
// log's header. With an error nothing took effect, unless broken.
func (d *durability) commit(tx *bbolt.Tx, record []byte) error {
	d.commits++
	if d.base == nil {
		return tx.Commit()
	}
	if !d.redo.fits(record) && d.syncing != nil {
		d.synced(<-d.syncing)
	}
	if d.broken != nil {
		return errors.Join(d.broken, tx.Rollback())
	}
	if !d.redo.fits(record) {
		err := tx.Commit()
		d.leave()
		return errors.Join(err, d.broken)
	}
	committed := make(chan error, 1)
	go func() { committed <- tx.Commit() }()
	lerr := d.redo.append(record)
	err := <-committed
	if err != nil || lerr != nil {
		// The log has a change that the file has not, or the other way round:
		// the file decides.
		d.leave()
		if lerr != nil {
			d.discard()
		}
		return errors.Join(err, d.broken)
	}
	if d.syncing == nil && (d.redo.at > d.checkpointBytes || d.commits >= d.checkpointCommits) {
		d.checkpoint()
	}
	return nil
}

// enter goes from direct to logged.
func (d *durability) enter() {
	base, reader, err := d.hold()
	if err != nil {
		d.discard()
		return
	}
	err = d.redo.begin(base)
	if err == nil {
		err = d.redo.mark(markDurable, d.redo.generation)
	}
	if err != nil {
		_ = reader.Rollback() // it only read
		d.discard()
		return
	}
	d.base, d.commits, d.bolt.NoSync = reader, 0, true
}

// leave goes from logged to direct: it makes the file durable as it is and the
// log void.
func (d *durability) leave() {
	if d.syncing != nil {
		d.synced(<-d.syncing)
	}
	if d.broken != nil || d.base == nil {
		return
	}
	if err := d.sync(); err != nil {
		d.fail(err)
		return
	}
	if err := d.redo.mark(markClean, d.redo.generation); err != nil {
		d.discard()
	}
	if d.broken == nil {
		_ = d.base.Rollback() // it only read
		d.base, d.bolt.NoSync = nil, false
	}
}

// discard removes the log for good; the file must be durable as it is. A log
// that stays would take the file back to its base at the next open.
func (d *durability) discard() {
	if d.broken != nil || d.redo == nil {
		return
	}
	_ = d.redo.close() // nothing in it is needed
	d.redo, d.without = nil, true
	if err := removeRedo(d.path); err != nil {
		d.fail(err)
	}
}

func removeRedo(path string) error {
	for i := range 2 {
		if err := os.Remove(redoPath(path, i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// fail stops all writes: what was acknowledged is in the log, and the next
// open does it again.
func (d *durability) fail(err error) {
	d.broken = fmt.Errorf("the disk failed while the database was synced; restart the node to go on with what was acknowledged: %w", store.Full(err))
}

// checkpoint begins to make the present state the base.
func (d *durability) checkpoint() {
	base, reader, err := d.hold()
	if err != nil {
		d.leave()
		return
	}
	if err := d.redo.begin(base); err != nil {
		_ = reader.Rollback() // it only read
		d.fail(err)
		return
	}
	log, old, generation := d.redo, d.base, d.redo.generation
	d.base, d.commits, d.syncing = reader, 0, make(chan error, 1)
	go func() {
		err := d.sync()
		if err == nil {
			err = log.mark(markDurable, generation)
		}
		if err == nil {
			err = old.Rollback()
		}
		trim(d.bolt)
		d.syncing <- err
	}()
}

// synced takes note of how the checkpoint in the background ended.
func (d *durability) synced(err error) {
	d.syncing = nil
	if err != nil && d.broken == nil {
		d.fail(err)
	}
}

// hold opens a reader of the present state and returns its meta page.
func (d *durability) hold() (meta, *bbolt.Tx, error) {
	reader, err := d.bolt.Begin(false)
	if err != nil {
		return nil, nil, err
	}
	base, err := readMeta(d.file, d.bolt.Info().PageSize)
	if err == nil && base.txid() != uint64(reader.ID()) {
		err = fmt.Errorf("the file's newest meta page is of transaction %d, not %d", base.txid(), reader.ID())
	}
	if err != nil {
		return nil, nil, errors.Join(err, reader.Rollback())
	}
	return base, reader, nil
}

// close makes the file whole by itself.
func (d *durability) close() error {
	if d.opening != nil {
		d.redo = <-d.opening
	}
	d.leave()
	if d.base != nil {
		_ = d.base.Rollback() // it only read
	}
	err := errors.Join(d.broken, d.file.Close())
	if d.redo != nil {
		err = errors.Join(err, d.redo.close())
	}
	return err
}
