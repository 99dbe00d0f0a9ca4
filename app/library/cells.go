package library

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// GetCells implements rpc.LibraryHandler.
func (s *Service) GetCells(ctx context.Context, req *rpc.GetCellsRequest) (*rpc.Cells, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	if _, err := s.videos.Get(ctx, req.VideoId); err != nil {
		return nil, rpc.NotFound(err, "video", req.VideoId)
	}
	plan, err := s.Catalog.Plans.Plan(ctx, req.VideoId)
	if errors.Is(err, store.ErrNotFound) {
		return nil, rpc.Errorf(connect.CodeFailedPrecondition, "not_planned", "The video is not planned yet: it has no segments.")
	}
	if err != nil {
		return nil, fmt.Errorf("plan of %s: %w", req.VideoId, err)
	}
	cells, err := s.Catalog.Plans.Cells(ctx, req.VideoId)
	if err != nil {
		return nil, fmt.Errorf("cells of %s: %w", req.VideoId, err)
	}
	out := &rpc.Cells{VideoId: req.VideoId}
	for _, tick := range plan.Timeline.Bounds {
		out.Bounds = append(out.Bounds, plan.Timeline.Seconds(tick))
	}
	for _, r := range listed(&plan) {
		out.Renditions = append(out.Renditions, &rpc.RenditionCells{
			Name: r.Name, Kind: string(r.Kind), Copy: r.Copy, Next: r.next,
			Ready: runs(cells, r.Name, plan.Timeline.Segments()), SizeBytes: float64(cells[r.Name].Bytes),
		})
	}
	return out, nil
}

// listedRendition is a rendition as the API lists it.
type listedRendition struct {
	*store.Rendition
	next bool // not shown to players yet
}

// listed are the renditions that players are shown, then those that will be.
func listed(p *store.Plan) (out []listedRendition) {
	for i := range p.Renditions {
		out = append(out, listedRendition{&p.Renditions[i], false})
	}
	if p.Next == nil {
		return out
	}
	for i := range p.Next.Renditions {
		r := &p.Next.Renditions[i]
		if !slices.ContainsFunc(p.Renditions, func(shown store.Rendition) bool { return shown.Name == r.Name }) {
			out = append(out, listedRendition{r, true})
		}
	}
	return out
}

// runs lists the cells of a rendition that exist.
func runs(cells store.Cells, rendition string, segments int) []*rpc.SegmentRun {
	var out []*rpc.SegmentRun
	for i := range segments {
		if !cells.Has(rendition, i) {
			continue
		}
		if n := len(out); n > 0 && int(out[n-1].To) == i {
			out[n-1].To++
		} else {
			out = append(out, &rpc.SegmentRun{From: int32(i), To: int32(i + 1)})
		}
	}
	return out
}
