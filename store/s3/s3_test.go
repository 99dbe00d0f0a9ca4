package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
	"streamgate/store/s3"
	"streamgate/store/storetest"
)

func TestObjects(t *testing.T) {
	storetest.TestObjects(t, func(t *testing.T) store.Objects { return open(t, options(t)) })
}

// A healthy Faulty changes nothing.
func TestObjectsThroughFaulty(t *testing.T) {
	storetest.TestObjects(t, func(t *testing.T) store.Objects { return storetest.Faulty(open(t, options(t))) })
}

// Nothing that is trusted only for a moment is served wrongly, and nothing depends
// on the cache.
func TestObjectsWithoutTrust(t *testing.T) {
	storetest.TestObjects(t, func(t *testing.T) store.Objects {
		o := options(t)
		o.Fresh, o.CacheBytes = 1, 1
		return open(t, o)
	})
}

// The server answers the first request of each kind with 503, or its answer gets
// lost on the way: callers do not notice.
func TestObjectsThroughABadNetwork(t *testing.T) {
	for name, f := range map[string]fault{"503": busy, "lost answers": lost, "cut bodies": cut} {
		t.Run(name, func(t *testing.T) {
			storetest.TestObjects(t, func(t *testing.T) store.Objects {
				o := options(t)
				p := through(t, &o)
				s := open(t, o)
				p.breaks(firstOfEach(f))
				return s
			})
		})
	}
}

func TestUnavailable(t *testing.T) {
	for name, f := range map[string]fault{"503": busy, "stuck": stuck, "lost": lost} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			o.Fresh, o.Stall, o.Timeout = 1, time.Second, 2*time.Second
			p := through(t, &o)
			s := open(t, o)
			put(t, s, "cached", []byte("x"))
			wantData(t, s, "cached", []byte("x"))
			put(t, s, "other", []byte("x"))
			p.breaks(always(f, "", ""))
			for what, call := range map[string]func() error{
				"put":    func() error { _, err := store.PutBytes(t.Context(), s, "a", []byte("x"), store.Replace); return err },
				"get":    func() error { _, _, err := s.Get(t.Context(), "other"); return err },
				"stat":   func() error { _, err := s.Stat(t.Context(), "cached"); return err },
				"input":  func() error { _, _, err := s.Input(t.Context(), "cached"); return err },
				"delete": func() error { return s.Delete(t.Context(), "other") },
				"prefix": func() error { return s.Delete(t.Context(), "other/") },
				"list":   func() error { _, err := storetest.List(t.Context(), s, ""); return err },
				"ping":   func() error { return s.Ping(t.Context()) },
			} {
				if err := call(); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%s: %v, want ErrUnavailable", what, err)
				}
			}
			wantData(t, s, "cached", []byte("x")) // what is known is served
			p.breaks(nil)
			put(t, s, "a", []byte("mended"))
			wantData(t, s, "a", []byte("mended"))
			if err := s.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Bytes that arrive cut are fetched again; if they always are, it is told, and
// nothing is kept of them.
func TestCutBody(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	s := open(t, o)
	small, large := random(1<<20), random(20<<20)
	put(t, s, "small", small)
	put(t, s, "large", large)
	for key, data := range map[string][]byte{"small": small, "large": large} {
		p.breaks(always(cut, http.MethodGet, key))
		if _, err := read(t, s, key); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("read %s: %v, want ErrUnavailable", key, err)
		}
		p.breaks(nil)
		wantData(t, s, key, data)
	}
}

func TestBucketIsMissing(t *testing.T) {
	o := options(t)
	o.Bucket = "nobody-made-it"
	if _, err := s3.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "create it") {
		t.Errorf("opened a bucket that is missing: %v", err)
	}
}

// A server that replaces what must not be replaced is refused.
func TestServerWithoutConditions(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"0cc175b9c0f1b6a831c399e269772661"`)
	}))
	defer srv.Close()
	_, err := s3.Open(t.Context(), s3.Options{
		Endpoint: strings.TrimPrefix(srv.URL, "http://"), Bucket: "bucket", AccessKey: "a", SecretKey: "b", CacheDir: t.TempDir(),
	})
	if err == nil || !strings.Contains(err.Error(), "If-None-Match") {
		t.Errorf("opened: %v", err)
	}
}

func TestOpenLeavesNothing(t *testing.T) {
	o := options(t)
	open(t, o)
	for info := range server.Client().ListObjectsIter(t.Context(), o.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		t.Errorf("there is %s (%v)", info.Key, info.Err)
	}
}

func TestPutInParts(t *testing.T) {
	s := open(t, options(t))
	data := random(33<<20 + 7)
	for _, size := range []int64{int64(len(data)), store.UnknownSize} {
		if _, err := s.Put(t.Context(), "a", struct{ io.Reader }{bytes.NewReader(data)}, size, store.Replace); err != nil {
			t.Fatal(err)
		}
		wantData(t, s, "a", data)
	}
	was, err := s.Stat(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	o, err := store.PutBytes(t.Context(), s, "a", random(17<<20), store.IfAbsent)
	if err != nil || o != was {
		t.Errorf("put if absent: %+v, %v, want %+v", o, err, was)
	}
	if _, err := s.Put(t.Context(), "b", bytes.NewReader(data), 40<<20, store.Replace); err == nil {
		t.Error("put fewer bytes than were said")
	}
	for _, wire := range []error{errors.New("the wire broke"), io.ErrUnexpectedEOF} {
		for _, size := range []int64{40 << 20, store.UnknownSize} {
			_, err = s.Put(t.Context(), "b", io.MultiReader(bytes.NewReader(data), failing{wire}), size, store.Replace)
			if !errors.Is(err, wire) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("put: %v, want %v", err, wire)
			}
		}
	}
	if _, err := s.Stat(t.Context(), "b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("something was kept: %v", err)
	}
	for _, key := range []string{"a", "b"} { // MinIO lists those of a whole key only
		for up := range server.Client().ListIncompleteUploads(t.Context(), s.Bucket, key, true) {
			t.Errorf("an upload is left of %s: %+v", key, up)
		}
	}
}

// An adoption that fails is taken up where it was, by another process too.
func TestAdoptGoesOn(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	data := random(50 << 20) // four parts
	path := filepath.Join(t.TempDir(), "upload")
	must(t, os.WriteFile(path, data, 0o600))

	first := open(t, o)
	p.breaks(always(busy, http.MethodPut, "partNumber=3"))
	if _, err := first.Adopt(t.Context(), "videos/v1/source", path); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("adopt: %v, want ErrUnavailable", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the file is gone: %v", err)
	}
	if _, err := first.Stat(t.Context(), "videos/v1/source"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("half of it is there: %v", err)
	}

	second := open(t, o)
	p.breaks(nil)
	obj, err := second.Adopt(t.Context(), "videos/v1/source", path)
	must(t, err)
	if n := p.count(http.MethodPut, "partNumber="); n != 2 || obj.Size != int64(len(data)) {
		t.Errorf("%d parts were sent, want the two that were missing; %+v", n, obj)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	wantData(t, second, "videos/v1/source", data)
	wantEmpty(t, filepath.Join(o.CacheDir, "adopt"))
}

// The server makes the object of its parts, but nobody hears of it.
func TestAdoptWhoseEndIsNotHeard(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	s := open(t, o)
	data := random(20 << 20)
	path := filepath.Join(t.TempDir(), "upload")
	must(t, os.WriteFile(path, data, 0o600))
	p.breaks(func(r *http.Request) fault {
		switch {
		case r.Method == http.MethodPost && r.URL.Query().Has("uploadId"):
			return lost
		case r.Method == http.MethodHead:
			return busy
		}
		return none
	})
	if _, err := s.Adopt(t.Context(), "a", path); err == nil {
		t.Fatal("adopted without an answer")
	}
	p.breaks(nil)
	if _, err := s.Adopt(t.Context(), "a", path); err != nil {
		t.Fatal(err)
	}
	if n := p.count(http.MethodPut, ""); n != 0 {
		t.Errorf("%d parts were sent again", n)
	}
	wantData(t, s, "a", data)
}

// An upload that the server has ended is begun anew.
func TestAdoptWhoseUploadIsGone(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	s := open(t, o)
	data := random(20 << 20)
	path := filepath.Join(t.TempDir(), "upload")
	must(t, os.WriteFile(path, data, 0o600))
	p.breaks(always(busy, http.MethodPut, "partNumber=2"))
	if _, err := s.Adopt(t.Context(), "a", path); err == nil {
		t.Fatal("adopted with a part missing")
	}
	must(t, server.Client().RemoveIncompleteUpload(t.Context(), o.Bucket, "a"))
	p.breaks(nil)
	if _, err := s.Adopt(t.Context(), "a", path); err != nil {
		t.Fatal(err)
	}
	wantData(t, s, "a", data)
}

func TestManyReadersMakeOneRequest(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	s := open(t, o)
	data := random(1 << 20)
	put(t, s, "a", data)
	p.breaks(nil)
	var readers sync.WaitGroup
	for range 20 {
		readers.Go(func() { wantData(t, s, "a", data) })
	}
	readers.Wait()
	if n := p.count(http.MethodGet, ""); n != 1 {
		t.Errorf("%d requests for one object", n)
	}
	r, _, err := s.Get(t.Context(), "a")
	must(t, err)
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Errorf("Get returned a %T, which the kernel cannot send", r)
	}
}

// A seek in a large object costs a block, and is free the second time.
func TestBlocks(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	s := open(t, o)
	data := random(20<<20 + 5)
	put(t, s, "a", data)
	_, err := read(t, s, "a") // in few requests
	must(t, err)
	if n := p.count(http.MethodGet, ""); n > 16 {
		t.Errorf("%d requests for %d blocks in a row", n, len(data)>>18)
	}
	o.CacheDir = t.TempDir()
	s = open(t, o)
	in, release, err := s.Input(t.Context(), "a")
	must(t, err)
	r, _, err := s.Get(t.Context(), "a")
	must(t, err)
	defer r.Close()
	p.breaks(nil)
	for range 2 {
		for _, at := range []int64{0, 10 << 20, int64(len(data)) - 3, 10<<20 - 100} {
			want := data[at:min(at+1000, int64(len(data)))]
			got := make([]byte, len(want))
			_, err := r.Seek(at, io.SeekStart)
			must(t, err)
			_, err = io.ReadFull(r, got)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("other bytes at %d", at)
			}
		}
	}
	if n := p.bytes(); n > 4*256<<10 {
		t.Errorf("%d bytes were fetched for four places", n)
	}
	if got := storetest.ReadInput(t, in, int64(len(data))-9); got != string(data[len(data)-9:]) {
		t.Errorf("the input ends with %q", got)
	}
	release()
	res, err := http.Get(in.URL)
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("a released input answers %s", res.Status)
	}
}

// What is replaced while it is read is never mixed.
func TestReplacedWhileRead(t *testing.T) {
	s := open(t, options(t))
	put(t, s, "a", random(20<<20))
	r, _, err := s.Get(t.Context(), "a")
	must(t, err)
	defer r.Close()
	_, err = io.ReadFull(r, make([]byte, 100))
	must(t, err)
	put(t, s, "a", random(20<<20))
	if _, err := io.ReadAll(r); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("read on in another version: %v", err)
	}
}

func TestAnotherNode(t *testing.T) {
	o := options(t)
	o.Fresh = 1
	here := open(t, o)
	o.CacheDir = t.TempDir()
	there := open(t, o)
	for _, size := range []int{1000, 20 << 20} {
		first, second := random(size), random(size)
		put(t, here, "a/b", first)
		wantData(t, there, "a/b", first)
		put(t, here, "a/b", second)
		wantData(t, there, "a/b", second)
		must(t, here.Delete(t.Context(), "a/"))
		if _, _, err := there.Get(t.Context(), "a/b"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("what another node deleted: %v", err)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	o := options(t)
	o.CacheBytes = 1 << 20
	s := open(t, o)
	for i := range 12 {
		key, data := fmt.Sprint("a/", i), random(200<<10)
		put(t, s, key, data)
		wantData(t, s, key, data)
		if n := size(t, filepath.Join(o.CacheDir, "read")); n > o.CacheBytes {
			t.Fatalf("the cache has %d bytes", n)
		}
	}
}

// Bytes that changed on the disk of the cache are fetched again.
func TestDamagedCache(t *testing.T) {
	o := options(t)
	o.Fresh = 1
	s := open(t, o)
	for _, n := range []int{1000, 17 << 20} {
		data := random(n)
		put(t, s, "a", data)
		wantData(t, s, "a", data)
		must(t, filepath.WalkDir(filepath.Join(o.CacheDir, "read"), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			bad, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			bad[len(bad)/2] ^= 1
			return os.WriteFile(path, bad, 0o600)
		}))
		wantData(t, s, "a", data)
		must(t, os.RemoveAll(filepath.Join(o.CacheDir, "read")))
		wantData(t, s, "a", data)
		must(t, os.Mkdir(filepath.Join(o.CacheDir, "read"), 0o700))
	}
}

// More objects than the server deletes or lists at once.
func TestDeletePages(t *testing.T) {
	s := open(t, options(t))
	const many = 1100
	var writers sync.WaitGroup
	for w := range 10 {
		writers.Go(func() {
			for i := w; i < many; i += 10 {
				put(t, s, fmt.Sprintf("v/1/%d", i), []byte("x"))
			}
		})
	}
	writers.Wait()
	put(t, s, "v/10", []byte("x"))
	list, err := storetest.List(t.Context(), s, "v/1/")
	must(t, err)
	if len(list) != many {
		t.Errorf("%d objects are listed of %d", len(list), many)
	}
	must(t, s.Delete(t.Context(), "v/1/"))
	list, err = storetest.List(t.Context(), s, "")
	must(t, err)
	if len(list) != 1 || list[0].Key != "v/10" {
		t.Errorf("left: %d objects, %+v", len(list), list[:min(3, len(list))])
	}
}

// A reader that gives up leaves the request to those who wait with it.
func TestReaderGivesUp(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	s := open(t, o)
	data := random(1000)
	put(t, s, "a", data)
	held, asked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p.breaks(func(r *http.Request) fault {
		if r.Method == http.MethodGet {
			once.Do(func() { close(asked); <-held })
		}
		return none
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, _, err := s.Get(ctx, "a")
		gone <- err
	}()
	<-asked
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	close(held)
	wantData(t, s, "a", data)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func random(n int) []byte {
	data := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n)})
	seed := rand.Uint64()
	for i := range data[:min(8, n)] {
		data[i] = byte(seed >> (8 * i))
	}
	if n > 8 {
		rng.Read(data[8:])
	}
	return data
}

func put(t *testing.T, s *s3.Store, key string, data []byte) {
	t.Helper()
	if _, err := store.PutBytes(t.Context(), s, key, data, store.Replace); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, s *s3.Store, key string) ([]byte, error) {
	r, _, err := s.Get(t.Context(), key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func wantData(t *testing.T, s *s3.Store, key string, want []byte) {
	t.Helper()
	if got, err := read(t, s, key); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes of %d, or others; %v", key, len(got), len(want), err)
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left in %s: %v, %v", dir, entries, err)
	}
}

func size(t *testing.T, dir string) (n int64) {
	must(t, filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	}))
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
