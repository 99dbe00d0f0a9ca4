package upload_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"streamgate/store"
)

// smallDisk is Objects on a disk with that much room.
type smallDisk struct {
	store.Objects
	free atomic.Int64
}

func (d *smallDisk) Space(context.Context) (free, total int64, err error) {
	return d.free.Load(), 1 << 40, nil
}

func onDisk(t *testing.T, free int64) (*bench, *smallDisk) {
	b := newBench(t)
	disk := &smallDisk{Objects: b.cfg.Objects}
	disk.free.Store(free)
	b.cfg.Objects, b.cfg.MinFree = disk, 100
	return b.start(), disk
}

// The disk is promised once: what others have still to send counts.
func TestDiskIsPromised(t *testing.T) {
	b, disk := onDisk(t, 1000)
	create := func(size string) reply {
		t.Helper()
		return b.do("POST", "/api/v1/uploads", nil, "Upload-Length", size, "Upload-Metadata", meta("title", "x"))
	}
	first := create("600")
	want(t, first, http.StatusCreated, "")
	r := create("400")
	want(t, r, http.StatusInsufficientStorage, "no_space")
	if !strings.Contains(r.body, "Free 100 bytes") {
		t.Errorf("it does not say how much is needed: %s", r.body)
	}
	want(t, b.do("PUT", sourceURL(b.video()), bytes.NewReader(make([]byte, 301))), http.StatusInsufficientStorage, "no_space")
	want(t, create("300"), http.StatusCreated, "")

	disk.free.Store(700) // 300 of the first's bytes are on the disk now
	want(t, b.patch(first.header.Get("Location"), 0, make([]byte, 300)), 204, "")
	want(t, create("1"), http.StatusInsufficientStorage, "no_space")
	b.restart() // promises outlive the process
	want(t, create("1"), http.StatusInsufficientStorage, "no_space")
	want(t, b.do("DELETE", "/api/v1/uploads/"+idOf(first.header.Get("Location")), nil), 204, "")
	want(t, create("300"), http.StatusCreated, "")
}

// An upload of unknown length is checked when its length comes, and while
// bytes come.
func TestUnknownLengthIsChecked(t *testing.T) {
	b, _ := onDisk(t, 1000)
	url := b.create(-1, meta("title", "x"), "Upload-Defer-Length", "1")
	want(t, b.patch(url, 0, nil, "Upload-Length", "901"), http.StatusInsufficientStorage, "no_space")
	want(t, b.patch(url, 0, make([]byte, 100)), http.StatusInsufficientStorage, "no_space") // 64 MiB ahead is too much
	chunked := io.MultiReader(bytes.NewReader(make([]byte, 100)))
	want(t, b.do("PUT", sourceURL(b.video()), chunked), http.StatusInsufficientStorage, "no_space")
	want(t, b.patch(url, 0, make([]byte, 900), "Upload-Length", "900"), 204, "")
}

// A disk that is full all the same (somebody else wrote to it) is 507, and
// what was acknowledged stays.
func TestFullDisk(t *testing.T) {
	b := newBench(t).start()
	data, id := random(1000), b.video()
	url := b.create(len(data), meta("video_id", id))
	file := filepath.Join(b.cfg.Dir, idOf(url))
	must(t, os.Symlink("/dev/full", file))
	r := b.patch(url, 0, data)
	want(t, r, http.StatusInsufficientStorage, "no_space")
	if strings.Contains(r.body, b.cfg.Dir) {
		t.Errorf("the answer shows a path: %s", r.body)
	}
	must(t, os.Remove(file))
	if got := b.head(url).header.Get("Upload-Offset"); got != "0" {
		t.Errorf("offset is %s", got)
	}
	want(t, b.patch(url, 0, data), 204, "")
	b.wantSource(id, data)
}
