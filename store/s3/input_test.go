package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"streamgate/store"
	"streamgate/store/s3"
)

// ffmpeg decodes a chunk from the middle of a source as from a file, and fetches
// little more than the chunk.
func TestInputFromTheMiddle(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is missing")
	}
	for _, film := range []struct{ name, demuxer, options string }{
		{"clip.mp4", "mov", ""},
		{"fast.mp4", "mov", "-movflags +faststart"},
		{"clip.mkv", "matroska", ""},
	} {
		t.Run(film.name, func(t *testing.T) {
			o := options(t)
			p := through(t, &o)
			s := open(t, o)
			path := filepath.Join(t.TempDir(), film.name)
			ffmpeg(t, "-f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine -t 120 -c:v libx264 -preset ultrafast -g 50 -b:v 2500k -minrate 2500k "+
				"-maxrate 2500k -bufsize 2500k -x264-params nal-hrd=cbr:force-cfr=1 -c:a aac "+film.options+" "+path)
			info, err := os.Stat(path)
			must(t, err)
			chunk := " -map 0 -t 2 -f framemd5 -"
			want := ffmpeg(t, "-ss 60 -i "+path+chunk)
			_, err = s.Adopt(t.Context(), store.SourceKey("v1"), path)
			must(t, err)

			in, release, err := s.Input(t.Context(), store.SourceKey("v1"))
			must(t, err)
			defer release()
			p.breaks(nil)
			from := "-protocol_whitelist http,tcp -f " + film.demuxer + " -ss 60 -i " + in.URL + chunk
			if got := ffmpeg(t, from); got != want {
				t.Errorf("other frames than from the file:\n%.300s\n%.300s", got, want)
			}
			n := p.bytes()
			t.Logf("%d kB of %d kB were fetched, in %d requests", n>>10, info.Size()>>10, p.count(http.MethodGet, ""))
			if n > 4<<20 {
				t.Errorf("%d bytes were fetched for 2 s of a source of %d", n, info.Size())
			}
			ffmpeg(t, from)
			if again := p.bytes() - n; again > 1<<20 { // ffmpeg may go a little further before it ends
				t.Errorf("%d bytes were fetched a second time", again)
			}
		})
	}
}

func ffmpeg(t *testing.T, args string) string {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-v", "error", "-nostdin", "-y"}, strings.Fields(args)...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", args, err, &said)
	}
	return string(out)
}

// Who reads an input is told that it could not be read: the answer was cut, which
// looks like the object's end.
func TestInputFault(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	s := open(t, o)
	data := make([]byte, 1<<20)
	_, err := store.PutBytes(t.Context(), s, store.SourceKey("v1"), data, store.Replace)
	must(t, err)
	in, release, err := s.Input(t.Context(), store.SourceKey("v1"))
	must(t, err)
	defer release()
	read := func() (int, error) {
		resp, err := http.Get(in.URL)
		must(t, err)
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return len(got), err
	}
	p.breaks(func(r *http.Request) fault {
		if r.Method == http.MethodGet {
			return busy
		}
		return none
	})
	if n, err := read(); err == nil || n == len(data) {
		t.Errorf("%d bytes were read of a store that is away: %v", n, err)
	}
	if err := in.Read(nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the input says %v", err)
	}
	p.breaks(nil)
	if n, err := read(); err != nil || n != len(data) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := in.Read(nil); err == nil {
		t.Error("the fault was forgotten: what was read before rests on it")
	}
}

// Of an object that many processes read, each piece is read from the server once:
// by the one that keeps it, of which the others have it.
func TestPeers(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	const n = 4
	var (
		stores [n]*s3.Store
		gone   atomic.Bool
	)
	for i := range stores {
		o.CacheDir = t.TempDir()
		o.Peer = func(ctx context.Context, obj store.Object, from, size int64) ([]byte, bool) {
			owner := int(from/s3.PieceBytes) % n
			if owner == i || gone.Load() {
				return nil, false
			}
			data, err := stores[owner].Part(ctx, obj, from, size)
			return data, err == nil
		}
		stores[i] = open(t, o)
	}
	data := make([]byte, 40<<20+12345)
	rand.NewChaCha8([32]byte{}).Read(data)
	_, err := store.PutBytes(t.Context(), stores[0], store.SourceKey("v1"), data, store.Replace)
	must(t, err)
	read := func(s *s3.Store, key string) {
		t.Helper()
		in, release, err := s.Input(t.Context(), key)
		must(t, err)
		defer release()
		resp, err := http.Get(in.URL)
		must(t, err)
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes of %d, or others: %v", len(got), len(data), err)
		}
	}
	p.breaks(nil)
	var all sync.WaitGroup
	for _, s := range stores {
		for range 2 { // side by side
			all.Go(func() { read(s, store.SourceKey("v1")) })
		}
	}
	all.Wait()
	if got := p.bytes(); got != int64(len(data)) {
		t.Errorf("%d bytes were read of an object of %d", got, len(data))
	}
	var server, peers int64
	for _, s := range stores {
		a, b := s.ReadBytes()
		server, peers = server+a, peers+b
	}
	if server != int64(len(data)) || peers != 3*int64(len(data)) {
		t.Errorf("counted %d bytes from the server, %d from peers", server, peers)
	}
	if _, err := stores[0].Part(t.Context(), store.Object{Key: store.SourceKey("v1"), Size: 10}, 0, 11); err == nil {
		t.Error("a part beyond the end was read")
	}

	gone.Store(true)
	_, err = store.PutBytes(t.Context(), stores[0], store.SourceKey("v2"), data, store.Replace)
	must(t, err)
	read(stores[1], store.SourceKey("v2"))
}

// A short range costs no more than it has, and nothing where its block is at hand.
func TestInputShort(t *testing.T) {
	o := options(t)
	p := through(t, &o)
	s := open(t, o)
	data := random(1 << 20)
	put(t, s, store.SourceKey("v1"), data)
	in, release, err := s.Input(t.Context(), store.SourceKey("v1"))
	must(t, err)
	defer release()
	for _, step := range []struct{ from, to, cost int }{
		{300_000, 304_095, 4096}, {0, 15, 16}, {1<<20 - 10, 1<<20 - 1, 10}, {262_144, 300_000, 256 << 10}, {300_000, 304_095, 0},
	} {
		p.breaks(nil)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.URL, http.NoBody)
		must(t, err)
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", step.from, step.to))
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, data[step.from:step.to+1]) {
			t.Errorf("bytes %d to %d: %d others, %v", step.from, step.to, len(got), err)
		}
		if cost := p.bytes(); cost != int64(step.cost) {
			t.Errorf("bytes %d to %d: %d were fetched, want %d", step.from, step.to, cost, step.cost)
		}
	}
}
