package upload

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"streamgate/store"
)

const (
	// Bytes are synced and their number recorded after so many bytes or so
	// much time: that much of an unacknowledged request a kill can cost.
	syncBytes    = 32 << 20
	syncInterval = 5 * time.Second

	// writeBackBytes is how much is gathered before the kernel is told to begin
	// writing it, so that a sync finds most of it on the disk.
	writeBackBytes = 4 << 20
)

// localBytes keeps uploads in the spool: one file each, on the holder's disk.
type localBytes struct{ s *Service }

// offset implements keeper: what was recorded after a sync, or less if the file
// has lost some since. Those that have become the source already are there too.
func (l localBytes) offset(ctx context.Context, rec store.Upload) (int64, error) {
	size, err := l.s.spool.size(rec.ID)
	if err == nil && size == 0 && whole(rec) {
		if stored, err := l.s.stored(ctx, rec); stored || err != nil {
			return rec.Offset, err
		}
	}
	return min(size, rec.Offset), err
}

// reaches implements keeper.
func (l localBytes) reaches(ctx context.Context, rec store.Upload) (bool, error) {
	if node := rec.Hold.Owner.Node; node == l.s.Owner.Node || node == "" && l.s.Alive == nil {
		return true, nil // an earlier start of this node
	}
	have, err := l.offset(ctx, rec)
	return have >= rec.Offset, err
}

// open implements keeper.
func (l localBytes) open(_ context.Context, t *transfer, rec store.Upload, at int64) (sink, error) {
	f, err := l.s.spool.append(rec.ID, at)
	if err != nil {
		return nil, err
	}
	return &localSink{t: t, file: f, begun: at}, nil
}

// read implements keeper.
func (l localBytes) read(_ context.Context, rec store.Upload) (io.ReadCloser, error) {
	f, err := os.Open(l.s.spool.path(rec.ID))
	if os.IsNotExist(err) && rec.Offset == 0 {
		return io.NopCloser(eof{}), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open received bytes: %w", err)
	}
	return f, nil
}

// has implements keeper.
func (l localBytes) has(rec store.Upload) (bool, error) { return l.s.spool.has(rec.ID) }

// sum implements keeper: the one that ran along, else computed from the file. It
// makes the file of an empty upload, which has had no byte to make it.
func (l localBytes) sum(rec store.Upload) (string, error) {
	if live := l.s.liveOf(rec.ID); live.n == rec.SizeBytes && live.n > 0 {
		return hex.EncodeToString(live.sum.Sum(nil)), nil
	}
	f, err := os.OpenFile(l.s.spool.path(rec.ID), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("open received bytes: %w", err)
	}
	defer f.Close()
	return sumOf(io.LimitReader(f, rec.SizeBytes), rec.SizeBytes)
}

// give implements keeper.
func (l localBytes) give(ctx context.Context, rec store.Upload, key string) error {
	_, err := l.s.Objects.Adopt(ctx, key, l.s.spool.path(rec.ID))
	return err
}

// remove implements keeper.
func (l localBytes) remove(_ context.Context, rec store.Upload) error {
	return l.s.spool.remove(rec.ID)
}

// eof is a reader of nothing.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// localSink appends to an upload's file.
type localSink struct {
	t       *transfer
	file    *os.File
	begun   int64       // up to where the kernel was told to write
	syncing *syncedFile // the sync in the background; nil if there is none
}

// syncedFile is a sync of a file's first bytes.
type syncedFile struct {
	at   int64
	done chan struct{}
	err  error
}

func (l *localSink) room() int64 { return math.MaxInt64 }

func (l *localSink) write(p []byte) (int, error) { return l.file.Write(p) }

// advance syncs now and then, in the background while more arrives, and
// records what was synced. Bytes with a checksum of their own count only once
// that is verified.
func (l *localSink) advance(ctx context.Context) error {
	t := l.t
	if t.at-l.begun >= writeBackBytes {
		beginWriteBack(l.file, l.begun, t.at-l.begun)
		l.begun = t.at
	}
	if t.mark == nil || t.check != nil {
		return nil
	}
	if l.syncing == nil {
		if t.at-t.marked >= syncBytes || t.s.Now().Sub(t.markedAt) >= syncInterval {
			l.syncing = syncBehind(l.file, t.at)
		}
		return nil
	}
	select {
	case <-l.syncing.done:
		return l.synced(ctx)
	default:
		return nil
	}
}

// syncBehind begins to sync a file that is written on.
func syncBehind(f *os.File, at int64) *syncedFile {
	s := &syncedFile{at: at, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = datasync(f)
	}()
	return s
}

// synced waits for the sync in the background, if there is one, and records
// what it reached.
func (l *localSink) synced(ctx context.Context) error {
	if l.syncing == nil {
		return nil
	}
	<-l.syncing.done
	s := l.syncing
	l.syncing = nil
	if s.err != nil {
		return l.t.s.writeError(s.err)
	}
	return l.t.record(ctx, s.at, nil)
}

func (l *localSink) commit(ctx context.Context) error {
	if err := l.synced(ctx); err != nil {
		return err
	}
	if err := datasync(l.file); err != nil {
		return l.t.s.writeError(err)
	}
	return l.t.record(ctx, l.t.at, nil)
}

// close leaves the file alone; everything that counts was synced.
func (l *localSink) close() {
	if l.syncing != nil {
		<-l.syncing.done
	}
	l.file.Close()
}
