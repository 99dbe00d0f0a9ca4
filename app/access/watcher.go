package access

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"streamgate/store"
)

// maxCatchUp is how many blocks a watcher that was away reads the logs of.
// After a longer absence nothing is believed any more instead.
const maxCatchUp = 100_000

// maxBehind is how many blocks an endpoint may lag behind; further back it is
// another chain of blocks.
const maxBehind = 64

// watcher follows the logs of one chain: whoever may have lost or gained what
// a rule needs is asked again at once.
type watcher struct {
	s     *Service
	chain uint64
	at    *Block // whose logs have had their effect; nil: not known yet
	down  bool   // the chain did not answer last time
}

func newWatcher(s *Service, chain uint64) *watcher { return &watcher{s: s, chain: chain} }

func (w *watcher) id() string { return strconv.FormatUint(w.chain, 10) }

// run looks at the chain until ctx ends.
func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(w.s.pollInterval(w.chain))
	defer tick.Stop()
	for {
		err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.note(err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// note logs when a chain goes away and when it comes back; endpoints count
// each failure in their metrics.
func (w *watcher) note(err error) {
	switch {
	case err != nil && !w.down:
		w.s.Log.Warn("a chain cannot be watched", "chain", w.chain, "err", err)
	case err == nil && w.down:
		w.s.Log.Info("the chain can be watched again", "chain", w.chain)
	}
	w.down = err != nil
}

// look follows the chain up to its head. What fails is done again next time:
// the cursor moves last.
func (w *watcher) look(ctx context.Context) error {
	head, err := w.s.Chains.Head(ctx, w.chain)
	if err != nil {
		return err
	}
	if w.at == nil {
		if err := w.begin(ctx, head); err != nil {
			return err
		}
	}
	if head.Number == w.at.Number && head.Hash == w.at.Hash {
		return nil
	}
	same, err := w.follows(ctx, head)
	switch {
	case err != nil:
		return err
	case !same:
		w.startOver(ctx, "a reorganisation")
	case head.Number <= w.at.Number:
		return nil // an endpoint that lags behind
	case head.Number-w.at.Number > maxCatchUp:
		w.startOver(ctx, "a long absence")
	default:
		if err := w.catchUp(ctx, head); err != nil {
			return err
		}
	}
	return w.move(ctx, head)
}

// begin reads where the last watcher of the chain was; the first begins now.
func (w *watcher) begin(ctx context.Context, head Block) error {
	cursor, err := w.s.Catalog.Cursors.Get(ctx, w.id())
	switch {
	case errors.Is(err, store.ErrNotFound):
		w.at = &head
		return w.move(ctx, head)
	case err != nil:
		return fmt.Errorf("read the cursor of chain %d: %w", w.chain, err)
	}
	w.at = &Block{Number: cursor.Block}
	copy(w.at.Hash[:], cursor.Hash)
	return nil
}

// follows tells whether the head is on top of the block where we are, or
// beside it.
func (w *watcher) follows(ctx context.Context, head Block) (bool, error) {
	switch {
	case head.Number == w.at.Number+1:
		return head.Parent == w.at.Hash, nil
	case head.Number <= w.at.Number:
		// Shorter: either it lags, or there will be another head soon that
		// shows it. The same height with another hash is a reorganisation.
		behind := w.at.Number - head.Number
		return head.Hash == w.at.Hash || behind > 0 && behind <= maxBehind, nil
	}
	b, err := w.s.Chains.Block(ctx, w.chain, w.at.Number)
	return b.Hash == w.at.Hash, err
}

// startOver forgets all that was read of the chain and asks every session
// that stands on it: the blocks from which it was read may never have been.
func (w *watcher) startOver(ctx context.Context, why string) {
	w.s.Log.Warn("what was read of a chain is forgotten", "chain", w.chain, "because of", why, "block", w.at.Number)
	w.s.facts.Reset(w.chain)
	w.s.recheck(ctx, w.s.roster.all(), nil)
}

// catchUp takes in the logs up to the head.
func (w *watcher) catchUp(ctx context.Context, head Block) error {
	contracts, err := w.s.book.watched(ctx, w.chain)
	if err != nil {
		return err
	}
	transfers, err := w.s.Chains.Transfers(ctx, w.chain, w.at.Number+1, head.Number, contracts)
	if err != nil {
		return err
	}
	w.s.facts.Seen(w.chain, head.Number)
	touched := map[Address]struct{}{}
	blocks := map[Address]uint64{} // by whom: the first block that concerns them
	for _, t := range transfers {
		if t.From.IsZero() && t.To.IsZero() { // anybody
			w.s.facts.Reset(w.chain)
			w.s.facts.Seen(w.chain, head.Number)
			w.recheck(ctx, w.s.roster.all(), nil, head)
			return nil
		}
		for _, who := range []Address{t.From, t.To} {
			if who.IsZero() {
				continue
			}
			w.s.facts.Invalidate(w.chain, t.Block, t.Contract, who)
			touched[who] = struct{}{}
			if blocks[who] == 0 {
				blocks[who] = t.Block
			}
		}
	}
	if len(touched) > 0 {
		w.recheck(ctx, w.s.roster.ofWallets(touched), blocks, head)
	}
	return nil
}

// recheck asks sessions again, and measures how long after its block each of
// them ended.
func (w *watcher) recheck(ctx context.Context, list []*playing, blocks map[Address]uint64, head Block) {
	times := map[uint64]time.Time{head.Number: head.Time}
	var mu sync.Mutex
	w.s.recheck(ctx, list, func(p *playing) {
		ended := time.Now()
		mu.Lock()
		defer mu.Unlock()
		number := head.Number
		for _, wallet := range p.wallets() {
			if b, ok := blocks[wallet]; ok {
				number = min(number, b)
			}
		}
		at, known := times[number]
		if !known {
			b, err := w.s.Chains.Block(ctx, w.chain, number)
			if err != nil {
				return
			}
			at, times[number] = b.Time, b.Time
		}
		w.s.metrics.lagged(at, ended)
	})
}

// move remembers where we are, for the next start too.
func (w *watcher) move(ctx context.Context, head Block) error {
	cursor := store.ChainCursor{ID: w.id(), Block: head.Number, Hash: head.Hash[:]}
	_, err := w.s.Catalog.Cursors.Update(ctx, w.id(), func(c *store.ChainCursor) error {
		*c = cursor
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = w.s.Catalog.Cursors.Create(ctx, cursor)
	}
	if err != nil {
		return fmt.Errorf("remember the block of chain %d: %w", w.chain, err)
	}
	w.at = &head
	return nil
}
