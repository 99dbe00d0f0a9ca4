package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
)

// upload is an object on its way in parts. The exported members outlive the
// process.
type upload struct {
	Key      string `json:"key"`
	ID       string `json:"upload_id"`
	PartSize int64  `json:"part_size"` // bytes; the last part is smaller

	s     *Store
	size  int64 // bytes sent, or unknown
	parts []minio.CompletePart
	sums  []byte // MD5 of each part
}

// unknown is the size of what the server copies.
const unknown int64 = -1

// begin asks the server for an upload.
func (u *upload) begin(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, u.s.Timeout)
	defer cancel()
	u.ID, err = u.s.core.NewMultipartUpload(ctx, u.s.Bucket, u.Key, minio.PutObjectOptions{})
	return err
}

// send sends the next part.
func (u *upload) send(ctx context.Context, part []byte) error {
	n := len(u.parts) + 1
	if n > maxParts {
		return fmt.Errorf("the object is larger than %d parts of %d bytes", maxParts, u.PartSize)
	}
	p, err := u.s.core.PutObjectPart(ctx, u.s.Bucket, u.Key, u.ID, n, bytes.NewReader(part), int64(len(part)),
		minio.PutObjectPartOptions{Md5Base64: sumOf(part)})
	if err != nil {
		return fmt.Errorf("send part %d: %w", n, err)
	}
	u.add(part, p.ETag)
	return nil
}

// add notes a part that the server has.
func (u *upload) add(part []byte, etag string) {
	sum := md5.Sum(part)
	u.sums = append(u.sums, sum[:]...)
	u.parts = append(u.parts, minio.CompletePart{PartNumber: len(u.parts) + 1, ETag: etag})
	u.size += int64(len(part))
}

// complete makes the object of the parts; errTaken. Should the answer to an
// earlier try have been lost, the object is there already.
func (u *upload) complete(ctx context.Context, mode store.PutMode) (store.Object, error) {
	// The server may have to copy: it gets more time than for another request.
	limited, cancel := context.WithTimeout(ctx, 10*u.s.Timeout)
	defer cancel()
	info, err := u.s.core.CompleteMultipartUpload(limited, u.s.Bucket, u.Key, u.ID, u.parts, condition(mode))
	switch {
	case isRefusedCondition(err):
		return store.Object{}, errTaken
	case isNoUpload(err):
		if o, serr := u.s.stat(ctx, u.Key); serr == nil && (u.size == unknown || o.Size == u.size) && o.ETag == u.etag() {
			return o, nil
		}
		return store.Object{}, err
	case err != nil:
		return store.Object{}, err
	}
	return store.Object{Key: u.Key, Size: u.size, ETag: info.ETag}, nil
}

// etag is what servers make of the parts' MD5.
func (u *upload) etag() string {
	sum := md5.Sum(u.sums)
	return fmt.Sprintf("%s-%d", hex.EncodeToString(sum[:]), len(u.parts))
}

// abort lets the server forget the parts, even when the caller's time is over.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(u.s.Timeout, 10*time.Second))
	defer cancel()
	u.s.core.AbortMultipartUpload(ctx, u.s.Bucket, u.Key, u.ID) //nolint:errcheck // the bucket's rule ends it some day
}
