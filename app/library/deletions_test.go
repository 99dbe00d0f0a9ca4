package library

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

// deleting is a library of one video with a file, and its deletions.
func deleting(t *testing.T) (fixture, *Deletions) {
	t.Helper()
	f := setup(t)
	v := store.Video{ID: "film", Title: "Film", State: store.VideoReady, TaskID: "task", Created: now()}
	if err := f.Catalog.Videos.Create(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutBytes(t.Context(), f.Objects, store.SourceKey("film"), []byte("source"), store.Replace); err != nil {
		t.Fatal(err)
	}
	return f, &Deletions{Videos: f.Catalog.Videos, Transcoder: f.transcoder, Log: slog.New(slog.DiscardHandler)}
}

// files is how many files the video has.
func (f fixture) files(t *testing.T) int {
	t.Helper()
	list, err := storetest.List(t.Context(), f.Objects, store.VideoPrefix("film"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestDeletionUndone: a deleted video is there for nobody, and all of it after
// the undo.
func TestDeletionUndone(t *testing.T) {
	f, d := deleting(t)
	ctx := as(t, rpc.ScopeOperator)
	title := "Other"
	gone := func(want string) {
		t.Helper()
		_, err := f.GetVideo(ctx, &rpc.GetVideoRequest{Id: "film"})
		wantReason(t, err, want)
		_, err = f.UpdateVideo(ctx, &rpc.UpdateVideoRequest{Id: "film", Title: &title})
		wantReason(t, err, want)
		for _, state := range []string{"", "ready"} {
			list, err := f.ListVideos(ctx, &rpc.ListVideosRequest{State: state})
			if err != nil || (len(list.Videos) == 0) != (want != "") {
				t.Errorf("listed by state %q: %v, %v", state, list, err)
			}
		}
	}
	gone("")
	before := now()
	v, err := d.Delete(ctx, "film")
	if err != nil || v.DeleteAt.Sub(before) < UndoFor || v.DeleteAt.Sub(before) > UndoFor+30*time.Second {
		t.Errorf("for good at %v: %v", v.DeleteAt, err)
	}
	gone("video_not_found")
	_, err = f.DeleteVideo(ctx, &rpc.DeleteVideoRequest{Id: "film"})
	wantReason(t, err, "video_not_found")
	_, err = d.Delete(ctx, "film")
	wantReason(t, err, "video_not_found")
	if list, err := d.List(as(t, rpc.ScopeRead)); err != nil || len(list) != 1 || list[0].Title != "Other" {
		t.Errorf("the deletions are %v: %v", list, err)
	}
	if _, err := d.Undo(ctx, "film"); err != nil {
		t.Error(err)
	}
	gone("")
	if list, err := d.List(ctx); err != nil || len(list) != 0 || f.files(t) != 1 {
		t.Errorf("the deletions are %v: %v; there are %d files", list, err, f.files(t))
	}
	for _, scope := range []rpc.Scope{rpc.ScopeRead, rpc.ScopeUploader} {
		_, err = d.Delete(as(t, scope), "film")
		wantReason(t, err, "permission_denied")
		_, err = d.Undo(as(t, scope), "film")
		wantReason(t, err, "permission_denied")
	}
}

// TestDeletionDue: a video that is due goes with its files, whichever node began
// it, and is not brought back; not before.
func TestDeletionDue(t *testing.T) {
	f, d := deleting(t)
	ctx := rpc.System(t.Context())
	v, err := d.Delete(ctx, "film")
	if err != nil {
		t.Fatal(err)
	}
	other := New(f.Config) // the node that began it may be gone
	if err := other.removeDue(ctx, v.DeleteAt.Add(-time.Second)); err != nil || f.files(t) != 1 {
		t.Errorf("a second early: %v, %d files", err, f.files(t))
	}
	if err := other.removeDue(ctx, v.DeleteAt); err != nil || f.files(t) != 0 {
		t.Errorf("when it is due: %v, %d files", err, f.files(t))
	}
	if _, err := f.Catalog.Videos.Get(ctx, "film"); err == nil {
		t.Error("its record stays")
	}
	_, err = d.Undo(ctx, "film")
	wantReason(t, err, "deletion_over")
	if err := f.removeDeleted(ctx, "film"); err != nil {
		t.Errorf("on another node as well: %v", err)
	}
}

// TestDeletionMeetsUndo: once the removal has begun there is no undo, be it cut
// short or not; and what was undone is not removed.
func TestDeletionMeetsUndo(t *testing.T) {
	f, d := deleting(t)
	ctx := rpc.System(t.Context())
	if _, err := d.Delete(ctx, "film"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Undo(ctx, "film"); err != nil {
		t.Fatal(err)
	}
	if err := f.removeDeleted(ctx, "film"); err != nil || f.files(t) != 1 {
		t.Errorf("after the undo: %v, %d files", err, f.files(t))
	}
	v, err := d.Delete(ctx, "film")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Catalog.Videos.Update(ctx, "film", func(v *store.Video) error { v.Removing = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Undo(ctx, "film")
	wantReason(t, err, "deletion_over")
	if err := f.removeDue(ctx, v.DeleteAt); err != nil || f.files(t) != 0 {
		t.Errorf("one that was cut short: %v, %d files", err, f.files(t))
	}
}

// TestDeletionHoldsTask: the task of a deleted video is paused at once and goes on
// after the undo; one that somebody had paused stays paused, and one that is over
// or cannot be asked for keeps nobody from deleting the video.
func TestDeletionHoldsTask(t *testing.T) {
	for _, tc := range []struct{ name, before, deleted, undone string }{
		{"under way", "processing", "paused", "processing"},
		{"waits", "queued", "paused", "processing"},
		{"paused by somebody", "paused", "paused", "paused"},
		{"over", "succeeded", "succeeded", "succeeded"},
		{"forgotten", "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, d := deleting(t)
			ctx := as(t, rpc.ScopeOperator)
			f.transcoder.state = tc.before
			if _, err := d.Delete(ctx, "film"); err != nil || f.transcoder.state != tc.deleted {
				t.Errorf("deleted, the task is %q, want %q: %v", f.transcoder.state, tc.deleted, err)
			}
			if _, err := d.Undo(ctx, "film"); err != nil || f.transcoder.state != tc.undone {
				t.Errorf("undone, the task is %q, want %q: %v", f.transcoder.state, tc.undone, err)
			}
			if v, err := f.Catalog.Videos.Get(ctx, "film"); err != nil || v.HeldTask != "" {
				t.Errorf("the video still holds %q: %v", v.HeldTask, err)
			}
			if _, err := d.Undo(ctx, "film"); err != nil || f.transcoder.state != tc.undone {
				t.Errorf("undone again, the task is %q, want %q: %v", f.transcoder.state, tc.undone, err)
			}
		})
	}
	f, d := deleting(t)
	f.transcoder.err = errors.New("nobody answers")
	if _, err := d.Delete(as(t, rpc.ScopeOperator), "film"); err != nil {
		t.Errorf("without a transcoder: %v", err)
	}
}
