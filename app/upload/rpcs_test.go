package upload_test

import (
	"context"
	"testing"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

func TestRPCs(t *testing.T) {
	b := newBench(t).start()
	as := func(s rpc.Scope) context.Context {
		return rpc.WithBaseURL(rpc.WithIdentity(t.Context(), rpc.Identity{Scope: s}), "https://v.example")
	}
	id := b.video()
	up, err := b.service.CreateUpload(as(rpc.ScopeUploader), &rpc.CreateUploadRequest{VideoId: id, SizeBytes: 5})
	must(t, err)
	if up.GetUploadUrl() != "https://v.example/api/v1/uploads/"+up.GetId() || b.getVideo(id).UploadID != up.GetId() {
		t.Errorf("made %v", up)
	}
	want(t, b.patch("/api/v1/uploads/"+up.GetId(), 0, []byte("123")), 204, "")
	got, err := b.service.GetUpload(as(rpc.ScopeUploader), &rpc.GetUploadRequest{Id: up.GetId()})
	must(t, err)
	if got.GetOffset() != 3 || got.GetSizeBytes() != 5 || got.GetState() != "receiving" || got.GetVideoId() != id {
		t.Errorf("got %v", got)
	}
	list, err := b.service.ListUploads(as(rpc.ScopeOperator), &rpc.ListUploadsRequest{})
	must(t, err)
	if len(list.GetUploads()) != 1 {
		t.Errorf("list %v", list)
	}
	want(t, b.patch("/api/v1/uploads/"+up.GetId(), 3, []byte("45")), 204, "")
	if list, _ = b.service.ListUploads(as(rpc.ScopeOperator), &rpc.ListUploadsRequest{}); len(list.GetUploads()) != 0 {
		t.Errorf("a complete upload is listed: %v", list)
	}
}

func TestRPCErrors(t *testing.T) {
	b := newBench(t).start()
	ctx := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeUploader})
	create := func(req *rpc.CreateUploadRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := b.service.CreateUpload(ctx, req); return err }
	}
	id := b.video()
	for _, c := range []struct {
		name, reason string
		ctx          context.Context
		call         func(context.Context) error
	}{
		{"nobody", "unauthenticated", t.Context(), create(&rpc.CreateUploadRequest{VideoId: id, SizeBytes: 1})},
		{"half a byte", "invalid_size", ctx, create(&rpc.CreateUploadRequest{VideoId: id, SizeBytes: 1.5})},
		{"no byte", "invalid_size", ctx, create(&rpc.CreateUploadRequest{VideoId: id})},
		{"too large", "too_large", ctx, create(&rpc.CreateUploadRequest{VideoId: id, SizeBytes: 1e12})},
		{"no video", "video_missing", ctx, create(&rpc.CreateUploadRequest{SizeBytes: 1})},
		{"other video", "video_not_found", ctx, create(&rpc.CreateUploadRequest{VideoId: "x", SizeBytes: 1})},
		{"bad hash", "invalid_sha256", ctx, create(&rpc.CreateUploadRequest{VideoId: id, SizeBytes: 1, Sha256: "x"})},
		{"no upload", "upload_not_found", ctx, func(ctx context.Context) error {
			_, err := b.service.GetUpload(ctx, &rpc.GetUploadRequest{Id: "x"})
			return err
		}},
		{"list as uploader", "permission_denied", ctx, func(ctx context.Context) error {
			_, err := b.service.ListUploads(ctx, &rpc.ListUploadsRequest{})
			return err
		}},
		{"bad cursor", "invalid_cursor", rpc.System(ctx), func(ctx context.Context) error {
			_, err := b.service.ListUploads(ctx, &rpc.ListUploadsRequest{Cursor: "~"})
			return err
		}},
	} {
		err := c.call(c.ctx)
		if reason, _ := rpc.Reason(err); reason != c.reason {
			t.Errorf("%s: %v (%v), want %s", c.name, err, connect.CodeOf(err), c.reason)
		}
	}
}
