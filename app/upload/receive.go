package upload

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"time"

	"streamgate/app/events"
)

const (
	bufferSize = 256 << 10 // bytes read at once

	// Bytes are synced and their number recorded after so many bytes or so
	// much time: that much of an unacknowledged request a kill can cost.
	syncBytes    = 32 << 20
	syncInterval = 5 * time.Second

	// reserveStep is how far ahead the disk is reserved for an upload whose
	// length is not known, bytes.
	reserveStep = 64 << 20

	// writeBackBytes is how much is gathered before the kernel is told to begin
	// writing it, so that a sync finds most of it on the disk.
	writeBackBytes = 4 << 20

	// progressInterval bounds the progress events of one upload.
	progressInterval = 250 * time.Millisecond
)

func newSHA256() hash.Hash { return sha256.New() }

// transfer is one request's bytes on their way to an upload's file.
type transfer struct {
	s        *Service
	id       string
	videoID  string
	size     int64 // of the upload; -1 while unknown
	file     *os.File
	at       int64 // bytes in the file
	live     *live
	check    *checksum                          // of this request's bytes; nil for none
	mark     func(context.Context, int64) error // records that bytes are durable; nil: nothing is recorded
	marked   int64
	markedAt time.Time
	begun    int64       // up to where the kernel was told to write
	syncing  *syncedFile // the sync in the background; nil if there is none
}

// syncedFile is a sync of a file's first bytes.
type syncedFile struct {
	at   int64
	done chan struct{}
	err  error
}

// transfer opens an upload's file to append from byte at. The caller holds
// the upload's lock and closes the transfer.
func (s *Service) transfer(id, videoID string, at, size int64) (*transfer, error) {
	f, err := s.spool.append(id, at)
	if err != nil {
		return nil, s.writeError(err)
	}
	l := s.liveOf(id)
	if l.n != at {
		l.restart(at)
	}
	return &transfer{
		s: s, id: id, videoID: videoID, size: size, file: f, at: at,
		live: l, marked: at, markedAt: s.Now(), begun: at,
	}, nil
}

// receive appends src to the file until its end. Bytes that arrived before an
// error are in the file.
func (t *transfer) receive(ctx context.Context, src io.Reader) error {
	buf := make([]byte, bufferSize)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if werr := t.write(ctx, buf[:n]); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *transfer) write(ctx context.Context, p []byte) error {
	if err := t.reserve(ctx, int64(len(p))); err != nil {
		return err
	}
	n, err := t.file.Write(p)
	if t.live.n == t.at { // else it is computed from the file at the end
		t.live.sum.Write(p[:n])
		t.live.n += int64(n)
	}
	if t.check != nil {
		t.check.sum.Write(p[:n])
	}
	t.at += int64(n)
	t.s.ledger.wrote(t.id, t.at)
	if err != nil {
		return t.s.writeError(err)
	}
	t.progress()
	return t.maybeMark(ctx)
}

// reserve makes sure of room for n more bytes of an upload of unknown length;
// that of the others was promised when they were made.
func (t *transfer) reserve(ctx context.Context, n int64) error {
	if t.size >= 0 || t.at+n <= t.s.ledger.size(t.id) {
		return nil
	}
	return t.s.ledger.grow(ctx, t.id, min(t.at+n+reserveStep, t.s.MaxSize))
}

// progress publishes how far the upload is, if that was not done just now.
func (t *transfer) progress() {
	now := t.s.Now()
	if now.Sub(t.live.told) < progressInterval {
		return
	}
	t.live.told = now
	events.UploadProgress.Announce(t.s.Bus, t.s.Log, events.Upload{
		UploadID: t.id, VideoID: t.videoID, Offset: t.at, SizeBytes: max(0, t.size)})
}

// maybeMark syncs now and then, in the background while more arrives, and
// records what was synced. Bytes with a checksum of their own count only once
// that is verified.
func (t *transfer) maybeMark(ctx context.Context) error {
	if t.at-t.begun >= writeBackBytes {
		beginWriteBack(t.file, t.begun, t.at-t.begun)
		t.begun = t.at
	}
	if t.mark == nil || t.check != nil {
		return nil
	}
	if t.syncing == nil {
		if t.at-t.marked >= syncBytes || t.s.Now().Sub(t.markedAt) >= syncInterval {
			t.syncing = syncBehind(t.file, t.at)
		}
		return nil
	}
	select {
	case <-t.syncing.done:
		return t.synced(ctx)
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
func (t *transfer) synced(ctx context.Context) error {
	if t.syncing == nil {
		return nil
	}
	<-t.syncing.done
	s := t.syncing
	t.syncing = nil
	if s.err != nil {
		return t.s.writeError(s.err)
	}
	return t.record(ctx, s.at)
}

// record notes that the first bytes are durable.
func (t *transfer) record(ctx context.Context, at int64) error {
	if t.mark != nil {
		if err := t.mark(ctx, at); err != nil {
			return err
		}
	}
	t.marked, t.markedAt = at, t.s.Now()
	return nil
}

// commit makes what is in the file durable and records it.
func (t *transfer) commit(ctx context.Context) error {
	if err := t.synced(ctx); err != nil {
		return err
	}
	if err := datasync(t.file); err != nil {
		return t.s.writeError(err)
	}
	return t.record(ctx, t.at)
}

// close leaves the file alone; everything that counts was synced.
func (t *transfer) close() {
	if t.syncing != nil {
		<-t.syncing.done
	}
	t.file.Close()
}
