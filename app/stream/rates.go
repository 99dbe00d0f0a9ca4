package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

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
		sizes, err := s.sizes(ctx, store.StillKey(v.id, ""), media.StoryboardSheets(v.plan))
		note(media.StoryboardName, media.MeasureStoryboard(v.plan, sizes), err)
	}
	return rates
}

// measured is measure, once for all documents of the same rates; their lock is held.
func (s *Service) measured(ctx context.Context, v *video) media.Rates {
	if v.rates.measured == nil {
		v.rates.measured = s.measure(ctx, v)
	}
	return v.rates.measured
}

// cellSizes are the sizes of a rendition's cells, bytes.
func (s *Service) cellSizes(ctx context.Context, v *video, r *store.Rendition) ([]int64, error) {
	prefix, names := store.CellsPrefix(v.id, r.Name), make([]string, v.plan.Timeline.Segments())
	for cell := range names {
		names[cell] = strings.TrimPrefix(store.CellKey(v.id, r.Name, cell), prefix)
	}
	return s.sizes(ctx, prefix, names)
}

// sizes are the sizes of objects under a prefix, bytes: listed, since a question for
// each would cost an hour of video a thousand of them.
func (s *Service) sizes(ctx context.Context, prefix string, names []string) ([]int64, error) {
	listed := map[string]int64{}
	for object, err := range s.Objects.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("look at sizes: %w", err)
		}
		listed[strings.TrimPrefix(object.Key, prefix)] = object.Size
	}
	sizes := make([]int64, len(names))
	for i, name := range names {
		size, ok := listed[name]
		if !ok {
			return nil, fmt.Errorf("look at the size of %s%s: %w", prefix, name, store.ErrNotFound)
		}
		sizes[i] = size
	}
	return sizes, nil
}

// headReaders is how many heads of cells are read at a time.
const headReaders = 8

// iframeSizes are the sizes of the cells of a rendition's I-frame playlist, bytes.
// The first who reads them from the heads of the cells keeps them for all nodes.
func (s *Service) iframeSizes(ctx context.Context, v *video, r *store.Rendition) ([]int64, error) {
	key := store.IFramesKey(v.id, r.Name)
	if sizes, err := s.keptSizes(ctx, key); err == nil && len(sizes) == media.IFrames(v.plan, r) {
		return sizes, nil
	}
	sizes, err := s.readIFrames(ctx, v, r)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(sizes)
	if err == nil {
		_, err = store.PutBytes(ctx, s.Objects, key, data, store.Replace)
	}
	if err != nil {
		s.Log.Warn("sizes of I-frames cannot be kept; the next node reads them again", "video", v.id, "err", err)
	}
	return sizes, nil
}

func (s *Service) keptSizes(ctx context.Context, key string) (sizes []int64, err error) {
	f, _, err := s.Objects.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return sizes, json.NewDecoder(f).Decode(&sizes)
}

// readIFrames reads the heads of the cells that the I-frame playlist is taken from.
func (s *Service) readIFrames(ctx context.Context, v *video, r *store.Rendition) ([]int64, error) {
	inCell := make([][]int64, v.plan.Timeline.Segments())
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(headReaders)
	for cell := range inCell {
		g.Go(func() error {
			f, _, err := s.Objects.Get(ctx, store.CellKey(v.id, r.Name, cell))
			if err == nil {
				inCell[cell], err = media.IFrameSizes(f)
				f.Close()
			}
			if err != nil {
				return fmt.Errorf("read the head of a cell: %w", err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	sizes := make([]int64, media.IFrames(v.plan, r))
	for i := range sizes {
		cell, key := media.IFrameAt(v.plan, r, i)
		if n := len(inCell[cell]); n > 0 {
			sizes[i] = inCell[cell][min(key, n-1)]
		}
	}
	return sizes, nil
}
