package transcode

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"streamgate/store"
)

// disk watches the room that media has. Below the floor no job is taken up;
// when there is room again, work goes on by itself.
type disk struct {
	objects store.Objects
	floor   int64 // bytes
	every   time.Duration
	log     *slog.Logger

	mu     sync.Mutex
	looked time.Time
	full   bool
}

// enough tells whether jobs may be taken up. It asks at most once an interval.
func (d *disk) enough(ctx context.Context) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.looked.IsZero() && time.Since(d.looked) < d.every {
		return !d.full
	}
	d.looked = time.Now()
	free, _, err := d.objects.Space(ctx)
	if err != nil {
		return true // the job will meet the trouble, and say so
	}
	if full := free < d.floor; full != d.full {
		d.full = full
		if full {
			d.log.Warn("no job is taken up: the disk is too full; free some space", "free_bytes", free, "floor_bytes", d.floor)
		} else {
			d.log.Info("jobs are taken up again: there is room on the disk", "free_bytes", free)
		}
	}
	return !d.full
}

// errNoSpace makes a plan wait until its cells fit on the disk.
type errNoSpace struct{ need, free int64 }

func (e errNoSpace) Error() string {
	return fmt.Sprintf("the task needs about %d MB of disk, %d MB are free", e.need>>20, max(0, e.free)>>20)
}

// Unwrap makes it wait as every job does that finds the disk full.
func (e errNoSpace) Unwrap() error { return store.ErrFull }

// reserve sees to it that what a task's cells will need is free, besides what
// the tasks under way still need; else errNoSpace. The need is noted in the
// task, where the others find it.
func (s *Service) reserve(ctx context.Context, task store.Task, p *store.Plan) error {
	s.reserving.Lock() // or two would both count on the same room
	defer s.reserving.Unlock()
	have, err := s.Catalog.Plans.Cells(ctx, task.VideoID)
	if err != nil {
		return fmt.Errorf("reserve disk: %w", err)
	}
	free, _, err := s.Objects.Space(ctx)
	if err != nil {
		return fmt.Errorf("reserve disk: %w", err)
	}
	free -= s.disk.floor
	others, err := s.allTasks(ctx, store.TaskProcessing)
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.ID != task.ID {
			free -= int64(float64(other.NeedBytes) * (1 - other.Progress/100))
		}
	}
	made := p.MadeBy(task.ID)
	need := needOf(p, made)
	for _, r := range made {
		need -= have[r.Name].Bytes
	}
	need = max(0, need)
	if need > 0 && need > free {
		return errNoSpace{need, free}
	}
	_, err = s.Catalog.Tasks.Update(ctx, task.ID, func(t *store.Task) error {
		t.NeedBytes = need
		if t.Progress == 0 { // what is there already tells nothing of its speed
			t.Progress = progressOf(p, made, have.MissingOf(p, made))
			measureFrom(t)
		}
		return nil
	})
	return err
}

// needOf estimates the bytes of the cells of a plan's renditions.
func needOf(p *store.Plan, renditions []store.Rendition) int64 {
	seconds := p.Timeline.Seconds(p.Timeline.Ticks())
	var bits float64
	for _, r := range renditions {
		bits += float64(r.AverageBandwidth) * seconds
	}
	return int64(bits / 8)
}
