package upload_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"streamgate/app/upload"
	"streamgate/store"
)

const carriedPart = 64 << 10

// carry moves an upload's bytes with the service stopped, and starts it again where
// they are.
func (b *bench) carry(c *upload.Carrier, id string, shared bool) {
	b.t.Helper()
	b.stop()
	move := c.Unshare
	if shared {
		move = c.Share
	}
	rec, err := move(b.t.Context(), b.getUpload(id))
	must(b.t, err)
	_, err = b.db.Catalog().Uploads.Update(b.t.Context(), id, func(u *store.Upload) error { *u = rec; return nil })
	must(b.t, err)
	b.cfg.Shared, b.cfg.PartBytes = shared, carriedPart
	b.start()
	must(b.t, b.service.Recover(b.t.Context()))
}

// An upload goes on where it was when its bytes were moved from a disk to objects,
// and back, also if most of them were moved before it rested.
func TestCarry(t *testing.T) {
	for _, rests := range []int{0, 1, carriedPart - 1, carriedPart, carriedPart + 1, 5*carriedPart + 7} {
		b := newBench(t).start()
		c := func() *upload.Carrier {
			return &upload.Carrier{Dir: b.cfg.Dir, Objects: b.cfg.Objects, Sources: b.cfg.Objects, MaxSize: 1 << 30, PartBytes: carriedPart}
		}
		data, id := random(20*carriedPart), b.video()
		url := b.create(len(data), meta("video_id", id, "sha256", hexSum(data)))
		at := 0
		send := func(n int) {
			t.Helper()
			b.patch(on(b, url), at, data[at:at+n])
			at += n
			if got := b.getUpload(idOf(url)).Offset; got != int64(at) {
				t.Fatalf("%d are recorded, want %d", got, at)
			}
		}
		send(3*carriedPart + 5)
		there := c()
		_, err := there.Share(t.Context(), b.getUpload(idOf(url)))
		must(t, err)
		if rests > 0 {
			send(rests)
		}
		b.carry(there, idOf(url), true)
		must(t, os.Remove(filepath.Join(b.cfg.Dir, idOf(url))))
		send(2*carriedPart + 1)
		back := c()
		_, err = back.Unshare(t.Context(), b.getUpload(idOf(url)))
		must(t, err)
		send(rests + 1)
		b.carry(back, idOf(url), false)
		must(t, b.cfg.Objects.Delete(t.Context(), store.UploadsPrefix))
		send(len(data) - at)
		b.wantSource(id, data)
	}
}

// A whole upload whose bytes have become the source already ends after the move.
func TestCarryFinished(t *testing.T) {
	b := newBench(t)
	data, id := random(3*carriedPart+1), b.video()
	b.start()
	url := b.create(len(data), meta("video_id", id))
	b.stop()
	rec := b.getUpload(idOf(url))
	_, err := store.PutBytes(t.Context(), b.cfg.Objects, store.SourceKey(id), data, store.IfAbsent)
	must(t, err)
	rec.Offset, rec.Finishing = int64(len(data)), true
	_, err = b.db.Catalog().Uploads.Update(t.Context(), rec.ID, func(u *store.Upload) error { *u = rec; return nil })
	must(t, errors.Join(err, os.RemoveAll(filepath.Join(b.cfg.Dir, rec.ID))))
	b.start()
	b.carry(&upload.Carrier{Dir: b.cfg.Dir, Objects: b.cfg.Objects, Sources: b.cfg.Objects, MaxSize: 1 << 30, PartBytes: carriedPart}, rec.ID, true)
	b.wantSource(id, data)
}
