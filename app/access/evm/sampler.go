package evm

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"streamgate/app/access/eth"
)

// settleTime is how long the others are waited for when enough endpoints have
// said their newest block.
const settleTime = 100 * time.Millisecond

// heads are the newest blocks of the endpoints that answered.
type heads map[*endpoint]eth.Block

// order lists the endpoints that are ahead first, and those that are level by
// preference: what was read a block ago may be refused.
func (h heads) order() []*endpoint {
	return slices.SortedFunc(maps.Keys(h), func(a, b *endpoint) int {
		return cmp.Or(cmp.Compare(h[b].Number, h[a].Number), cmp.Compare(a.rank, b.rank))
	})
}

// ahead is the same order, by what they said last.
func (c *chain) ahead() []*endpoint {
	said := heads{}
	for _, e := range c.endpoints {
		said[e] = eth.Block{}
		if b := e.said.Load(); b != nil {
			said[e] = *b
		}
	}
	return said.order()
}

// sampler asks all endpoints for their newest block. Callers that come while
// it asks share the answer.
type sampler struct {
	chain *chain
	mu    sync.Mutex
	now   *sample
}

// sample is one round of asking.
type sample struct {
	done  chan struct{}
	heads heads
	err   error
}

func (s *sampler) sample(ctx context.Context) (heads, error) {
	s.mu.Lock()
	current := s.now
	if current == nil {
		current = &sample{done: make(chan struct{})}
		s.now = current
		go s.run(context.WithoutCancel(ctx), current)
	}
	s.mu.Unlock()
	select {
	case <-current.done:
		return current.heads, current.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *sampler) run(ctx context.Context, current *sample) {
	current.heads, current.err = s.chain.askHeads(ctx)
	s.mu.Lock()
	s.now = nil
	s.mu.Unlock()
	close(current.done)
}

// askHeads asks all endpoints at once. Each request has its time-out, so that
// it ends. One that lies about its height can only be outvoted (quorum): with
// a quorum of 1 it makes the others look as if they lagged.
func (c *chain) askHeads(ctx context.Context) (heads, error) {
	answers := askAll(ctx, c.endpoints, func(ctx context.Context, e *endpoint) (eth.Block, error) { return e.newest(ctx) })
	found, faults := heads{}, []error{}
	var settled <-chan time.Time
	for range c.endpoints {
		select {
		case s := <-answers:
			if s.err != nil {
				faults = append(faults, s.err)
				continue
			}
			found[s.by] = s.got
			if len(found) == c.cfg.Quorum {
				settled = time.After(settleTime)
			}
		case <-settled:
			return found, nil
		}
	}
	if len(found) == 0 {
		return nil, errors.Join(faults...)
	}
	return found, nil
}
