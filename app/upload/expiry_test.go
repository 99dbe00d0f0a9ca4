package upload_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

func TestAbandonedUploadExpires(t *testing.T) {
	b := newBench(t)
	b.cfg.ExpireAfter = time.Hour
	b.start()
	expired := make(chan events.Upload, 1)
	_, err := events.UploadExpired.Listen(b.cfg.Bus, func(u events.Upload) { expired <- u })
	must(t, err)
	id := b.video()
	url := b.create(10, meta("video_id", id))
	want(t, b.patch(url, 0, []byte("123")), 204, "")

	b.clock.Advance(59 * time.Minute)
	want(t, b.patch(url, 3, []byte("4")), 204, "") // a sign of life
	b.clock.Advance(59 * time.Minute)
	must(t, b.service.Sweep(t.Context()))
	if r := b.head(url); r.status != http.StatusOK || r.header.Get("Upload-Offset") != "4" {
		t.Fatalf("a living upload: %d %v", r.status, r.header)
	}

	b.clock.Advance(time.Minute)
	if r := b.head(url); r.status != http.StatusGone {
		t.Errorf("HEAD before the janitor came: %d", r.status)
	}
	must(t, b.service.Sweep(t.Context()))
	want(t, b.patch(url, 4, []byte("5")), http.StatusGone, "upload_gone")
	want(t, b.do("DELETE", url, nil), http.StatusGone, "upload_gone")
	if v := b.getVideo(id); v.UploadID != "" || v.State != store.VideoUploading || len(b.spool()) != 0 {
		t.Errorf("video %+v, files %v", v, b.spool())
	}
	select {
	case u := <-expired:
		if u.UploadID != idOf(url) || u.VideoID != id || u.Offset != 4 || u.SizeBytes != 10 {
			t.Errorf("event %+v", u)
		}
	case <-time.After(10 * time.Second):
		t.Error("no event")
	}

	b.clock.Advance(8 * 24 * time.Hour)
	must(t, b.service.Sweep(t.Context()))
	if r := b.head(url); r.status != http.StatusNotFound {
		t.Errorf("HEAD of a forgotten upload: %d", r.status)
	}
}

// What can no longer become a source does not keep its bytes.
func TestUselessUploadsEnd(t *testing.T) {
	b := newBench(t).start()
	deleted, served, waiting := b.video(), b.video(), b.video()
	urls := map[string]string{}
	for _, id := range []string{deleted, served, waiting} {
		urls[id] = b.create(10, meta("video_id", id))
		want(t, b.patch(urls[id], 0, []byte("123")), 204, "")
	}
	must(t, b.db.Catalog().Videos.Delete(t.Context(), deleted))
	want(t, b.do("PUT", sourceURL(served), strings.NewReader("whole")), http.StatusAccepted, "")
	must(t, b.service.Sweep(t.Context()))

	want(t, b.patch(urls[deleted], 3, []byte("4")), http.StatusGone, "upload_gone")
	want(t, b.patch(urls[served], 3, []byte("4")), http.StatusGone, "upload_gone")
	want(t, b.patch(urls[waiting], 3, []byte("4")), 204, "")
	if v := b.getVideo(served); v.SHA256 != hexSum([]byte("whole")) || len(b.spool()) != 1 {
		t.Errorf("video %+v, files %v", v, b.spool())
	}
}

// A HEAD that cannot take over in time is told that the upload is locked.
func TestLocked(t *testing.T) {
	b := newBench(t)
	b.cfg.LockWait = time.Millisecond
	b.start()
	url := b.create(10, meta("title", "x"))
	release, err := b.service.Hold(t.Context(), idOf(url))
	must(t, err)
	if r := b.head(url); r.status != http.StatusLocked {
		t.Errorf("HEAD: %d", r.status)
	}
	want(t, b.patch(url, 0, []byte("1")), http.StatusLocked, "upload_locked")
	release()
	want(t, b.patch(url, 0, []byte("1")), 204, "")
}
