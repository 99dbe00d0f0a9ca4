package upload_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"streamgate/store"
)

var errCut = errors.New("the line was cut")

// cutBody ends with an error, so that the connection breaks in mid-request.
type cutBody struct {
	r   io.Reader
	end error
}

func (c *cutBody) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err == io.EOF {
		err = c.end
	}
	return n, err
}

// A client whose connection breaks again and again, to a node that is
// restarted now and then, arrives with the same bytes.
func TestRandomCuts(t *testing.T) {
	b := newBench(t).start()
	data, id := random(4<<20), b.video()
	url := b.create(len(data), meta("video_id", id, "sha256", hexSum(data)))
	rnd := rand.New(rand.NewPCG(7, 7))
	cuts, last := 0, 0
	for {
		path := "/api/v1/uploads/" + idOf(url)
		r := b.head(path)
		if r.status != http.StatusOK {
			t.Fatalf("HEAD: %d", r.status)
		}
		offset, err := strconv.Atoi(r.header.Get("Upload-Offset"))
		must(t, err)
		if offset < last {
			t.Fatalf("the offset went back from %d to %d", last, offset)
		}
		if last = offset; offset == len(data) {
			break
		}
		n := min(1+rnd.IntN(400_000), len(data)-offset)
		body := &cutBody{bytes.NewReader(data[offset : offset+n]), errCut}
		if rnd.IntN(3) == 0 {
			body.end = io.EOF // this one ends well
		}
		if _, err := b.try(t.Context(), "PATCH", path, body, "Content-Type", "application/offset+octet-stream",
			"Upload-Offset", strconv.Itoa(offset)); err != nil {
			cuts++
		}
		if rnd.IntN(8) == 0 {
			b.restart()
		}
	}
	t.Logf("%d cuts", cuts)
	if cuts < 3 {
		t.Errorf("only %d cuts: the test tests nothing", cuts)
	}
	must(t, b.service.Recover(t.Context())) // the end may have been cut from its answer
	b.wantSource(id, data)
}

// Bytes behind the recorded offset may never have reached the disk: after a
// restart they are not believed.
func TestUnsyncedTailIsCut(t *testing.T) {
	b := newBench(t).start()
	data, id := random(1000), b.video()
	url := b.create(len(data), meta("video_id", id))
	want(t, b.patch(url, 0, data[:400]), 204, "")
	b.stop()
	f, err := os.OpenFile(filepath.Join(b.cfg.Dir, idOf(url)), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(make([]byte, 300))
	must(t, errors.Join(err, f.Close()))
	b.restart()
	url = "/api/v1/uploads/" + idOf(url)
	if got := b.head(url).header.Get("Upload-Offset"); got != "400" {
		t.Fatalf("offset is %s", got)
	}
	want(t, b.patch(url, 400, data[400:]), 204, "")
	b.wantSource(id, data)
}

// If the file has lost bytes, the client is asked for them again.
func TestShortFileIsAdmitted(t *testing.T) {
	b := newBench(t).start()
	data, id := random(1000), b.video()
	url := b.create(len(data), meta("video_id", id))
	want(t, b.patch(url, 0, data[:400]), 204, "")
	must(t, os.Truncate(filepath.Join(b.cfg.Dir, idOf(url)), 100))
	if got := b.head(url).header.Get("Upload-Offset"); got != "100" {
		t.Fatalf("offset is %s", got)
	}
	want(t, b.patch(url, 100, data[100:]), 204, "")
	b.wantSource(id, data)
}

func TestRecoverDropsOrphans(t *testing.T) {
	b := newBench(t).start()
	url := b.create(10, meta("title", "x"))
	want(t, b.patch(url, 0, []byte("123")), 204, "")
	must(t, os.WriteFile(filepath.Join(b.cfg.Dir, store.NewID()), []byte("orphan"), 0o600))
	must(t, os.WriteFile(filepath.Join(b.cfg.Dir, "README"), []byte("not ours"), 0o600))
	b.restart()
	if left := b.spool(); len(left) != 2 || left[0] == "" {
		t.Errorf("left are %v, want the open upload's file and README", left)
	}
}

// A final upload that was being joined when the node died is dropped: its
// client has no answer and asks again.
func TestRecoverDropsHalfJoined(t *testing.T) {
	b := newBench(t).start()
	rec := store.Upload{ID: store.NewID(), VideoID: b.video(), State: store.UploadReceiving, SizeBytes: 10,
		Final: true, Expires: b.clock.Now()}
	must(t, b.db.Catalog().Uploads.Create(context.Background(), rec))
	must(t, os.WriteFile(filepath.Join(b.cfg.Dir, rec.ID), []byte("12345"), 0o600))
	b.restart()
	if got := b.getUpload(rec.ID); got.State != store.UploadExpired || len(b.spool()) != 0 {
		t.Errorf("record %+v, files %v", got, b.spool())
	}
}
