package stream

import (
	"context"
	"fmt"

	"streamgate/app/media"
	"streamgate/store"
)

// measure measures the renditions that are complete, the I-frame playlist that
// is made of one, and the storyboard. What cannot be measured is declared as
// the plan estimates it.
func (s *Service) measure(ctx context.Context, v *video) media.Rates {
	ctx = context.WithoutCancel(ctx) // it is kept for all
	rates := media.Rates{}
	note := func(name string, rate media.Rate, err error) {
		if err != nil {
			s.Log.Warn("a rate cannot be measured; its estimate is declared", "video", v.id, "of", name, "err", err)
			return
		}
		rates[name] = rate
	}
	for i := range v.plan.Renditions {
		r := &v.plan.Renditions[i]
		if v.cells[r.Name].Count < v.plan.Timeline.Segments() {
			continue
		}
		sizes, err := s.cellSizes(ctx, v, r)
		note(r.Name, media.MeasureCells(v.plan, r, sizes), err)
		if r.Name == media.IFrameSource(v.plan) {
			sizes, err := s.iframeSizes(ctx, v, r)
			note(media.IFramesName, media.MeasureIFrames(v.plan, r, sizes), err)
		}
	}
	if v.record.Storyboard {
		var keys []string
		for _, name := range media.StoryboardSheets(v.plan) {
			keys = append(keys, store.StillKey(v.id, name))
		}
		sizes, err := s.sizes(ctx, keys)
		note(media.StoryboardName, media.MeasureStoryboard(v.plan, sizes), err)
	}
	return rates
}

// cellSizes are the sizes of a rendition's cells, bytes.
func (s *Service) cellSizes(ctx context.Context, v *video, r *store.Rendition) ([]int64, error) {
	keys := make([]string, v.plan.Timeline.Segments())
	for cell := range keys {
		keys[cell] = store.CellKey(v.id, r.Name, cell)
	}
	return s.sizes(ctx, keys)
}

// sizes are the sizes of objects, bytes.
func (s *Service) sizes(ctx context.Context, keys []string) ([]int64, error) {
	sizes := make([]int64, len(keys))
	for i, key := range keys {
		object, err := s.Objects.Stat(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("look at a size: %w", err)
		}
		sizes[i] = object.Size
	}
	return sizes, nil
}

// iframeSizes are the sizes of the cells of a rendition's I-frame playlist,
// bytes: read from the heads of the cells that they are taken from.
func (s *Service) iframeSizes(ctx context.Context, v *video, r *store.Rendition) ([]int64, error) {
	sizes := make([]int64, media.IFrames(v.plan, r))
	var inCell []int64
	last := -1
	for i := range sizes {
		cell, key := media.IFrameAt(v.plan, r, i)
		if cell != last {
			f, _, err := s.Objects.Get(ctx, store.CellKey(v.id, r.Name, cell))
			if err != nil {
				return nil, fmt.Errorf("read the head of a cell: %w", err)
			}
			inCell, err = media.IFrameSizes(f)
			f.Close()
			if err != nil {
				return nil, fmt.Errorf("read the head of a cell: %w", err)
			}
			last = cell
		}
		if len(inCell) > 0 {
			sizes[i] = inCell[min(key, len(inCell)-1)]
		}
	}
	return sizes, nil
}
