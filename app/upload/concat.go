package upload

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tus/tusd/v2/pkg/handler"

	"streamgate/app/rpc"
	"streamgate/store"
)

// maxParts bounds the uploads that a final one is made of.
const maxParts = 100

// checkConcat looks at Upload-Concat before tusd opens every part.
func checkConcat(header string) error {
	parts := strings.Fields(strings.TrimPrefix(header, "final;"))
	if len(parts) > maxParts {
		return rpc.Invalid("invalid_concat", "A final upload may have at most %d parts.", maxParts)
	}
	slices.Sort(parts)
	if len(slices.Compact(parts)) < len(parts) {
		return rpc.Invalid("invalid_concat", "A part may stand in Upload-Concat only once.")
	}
	return nil
}

// checkParts refuses what was not uploaded as a part; tusd has made sure that
// all are whole.
func (s *Service) checkParts(ctx context.Context, ids []string) error {
	for _, id := range ids {
		rec, err := s.Catalog.Uploads.Get(ctx, id)
		if err != nil {
			return rpc.NotFound(fmt.Errorf("read a part: %w", err), "upload", id)
		}
		if !rec.Partial || rec.State != store.UploadReceiving {
			return rpc.Invalid("invalid_concat", "Upload %q was not created with Upload-Concat: partial.", id)
		}
		if ours, err := s.ours(ctx, rec); rec.Stored == nil && (err != nil || !ours) {
			return orElse(err, uploadElsewhere())
		}
	}
	return nil
}

// ConcatUploads implements handler.ConcatableUpload: it makes the final
// upload's file and finishes it. If that fails the parts stay, and the final
// upload, of which the client knows nothing yet, is removed.
func (u *tusUpload) ConcatUploads(ctx context.Context, _ []handler.Upload) error {
	release, err := u.s.locks.hold(ctx, u.rec.ID)
	if err != nil {
		return refuse(ctx, err)
	}
	defer release()
	if err := u.s.assemble(ctx, u.rec); err != nil {
		if eerr := u.s.erase(ctx, u.rec); eerr != nil {
			u.s.Log.Warn("a failed final upload stays until it expires", "err", eerr)
		}
		return refuse(ctx, err)
	}
	_, err = u.s.finish(ctx, u.rec.ID)
	return refuse(ctx, err)
}

// assemble joins the parts into the final upload's file. The bytes exist
// twice until the video has them, unless the file system can share them.
func (s *Service) assemble(ctx context.Context, rec store.Upload) error {
	if rec.Stored != nil {
		return s.assembleShared(ctx, rec)
	}
	f, err := s.spool.append(rec.ID, 0)
	if err != nil {
		return s.writeError(err)
	}
	defer f.Close()
	var n int64
	for _, id := range rec.Parts {
		m, err := s.appendPart(f, id)
		if err != nil {
			return s.writeError(err)
		}
		n += m
		s.ledger.wrote(rec.ID, n)
	}
	if n != rec.SizeBytes {
		return rpc.Invalid("invalid_concat", "A part changed while it was joined.")
	}
	if err := datasync(f); err != nil {
		return s.writeError(err)
	}
	_, err = s.mark(ctx, rec, 0, n, nil)
	return err
}

// assembleShared reads the parts, which the SHA-256 of the whole asks for anyway.
func (s *Service) assembleShared(ctx context.Context, rec store.Upload) error {
	t, err := s.transfer(ctx, rec, 0)
	if err != nil {
		return err
	}
	defer t.close()
	t.mark = func(ctx context.Context, at int64, change func(*store.Upload)) error {
		_, err := s.mark(ctx, rec, t.marked, at, change)
		return err
	}
	for _, id := range rec.Parts {
		if err := s.receivePart(ctx, t, id); err != nil {
			return err
		}
	}
	if t.at != rec.SizeBytes {
		return rpc.Invalid("invalid_concat", "A part changed while it was joined.")
	}
	return t.commit(ctx)
}

func (s *Service) receivePart(ctx context.Context, t *transfer, id string) error {
	part, err := s.Catalog.Uploads.Get(ctx, id)
	if err != nil {
		return rpc.NotFound(fmt.Errorf("read a part: %w", err), "upload", id)
	}
	r, err := s.keeper(part).read(ctx, part)
	if err != nil {
		return err
	}
	defer r.Close()
	return t.receive(ctx, r)
}

// appendPart copies one part inside the kernel (copy_file_range).
func (s *Service) appendPart(f *os.File, id string) (int64, error) {
	part, err := os.Open(s.spool.path(id))
	if os.IsNotExist(err) {
		return 0, nil // an empty part has no file; one of another node was refused
	}
	if err != nil {
		return 0, fmt.Errorf("open a part: %w", err)
	}
	defer part.Close()
	n, err := io.Copy(f, part)
	if err != nil {
		return n, fmt.Errorf("join a part: %w", err)
	}
	return n, nil
}

// dropParts gives back what a finished final upload was made of.
func (s *Service) dropParts(ctx context.Context, rec store.Upload) {
	for _, id := range rec.Parts {
		part, err := s.Catalog.Uploads.Get(ctx, id)
		if err == nil && part.State == store.UploadReceiving {
			part, err = s.seized(ctx, part)
		}
		if err == nil {
			err = s.discard(ctx, part)
		}
		if err != nil && !isNotFound(err) {
			s.Log.Warn("a joined part stays until it expires", "err", err)
		}
	}
}
