package upload

import (
	"context"
	"io"

	"streamgate/store"
)

// keeper keeps the bytes of unfinished uploads, by their records.
type keeper interface {
	// offset is how many bytes are there of those that are recorded.
	offset(ctx context.Context, rec store.Upload) (int64, error)
	// reaches tells whether this node can go on with the upload of a dead one.
	reaches(ctx context.Context, rec store.Upload) (bool, error)
	// open lets a transfer append at byte at.
	open(ctx context.Context, t *transfer, rec store.Upload, at int64) (sink, error)
	// read reads the bytes that are recorded.
	read(ctx context.Context, rec store.Upload) (io.ReadCloser, error)
	// has tells whether a whole upload has its bytes here: no longer once they
	// were given away, if giving moves them.
	has(rec store.Upload) (bool, error)
	// sum is the SHA-256 of a whole upload.
	sum(rec store.Upload) (string, error)
	// give makes the bytes of a whole upload an object.
	give(ctx context.Context, rec store.Upload, key string) error
	// remove removes the bytes.
	remove(ctx context.Context, rec store.Upload) error
}

// keeper is where an upload's bytes are.
func (s *Service) keeper(rec store.Upload) keeper {
	if rec.Stored != nil {
		return sharedBytes{s}
	}
	return localBytes{s}
}

// offset is how many bytes of an upload can be relied on.
func (s *Service) offset(ctx context.Context, rec store.Upload) (int64, error) {
	if rec.State == store.UploadComplete {
		return rec.SizeBytes, nil
	}
	return s.keeper(rec).offset(ctx, rec)
}
