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
		live: l, marked: at, markedAt: s.Now(),
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

// maybeMark syncs and records now and then. Bytes with a checksum of their
// own count only once that is verified.
func (t *transfer) maybeMark(ctx context.Context) error {
	due := t.at-t.marked >= syncBytes || t.s.Now().Sub(t.markedAt) >= syncInterval
	if t.mark == nil || t.check != nil || !due {
		return nil
	}
	return t.commit(ctx)
}

// commit makes what is in the file durable and records it.
func (t *transfer) commit(ctx context.Context) error {
	if err := datasync(t.file); err != nil {
		return t.s.writeError(err)
	}
	if t.mark != nil {
		if err := t.mark(ctx, t.at); err != nil {
			return err
		}
	}
	t.marked, t.markedAt = t.at, t.s.Now()
	return nil
}

func (t *transfer) close() { t.file.Close() } // everything that counts was synced
