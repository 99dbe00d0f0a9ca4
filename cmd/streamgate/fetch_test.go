package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// fakeUploads fetches in three steps, or fails.
type fakeUploads struct {
	rpc.UnimplementedUploadsHandler
	node *fakeNode

	mu      sync.Mutex
	asked   []*rpc.FetchUploadRequest
	at      map[string]int
	deleted []string
}

func (u *fakeUploads) FetchUpload(ctx context.Context, r *rpc.FetchUploadRequest) (*rpc.Upload, error) {
	if strings.HasPrefix(r.GetSourceUrl(), "http://bad") {
		return nil, rpc.Invalid("invalid_source_url", "That is no address.")
	}
	v, err := u.node.CreateVideo(ctx, &rpc.CreateVideoRequest{Title: r.GetTitle(), Public: r.GetPublic()})
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, r)
	u.at["u"+v.GetId()] = 0
	return &rpc.Upload{Id: "u" + v.GetId(), VideoId: v.GetId(), State: "receiving", SourceUrl: r.GetSourceUrl()}, nil
}

func (u *fakeUploads) GetUpload(_ context.Context, r *rpc.GetUploadRequest) (*rpc.Upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, ok := u.at[r.GetId()]
	if !ok {
		return nil, rpc.Errorf(connect.CodeNotFound, "upload_not_found", "There is no upload %q.", r.GetId())
	}
	u.at[r.GetId()]++
	out := &rpc.Upload{Id: r.GetId(), State: "receiving", SizeBytes: 3e6, Offset: float64(n) * 1e6}
	switch last := u.asked[len(u.asked)-1].GetSourceUrl(); {
	case strings.HasSuffix(last, "page"):
		out.State, out.Error = "failed", &rpc.Failure{Code: "source_web_page", Message: "That address answers a web page."}
	case n == 3:
		out.State = "complete"
		u.node.mu.Lock()
		u.node.videos[strings.TrimPrefix(r.GetId(), "u")].State = "processing"
		u.node.mu.Unlock()
	}
	return out, nil
}

func (u *fakeUploads) DeleteUpload(_ context.Context, r *rpc.DeleteUploadRequest) (*rpc.DeleteUploadResponse, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.deleted = append(u.deleted, r.GetId())
	return &rpc.DeleteUploadResponse{}, nil
}

func TestPushURL(t *testing.T) {
	f := startFake(t)
	got := f.ctl(t, "push", "https://example.org/film.mp4", "--title", "T", "--priority", "7", "--profile", "small", "--public")
	if got.code != 0 || !containsAll(got.out, "http://x/watch/v1") || !containsAll(got.stderr, "Fetched 2.9 MiB.") {
		t.Errorf("%+v", got)
	}
	if r := f.uploads.asked[0]; fmt.Sprint(r.GetSourceUrl(), r.GetTitle(), r.GetPriority(), r.GetProfile(), r.GetPublic()) != "https://example.org/film.mp4T7smalltrue" {
		t.Errorf("asked for %v", r)
	}
	if got := f.ctl(t, "push", "http://bad/"); got.code != 1 || !strings.Contains(got.stderr, "That is no address.") {
		t.Errorf("a bad one: %+v", got)
	}
	if got := f.ctl(t, "push", "http://example.org/page"); got.code != 1 || !strings.Contains(got.stderr, "That address answers a web page. (source_web_page)") || len(f.uploads.deleted) != 0 {
		t.Errorf("a page: %+v, deleted %v", got, f.uploads.deleted)
	}
}
