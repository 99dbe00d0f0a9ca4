package upload_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

// TestShared is what holds of bytes on a disk, of bytes in Objects. newBench knows
// by the test's name.
func TestShared(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"pieces": TestUploadInPieces, "creation with upload": TestCreationWithUpload, "empty": TestEmptySource,
		"discovery": TestDiscovery, "refused creation": TestRefusedCreation, "refused chunk": TestRefusedChunk,
		"termination": TestTermination, "chunk checksum": TestChunkChecksum, "whole file mismatch": TestWholeFileMismatch,
		"deferred length": TestDeferredLength, "concatenation": TestConcatenation, "transfers": TestTooManyTransfers,
		"uploads": TestTooManyUploads, "head takes over": TestHeadTakesOver, "shutdown": TestShutdownKeepsBytes,
		"deleted video": TestUploadOfADeletedVideo, "empty video": TestTerminationTakesTheEmptyVideoAlong,
		"metadata": TestMetadataRuleAndProfile,
		"put":      TestPut, "put refused": TestPutRefusedBeforeBody, "put refused late": TestPutRefusedAfterBody,
		"put broken": TestBrokenPutLeavesNothing, "put garbled": TestGarbledPut, "put silent": TestSilentPutTimesOut,
		"put closed": TestCloseEndsPut,
		"fetch":      TestFetch, "fetch fails": TestFetchFails, "fetch for video": TestFetchForVideo,
		"fetch cancelled": TestFetchCancelled, "fetch of deleted": TestFetchOfDeletedVideo,
		"fetch after restart": TestFetchAfterRestart,
		"cuts":                TestRandomCuts, "every step": TestEveryStepCanFail, "task later": TestTaskIsQueuedLater,
		"two of one video": TestTwoUploadsOneVideo, "video deleted": TestVideoDeletedMeanwhile,
		"abandoned": TestAbandonedUploadExpires, "useless": TestUselessUploadsEnd, "locked": TestLocked,
		"two nodes, one video": TestTwoNodesOneVideo, "counted": TestOpenUploadsAreCountedTogether,
		"deleted elsewhere": TestDeletedElsewhere, "lost hold": TestLostHold,
		"stored": TestAnotherNodeEndsWhatIsStored,
	} {
		t.Run(name, test)
	}
}

// Any node goes on where another stopped, dead or alive, by pieces of all sizes;
// of what was acknowledged nothing is lost.
func TestSharedContinues(t *testing.T) {
	n, a, b := twoNodes(t)
	data, id := random(3<<20), a.video()
	url := a.create(len(data), meta("video_id", id, "sha256", hexSum(data)))
	rnd := rand.New(rand.NewPCG(3, 3))
	cuts := 0
	for at, acked := a, 0; ; {
		r := at.head(on(at, url))
		offset, err := strconv.Atoi(r.header.Get("Upload-Offset"))
		if err != nil || offset < acked {
			t.Fatalf("HEAD says %d %v, %d were acknowledged", r.status, r.header, acked)
		}
		if offset == len(data) {
			break
		}
		body := &cutBody{bytes.NewReader(data[offset:min(offset+1+rnd.IntN(300_000), len(data))]), io.EOF}
		if rnd.IntN(3) == 0 {
			body.end = errCut
		}
		r, err = at.try(t.Context(), "PATCH", on(at, url), body, "Content-Type", "application/offset+octet-stream",
			"Upload-Offset", strconv.Itoa(offset))
		if acked = offset; err != nil {
			cuts++
		} else if r.status == http.StatusNoContent {
			acked, err = strconv.Atoi(r.header.Get("Upload-Offset"))
			must(t, err)
		} else if !slices.Contains([]string{"upload_interrupted", "upload_locked", "mismatched_offset"}, r.code) { // by a request that was cut and comes late
			t.Fatalf("PATCH says %d %s", r.status, r.body)
		}
		switch rnd.IntN(4) {
		case 0:
			if at == a {
				at = b
			} else {
				at = a
			}
		case 1:
			if at == a && acked < len(data) {
				n.kill(a)
				n.reboot(a)
			}
		}
	}
	if cuts == 0 {
		t.Error("no cut: the test tests less than it says")
	}
	must(t, a.service.Recover(t.Context()))
	must(t, b.service.Recover(t.Context()))
	a.wantSource(id, data)
}

// A HEAD at one node takes the upload from a PATCH at another, and tells what of
// it is kept.
func TestSharedHeadTakesOver(t *testing.T) {
	_, a, b := twoNodes(t)
	data, id := random(200_000), a.video()
	url := a.create(len(data), meta("video_id", id))
	stall := newStall(string(data[:150_000]))
	defer stall.end()
	ended := make(chan reply, 1)
	go func() {
		r, _ := a.try(t.Context(), "PATCH", url, stall, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
		ended <- r
	}()
	a.arrived(idOf(url))
	r := b.head(on(b, url))
	offset, err := strconv.Atoi(r.header.Get("Upload-Offset"))
	if err != nil || offset == 0 {
		t.Fatalf("HEAD says %d %v", r.status, r.header)
	}
	want(t, <-ended, 400, "upload_interrupted")
	want(t, b.patch(on(b, url), offset, data[offset:]), 204, "")
	b.wantSource(id, data)
}

// A node that has lost an upload without knowing it puts nothing in: neither into
// the record nor into the objects that the other one has written.
func TestSharedFencesTheOldHolder(t *testing.T) {
	n, a, b := twoNodes(t)
	data, id := random(200_000), a.video()
	url := a.create(len(data), meta("video_id", id))
	want(t, a.patch(url, 0, data[:30_000]), 204, "")
	a.arrived(idOf(url))
	a.clock.Advance(time.Second) // progress is told again
	stray := bytes.Repeat([]byte("x"), 35_536)
	body := newSlowBody(stray[:1000], stray[1000:]...) // which fills a part
	ended := make(chan reply, 1)
	go func() {
		r, _ := a.try(t.Context(), "PATCH", url, body, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "30000")
		ended <- r
	}()
	a.arrived(idOf(url))
	n.mu.Lock()
	n.dead["a1"] = true // b thinks so
	n.mu.Unlock()
	if r := b.head(on(b, url)); r.header.Get("Upload-Offset") != "30000" {
		t.Fatalf("HEAD says %d %v", r.status, r.header)
	}
	want(t, b.patch(on(b, url), 30_000, data[30_000:150_000]), 204, "")
	body.Close()
	if r := <-ended; r.status != http.StatusLocked {
		t.Errorf("the old holder says %d %s", r.status, r.body)
	}
	want(t, b.patch(on(b, url), 150_000, data[150_000:]), 204, "")
	b.wantSource(id, data)
}

// The upload of a node that died before it could end it is ended by another, and
// so is a fetch.
func TestSharedEndsForTheDead(t *testing.T) {
	n, a, b := twoNodes(t)
	a.stop()
	f := &fault{step: "adopt"}
	a.inject(f)
	a.start()
	data, id := random(150_000), a.video()
	a.patch(a.create(len(data), meta("video_id", id)), 0, data)
	must(t, b.service.Sweep(t.Context()))
	if v := b.getVideo(id); !f.fired || v.State != store.VideoUploading {
		t.Fatalf("fired %v, the video is %s", f.fired, v.State)
	}
	n.kill(a)
	must(t, b.service.Sweep(t.Context()))
	b.wantSource(id, data)
}

// What is left of an upload that is over goes; what belongs to one stays.
func TestSharedDropsOrphans(t *testing.T) {
	_, a, b := twoNodes(t)
	url := a.create(200_000, meta("title", "x"))
	want(t, a.patch(url, 0, random(100_000)), 204, "")
	gone := store.NewID()
	_, err := store.PutBytes(t.Context(), a.cfg.Objects, store.UploadsPrefix+gone+"/0-1", []byte("late"), store.Replace)
	must(t, err)
	must(t, b.service.Recover(t.Context()))
	if left := b.spool(); len(left) != 1 || left[0] != idOf(url) {
		t.Errorf("left are %v", left)
	}
	want(t, a.patch(url, 100_000, random(100_000)), 204, "")
}

// A part that cannot be stored is not acknowledged, nor what follows it; a write
// that took effect without an answer harms nothing.
func TestSharedFaults(t *testing.T) {
	for _, late := range []bool{false, true} {
		b := newBench(t)
		objects := storetest.Faulty(b.cfg.Objects)
		b.cfg.Objects = objects
		b.start()
		data, id := random(400_000), b.video()
		url := b.create(len(data), meta("video_id", id))
		rnd := rand.New(rand.NewPCG(5, 5))
		var mu sync.Mutex
		objects.Break(func(op storetest.Op, key string) storetest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if op == storetest.OpPut && rnd.IntN(3) == 0 {
				return storetest.Fault{Err: errors.New("503"), Late: late}
			}
			return storetest.Fault{}
		})
		failed := 0
		for acked := 0; acked < len(data); {
			r := b.head(url)
			offset, err := strconv.Atoi(r.header.Get("Upload-Offset"))
			if err != nil || offset < acked {
				t.Fatalf("late %v: HEAD says %d %v, %d were acknowledged", late, r.status, r.header, acked)
			}
			other := bytes.Clone(data[offset:])
			if offset < len(data)-1 && rnd.IntN(3) == 0 { // bytes that are refused
				rnd2 := rnd.IntN(len(other))
				other[rnd2]++
				sum := sha256.Sum256(data[offset:])
				r := b.patch(url, offset, other, "Upload-Checksum", "sha256 "+base64.StdEncoding.EncodeToString(sum[:]))
				if r.status == 204 {
					t.Fatal("wrong bytes were taken")
				}
				continue
			}
			n := min(len(data)-offset, 1+rnd.IntN(150_000))
			if r := b.patch(url, offset, data[offset:offset+n]); r.status == 204 {
				acked = offset + n
			} else {
				failed++
			}
		}
		objects.Break(nil)
		objects.Settle()
		must(t, b.service.Sweep(t.Context()))
		if failed == 0 {
			t.Error("nothing failed: the test tests nothing")
		}
		b.wantSource(id, data)
	}
}

// A fetch goes on at another node once its own is dead.
func TestSharedFetchContinues(t *testing.T) {
	b, o := startFetching(t, func(b *bench) { b.cfg.Owner = store.Owner{Node: "a", Boot: "a1"} })
	up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/stall.mp4"})
	b.arrived(up.Id)
	b.stop()
	rec := b.until(up.Id, "what came is kept", func(u store.Upload) bool { return u.Offset > 0 })
	if rec.Hold.Owner.Node != "a" {
		t.Fatalf("the upload is %+v", rec)
	}
	_, err := b.db.Catalog().Uploads.Update(t.Context(), up.Id, func(u *store.Upload) error {
		u.Fetch.URL = o.URL + "/My.Film.mp4" // the same film, which does not stall
		return nil
	})
	must(t, err)
	b.cfg.Owner, b.cfg.Dir = store.Owner{Node: "b", Boot: "b1"}, t.TempDir()
	b.start()
	b.fetching()
	if got := b.over(up.Id); got.State != store.UploadComplete {
		t.Fatalf("it is %+v %+v", got, got.Fetch)
	}
	b.wantSource(up.VideoId, o.film)
}
