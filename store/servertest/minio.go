package servertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The keys of a MinIO's only user.
const (
	AccessKey = "streamgate"
	SecretKey = "for tests only"
)

// MinIO is a MinIO of its own. What it holds stays while it is killed and started
// again.
type MinIO struct {
	process
	bin     string
	address string
	client  *minio.Client
	buckets atomic.Int64
}

// StartMinIO starts the program at bin, which make test-s3 builds; ErrMissing.
func StartMinIO(bin string) (*MinIO, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("bin/minio (make test-s3 builds it, which takes some minutes once): %w", ErrMissing)
	}
	dir, err := os.MkdirTemp("", "minio")
	if err != nil {
		return nil, err
	}
	m := &MinIO{process: process{dir: dir}, bin: bin}
	if err := errors.Join(m.choosePort(), m.Start()); err != nil {
		return nil, errors.Join(fmt.Errorf("start MinIO: %w", err), m.Close())
	}
	return m, nil
}

// choosePort finds a port that is free: MinIO cannot be given a socket.
func (m *MinIO) choosePort() error {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	m.address = port.Addr().String()
	m.client, err = minio.New(m.address, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1"})
	return errors.Join(err, port.Close())
}

// Start starts a server that was killed.
func (m *MinIO) Start() error {
	cmd, err := m.command("", m.bin, "server", "--quiet", "--address", m.address, filepath.Join(m.dir, "data"))
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, "MINIO_ROOT_USER="+AccessKey, "MINIO_ROOT_PASSWORD="+SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off")
	return m.launch(cmd, m.ready)
}

func (m *MinIO) ready() error {
	res, err := http.Get("http://" + m.address + "/minio/health/ready")
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %w", res.StatusCode, err)
	}
	return nil
}

// Kill ends the server at once.
func (m *MinIO) Kill() error { return m.end(syscall.SIGKILL) }

// Close ends the server and removes its directory.
func (m *MinIO) Close() error { return errors.Join(m.Kill(), os.RemoveAll(m.dir)) }

// Address is host and port.
func (m *MinIO) Address() string { return m.address }

// Client is a client of the server.
func (m *MinIO) Client() *minio.Client { return m.client }

// Bucket makes a bucket.
func (m *MinIO) Bucket(ctx context.Context) (name string, err error) {
	name = fmt.Sprintf("bucket-%d", m.buckets.Add(1))
	return name, m.client.MakeBucket(ctx, name, minio.MakeBucketOptions{})
}

// Objects lists what a bucket has under a prefix.
func (m *MinIO) Objects(ctx context.Context, bucket, prefix string) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		for o := range m.client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if !yield(o, o.Err) {
				return
			}
		}
	}
}

// URL is a bucket's address, as the configuration takes it.
func (m *MinIO) URL(bucket string) string {
	return "http://" + AccessKey + ":for%20tests%20only@" + m.address + "/" + bucket
}
