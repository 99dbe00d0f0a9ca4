package decisions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"streamgate/app/access/eth"
	"streamgate/app/access/rules"
	"streamgate/store"
)

const (
	// ruleFresh is how long what was read of a video's rule stands, should the
	// event that tells of a change be lost.
	ruleFresh = 5 * time.Second
	// maxRules is how many videos are kept; when it is full it starts afresh.
	maxRules = 10_000
	// contractsFresh is the same for the list of all contracts, which takes a
	// look at every video.
	contractsFresh = time.Minute
)

// InForce is who may watch a video now.
type InForce struct {
	Public bool        // everybody
	Rule   *rules.Rule // expanded; nil: only sessions that a key has made
	stored []byte      // as the video has it
	read   time.Time
}

// EveryVideo stands for all of them.
const EveryVideo = ""

// RuleCache has the rules of videos, expanded and ready to decide by. Its methods
// are safe for concurrent use.
type RuleCache struct {
	catalog store.Catalog

	collecting sync.Mutex // one collection serves all who ask

	mu        sync.Mutex
	edition   uint64 // bumped by Forget
	known     map[string]InForce
	contracts map[uint64][]eth.Address
	collected time.Time // when contracts were collected; zero: again
}

// NewRuleCache returns a cache of the rules of a catalog.
func NewRuleCache(catalog store.Catalog) *RuleCache {
	return &RuleCache{catalog: catalog, known: map[string]InForce{}}
}

// Of returns who may watch a video; store.ErrNotFound.
func (c *RuleCache) Of(ctx context.Context, videoID string) (InForce, error) {
	c.mu.Lock()
	e, ok := c.known[videoID]
	edition := c.edition
	c.mu.Unlock()
	if ok && time.Since(e.read) < ruleFresh {
		return e, nil
	}
	return c.read(ctx, videoID, edition)
}

// OfVideo is Of a video that the caller has just read: if that is not what is known,
// because another node has changed its rule a moment ago, it is read again.
func (c *RuleCache) OfVideo(ctx context.Context, video *store.Video) (InForce, error) {
	c.mu.Lock()
	e, ok := c.known[video.ID]
	edition := c.edition
	c.mu.Unlock()
	if ok && time.Since(e.read) < ruleFresh && e.Public == video.Public && bytes.Equal(e.stored, video.Rule) {
		return e, nil
	}
	return c.read(ctx, video.ID, edition)
}

// read reads the rule of a video, and keeps it unless it has been told since the
// edition that there is another.
func (c *RuleCache) read(ctx context.Context, videoID string, edition uint64) (InForce, error) {
	now := time.Now()
	video, err := c.catalog.Videos.Get(ctx, videoID)
	if err != nil {
		return InForce{}, fmt.Errorf("read the video of a rule: %w", err)
	}
	e := InForce{Public: video.Public, stored: video.Rule, read: now}
	if e.Rule, err = c.load(ctx, video.Rule); err != nil {
		return InForce{}, fmt.Errorf("rule of video %s: %w", videoID, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch(e.Rule)
	if c.edition == edition { // else it may be out of date already
		if len(c.known) >= maxRules {
			clear(c.known)
		}
		c.known[videoID] = e
	}
	return e, nil
}

// watch adds the contracts of a rule to those that are known: what is decided by
// is watched from now on, whether or not anybody has told of it. c.mu is held.
func (c *RuleCache) watch(rule *rules.Rule) {
	if rule == nil || c.contracts == nil {
		return
	}
	all, news := c.contracts, false
	for _, chain := range rule.Chains() {
		known, used := all[chain]
		list := slices.Clone(known)
		for _, contract := range rule.Contracts()[chain] {
			if !slices.Contains(list, contract) {
				list = append(list, contract)
			}
		}
		if used && len(list) == len(known) {
			continue
		}
		if !news {
			all, news = maps.Clone(all), true // whoever was given the old one may be reading it
		}
		all[chain] = list
	}
	c.contracts = all
}

// Forget drops what is known of a video, or of EveryVideo.
func (c *RuleCache) Forget(videoID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.edition++
	c.collected = time.Time{}
	if videoID == EveryVideo {
		clear(c.known)
	} else {
		delete(c.known, videoID)
	}
}

// load reads and expands a stored rule; nil for none. A rule that cannot be read
// or expanded any more, because what it refers to was changed, admits nobody,
// and is no reason to keep others waiting.
func (c *RuleCache) load(ctx context.Context, stored []byte) (*rules.Rule, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	rule, err := rules.Load(stored)
	if err == nil {
		rule, err = rule.Expand(func(name string) (*rules.Rule, error) { return c.Named(ctx, name) })
	}
	var bad *rules.Error
	if errors.As(err, &bad) {
		return &rules.Rule{Kind: rules.KindRule}, nil
	}
	return rule, err
}

// Named returns a named rule, not expanded; ErrNoRule.
func (c *RuleCache) Named(ctx context.Context, name string) (*rules.Rule, error) {
	rec, err := c.catalog.Rules.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, rules.ErrNoRule
	}
	if err != nil {
		return nil, err
	}
	return rules.Load(rec.Rule)
}

// Contracts lists the contracts of a chain that any video's rule names; used
// tells whether any rule needs the chain at all.
func (c *RuleCache) Contracts(ctx context.Context, chain uint64) (contracts []eth.Address, used bool, err error) {
	c.collecting.Lock()
	defer c.collecting.Unlock()
	c.mu.Lock()
	all, fresh, edition := c.contracts, time.Since(c.collected) < contractsFresh, c.edition
	c.mu.Unlock()
	if contracts, used = all[chain]; fresh {
		return contracts, used, nil
	}
	now := time.Now()
	if all, err = c.collect(ctx); err != nil {
		return nil, false, fmt.Errorf("collect the contracts of all rules: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.contracts = all; c.edition == edition {
		c.collected = now
	}
	contracts, used = all[chain]
	return contracts, used, nil
}

func (c *RuleCache) collect(ctx context.Context) (map[uint64][]eth.Address, error) {
	all := map[uint64][]eth.Address{}
	for video, err := range store.All(ctx, c.catalog.Videos, store.Query{}) {
		if err != nil {
			return nil, err
		}
		rule, err := c.load(ctx, video.Rule)
		if err != nil {
			return nil, fmt.Errorf("video %s: %w", video.ID, err)
		}
		if rule == nil {
			continue
		}
		for _, chain := range rule.Chains() {
			all[chain] = append(all[chain], []eth.Address{}...) // there, if only for its coin
		}
		for chain, contracts := range rule.Contracts() {
			all[chain] = append(all[chain], contracts...)
		}
	}
	for chain, list := range all {
		slices.SortFunc(list, func(x, y eth.Address) int { return slices.Compare(x[:], y[:]) })
		all[chain] = slices.Compact(list)
	}
	return all, nil
}
