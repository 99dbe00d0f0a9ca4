package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"streamgate/app/access/eth"
	"streamgate/store"
)

const (
	// maxCatchUp is how many blocks a watcher that was away reads the logs of.
	// After a longer absence nothing is believed any more instead, which costs
	// less: who plays is asked again at the start anyway.
	maxCatchUp = 20_000
	// catchUpStep is how many of them are taken in at a time.
	catchUpStep = 1000
	// startBehind is how far below the head a watcher starts over.
	startBehind = 2
	// maxLag is for how long endpoints may lag behind; after that they are on
	// another branch.
	maxLag = 2 * time.Minute
	// proveStep is how many blocks are looked for together.
	proveStep = 20
	// pollRetry is after what time a look that failed is tried again, once: the
	// next request may reach a server that has the block.
	pollRetry = 250 * time.Millisecond
)

// watcher follows the logs of one chain: whoever may have lost or gained what
// a rule needs is asked again at once.
type watcher struct {
	m       *Manager
	chain   uint64
	at      *eth.Block // whose logs have had their effect; nil: not known yet
	lagging time.Time  // since when looks have shown an older head; zero: they do not
	down    bool       // the chain did not answer last time

	last map[eth.Transfer]struct{} // those of the newest block that had their effect
}

func newWatcher(m *Manager, chain uint64) *watcher { return &watcher{m: m, chain: chain} }

func (w *watcher) id() string { return strconv.FormatUint(w.chain, 10) }

// run looks at the chain until ctx ends.
func (w *watcher) run(ctx context.Context) {
	every := w.m.pollInterval(w.chain)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := w.poll(ctx)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(min(pollRetry, every)):
				err = w.poll(ctx)
			}
		}
		if ctx.Err() != nil {
			return
		}
		w.note(err)
		if err != nil {
			w.askAll(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// askAll asks every session that stands on the chain afresh: what its logs
// would have told is not known.
func (w *watcher) askAll(ctx context.Context) {
	w.m.Decider.Facts.Expire(w.chain)
	w.m.recheck(ctx, w.m.concerned(ctx, w.chain), nil)
}

// note logs when a chain goes away and when it comes back; endpoints count
// each failure in their metrics.
func (w *watcher) note(err error) {
	switch {
	case err != nil && !w.down:
		w.m.Log.Warn("a chain cannot be watched", "chain", w.chain, "err", err)
	case err == nil && w.down:
		w.m.Log.Info("the chain can be watched again", "chain", w.chain)
	}
	w.down = err != nil
}

// poll follows the chain up to its head. What fails is done again next time:
// the cursor moves last.
func (w *watcher) poll(ctx context.Context) error {
	seen, err := w.follow(ctx)
	if err != nil {
		return err
	}
	head := seen.Head
	if w.at == nil {
		if err := w.begin(ctx, head); err != nil {
			return err
		}
	}
	why := ""
	if head.Number > w.at.Number+maxCatchUp {
		why = "a long absence"
	} else if same, err := w.onBranch(ctx, seen); err != nil {
		return err
	} else if !same {
		why = "a reorganisation"
	}
	if why != "" {
		if err := w.startOver(ctx, head, why); err != nil {
			return err
		}
		seen.Whole = false // of the blocks after another
	}
	return w.catchUp(ctx, seen) // no new block, or an endpoint that lags behind: nothing
}

// follow asks for the head, and for the logs since the last look if anybody
// needs them.
func (w *watcher) follow(ctx context.Context) (eth.Followed, error) {
	if w.at != nil {
		contracts, used, err := w.m.Decider.Rules.Contracts(ctx, w.chain)
		if err != nil {
			return eth.Followed{}, err
		}
		if used {
			return w.m.Chains.Follow(ctx, w.chain, w.at.Number+1, contracts)
		}
	}
	head, err := w.m.Chains.Head(ctx, w.chain)
	return eth.Followed{Head: head}, err
}

// begin reads where the last watcher of the chain was; the first begins now.
func (w *watcher) begin(ctx context.Context, head eth.Block) error {
	cursor, err := w.m.Catalog.Cursors.Get(ctx, w.id())
	switch {
	case errors.Is(err, store.ErrNotFound):
		w.at = &head
		return w.move(ctx, head)
	case err != nil:
		return fmt.Errorf("read the cursor of chain %d: %w", w.chain, err)
	}
	w.at = &eth.Block{Number: cursor.Block}
	copy(w.at.Hash[:], cursor.Hash)
	return nil
}

// onBranch tells whether the block where we are, and all at which the chain was
// read, are on the branch of the head. The head itself counts as read: what it
// proves stands only if it is on the branch of the next. An endpoint that lags
// behind proves nothing.
func (w *watcher) onBranch(ctx context.Context, seen eth.Followed) (bool, error) {
	head := seen.Head
	if head.Number < w.at.Number {
		if w.lagging.IsZero() {
			w.lagging = time.Now()
		}
		return !head.Time.After(w.at.Time) && time.Since(w.lagging) <= maxLag, nil
	}
	w.lagging = time.Time{}
	read, split := w.m.Decider.Facts.Unproven(w.chain, head)
	if split || len(read) > 0 && read[0].Number+maxCatchUp < head.Number { // by one who is far behind
		return false, nil
	}
	if seen.Whole {
		if seen.Before.Hash != w.at.Hash {
			return false, nil
		}
	} else if ok, err := w.ancestors(ctx, head, []eth.Block{*w.at}); err != nil || !ok {
		return false, err
	}
	for part := range slices.Chunk(read, proveStep) {
		if ok, err := w.ancestors(ctx, head, part); err != nil || !ok {
			return false, err
		}
		w.m.Decider.Facts.Proven(w.chain, part...)
	}
	return true, nil
}

// ancestors tells whether all the blocks are on the branch of the head, asking
// for those of which the head itself does not tell.
func (w *watcher) ancestors(ctx context.Context, head eth.Block, blocks []eth.Block) (bool, error) {
	var asked []eth.Block
	var numbers []uint64
	for _, b := range blocks {
		switch {
		case b.Number == head.Number && b.Hash == head.Hash:
		case b.Number == head.Number-1 && b.Hash == head.Parent:
		case b.Number+1 >= head.Number:
			return false, nil
		default:
			asked, numbers = append(asked, b), append(numbers, b.Number)
		}
	}
	if len(asked) == 0 {
		return true, nil
	}
	found, err := w.m.Chains.Ancestors(ctx, w.chain, head, numbers...)
	if err != nil {
		return false, err
	}
	for i := range asked {
		if found[i].Hash != asked[i].Hash {
			return false, nil
		}
	}
	return true, nil
}

// startOver forgets all that was read of the chain and asks every session
// that stands on it: the blocks from which it was read may never have been. It
// goes on from a little below the head, so that an endpoint that is a block
// behind can still answer.
func (w *watcher) startOver(ctx context.Context, head eth.Block, why string) error {
	found, err := w.m.Chains.Ancestors(ctx, w.chain, head, head.Number-min(head.Number, startBehind))
	if err != nil {
		return err
	}
	w.m.Log.Warn("what was read of a chain is forgotten", "chain", w.chain, "why", why, "from", w.at.Number, "to", head.Number)
	w.recheckAll(ctx, found[0], head)
	w.lagging = time.Time{}
	return w.move(ctx, found[0])
}

// recheckAll asks every session that stands on the chain, of which nothing that
// was read before base is believed.
func (w *watcher) recheckAll(ctx context.Context, base, head eth.Block) {
	w.m.Decider.Facts.Reset(w.chain, base.Number)
	w.recheck(ctx, w.m.concerned(ctx, w.chain), nil, head)
}

// catchUp takes in the logs up to the head, some blocks at a time.
func (w *watcher) catchUp(ctx context.Context, seen eth.Followed) error {
	head := seen.Head
	if seen.Whole && w.at.Number < head.Number {
		w.m.Decider.Facts.Seen(w.chain, head.Number)
		w.logs(false, nil)
		w.apply(ctx, seen.Transfers, head)
		return w.move(ctx, head)
	}
	for w.at.Number < head.Number {
		end := head
		if head.Number-w.at.Number > catchUpStep && !w.m.Decider.NoLogs(w.chain) {
			found, err := w.m.Chains.Ancestors(ctx, w.chain, head, w.at.Number+catchUpStep)
			if err != nil {
				return err
			}
			end = found[0]
		}
		if err := w.takeIn(ctx, end); err != nil {
			return err
		}
		if err := w.move(ctx, end); err != nil {
			return err
		}
	}
	return nil
}

// takeIn gives the logs up to a block their effect.
func (w *watcher) takeIn(ctx context.Context, end eth.Block) error {
	contracts, used, err := w.m.Decider.Rules.Contracts(ctx, w.chain)
	if err != nil {
		return err
	}
	w.m.Decider.Facts.Seen(w.chain, end.Number)
	if !used {
		return nil
	}
	transfers, err := w.m.Chains.Transfers(ctx, w.chain, w.at.Number+1, end, contracts)
	if errors.Is(err, eth.ErrNoLogs) {
		w.logs(true, err)
		w.askAll(ctx)
		return nil
	}
	if err != nil {
		return err
	}
	w.logs(false, nil)
	w.apply(ctx, transfers, end)
	return nil
}

// logs notes whether the chain's endpoints list logs.
func (w *watcher) logs(none bool, err error) {
	if !w.m.Decider.SetNoLogs(w.chain, none) {
		return
	}
	if none {
		w.m.Log.Warn("No endpoint of the chain lists logs (eth_getLogs); its sessions are asked again at each new block. Add an endpoint that lists logs to chains[].urls.", "chain", w.chain, "err", err)
		return
	}
	w.m.Log.Info("The chain's endpoints list logs.", "chain", w.chain)
}

// apply has those asked again whom transfers up to a block concern; those of
// the block before which have had their effect are left out.
func (w *watcher) apply(ctx context.Context, transfers []eth.Transfer, end eth.Block) {
	had := w.last
	w.last = map[eth.Transfer]struct{}{}
	touched := map[eth.Address]struct{}{}
	blocks := map[eth.Address]uint64{} // by whom: the first block that concerns them
	for _, t := range transfers {
		if t.Block == end.Number {
			w.last[t] = struct{}{}
		}
		if _, ok := had[t]; ok {
			continue
		}
		if t.From.IsZero() && t.To.IsZero() {
			w.recheckAll(ctx, end, end)
			return
		}
		for _, who := range []eth.Address{t.From, t.To} {
			if who.IsZero() {
				continue
			}
			w.m.Decider.Facts.Invalidate(w.chain, t.Block, t.Contract, who)
			touched[who] = struct{}{}
			if blocks[who] == 0 {
				blocks[who] = t.Block
			}
		}
	}
	if len(touched) > 0 {
		w.recheck(ctx, w.m.live.ofWallets(touched), blocks, end)
	}
}

// recheck asks sessions again of which a change is known, so that no grace
// covers it, and measures how long after its block each of them ended.
func (w *watcher) recheck(ctx context.Context, list []*liveSession, blocks map[eth.Address]uint64, head eth.Block) {
	w.m.live.forgetEarlier(list)
	var mu sync.Mutex
	ends := map[uint64][]time.Time{} // by block
	all := w.m.recheck(ctx, list, func(p *liveSession) {
		number := head.Number
		for _, wallet := range p.wallets {
			if b, ok := blocks[wallet]; ok {
				number = min(number, b)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		ends[number] = append(ends[number], time.Now())
	})
	if !all {
		for _, p := range list {
			w.m.pending.note(p.videoID)
		}
	}
	for number, times := range ends {
		block := head
		if number != head.Number {
			found, err := w.m.Chains.Ancestors(ctx, w.chain, head, number)
			if err != nil {
				continue // nothing but a measurement is lost
			}
			block = found[0]
		}
		for _, ended := range times {
			w.m.metrics.lagged(block.Time, ended)
		}
	}
}

// move remembers where we are, for the next start too.
func (w *watcher) move(ctx context.Context, head eth.Block) error {
	if !w.m.first() { // another node's goes on from the same logs
		w.at = &head
		w.m.Decider.Facts.Proven(w.chain, head)
		return nil
	}
	cursor := store.ChainCursor{ID: w.id(), Block: head.Number, Hash: head.Hash[:]}
	_, err := w.m.Catalog.Cursors.Update(ctx, w.id(), func(c *store.ChainCursor) error {
		*c = cursor
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = w.m.Catalog.Cursors.Create(ctx, cursor)
	}
	if err != nil {
		return fmt.Errorf("remember the block of chain %d: %w", w.chain, err)
	}
	w.at = &head
	w.m.Decider.Facts.Proven(w.chain, head)
	return nil
}
