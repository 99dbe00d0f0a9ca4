package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"streamgate/store"
)

// Options say where the bucket is.
type Options struct {
	Endpoint  string // host and port, without a scheme
	TLS       bool
	Region    string // default us-east-1
	Bucket    string // must exist
	AccessKey string
	SecretKey string

	// CacheDir is a folder of this process alone. What was read is removed from it
	// by Open; how far adoptions came stays.
	CacheDir string
	// CacheBytes bounds what was read. Default 4 GiB.
	CacheBytes int64
	// Fresh is how long cached bytes are served without asking whether they are
	// still the object's. Default 30 s.
	Fresh time.Duration
	// Listens, if it is set, is told the address on loopback at which ffmpeg reads,
	// once there is one.
	Listens func(addr string)
	// Peer, if it is set, reads a part of a large object, within one piece of
	// PieceBytes, from the one process of several that keeps that piece for all. ok is
	// false if that is this one, or does not answer: then the bucket is asked.
	Peer func(ctx context.Context, o store.Object, from, size int64) (data []byte, ok bool)
	// Stall is how long a connection may move no byte. Default 30 s.
	Stall time.Duration
	// Timeout bounds a request that carries no object's bytes. Default 30 s.
	Timeout time.Duration
}

func (o *Options) setDefaults() {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 4 << 30
	}
	for _, d := range []*time.Duration{&o.Fresh, &o.Stall, &o.Timeout} {
		if *d == 0 {
			*d = 30 * time.Second
		}
	}
}

const (
	// wholeMax is the size up to which objects are sent in one request and cached
	// whole, and of the parts of larger ones, bytes.
	wholeMax = 16 << 20
	// tries is how often a request is made that the server or the way to it fails.
	tries = 3
)

// Store is a bucket of objects.
type Store struct {
	Options

	core      minio.Core
	transport *http.Transport
	cache     *cache
	inputs    *inputs
	read      read
}

// read counts bytes of objects.
type read struct{ fromServer, fromPeers atomic.Int64 }

// ReadBytes is how many bytes of objects were read from the server and from peers.
func (s *Store) ReadBytes() (fromServer, fromPeers int64) {
	return s.read.fromServer.Load(), s.read.fromPeers.Load()
}

var _ store.Objects = (*Store)(nil)

// Open connects to the bucket. ErrUnavailable.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := connect(o)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		s.transport.CloseIdleConnections()
		return nil, fmt.Errorf("open the bucket %s at %s: %w", o.Bucket, o.Endpoint, err)
	}
	return s, nil
}

// Look tries whether a bucket could be opened, and returns its name.
func Look(ctx context.Context, address string) (bucket string, err error) {
	o, err := ParseAddress(address)
	if err != nil {
		return "", err
	}
	s, err := connect(o)
	if err != nil {
		return "", err
	}
	defer s.transport.CloseIdleConnections()
	if err := s.Ping(ctx); err != nil {
		return "", err
	}
	return o.Bucket, s.proveConditions(ctx)
}

func connect(o Options) (*Store, error) {
	o.setDefaults()
	transport := newTransport(o.Stall)
	client, err := minio.New(o.Endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure: o.TLS, Region: o.Region, Transport: transport, MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s at %s: %w", o.Bucket, o.Endpoint, err)
	}
	return &Store{Options: o, core: minio.Core{Client: client}, transport: transport}, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if err := s.Ping(ctx); err != nil {
		return err
	}
	if err := s.proveConditions(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(s.adoptions(), 0o700); err != nil {
		return store.Full(err)
	}
	if s.cache, err = newCache(filepath.Join(s.CacheDir, "read"), s.CacheBytes); err != nil {
		return store.Full(err)
	}
	s.inputs = newInputs(s)
	return nil
}

// Close ends what reads from the store, and removes what was read.
func (s *Store) Close() error {
	err := errors.Join(s.inputs.close(), s.cache.close())
	s.transport.CloseIdleConnections()
	return err
}

// Ping implements store.Objects.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	found, err := s.core.BucketExists(ctx, s.Bucket)
	if err == nil && !found {
		return errors.New("there is no such bucket: create it, or name another")
	}
	return mapped(ctx, err)
}

// Space implements store.Objects: a bucket does not tell.
func (s *Store) Space(ctx context.Context) (free, total int64, err error) {
	return store.Unlimited, store.Unlimited, ctx.Err()
}

// errConditions: the server ignores If-None-Match.
var errConditions = errors.New("the server ignores If-None-Match in a PUT, so that two writers could swap the bytes of one object: " +
	"update it (MinIO can do it since 2024), or name another")

// proveConditions tries whether the server keeps an object that must not be
// replaced. No object's key looks like the one that it tries on.
func (s *Store) proveConditions(ctx context.Context) error {
	key := "~probe-" + rand.Text()
	defer s.remove(context.WithoutCancel(ctx), key) //nolint:errcheck // one byte that nobody sees
	for range 2 {
		switch _, err := s.putOnce(ctx, key, []byte("x"), store.IfAbsent); {
		case errors.Is(err, errTaken):
			return nil
		case isNotImplemented(err):
			return errConditions
		case err != nil:
			return fmt.Errorf("write: %w", err)
		}
	}
	return errConditions
}
