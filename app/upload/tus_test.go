package upload_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

func TestUploadInPieces(t *testing.T) {
	b := newBench(t).start()
	data := random(1 << 20)
	url := b.create(len(data), meta("filename", "holiday.mp4", "sha256", hexSum(data)))
	if !strings.HasPrefix(url, b.server.URL+"/api/v1/uploads/") {
		t.Fatalf("Location is %q", url)
	}
	half := len(data) / 2
	r := b.patch(url, 0, data[:half])
	want(t, r, http.StatusNoContent, "")
	if r.header.Get("Upload-Offset") != "524288" {
		t.Errorf("Upload-Offset is %q", r.header.Get("Upload-Offset"))
	}
	r = b.head(url)
	if _, err := http.ParseTime(r.header.Get("Upload-Expires")); err != nil || r.header.Get("Upload-Offset") != "524288" ||
		r.header.Get("Upload-Length") != "1048576" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("HEAD says %v", r.header)
	}
	want(t, b.patch(url, half, data[half:]), http.StatusNoContent, "")
	rec := b.getUpload(idOf(url))
	if v := b.getVideo(rec.VideoID); v.Title != "holiday" || v.Profile != "default" {
		t.Errorf("the new video is %+v", v)
	}
	b.wantSource(rec.VideoID, data)
	if r := b.head(url); r.status != http.StatusOK || r.header.Get("Upload-Offset") != "1048576" || rec.State != store.UploadComplete {
		t.Errorf("a complete upload says %d %v, record %+v", r.status, r.header, rec)
	}
	want(t, b.do("DELETE", url, nil), http.StatusConflict, "source_exists")
	if strings.Contains(b.logs.String(), rec.ID) {
		t.Error("the log names the upload's id")
	}
}

func TestCreationWithUpload(t *testing.T) {
	b := newBench(t).start()
	data, id := random(70000), b.video()
	r := b.do("POST", "/api/v1/uploads", bytes.NewReader(data), "Upload-Length", "70000",
		"Upload-Metadata", meta("video_id", id), "Content-Type", "application/offset+octet-stream")
	want(t, r, http.StatusCreated, "")
	b.wantSource(id, data)
	if b.getVideo(id).UploadID != idOf(r.header.Get("Location")) {
		t.Error("the video does not name its upload")
	}
}

func TestEmptySource(t *testing.T) {
	b := newBench(t).start()
	id := b.video()
	b.create(0, meta("video_id", id))
	b.wantSource(id, nil)
}

func TestDiscovery(t *testing.T) {
	b := newBench(t).start()
	h := b.do("OPTIONS", "/api/v1/uploads", nil).header
	const extensions = "creation,creation-with-upload,termination,concatenation,creation-defer-length,expiration,checksum"
	if h.Get("Tus-Extension") != extensions || h.Get("Tus-Checksum-Algorithm") != "sha1,sha256" ||
		h.Get("Tus-Version") != "1.0.0" || h.Get("Tus-Max-Size") != "67108864" {
		t.Errorf("OPTIONS says %v", h)
	}
}

func TestRefusedCreation(t *testing.T) {
	b := newBench(t).start()
	done := b.video(func(v *store.Video) { v.State = store.VideoReady })
	whole := b.create(0, meta("title", "no part"))
	name := meta("title", "x")
	for _, c := range []struct {
		name    string
		status  int
		code    string
		headers []string
	}{
		{"too large", 413, "too_large", []string{"Upload-Length", "67108865", "Upload-Metadata", name}},
		{"no length", 400, "invalid_upload_length", []string{"Upload-Metadata", name}},
		{"negative length", 400, "invalid_upload_length", []string{"Upload-Length", "-1", "Upload-Metadata", name}},
		{"no metadata", 400, "video_missing", []string{"Upload-Length", "1"}},
		{"bad metadata", 400, "invalid_metadata", []string{"Upload-Length", "1", "Upload-Metadata", "title !"}},
		{"long metadata", 400, "invalid_metadata", []string{"Upload-Length", "1", "Upload-Metadata", meta("title", strings.Repeat("x", 9000))}},
		{"long title", 400, "invalid_title", []string{"Upload-Length", "1", "Upload-Metadata", meta("title", strings.Repeat("x", 201))}},
		{"bad hash", 400, "invalid_sha256", []string{"Upload-Length", "1", "Upload-Metadata", meta("title", "x", "sha256", "beef")}},
		{"no such video", 404, "video_not_found", []string{"Upload-Length", "1", "Upload-Metadata", meta("video_id", "nope")}},
		{"video has a source", 409, "source_exists", []string{"Upload-Length", "1", "Upload-Metadata", meta("video_id", done)}},
		{"other version", 412, "unsupported_version", []string{"Tus-Resumable", "0.2.2", "Upload-Length", "1"}},
		{"part is none", 400, "invalid_concat", []string{"Upload-Concat", "final;" + whole, "Upload-Metadata", name}},
		{"part twice", 400, "invalid_concat", []string{"Upload-Concat", "final;" + whole + " " + whole, "Upload-Metadata", name}},
		{"many parts", 400, "invalid_concat", []string{"Upload-Concat", "final;" + strings.Repeat("/a ", 101)}},
		{"checksum of nothing", 400, "invalid_checksum", []string{"Upload-Length", "1", "Upload-Metadata", name, "Upload-Checksum", "sha1 x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want(t, b.do("POST", "/api/v1/uploads", nil, c.headers...), c.status, c.code)
		})
	}
	if left := b.spool(); len(left) != 0 {
		t.Errorf("refusals left %v", left)
	}
}

func TestRefusedChunk(t *testing.T) {
	b := newBench(t).start()
	url := b.create(10, meta("title", "x"))
	missing := "/api/v1/uploads/" + store.NewID()
	chunk := []string{"Content-Type", "application/offset+octet-stream"}
	for _, c := range []struct {
		name, method, url string
		body              string
		status            int
		code              string
		headers           []string
	}{
		{"wrong offset", "PATCH", url, "x", 409, "mismatched_offset", append(chunk, "Upload-Offset", "3")},
		{"no offset", "PATCH", url, "x", 400, "invalid_offset", chunk},
		{"wrong type", "PATCH", url, "x", 400, "invalid_content_type", []string{"Upload-Offset", "0"}},
		{"more than promised", "PATCH", url, "12345678901", 413, "upload_size_exceeded", append(chunk, "Upload-Offset", "0")},
		{"length again", "PATCH", url, "x", 400, "invalid_upload_length", append(chunk, "Upload-Offset", "0", "Upload-Length", "9")},
		{"no such upload", "PATCH", missing, "x", 404, "upload_not_found", append(chunk, "Upload-Offset", "0")},
		{"strange id", "PATCH", "/api/v1/uploads/..%2f..%2fetc", "x", 404, "upload_not_found", append(chunk, "Upload-Offset", "0")},
		{"unknown checksum", "PATCH", url, "x", 400, "checksum_unsupported", append(chunk, "Upload-Offset", "0", "Upload-Checksum", "md5 eA==")},
		{"checksum trailer", "PATCH", url, "x", 400, "checksum_unsupported", append(chunk, "Upload-Offset", "0", "Trailer", "Upload-Checksum")},
		{"download", "GET", url, "", 405, "method_not_allowed", nil},
		{"strange method", "BREW", url, "", 405, "method_not_allowed", nil},
		{"override to nonsense", "POST", url, "", 405, "method_not_allowed", []string{"X-HTTP-Method-Override", "GET"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Not a Reader that http can measure: a trailer needs chunks.
			body := struct{ *strings.Reader }{strings.NewReader(c.body)}
			if c.code == "upload_size_exceeded" {
				want(t, b.do(c.method, c.url, body.Reader, c.headers...), c.status, c.code)
				return
			}
			want(t, b.do(c.method, c.url, body, c.headers...), c.status, c.code)
		})
	}
	if r := b.do("HEAD", missing, nil); r.status != 404 || r.body != "" {
		t.Errorf("HEAD of a missing upload: %d %q", r.status, r.body)
	}
	if got := b.head(url).header.Get("Upload-Offset"); got != "0" {
		t.Errorf("refusals moved the offset to %s", got)
	}
}

func TestEveryMethodIsAuthorised(t *testing.T) {
	b := newBench(t)
	b.start()
	url := b.create(10, meta("title", "x"))
	for _, scope := range []rpc.Scope{rpc.ScopeNone, rpc.ScopeRead} {
		b.scope = scope
		status := map[rpc.Scope]int{rpc.ScopeNone: 401, rpc.ScopeRead: 403}[scope]
		for _, method := range []string{"POST", "HEAD", "PATCH", "DELETE", "GET", "BREW"} {
			if r := b.do(method, url, nil); r.status != status {
				t.Errorf("%s with scope %q: %d", method, scope, r.status)
			}
		}
		if r := b.do("OPTIONS", url, nil); r.status != 200 || r.header.Get("Tus-Version") != "1.0.0" {
			t.Errorf("OPTIONS with scope %q: %d %v", scope, r.status, r.header) // what we can is no secret
		}
		if r := b.do("POST", url, nil, "X-HTTP-Method-Override", "DELETE"); r.status != status {
			t.Errorf("overridden DELETE with scope %q: %d", scope, r.status)
		}
		if r := b.do("PUT", "/api/v1/videos/x/source", nil); r.status != status {
			t.Errorf("PUT with scope %q: %d", scope, r.status)
		}
	}
	b.scope = rpc.ScopeUploader
	if r := b.head(url); r.status != http.StatusOK {
		t.Errorf("the upload is gone: %d", r.status)
	}
}

func TestMethodOverride(t *testing.T) {
	b := newBench(t).start()
	data, id := random(1000), b.video()
	url := b.create(len(data), meta("video_id", id))
	r := b.do("POST", url, bytes.NewReader(data), "X-HTTP-Method-Override", "PATCH",
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
	want(t, r, http.StatusNoContent, "")
	b.wantSource(id, data)
}

func TestTermination(t *testing.T) {
	b := newBench(t).start()
	id := b.video()
	url := b.create(10, meta("video_id", id))
	want(t, b.patch(url, 0, []byte("12345")), http.StatusNoContent, "")
	want(t, b.do("DELETE", url, nil), http.StatusNoContent, "")
	if r := b.head(url); r.status != http.StatusNotFound {
		t.Errorf("HEAD after DELETE: %d", r.status)
	}
	if v := b.getVideo(id); v.UploadID != "" || v.State != store.VideoUploading || len(b.spool()) != 0 {
		t.Errorf("video %+v, files %v", v, b.spool())
	}
}

func TestChunkChecksum(t *testing.T) {
	b := newBench(t).start()
	data, id := random(4000), b.video()
	url := b.create(len(data), meta("video_id", id))
	one := sha1.Sum(data[:2000])
	two := sha256.Sum256(data[2000:])
	wrong := "sha1 " + base64.StdEncoding.EncodeToString(make([]byte, 20))
	want(t, b.patch(url, 0, data[:2000], "Upload-Checksum", wrong), 460, "checksum_mismatch")
	if got := b.head(url).header.Get("Upload-Offset"); got != "0" {
		t.Fatalf("a refused chunk moved the offset to %s", got)
	}
	want(t, b.patch(url, 0, data[:2000], "Upload-Checksum", "sha1 "+base64.StdEncoding.EncodeToString(one[:])), 204, "")
	want(t, b.patch(url, 2000, data[2000:], "Upload-Checksum", wrong), 460, "checksum_mismatch")
	want(t, b.patch(url, 2000, data[2000:], "Upload-Checksum", "sha256 "+base64.StdEncoding.EncodeToString(two[:])), 204, "")
	b.wantSource(id, data)
}

func TestWholeFileMismatch(t *testing.T) {
	for name, hash := range map[string]struct{ upload, video string }{
		"upload's": {hexSum([]byte("else")), ""}, "video's": {"", hexSum([]byte("else"))},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			id := b.video(func(v *store.Video) { v.WantSHA256 = hash.video })
			url := b.create(5, meta("video_id", id, "sha256", hash.upload))
			want(t, b.patch(url, 0, []byte("12345")), http.StatusUnprocessableEntity, "checksum_mismatch")
			if r := b.head(url); r.status != http.StatusGone {
				t.Errorf("HEAD of the refused upload: %d", r.status)
			}
			if v := b.getVideo(id); v.State != store.VideoUploading || v.UploadID != "" || len(b.spool()) != 0 {
				t.Errorf("video %+v, files %v", v, b.spool())
			}
		})
	}
}

func TestDeferredLength(t *testing.T) {
	b := newBench(t).start()
	data, id := random(3000), b.video()
	url := b.create(-1, meta("video_id", id), "Upload-Defer-Length", "1")
	want(t, b.patch(url, 0, data[:1000]), 204, "")
	if r := b.head(url); r.header.Get("Upload-Defer-Length") != "1" || r.header.Get("Upload-Offset") != "1000" {
		t.Errorf("HEAD says %v", r.header)
	}
	want(t, b.patch(url, 1000, nil, "Upload-Length", "67108865"), 413, "too_large")
	want(t, b.patch(url, 1000, data[1000:], "Upload-Length", "3000"), 204, "")
	b.wantSource(id, data)
}

func TestConcatenation(t *testing.T) {
	b := newBench(t).start()
	data, id := random(300000), b.video()
	one := b.create(100000, "", "Upload-Concat", "partial")
	two := b.create(200000, "", "Upload-Concat", "partial")
	final := "final;" + one + " " + strings.TrimPrefix(two, b.server.URL)
	want(t, b.patch(one, 0, data[:100000]), 204, "")
	want(t, b.do("POST", "/api/v1/uploads", nil, "Upload-Concat", final, "Upload-Metadata", meta("video_id", id)),
		400, "upload_not_finished")
	want(t, b.patch(two, 0, data[100000:]), 204, "")
	r := b.do("POST", "/api/v1/uploads", nil, "Upload-Concat", final, "Upload-Metadata", meta("video_id", id, "sha256", hexSum(data)))
	want(t, r, http.StatusCreated, "")
	b.wantSource(id, data)
	if r := b.head(one); r.status != http.StatusGone {
		t.Errorf("a joined part: %d", r.status)
	}
	if r := b.head(r.header.Get("Location")); r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Upload-Concat"), "final;") {
		t.Errorf("the final upload: %d %v", r.status, r.header)
	}
}

func TestTooManyTransfers(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxTransfers = 1
	b.start()
	url := b.create(10, meta("title", "x"))
	stall := newStall("123")
	defer stall.end()
	go b.try(t.Context(), "PATCH", url, stall, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
	b.arrived(idOf(url))
	for _, r := range []reply{
		b.patch(b.create(10, meta("title", "y")), 0, []byte("x")),
		b.do("PUT", "/api/v1/videos/"+b.video()+"/source", strings.NewReader("x")),
	} {
		want(t, r, http.StatusServiceUnavailable, "too_many_transfers")
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
}

func TestTooManyUploads(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxOpen = 1
	b.start()
	b.create(10, meta("title", "x"))
	r := b.do("POST", "/api/v1/uploads", nil, "Upload-Length", "1", "Upload-Metadata", meta("title", "y"))
	want(t, r, http.StatusTooManyRequests, "too_many_uploads")
	b.restart()
	r = b.do("POST", "/api/v1/uploads", nil, "Upload-Length", "1", "Upload-Metadata", meta("title", "y"))
	want(t, r, http.StatusTooManyRequests, "too_many_uploads")
}

// A HEAD takes the upload from a PATCH whose client stopped sending, and
// tells what of it is kept.
func TestHeadTakesOver(t *testing.T) {
	b := newBench(t).start()
	data, id := random(100), b.video()
	url := b.create(len(data), meta("video_id", id))
	stall := newStall(string(data[:60]))
	defer stall.end()
	ended := make(chan reply, 1)
	go func() {
		r, _ := b.try(t.Context(), "PATCH", url, stall, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
		ended <- r
	}()
	b.arrived(idOf(url))
	begun := time.Now()
	r := b.head(url)
	t.Logf("taken over in %v", time.Since(begun))
	if r.status != http.StatusOK || r.header.Get("Upload-Offset") != "60" {
		t.Fatalf("HEAD says %d %v", r.status, r.header)
	}
	want(t, <-ended, 400, "upload_interrupted")
	want(t, b.patch(url, 60, data[60:]), 204, "")
	b.wantSource(id, data)
}

func TestShutdownKeepsBytes(t *testing.T) {
	b := newBench(t).start()
	data, id := random(100), b.video()
	url := b.create(len(data), meta("video_id", id))
	stall := newStall(string(data[:60]))
	defer stall.end()
	ended := make(chan reply, 1)
	go func() {
		r, _ := b.try(t.Context(), "PATCH", url, stall, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
		ended <- r
	}()
	b.arrived(idOf(url))
	b.service.Close()
	want(t, <-ended, http.StatusServiceUnavailable, "server_shutdown")
	want(t, b.patch(url, 60, data[60:]), http.StatusServiceUnavailable, "stopping")
	stall.end()
	b.restart()
	url = b.server.URL + "/api/v1/uploads/" + idOf(url)
	want(t, b.patch(url, 60, data[60:]), 204, "")
	b.wantSource(id, data)
}

// A client that remembers the address of an upload must not think that its
// video is still there.
func TestUploadOfADeletedVideo(t *testing.T) {
	b := newBench(t).start()
	data := random(1000)
	done := b.create(len(data), meta("title", "whole"))
	want(t, b.patch(done, 0, data), http.StatusNoContent, "")
	half := b.create(len(data), meta("title", "half"))
	for _, url := range []string{done, half} {
		id := b.getUpload(url[strings.LastIndex(url, "/")+1:]).VideoID
		if err := b.db.Catalog().Videos.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if r := b.head(url); r.status != http.StatusGone {
			t.Errorf("HEAD: %d", r.status)
		}
		want(t, b.patch(url, 0, data), http.StatusGone, "upload_gone")
	}
}

// A video goes with the upload it was made by, not with one that was made for
// it.
func TestTerminationTakesTheEmptyVideoAlong(t *testing.T) {
	b := newBench(t).start()
	own := b.create(10, meta("title", "mine"))
	id := b.getUpload(own[strings.LastIndex(own, "/")+1:]).VideoID
	want(t, b.do("DELETE", own, nil), http.StatusNoContent, "")
	if _, err := b.db.Catalog().Videos.Get(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the empty video stays: %v", err)
	}
	before := b.video()
	want(t, b.do("DELETE", b.create(10, meta("video_id", before)), nil), http.StatusNoContent, "")
	if v := b.getVideo(before); v.State != store.VideoUploading || v.UploadID != "" {
		t.Errorf("video %+v", v)
	}
}

func TestMetadataOfANewVideo(t *testing.T) {
	b := newBench(t).start()
	url := b.create(10, meta("filename", "C:\\films\\My.holiday.mp4", "public", "true", "priority", "7"))
	v := b.getVideo(b.getUpload(url[strings.LastIndex(url, "/")+1:]).VideoID)
	if v.Title != "My.holiday" || !v.Public || v.Priority != 7 {
		t.Errorf("video %+v", v)
	}
	for _, tt := range [][3]string{
		{"public", "yes", "invalid_metadata"}, {"priority", "101", "invalid_priority"}, {"priority", "high", "invalid_priority"},
		{"profile", "nope", "unknown_profile"}, {"rule", "{}", "invalid_metadata"}, {"rule", "nobody", "invalid_metadata"},
	} {
		r := b.do("POST", "/api/v1/uploads", nil, "Upload-Length", "10", "Upload-Metadata", meta("title", "x", tt[0], tt[1]))
		want(t, r, http.StatusBadRequest, tt[2])
	}
}

// access is the peer that sets rules: it takes those that say who is an owner.
type access struct {
	rpc.AccessClient
	videos store.Table[store.Video]
}

func (a access) SetVideoRule(ctx context.Context, req *rpc.SetVideoRuleRequest) (*rpc.VideoRule, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if req.GetRule().GetFields()["owner"] == nil {
		return nil, rpc.Invalid("invalid_rule", "The rule has no owner.")
	}
	_, err := a.videos.Update(ctx, req.GetVideoId(), func(v *store.Video) error {
		v.Rule = []byte("{}")
		return nil
	})
	return &rpc.VideoRule{}, err
}

// Profile and rule are those that the API's own creation takes; a wrong value is
// refused before a byte is taken, and leaves nothing behind.
func TestMetadataRuleAndProfile(t *testing.T) {
	b := newBench(t)
	b.cfg.Profiles = []string{"small"}
	b.cfg.Access = func() rpc.AccessClient { return access{videos: b.db.Catalog().Videos} }
	b.scope = rpc.ScopeOperator
	b.start()
	url := b.create(4, meta("filename", "a.mp4", "profile", "small", "rule", `{"owner": "0x1"}`))
	id := b.getUpload(idOf(url)).VideoID
	if v := b.getVideo(id); v.Profile != "small" || v.Rule == nil || v.Public {
		t.Errorf("video %+v", v)
	}
	want(t, b.patch(url, 0, []byte("film")), http.StatusNoContent, "")
	b.wantSource(id, []byte("film"))
	for name, c := range map[string]struct {
		pairs  []string
		status int
		code   string
	}{
		"no such rule":      {[]string{"rule", `{"nobody": 1}`}, 400, "invalid_rule"},
		"no object":         {[]string{"rule", `[1]`}, 400, "invalid_metadata"},
		"public with rule":  {[]string{"rule", `{"owner": "0x1"}`, "public", "true"}, 400, "invalid_metadata"},
		"no such profile":   {[]string{"profile", "large"}, 400, "unknown_profile"},
		"rule and video":    {[]string{"rule", `{"owner": "0x1"}`, "video_id", b.video()}, 400, "invalid_metadata"},
		"profile and video": {[]string{"profile", "small", "video_id", b.video()}, 400, "invalid_metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			videos, _, err := b.db.Catalog().Videos.List(t.Context(), store.Query{})
			must(t, err)
			r := b.do("POST", "/api/v1/uploads", strings.NewReader("film"), "Upload-Length", "4",
				"Content-Type", "application/offset+octet-stream", "Upload-Metadata", meta(append(c.pairs, "filename", "a.mp4")...))
			want(t, r, c.status, c.code)
			after, _, err := b.db.Catalog().Videos.List(t.Context(), store.Query{})
			must(t, err)
			open, _, err := b.db.Catalog().Uploads.List(t.Context(), store.Query{State: string(store.UploadReceiving)})
			must(t, err)
			if len(after) != len(videos) || len(open) != 0 || len(b.spool()) != 0 {
				t.Errorf("left: %d videos instead of %d, uploads %v, bytes %v", len(after), len(videos), open, b.spool())
			}
		})
	}
	b.scope = rpc.ScopeUploader
	r := b.do("POST", "/api/v1/uploads", nil, "Upload-Length", "4", "Upload-Metadata", meta("filename", "a.mp4", "rule", `{"owner": "0x1"}`))
	if r.status != http.StatusForbidden {
		t.Errorf("scope uploader: %d %s", r.status, r.code)
	}
}
