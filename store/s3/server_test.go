package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"streamgate/store/s3"
)

// server is the MinIO of this test binary; nil if it was not built.
var server *testServer

func TestMain(m *testing.M) {
	var err error
	if server, err = startServer(); err != nil {
		fmt.Fprintln(os.Stderr, "start MinIO:", err)
		os.Exit(1)
	}
	code := m.Run()
	if server != nil {
		server.stop()
	}
	os.Exit(code)
}

// testServer is a MinIO on a folder of its own.
type testServer struct {
	dir     string
	address string
	cmd     *exec.Cmd
	ended   chan struct{}
	client  *minio.Client
	buckets atomic.Int64
}

const (
	accessKey = "streamgate"
	secretKey = "for tests only"
)

func startServer() (*testServer, error) {
	bin, err := filepath.Abs("../../bin/minio")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(bin); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	s := &testServer{ended: make(chan struct{})}
	if s.dir, err = os.MkdirTemp("", "minio"); err != nil {
		return nil, err
	}
	if err := errors.Join(s.start(bin), s.ready()); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		if s.cmd != nil {
			s.stop()
		}
		return nil, fmt.Errorf("%w\n%s", err, log)
	}
	return s, nil
}

func (s *testServer) start(bin string) error {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.address = port.Addr().String()
	if err := port.Close(); err != nil { // MinIO cannot be given a socket
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(bin, "server", "--quiet", "--address", s.address, filepath.Join(s.dir, "data"))
	cmd.Env = []string{
		"HOME=" + s.dir, "MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off",
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd = cmd
	go func() {
		defer close(s.ended)
		cmd.Wait()
	}()
	s.client, err = minio.New(s.address, &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, ""), Region: "us-east-1"})
	return err
}

// ready waits until the server answers.
func (s *testServer) ready() error {
	if s.cmd == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/minio/health/ready", http.NoBody)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return errors.New("it does not get ready")
		case <-tick.C:
		}
	}
}

func (s *testServer) stop() {
	s.cmd.Process.Kill()
	<-s.ended
	os.RemoveAll(s.dir)
}

// options are those of a new bucket.
func options(t *testing.T) s3.Options {
	t.Helper()
	if server == nil {
		t.Skip("bin/minio is missing: make test-s3 builds it, which takes some minutes once")
	}
	bucket := fmt.Sprintf("bucket-%d", server.buckets.Add(1))
	if err := server.client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return s3.Options{
		Endpoint: server.address, Bucket: bucket, AccessKey: accessKey, SecretKey: secretKey,
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
