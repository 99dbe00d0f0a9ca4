package transcode

import (
	"context"
	"slices"
	"time"

	"streamgate/store"
)

// dead finds the nodes that are gone for good among those that hold leases. A
// node is only taken for dead at the second look in a row that misses it.
type dead struct {
	alive  func(node, boot string) bool
	missed []store.Owner // at the last look
}

// look returns the holders that were missed twice.
func (d *dead) look(self store.Owner, holders []store.Owner) (gone []store.Dead) {
	var missed []store.Owner
	for _, h := range holders {
		if h.Node == self.Node && h.Boot == self.Boot || d.alive(h.Node, h.Boot) {
			continue
		}
		if missed = append(missed, h); slices.Contains(d.missed, h) {
			gone = append(gone, store.Dead{Node: h.Node, Gone: h.Boot})
		}
	}
	d.missed = missed
	return gone
}

// takeFromDead gives the jobs of nodes that have died to the others, looking for
// them every other poll until ctx is done: the leases themselves would last for
// long enough to let a viewer wait.
func (s *Service) takeFromDead(ctx context.Context) {
	d := &dead{alive: s.Alive}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * s.Poll):
		}
		holders, err := s.Queue.Holders(ctx)
		if err == nil {
			err = s.takeFrom(ctx, d.look(s.Owner, holders))
		}
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("take the jobs of nodes that are gone", "err", err) // the next look tries again
		}
	}
}

func (s *Service) takeFrom(ctx context.Context, gone []store.Dead) error {
	if len(gone) == 0 {
		return nil
	}
	jobs, err := s.Queue.Reap(ctx, reapRequest(gone...))
	for _, j := range jobs {
		s.Log.Warn("job taken from a node that is gone", "job", j.ID, "deaths", j.Deaths, "nodes", gone)
		s.signal(j.Rank)
	}
	return err
}
