package transcode

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"streamgate/store"
)

// stills makes the poster and the storyboard. The poster is shown as soon as
// it exists.
func (s *Service) stills(ctx context.Context, run *running) error {
	job, tools := run.Job, s.Tools.Watched(&run.watch)
	plan, err := s.Catalog.Plans.Plan(ctx, job.VideoID)
	if err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	source, release, err := s.Objects.Input(ctx, plan.Source.Object)
	if err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	defer release()
	dir, err := os.MkdirTemp(s.Scratch, "stills-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	poster := filepath.Join(dir, "poster.jpg")
	if err := source.Read(tools.Poster(ctx, source.Location(), &plan, poster)); err != nil {
		return fmt.Errorf("make poster: %w", err)
	}
	if err := s.putStills(ctx, job.VideoID, dir, "poster.jpg"); err != nil {
		return err
	}
	if err := s.showStills(ctx, job.VideoID, func(v *store.Video) { v.Poster = true }); err != nil {
		return err
	}
	sheets, vtt, err := tools.Storyboard(ctx, source.Location(), &plan, dir)
	if err = source.Read(err); err != nil {
		return fmt.Errorf("make storyboard: %w", err)
	}
	if err := s.putStills(ctx, job.VideoID, dir, sheets...); err != nil {
		return err
	}
	if _, err := store.PutBytes(ctx, s.Objects, store.StillKey(job.VideoID, "storyboard.vtt"), vtt, store.Replace); err != nil {
		return fmt.Errorf("store storyboard: %w", err)
	}
	return s.showStills(ctx, job.VideoID, func(v *store.Video) { v.Storyboard = true })
}

func (s *Service) putStills(ctx context.Context, videoID, dir string, names ...string) error {
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("read still: %w", err)
		}
		if _, err := store.PutBytes(ctx, s.Objects, store.StillKey(videoID, name), data, store.Replace); err != nil {
			return fmt.Errorf("store still: %w", err)
		}
	}
	return nil
}

func (s *Service) showStills(ctx context.Context, videoID string, set func(*store.Video)) error {
	video, err := s.Catalog.Videos.Update(ctx, videoID, func(v *store.Video) error {
		set(v)
		v.Updated = time.Now().UTC()
		return nil
	})
	if err != nil {
		return fmt.Errorf("show stills: %w", err)
	}
	s.announceVideo(video)
	return nil
}
