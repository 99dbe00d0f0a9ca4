package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"streamgate/app/media/confine"
)

// edit puts numbers of 32 bits into the body of the first box of a name.
func edit(t *testing.T, file []byte, box string, offset int, values ...uint32) []byte {
	t.Helper()
	at := bytes.Index(file, []byte(box))
	if at < 0 {
		t.Fatalf("no box %s", box)
	}
	for i, v := range values {
		binary.BigEndian.PutUint32(file[at+4+offset+4*i:], v)
	}
	return file
}

// insert puts bytes into a box at the end of a path of boxes of an MP4 whose
// moov is last, and lengthens all of them.
func insert(t *testing.T, file []byte, path string, offset int, more []byte) []byte {
	t.Helper()
	at := 0
	for name := range strings.SplitSeq(path, "/") {
		i := bytes.Index(file[at:], []byte(name))
		if i < 0 {
			t.Fatalf("no box %s in %s", name, path)
		}
		at += i
		binary.BigEndian.PutUint32(file[at-4:], binary.BigEndian.Uint32(file[at-4:])+uint32(len(more)))
		at += 4
	}
	return slices.Insert(file, at+offset, more...)
}

// TestBombs plans small files that claim to be huge, or lack what matters.
func TestBombs(t *testing.T) {
	t.Parallel()
	late := func() []byte { return sourceNamed(t, "late.mp4") }
	made := func(name, args string) []byte {
		content, err := os.ReadFile(clip(t, name, args))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	const either, refused = "a plan or a refusal", "a refusal"
	type bomb struct {
		name, want string // want is a refusal's code, or one of the two above
		content    []byte
	}
	bombs := []bomb{
		{"16,000 pixels wide", CodeTooLarge, made("a.mkv", "-f lavfi -i color=size=16000x64:duration=0.04 -c:v mjpeg")},
		{"66 million pixels", CodeTooLarge, made("a.mkv", "-f lavfi -i color=size=8160x8160:duration=0.04 -pix_fmt gray -c:v png")},
		{"declared 65,535 pixels high", either, edit(t, sourceNamed(t, "a.mov"), "jpeg", 24, 0xffffffff)},
		{"300 streams", CodeTooComplex, made("a.mkv", "-f lavfi -i color=size=16x16:duration=0.04"+strings.Repeat(" -map 0:v", 300)+" -c:v mpeg4")},
		{"1,000 pictures a second", CodeTooComplex, made("a.mp4", "-f lavfi -i color=size=16x16:rate=1000:duration=2 -c:v libx264 -preset ultrafast")},
		{"a picture of 136 years", either, edit(t, late(), "stts", 4, 1, 15, 0xffffffff)},
		{"four billion samples of one size", either, edit(t, late(), "stsz", 4, 1, 0xffffffff)},
		{"a million samples of one size", either, edit(t, late(), "stsz", 4, 1000, 1_000_000)},
		{"four billion durations", either, edit(t, late(), "stts", 4, 0xffffffff)},
		{"four billion chunks", either, edit(t, late(), "stco", 4, 0xffffffff)},
		{"a chunk of a billion samples", either, edit(t, late(), "stsc", 8, 1, 1_000_000_000)},
		{"chunks beyond the end", either, edit(t, late(), "stco", 8, 0xfffffff0)},
		{"an edit list of a billion", either, edit(t, late(), "elst", 4, 1_000_000_000)},
		{"boxes within boxes", refused, slices.Concat(late()[:32], bytes.Repeat([]byte("\x00\x00\xff\xffmoov"), 8191))},
		{"a moov of 2 GB", refused, slices.Concat(late()[:32], []byte("\x7f\xff\xff\xffmoov\x00\x00\x00\x6cmvhd"))},
		{"Matroska of unknown sizes", refused, slices.Concat(sourceNamed(t, "a.mkv")[:100], bytes.Repeat([]byte("\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff"), 5000))},
		{"WAV of 4 GB", either, edit(t, sourceNamed(t, "a.wav"), "data", 0, 0xffffffff)},
		{"ftyp alone", refused, late()[:28]},
	}
	for _, box := range []string{"moov", "mvhd", "trak", "tkhd", "mdia", "mdhd", "hdlr", "minf", "stbl", "stsd", "stts", "stsc", "stsz", "stco", "avcC", "mdat"} {
		file := late()
		at := bytes.Index(file, []byte(box))
		if at < 0 {
			t.Fatalf("the file has no %s box to take away", box)
		}
		copy(file[at:], "free")
		bombs = append(bombs, bomb{"without " + box, either, file})
	}
	for _, b := range bombs {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			err := planHostile(t, b.content)
			var r Refusal
			errors.As(err, &r)
			if b.want == refused && err == nil || b.want != refused && b.want != either && r.Code != b.want {
				t.Errorf("got %v, want %s", err, b.want)
			}
			t.Logf("%v", err)
		})
	}
}

// watched tells of every time that a file is opened.
func watched(t *testing.T, path string) (opened func() bool) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_OPEN|unix.IN_ACCESS); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		n, _ := unix.Read(fd, make([]byte, 4096))
		return n > 0
	}
}

// listened is an address, and tells of every connection to it.
func listened(t *testing.T) (addr string, called func() bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	calls := make(chan struct{}, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
			select {
			case calls <- struct{}{}:
			default:
			}
		}
	}()
	return l.Addr().String(), func() bool { return len(calls) > 0 }
}

// TestNoFileNamesAnother plans files that name another one, or an address:
// playlists, scripts, and a container whose media lies elsewhere. Neither is
// opened; not even by an ffprobe that is told to, since it is confined.
func TestNoFileNamesAnother(t *testing.T) {
	canary := filepath.Join(t.TempDir(), "canary.ts")
	if err := os.WriteFile(canary, sourceNamed(t, "a.ts"), 0o644); err != nil {
		t.Fatal(err)
	}
	opened := watched(t, canary)
	addr, called := listened(t)
	for _, target := range []string{canary, "http://" + addr + "/a.ts"} {
		elsewhere := append(binary.BigEndian.AppendUint32(nil, uint32(12+len(target)+1)), "url \x00\x00\x00\x00"+target+"\x00"...)
		for name, tc := range map[string]struct {
			content string
			told    string // options that follow the name, but for the confinement
		}{
			"HLS":                  {"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" + target + "\n#EXT-X-ENDLIST\n", "-f hls -allowed_extensions ALL"},
			"concat":               {"ffconcat version 1.0\nfile '" + target + "'\n", "-f concat -safe 0"},
			"old concat":           {"file '" + target + "'\n", "-f concat -safe 0"},
			"DASH":                 {`<?xml version="1.0"?><MPD type="static"><Period><BaseURL>` + target + `</BaseURL></Period></MPD>`, ""},
			"Windows media":        {"[Reference]\r\nRef1=" + target + "\r\n", ""},
			"data in another file": {string(insert(t, sourceNamed(t, "late.mp4"), "moov/trak/mdia/minf/dinf/dref", 8, elsewhere)), "-enable_drefs 1"},
		} {
			_ = planHostile(t, []byte(tc.content)) // it fails if that is neither a plan nor a refusal
			if opened() || called() {
				t.Errorf("%s: %s was opened", name, target)
			}
			if tc.told == "" || !confine.Check().TCP() {
				continue
			}
			path := filepath.Join(t.TempDir(), "source")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"-v", "error", "-protocol_whitelist", "file,http,tcp"}, strings.Fields(tc.told)...)
			ctx, cancel := context.WithTimeout(t.Context(), hostileTime)
			_ = run{tools: testTools, path: testTools.FFprobe, args: append(args, "-show_streams", "-i", "file:"+path)}.do(ctx)
			cancel()
			if opened() || called() {
				t.Errorf("%s: %s was opened from the confinement", name, target)
			}
		}
	}
}

// TestCanaryIsHeard: the test above would notice. Without the confinement
// ffprobe follows a script to a file and to an address.
func TestCanaryIsHeard(t *testing.T) {
	dir := t.TempDir()
	canary := filepath.Join(dir, "canary.ts")
	if err := os.WriteFile(canary, sourceNamed(t, "a.ts"), 0o644); err != nil {
		t.Fatal(err)
	}
	opened := watched(t, canary)
	addr, called := listened(t)
	for _, target := range []string{canary, "http://" + addr + "/a.ts"} {
		script := filepath.Join(dir, "script")
		if err := os.WriteFile(script, []byte("file '"+target+"'\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = exec.Command("ffprobe", "-v", "error", "-protocol_whitelist", "file,http,tcp", "-f", "concat", "-safe", "0", script).Run()
	}
	if !opened() || !called() {
		t.Error("nobody noticed")
	}
}
