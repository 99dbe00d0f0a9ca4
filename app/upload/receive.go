package upload

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

const (
	bufferSize = 256 << 10 // bytes read at once

	// reserveStep is how far ahead the disk is reserved for an upload whose
	// length is not known, bytes.
	reserveStep = 64 << 20

	// progressInterval bounds the progress events of one upload.
	progressInterval = 250 * time.Millisecond
)

func newSHA256() hash.Hash { return sha256.New() }

// transfer is one request's bytes on their way to where an upload's bytes are
// kept.
type transfer struct {
	s       *Service
	id      string
	videoID string
	size    int64 // of the upload; -1 while unknown
	sink    sink
	at      int64 // bytes given to the sink
	live    *live
	check   *checksum // of this request's bytes; nil for none
	mark    marker    // records that bytes are durable; nil: nothing is recorded

	marked   int64
	markedAt time.Time
}

// marker records that an upload has its first bytes, and what else of it the sink
// has to say.
type marker func(ctx context.Context, at int64, change func(*store.Upload)) error

// sink takes a transfer's bytes, and records by the transfer which are durable.
type sink interface {
	// room is how much the next write may have.
	room() int64
	write(p []byte) (int, error)
	// advance is called after every write.
	advance(ctx context.Context) error
	// commit makes durable what was written, and records it.
	commit(ctx context.Context) error
	close()
}

// transfer begins to append to an upload at byte at. The caller holds the
// upload's lock and closes the transfer.
func (s *Service) transfer(ctx context.Context, rec store.Upload, at int64) (*transfer, error) {
	t := &transfer{
		s: s, id: rec.ID, videoID: rec.VideoID, size: rec.SizeBytes, at: at,
		live: s.liveOf(rec.ID), marked: at, markedAt: s.Now(),
	}
	var err error
	t.sink, err = s.keeper(rec).open(ctx, t, rec, at)
	if err != nil {
		return nil, s.writeError(err)
	}
	if t.live.n != at {
		t.live.restart(at)
	}
	return t, nil
}

// receive appends src until its end. Bytes that arrived before an error are in
// the sink.
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
	for len(p) > 0 {
		n := min(int64(len(p)), t.sink.room())
		if err := t.append(ctx, p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (t *transfer) append(ctx context.Context, p []byte) error {
	n, err := t.sink.write(p)
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
	return t.sink.advance(ctx)
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

// record notes that the first bytes are durable.
func (t *transfer) record(ctx context.Context, at int64, change func(*store.Upload)) error {
	if t.mark != nil {
		if err := t.mark(ctx, at, change); err != nil {
			return err
		}
	}
	t.marked, t.markedAt = at, t.s.Now()
	return nil
}

// commit makes what has arrived durable and records it.
func (t *transfer) commit(ctx context.Context) error { return t.sink.commit(ctx) }

func (t *transfer) close() { t.sink.close() }
