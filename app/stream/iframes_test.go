package stream_test

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"strings"
	"testing"

	"streamgate/app/media"
	"streamgate/store"
)

// realCell has ffmpeg make two seconds of video and returns its one fragment.
func realCell(t *testing.T) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=25:duration=2",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "100", "-bf", "0", "-f", "mp4",
		"-movflags", "+empty_moov+default_base_moof+frag_keyframe+skip_trailer", "pipe:1")
	out, err := cmd.Output()
	must(t, err)
	for at := 0; at+8 <= len(out); at += int(binary.BigEndian.Uint32(out[at:])) {
		if bytes.Equal(out[at+4:at+8], []byte("moof")) {
			return out[at:]
		}
	}
	t.Fatal("ffmpeg made no fragment")
	return nil
}

// The cells of the I-frame playlist are cut from the smallest rendition's,
// demanded and held for like them, and kept.
func TestIFrames(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	cell := realCell(t)
	want, err := media.IFrameCell(cell, 0)
	must(t, err)

	got := make(chan reply, 1)
	go func() { got <- b.get("/v/pub/360p/iframe-1.m4s") }()
	if req := <-b.transcoder.demands; req.Rendition != "360p" || req.Segment != 1 {
		t.Errorf("demanded %v", req)
	}
	b.put(store.CellKey("pub", "360p", 1), string(cell))
	first := <-got
	if first.status != 200 || first.body != string(want) || first.header.Get("Content-Type") != "video/mp4" {
		t.Fatalf("%d, %d bytes, want %d; %v", first.status, len(first.body), len(want), first.header)
	}
	if len(want)*2 > len(cell) {
		t.Errorf("one picture has %d bytes, the whole cell %d", len(want), len(cell))
	}
	must(t, b.objects.Delete(t.Context(), store.CellKey("pub", "360p", 1)))
	if again := b.get("/v/pub/360p/iframe-1.m4s"); again.body != first.body {
		t.Errorf("not kept: %d", again.status)
	}
}

// A cell that cannot be read is the node's fault, and says so.
func TestIFrameOfDamage(t *testing.T) {
	b := newBench(t)
	b.addFilm("pub", true)
	b.put(store.CellKey("pub", "360p", 0), "no cell at all")
	if got := b.get("/v/pub/360p/iframe-0.m4s"); got.status != 500 || got.code(t) != "internal" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if log := b.log.String(); !strings.Contains(log, "take a picture") || !strings.Contains(log, "trace_id=") {
		t.Errorf("logged: %s", log)
	}
}
