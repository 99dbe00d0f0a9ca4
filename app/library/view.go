package library

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// detail returns the video as the API shows it, with its progress,
// renditions and addresses.
func (s *Service) detail(ctx context.Context, v store.Video) (*rpc.Video, error) {
	if err := s.catchUp(ctx, &v); err != nil {
		return nil, err
	}
	out := view(v)
	address(out, v, rpc.BaseURL(ctx))
	plan, err := s.Catalog.Plans.Plan(ctx, v.ID)
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("plan of %s: %w", v.ID, err)
	}
	cells, err := s.Catalog.Plans.Cells(ctx, v.ID)
	if err != nil {
		return nil, fmt.Errorf("cells of %s: %w", v.ID, err)
	}
	segments := plan.Timeline.Segments()
	out.Progress = percent(len(plan.Renditions)*segments-cells.Missing(&plan), len(plan.Renditions)*segments)
	for _, r := range listed(&plan) {
		out.Renditions = append(out.Renditions, &rpc.Rendition{
			Name: r.Name, Kind: string(r.Kind), Codecs: r.Codecs,
			Width: int32(r.Width), Height: int32(r.Height), Bandwidth: float64(r.Bandwidth),
			Progress: percent(cells[r.Name].Count, segments), Copy: r.Copy, Next: r.next,
		})
	}
	out.Made = made(&plan, cells)
	return out, nil
}

// catchUp shows in a video how its task has ended, if its record does not tell
// yet: who has seen the task's end sees the video's.
func (s *Service) catchUp(ctx context.Context, v *store.Video) error {
	if v.TaskID == "" || v.Failure != nil {
		return nil
	}
	task, err := s.Catalog.Tasks.Get(ctx, v.TaskID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("task of %s: %w", v.ID, err)
	}
	if seen := *v; seen.Ended(task) {
		now, err := s.videos.Get(ctx, v.ID) // its last cells may have come in between
		if err != nil {
			return rpc.NotFound(err, "video", v.ID)
		}
		now.Ended(task)
		*v = now
	}
	return nil
}

// made lists the stretches that play without waiting.
func made(p *store.Plan, cells store.Cells) []*rpc.Span {
	var spans []*rpc.Span
	t := &p.Timeline
	for i := range t.Segments() {
		if !cells.Playable(p, i) {
			continue
		}
		start, end := t.Seconds(t.Bounds[i]), t.Seconds(t.Bounds[i+1])
		if n := len(spans); n > 0 && spans[n-1].End == start {
			spans[n-1].End = end
		} else {
			spans = append(spans, &rpc.Span{Start: start, End: end})
		}
	}
	return spans
}

// view is what the record alone tells.
func view(v store.Video) *rpc.Video {
	out := &rpc.Video{
		Id: v.ID, Title: v.Title, State: string(v.State), Public: v.Public, Gated: len(v.Rule) > 0,
		Profile: v.Profile, Priority: int32(v.Priority),
		CreatedAt: timestamppb.New(v.Created), UpdatedAt: timestamppb.New(v.Updated),
		DurationSeconds: v.DurationSeconds, Width: int32(v.Width), Height: int32(v.Height),
		TaskId: v.TaskID, Poster: v.Poster, Storyboard: v.Storyboard,
	}
	for _, w := range v.Warnings {
		out.Warnings = append(out.Warnings, &rpc.Warning{Code: w.Code, Message: w.Message})
	}
	if v.State != store.VideoUploading { // before, the size is only announced
		out.SizeBytes, out.Sha256 = float64(v.SizeBytes), v.SHA256
	}
	if v.Failure != nil && v.State != store.VideoReady { // nothing is missing, whatever an old record says
		out.Error = &rpc.Failure{Code: v.Failure.Code, Message: v.Failure.Message}
	}
	return out
}

// address fills in the links, under base.
func address(out *rpc.Video, v store.Video, base string) {
	out.WatchUrl = base + "/watch/" + v.ID
	if v.State == store.VideoUploading {
		out.UploadUrl = base + "/api/v1/uploads"
		if v.UploadID != "" {
			out.UploadUrl += "/" + v.UploadID
		}
	}
	if !v.Public {
		return
	}
	open := base + "/v/" + v.ID
	out.HlsUrl, out.DashUrl = open+"/master.m3u8", open+"/manifest.mpd"
	if v.Poster {
		out.PosterUrl = open + "/poster.jpg"
	}
}

// percent is 0 to 100; of nothing, it is 0.
func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}
