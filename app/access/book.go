package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"streamgate/store"
)

const (
	// bookFresh is how long what was read of a video's rule stands, should the
	// event that tells of a change be lost.
	bookFresh = 5 * time.Second
	// bookSize is how many videos are kept; when it is full it starts afresh.
	bookSize = 10_000
	// contractsFresh is the same for the list of all contracts, which takes a
	// walk over all videos.
	contractsFresh = time.Minute
)

// entry is who may watch a video, as it is in force.
type entry struct {
	public bool
	rule   *Rule // expanded; nil: only sessions that a key has made
	read   time.Time
}

// book has the rules of videos, expanded and ready to decide by.
type book struct {
	catalog store.Catalog

	walking sync.Mutex // one walk serves all who ask

	mu        sync.Mutex
	edition   uint64 // bumped by forget
	known     map[string]entry
	contracts map[uint64][]Address
	walked    time.Time // when contracts were collected; zero: again
}

func newBook(catalog store.Catalog) *book {
	return &book{catalog: catalog, known: map[string]entry{}}
}

// get returns who may watch a video; store.ErrNotFound.
func (b *book) get(ctx context.Context, videoID string) (entry, error) {
	b.mu.Lock()
	e, ok := b.known[videoID]
	edition := b.edition
	b.mu.Unlock()
	if ok && time.Since(e.read) < bookFresh {
		return e, nil
	}
	now := time.Now()
	video, err := b.catalog.Videos.Get(ctx, videoID)
	if err != nil {
		return entry{}, fmt.Errorf("read the video of a rule: %w", err)
	}
	e = entry{public: video.Public, read: now}
	if e.rule, err = b.load(ctx, video.Rule); err != nil {
		return entry{}, fmt.Errorf("rule of video %s: %w", videoID, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.edition == edition { // else it may be out of date already
		if len(b.known) >= bookSize {
			clear(b.known)
		}
		b.known[videoID] = e
	}
	return e, nil
}

// forget drops what is known of a video, or of everyVideo.
func (b *book) forget(videoID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.edition++
	b.walked = time.Time{}
	if videoID == everyVideo {
		clear(b.known)
	} else {
		delete(b.known, videoID)
	}
}

// load reads and expands a stored rule; nil for none. A rule that cannot be read
// or expanded any more, because what it refers to was changed, admits nobody,
// and is no reason to keep others waiting.
func (b *book) load(ctx context.Context, stored []byte) (*Rule, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	rule, err := LoadRule(stored)
	if err == nil {
		rule, err = rule.Expand(func(name string) (*Rule, error) { return b.named(ctx, name) })
	}
	var bad *RuleError
	if errors.As(err, &bad) {
		return &Rule{Kind: KindRule}, nil
	}
	return rule, err
}

// named returns a named rule, not expanded; ErrNoRule.
func (b *book) named(ctx context.Context, name string) (*Rule, error) {
	rec, err := b.catalog.Rules.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoRule
	}
	if err != nil {
		return nil, err
	}
	return LoadRule(rec.Rule)
}

// watched lists the contracts of a chain that any video's rule names; used
// tells whether any rule needs the chain at all.
func (b *book) watched(ctx context.Context, chain uint64) (contracts []Address, used bool, err error) {
	b.walking.Lock()
	defer b.walking.Unlock()
	b.mu.Lock()
	all, fresh, edition := b.contracts, time.Since(b.walked) < contractsFresh, b.edition
	b.mu.Unlock()
	if contracts, used = all[chain]; fresh {
		return contracts, used, nil
	}
	now := time.Now()
	if all, err = b.walk(ctx); err != nil {
		return nil, false, fmt.Errorf("collect the contracts of all rules: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.contracts = all; b.edition == edition {
		b.walked = now
	}
	contracts, used = all[chain]
	return contracts, used, nil
}

func (b *book) walk(ctx context.Context) (map[uint64][]Address, error) {
	all := map[uint64][]Address{}
	for video, err := range store.All(ctx, b.catalog.Videos, store.Query{}) {
		if err != nil {
			return nil, err
		}
		rule, err := b.load(ctx, video.Rule)
		if err != nil {
			return nil, fmt.Errorf("video %s: %w", video.ID, err)
		}
		if rule == nil {
			continue
		}
		for _, chain := range rule.chains() {
			all[chain] = append(all[chain], []Address{}...) // there, if only for its coin
		}
		for chain, contracts := range rule.Contracts() {
			all[chain] = append(all[chain], contracts...)
		}
	}
	for chain, list := range all {
		slices.SortFunc(list, func(x, y Address) int { return slices.Compare(x[:], y[:]) })
		all[chain] = slices.Compact(list)
	}
	return all, nil
}
