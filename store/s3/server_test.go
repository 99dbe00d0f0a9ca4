package s3_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"streamgate/store/s3"
	"streamgate/store/servertest"
)

// server is the MinIO of this test binary; nil if it was not built.
var server *servertest.MinIO

func TestMain(m *testing.M) {
	var err error
	if server, err = servertest.StartMinIO("../../bin/minio"); err != nil && !errors.Is(err, servertest.ErrMissing) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if server != nil {
		server.Close()
	}
	os.Exit(code)
}

// options are those of a new bucket.
func options(t *testing.T) s3.Options {
	t.Helper()
	if server == nil {
		t.Skip("bin/minio is missing: make test-s3 builds it, which takes some minutes once")
	}
	bucket, err := server.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s3.Options{
		Endpoint: server.Address(), Bucket: bucket, AccessKey: servertest.AccessKey, SecretKey: servertest.SecretKey,
		CacheDir: t.TempDir(), CacheBytes: 256 << 20,
	}
}

func open(t *testing.T, o s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
