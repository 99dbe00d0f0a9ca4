package s3

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// Adopt implements store.Objects. How far it came is known to the server; which
// of its uploads that is, a small file tells. So the same call after an error or a
// crash sends what is missing.
func (s *Store) Adopt(ctx context.Context, key, path string) (store.Object, error) {
	if err := errors.Join(ctx.Err(), backend.CheckKey(key)); err != nil {
		return store.Object{}, err
	}
	o, err := s.adopt(ctx, key, path)
	s.cache.forget(key) // after an error, too: it may have taken effect
	if err != nil {
		return store.Object{}, fmt.Errorf("adopt %s as %s: %w", filepath.Base(path), key, mapped(ctx, err))
	}
	if err := os.Remove(path); err != nil {
		return store.Object{}, fmt.Errorf("remove the adopted file: %w", err)
	}
	os.Remove(s.adoption(key))
	return o, nil
}

func (s *Store) adopt(ctx context.Context, key, path string) (store.Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return store.Object{}, err
	}
	defer f.Close()
	info, err := os.Lstat(path)
	if err != nil {
		return store.Object{}, err
	}
	if !info.Mode().IsRegular() {
		return store.Object{}, errors.New("not a regular file")
	}
	if info.Size() <= wholeMax {
		data, err := io.ReadAll(contextReader{ctx, f})
		if err != nil {
			return store.Object{}, err
		}
		return s.putOnce(ctx, key, data, store.Replace)
	}
	return s.adoptParts(ctx, key, f, info.Size())
}

func (s *Store) adoptParts(ctx context.Context, key string, f *os.File, size int64) (store.Object, error) {
	if up := s.remembered(key, partSize(size)); up != nil {
		there, err := up.sent(ctx)
		if err == nil {
			return up.sendFile(ctx, f, there)
		}
		if !isNoUpload(err) {
			return store.Object{}, err
		}
		// The server has ended it, or completed it and the answer was lost.
		if o, err := up.found(ctx, f, size); err == nil {
			return o, nil
		}
	}
	up := &upload{s: s, Key: key, PartSize: partSize(size)}
	if err := errors.Join(up.begin(ctx), s.remember(up)); err != nil {
		return store.Object{}, err
	}
	return up.sendFile(ctx, f, nil)
}

// found is the object that the upload has become, if it has.
func (u *upload) found(ctx context.Context, f *os.File, size int64) (store.Object, error) {
	o, err := u.s.stat(ctx, u.Key)
	if err != nil || o.Size != size {
		return o, errors.Join(store.ErrNotFound, err)
	}
	part := make([]byte, u.PartSize)
	for at := int64(0); at < size; at += u.PartSize {
		part = part[:min(u.PartSize, size-at)]
		if _, err := f.ReadAt(part, at); err != nil {
			return o, err
		}
		u.add(part, "")
	}
	if o.ETag != u.etag() {
		return o, store.ErrNotFound
	}
	return o, nil
}

// sendFile sends what is missing of a file.
func (u *upload) sendFile(ctx context.Context, f *os.File, there map[int]string) (store.Object, error) {
	part := make([]byte, u.PartSize)
	for {
		n, err := readPart(contextReader{ctx, f}, part)
		if err != nil {
			return store.Object{}, err
		}
		if n == 0 {
			break
		}
		if etag := there[len(u.parts)+1]; etag == etagOf(part[:n]) {
			u.add(part[:n], etag)
			continue
		}
		if err := u.send(ctx, part[:n]); err != nil {
			return store.Object{}, err
		}
	}
	return u.complete(ctx, store.Replace)
}

// remembered is the upload of an earlier try, nil if there is none.
func (s *Store) remembered(key string, partSize int64) *upload {
	data, err := os.ReadFile(s.adoption(key))
	up := &upload{s: s}
	if err != nil || json.Unmarshal(data, up) != nil || up.Key != key || up.PartSize != partSize {
		return nil
	}
	return up
}

// sent asks which parts the server has.
func (u *upload) sent(ctx context.Context) (map[int]string, error) {
	etags := map[int]string{}
	for marker := 0; ; {
		page, err := u.page(ctx, marker)
		if err != nil {
			return nil, err
		}
		for _, p := range page.ObjectParts {
			etags[p.PartNumber] = strings.Trim(p.ETag, `"`)
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return etags, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// etagOf is what servers make of a part. One that encrypts makes another, and
// gets its parts again.
func etagOf(part []byte) string {
	sum := md5.Sum(part)
	return hex.EncodeToString(sum[:])
}

func (u *upload) page(ctx context.Context, marker int) (minio.ListObjectPartsResult, error) {
	ctx, cancel := context.WithTimeout(ctx, u.s.Timeout)
	defer cancel()
	return u.s.core.ListObjectParts(ctx, u.s.Bucket, u.Key, u.ID, marker, 1000)
}

func (s *Store) adoptions() string { return filepath.Join(s.CacheDir, "adopt") }

func (s *Store) adoption(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.adoptions(), hex.EncodeToString(sum[:16])+".json")
}

// remember writes down an upload before its first part. Torn by a crash, it is
// not found, and the adoption begins anew.
func (s *Store) remember(up *upload) error {
	data, err := json.Marshal(up)
	if err != nil {
		return err
	}
	return store.Full(os.WriteFile(s.adoption(up.Key), data, 0o600))
}
