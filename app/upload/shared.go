package upload

import (
	"context"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strconv"

	"streamgate/store"
)

const (
	// partBytes is what is gathered before it is stored, of an upload of ordinary
	// size: what stores take in one request.
	partBytes = 16 << 20
	// putsAtOnce bounds the parts that are being stored, which stores may have in
	// memory.
	putsAtOnce = 4
)

// sharedBytes keeps uploads in Objects, where every node reaches them. What was
// acknowledged is there: whole parts, and one object with what is left over. The
// record says up to where, with the state of the running SHA-256; so any node goes
// on where another one stopped, and no byte is read again at the end.
type sharedBytes struct{ s *Service }

// newStored is for an upload without bytes. Parts are as large as it takes for the
// upload to be composed of them.
func (s *Service) newStored(size int64) *store.Stored {
	if !s.Shared {
		return nil
	}
	return &store.Stored{PartBytes: partSize(s.PartBytes, s.MaxSize, size)}
}

// partSize is the usual size of a part, or more for an upload that needs larger ones.
// One of unknown size may become as large as any.
func partSize(usual, maxSize, size int64) int64 {
	if size < 0 {
		size = maxSize
	}
	const mib = 1 << 20
	if usual*store.ComposeMax < size {
		return (size/store.ComposeMax/mib + 1) * mib
	}
	return usual
}

func uploadPrefix(id string) string { return store.UploadsPrefix + id + "/" }

// partKey is the object of bytes of part n: of the whole part, or of its first so
// many bytes.
func partKey(rec store.Upload, n int, bytes int64) string {
	var token uint64
	for _, run := range rec.Stored.Runs {
		if run.From <= n {
			token = run.Token
		}
	}
	key := uploadPrefix(rec.ID) + strconv.Itoa(n) + "-" + strconv.FormatUint(token, 10)
	if bytes < rec.Stored.PartBytes {
		key += "-" + strconv.FormatInt(bytes, 10)
	}
	return key
}

// partKeys are the objects that have the upload's bytes, in order.
func partKeys(rec store.Upload) (keys []string) {
	size := rec.Stored.PartBytes
	for n := range int(rec.Offset / size) {
		keys = append(keys, partKey(rec, n, size))
	}
	if rest := rec.Offset % size; rest > 0 {
		keys = append(keys, partKey(rec, len(keys), rest))
	}
	return keys
}

// offset implements keeper.
func (b sharedBytes) offset(_ context.Context, rec store.Upload) (int64, error) {
	return rec.Offset, nil
}

// reaches implements keeper.
func (b sharedBytes) reaches(context.Context, store.Upload) (bool, error) { return true, nil }

// has implements keeper.
func (b sharedBytes) has(rec store.Upload) (bool, error) { return rec.Offset == rec.SizeBytes, nil }

// sum implements keeper.
func (b sharedBytes) sum(rec store.Upload) (string, error) {
	h, err := hashOf(rec)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashOf is the SHA-256 of the recorded bytes, to be gone on with.
func hashOf(rec store.Upload) (hash.Hash, error) {
	h := newSHA256()
	if rec.Offset == 0 {
		return h, nil
	}
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(rec.Stored.SHA256); err != nil {
		return nil, fmt.Errorf("go on with the SHA-256: %w", err)
	}
	return h, nil
}

// errComposed: what came of the parts is not the upload.
var errComposed = errors.New("the source has another size than the upload")

// give implements keeper. Nobody else stores under the key: see claimVideo.
func (b sharedBytes) give(ctx context.Context, rec store.Upload, key string) error {
	obj, err := b.s.Objects.Stat(ctx, key)
	if err == nil && obj.Size == rec.SizeBytes {
		return nil // an earlier try did
	}
	if keys := partKeys(rec); len(keys) > 0 {
		obj, err = b.s.Objects.Compose(ctx, key, keys, store.IfAbsent)
	} else {
		obj, err = store.PutBytes(ctx, b.s.Objects, key, nil, store.IfAbsent)
	}
	if err == nil && obj.Size != rec.SizeBytes {
		err = fmt.Errorf("%w: %d bytes, not %d", errComposed, obj.Size, rec.SizeBytes)
	}
	return err
}

// remove implements keeper.
func (b sharedBytes) remove(ctx context.Context, rec store.Upload) error {
	if err := b.s.Objects.Delete(ctx, uploadPrefix(rec.ID)); err != nil {
		return fmt.Errorf("remove received bytes: %w", err)
	}
	return nil
}

// read implements keeper.
func (b sharedBytes) read(ctx context.Context, rec store.Upload) (io.ReadCloser, error) {
	return &partReader{ctx: ctx, objects: b.s.Objects, keys: partKeys(rec)}, nil
}

// partReader reads objects one after the other; one is open.
type partReader struct {
	ctx     context.Context
	objects store.Objects
	keys    []string
	open    io.ReadCloser
}

// Read implements io.Reader.
func (r *partReader) Read(p []byte) (n int, err error) {
	for {
		if r.open == nil {
			if len(r.keys) == 0 {
				return 0, io.EOF
			}
			if r.open, _, err = r.objects.Get(r.ctx, r.keys[0]); err != nil {
				r.open = nil
				return 0, fmt.Errorf("read a part: %w", err)
			}
			r.keys = r.keys[1:]
		}
		if n, err = r.open.Read(p); !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := r.Close(); n > 0 || err != nil {
			return n, err
		}
	}
}

// Close implements io.Closer.
func (r *partReader) Close() error {
	if r.open == nil {
		return nil
	}
	open := r.open
	r.open = nil
	return open.Close()
}

// open implements keeper. It begins with what is left over of a part.
func (b sharedBytes) open(ctx context.Context, t *transfer, rec store.Upload, at int64) (sink, error) {
	if at != rec.Offset {
		return nil, fmt.Errorf("bytes from %d on for an upload that has %d", at, rec.Offset)
	}
	var err error
	if t.live.sum, err = hashOf(rec); err != nil {
		return nil, err
	}
	t.live.n = at
	own := *rec.Stored
	rec.Stored = &own
	sink := &sharedSink{t: t, rec: rec, n: int(at / own.PartBytes), sent: at}
	if sink.file, err = b.s.spool.scratch(); err != nil {
		return nil, err
	}
	if rest := at % own.PartBytes; rest > 0 {
		sink.tail = partKey(rec, sink.n, rest)
		if err := sink.refill(ctx, rest); err != nil {
			sink.file.Close()
			return nil, err
		}
	}
	return sink, nil
}

// sharedSink gathers a part in a file, and stores it while the next one gathers.
type sharedSink struct {
	t   *transfer
	rec store.Upload // as it was when the transfer began

	file *os.File // what is gathered of part n
	fill int64    // bytes in it
	n    int

	sent    int64        // bytes stored, in the background too
	sending *sendingPart // nil if there is none
	tail    string       // the object of a part's first bytes that the record needs
	broken  error        // why a part could not be stored: nothing behind it counts
}

// sendingPart is a part on its way into Objects.
type sendingPart struct {
	end  int64  // of the part, in the upload
	sum  []byte // the state of the SHA-256 there
	done chan struct{}
	err  error
}

// refill begins the part with its first bytes, which are stored.
func (s *sharedSink) refill(ctx context.Context, bytes int64) error {
	r, _, err := s.t.s.Objects.Get(ctx, s.tail)
	if err != nil {
		return fmt.Errorf("read what is left over of a part: %w", err)
	}
	defer r.Close()
	s.fill, err = io.Copy(s.file, io.LimitReader(r, bytes))
	if err == nil && s.fill != bytes {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read what is left over of a part: %w", err)
	}
	return nil
}

func (s *sharedSink) room() int64 { return s.rec.Stored.PartBytes - s.fill }

func (s *sharedSink) write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	s.fill += int64(n)
	return n, err
}

// advance sends a part that is full, and records one that was sent. Bytes with a
// checksum of their own count only once that is verified.
func (s *sharedSink) advance(ctx context.Context) error {
	if s.room() == 0 {
		if err := s.flush(ctx); err != nil {
			return err
		}
		return s.send(ctx)
	}
	if s.sending == nil || s.t.check != nil {
		return nil
	}
	select {
	case <-s.sending.done:
		return s.flush(ctx)
	default:
		return nil
	}
}

// send begins to store what was gathered, and another file to gather in.
func (s *sharedSink) send(ctx context.Context) error {
	sum, err := s.t.live.sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return fmt.Errorf("keep the SHA-256: %w", err)
	}
	s.beginRun()
	part := &sendingPart{end: s.t.at, sum: sum, done: make(chan struct{})}
	key, file, size := partKey(s.rec, s.n, s.fill), s.file, s.fill
	kept := context.WithoutCancel(ctx) // also when the client has gone
	go func() {
		defer close(part.done)
		part.err = s.t.s.storePart(kept, key, file, size)
	}()
	s.sending, s.sent = part, part.end
	s.n, s.fill = s.n+1, 0
	if s.file, err = s.t.s.spool.scratch(); err != nil {
		s.file, s.broken = nil, s.t.s.writeError(err)
	}
	return s.broken
}

// storePart stores a gathered part and closes its file.
func (s *Service) storePart(ctx context.Context, key string, file *os.File, size int64) error {
	defer file.Close()
	s.puts <- struct{}{}
	defer func() { <-s.puts }()
	if _, err := s.Objects.Put(ctx, key, io.NewSectionReader(file, 0, size), size, store.Replace); err != nil {
		return fmt.Errorf("store received bytes: %w", err)
	}
	return nil
}

// beginRun notes that part n is stored under this transfer's hold.
func (s *sharedSink) beginRun() {
	runs, token := s.rec.Stored.Runs, s.rec.Hold.Token
	runs = slices.DeleteFunc(slices.Clone(runs), func(r store.StoredRun) bool { return r.From >= s.n })
	if len(runs) == 0 || runs[len(runs)-1].Token != token {
		runs = append(runs, store.StoredRun{From: s.n, Token: token})
	}
	s.rec.Stored.Runs = runs
}

// flush waits for the part that is being stored, if there is one, and records it.
func (s *sharedSink) flush(ctx context.Context) error {
	part := s.sending
	if part == nil {
		return nil
	}
	if err := s.wait(); err != nil || s.t.check != nil {
		return err
	}
	return s.record(ctx, part.end, part.sum, "")
}

// wait waits for the part that is being stored, if there is one.
func (s *sharedSink) wait() error {
	if part := s.sending; part != nil {
		<-part.done
		if s.sending = nil; part.err != nil {
			s.broken = s.t.s.writeError(part.err)
		}
	}
	return s.broken
}

// record notes what is stored; tail is the object of a part's first bytes. The one
// before it is needed no more.
func (s *sharedSink) record(ctx context.Context, at int64, sum []byte, tail string) error {
	runs := s.rec.Stored.Runs
	err := s.t.record(ctx, at, func(u *store.Upload) {
		u.Stored = &store.Stored{PartBytes: s.rec.Stored.PartBytes, Runs: runs, SHA256: sum}
	})
	if err != nil {
		return err
	}
	old := s.tail
	if s.tail = tail; old == "" || old == tail {
		return nil
	}
	if err := s.t.s.Objects.Delete(ctx, old); err != nil {
		s.t.s.Log.Warn("bytes that are stored twice stay until their upload ends", "err", err)
	}
	return nil
}

// commit stores what is gathered, be it a whole part or not, and records all.
func (s *sharedSink) commit(ctx context.Context) error {
	if s.broken != nil {
		return s.broken
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	tail := ""
	if rest := s.t.at % s.rec.Stored.PartBytes; s.sent < s.t.at {
		if err := s.send(ctx); err != nil {
			return err
		}
		tail = partKey(s.rec, s.n-1, rest)
	}
	if err := s.wait(); err != nil || s.t.marked == s.t.at {
		return err
	}
	sum, err := s.t.live.sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return fmt.Errorf("keep the SHA-256: %w", err)
	}
	return s.record(ctx, s.t.at, sum, tail)
}

// close forgets what was gathered. If something may be stored that is not
// recorded, what follows is stored under another token.
func (s *sharedSink) close() {
	if s.sending != nil {
		<-s.sending.done
	}
	if s.file != nil {
		s.file.Close()
	}
	if s.sent != s.t.marked {
		s.t.live.torn = true
	}
}
