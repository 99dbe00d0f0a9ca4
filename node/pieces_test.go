package node

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"

	"streamgate/node/cluster"
	"streamgate/store"
	"streamgate/store/s3"
	"streamgate/store/servertest"
)

// twoNodes is a registry that a test writes.
type twoNodes struct {
	cluster.Static
	list []cluster.Instance
}

func (r *twoNodes) Instances() []cluster.Instance { return r.list }

// pieceNode is as much of a transcoder as shares sources.
func pieceNode(t *testing.T, ca *cluster.CA, id string, registry *twoNodes, media string) (k *Kernel, stop func()) {
	t.Helper()
	k = &Kernel{NodeID: id, Log: slog.New(slog.DiscardHandler), Registry: registry}
	var err error
	k.identity, err = cluster.NewIdentity(t.Context(), cluster.IdentityConfig{ID: id, Roles: []string{string(RoleTranscoder)}, Dir: t.TempDir(), CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	k.pool = cluster.NewPool(registry, k.identity)
	t.Cleanup(k.pool.Close)
	options, err := s3.ParseAddress(media)
	if err != nil {
		t.Fatal(err)
	}
	options.CacheDir, options.Peer = t.TempDir(), k.askPiece
	if k.pieces, err = s3.Open(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.pieces.Close() })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(piecePattern, http.HandlerFunc(k.servePiece))
	srv := &http.Server{Handler: k.fromNodes(mux), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go srv.Serve(tls.NewListener(listener, k.identity.ServerTLS()))
	t.Cleanup(func() { srv.Close() })
	registry.list = append(registry.list, cluster.Instance{ID: id, Roles: []string{string(RoleTranscoder)}, Addr: listener.Addr().String()})
	return k, func() { srv.Close() }
}

// Two transcoders read one source, and the bucket sends it once. While one of them is
// away, the other reads all of the bucket.
func TestPieces(t *testing.T) {
	minio := servertest.NeedMinIO(t, "../bin/minio")
	bucket, err := minio.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := cluster.InitCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	registry := &twoNodes{}
	a, _ := pieceNode(t, ca, "node-a", registry, minio.URL(bucket))
	b, stop := pieceNode(t, ca, "node-b", registry, minio.URL(bucket))
	data := make([]byte, 40<<20+321)
	rand.NewChaCha8([32]byte{}).Read(data)
	read := func(k *Kernel, key string) {
		t.Helper()
		r, _, err := k.pieces.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, or others: %v", len(got), err)
		}
	}
	for _, key := range []string{store.SourceKey("v1"), store.SourceKey("v2")} {
		if _, err := store.PutBytes(t.Context(), a.pieces, key, data, store.Replace); err != nil {
			t.Fatal(err)
		}
	}
	read(a, store.SourceKey("v1"))
	read(b, store.SourceKey("v1"))
	ofA, fromB := a.pieces.ReadBytes()
	ofB, fromA := b.pieces.ReadBytes()
	if ofA+ofB != int64(len(data)) || fromA+fromB != int64(len(data)) || fromA == 0 || fromB == 0 {
		t.Errorf("a: %d of the bucket, %d of b; b: %d and %d of a", ofA, fromB, ofB, fromA)
	}

	stop()
	read(a, store.SourceKey("v2"))
	if of, from := a.pieces.ReadBytes(); of-ofA != int64(len(data)) || from != fromB {
		t.Errorf("alone: %d of the bucket, %d of another node", of-ofA, from-fromB)
	}
}
