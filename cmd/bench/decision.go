package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"streamgate/app/access"
	"streamgate/app/access/eth"
	"streamgate/app/access/rules"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/memory"
)

const (
	cachedMilliseconds   = 0.1 // at most
	uncachedMilliseconds = 25  // at most
)

// benchDecision measures how long it takes to decide whether a wallet may
// watch a video for holders, one after another: of a holder who has been asked
// about before, and of wallets that nobody has asked about yet. The service is
// in this process and keeps its records on disk; the chain is another process,
// asked over HTTP.
func benchDecision(ctx context.Context, b *bench) ([]result, error) {
	c, err := startChain(ctx)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	db, err := bolt.Open(filepath.Join(b.dir, "decisions.db"), bolt.Options{})
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // it is removed with all that is in it
	g, err := newGate(ctx, c, db)
	if err != nil {
		return nil, err
	}
	if _, err := c.Mint721(ctx, c.Holder.Address); err != nil {
		return nil, err
	}
	holder := eth.Address(c.Holder.Address)
	if _, err := g.decide(ctx, holder, true); err != nil {
		return nil, err
	}
	var cached, uncached series
	for range b.runs(5000, 500) {
		took, err := g.decide(ctx, holder, true)
		if err != nil {
			return nil, err
		}
		cached = append(cached, took)
	}
	for range b.runs(1000, 100) {
		var stranger eth.Address
		rand.Read(stranger[:]) // never fails (crypto/rand)
		took, err := g.decide(ctx, stranger, false)
		if err != nil {
			return nil, err
		}
		uncached = append(uncached, took)
	}
	return []result{
		atMostP99("access decision, cached", cachedMilliseconds, "ms", cached),
		atMostP99("access decision, uncached, over loopback RPC", uncachedMilliseconds, "ms", uncached),
	}, nil
}

// gate is access with one video, for those who have a token of the chain.
type gate struct{ *access.Service }

const gatedVideo = "film"

func newGate(ctx context.Context, c *chain, db *bolt.DB) (*gate, error) {
	written, err := json.Marshal(c.holders())
	if err != nil {
		return nil, err
	}
	rule, err := rules.Parse(written)
	if err != nil {
		return nil, err
	}
	stored, err := rule.Stored()
	if err != nil {
		return nil, err
	}
	if err := db.Catalog().Videos.Create(ctx, store.Video{ID: gatedVideo, State: store.VideoReady, Rule: stored}); err != nil {
		return nil, err
	}
	chains, err := c.reader()
	if err != nil {
		return nil, err
	}
	s, err := access.New(access.Config{
		Catalog: db.Catalog(), Cache: memory.NewCache(memory.Options{}), Chains: chains, Log: slog.New(slog.DiscardHandler),
	})
	return &gate{s}, err
}

// decide returns how many milliseconds it took to decide about a wallet.
func (g *gate) decide(ctx context.Context, wallet eth.Address, admit bool) (float64, error) {
	req := &rpc.CheckAccessRequest{VideoId: gatedVideo, Wallet: wallet.String()}
	ctx = rpc.System(ctx)
	began := time.Now()
	d, err := g.CheckAccess(ctx, req)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	if d.Admit != admit || !admit && d.Reason != string(rules.ReasonNotHolder) {
		return 0, fmt.Errorf("decided otherwise than expected: %v", d)
	}
	return float64(took.Nanoseconds()) / 1e6, nil
}
