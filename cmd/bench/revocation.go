package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/cmd/devchain/devnet"
)

const (
	revocationPoll = time.Second
	revocationSlip = 500 * time.Millisecond // beyond a poll
	// fetchEvery is how often each player fetches a cell: the measurement is
	// late by that much at most.
	fetchEvery = 50 * time.Millisecond
	// transferEvery spreads the transfers over the time between two polls; it
	// is no part of it, so that none of its moments is preferred.
	transferEvery = 97 * time.Millisecond
	// refusedAtLast is how long after the last transfer somebody who still
	// plays makes the row fail.
	refusedAtLast = 20 * time.Second
	// cellRendition is the small rendition whose cells are fetched.
	cellRendition = "144p"
)

// benchRevocation measures how long a viewer who hands their token over goes on
// watching: from the receipt of the transfer to the first cell that is
// refused. Each viewer has a wallet, a token and a session of their own, and
// fetches cells all the time; each transfer has a block of its own.
func benchRevocation(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.sources.file(ctx, megabytes28s)
	if err != nil {
		return nil, err
	}
	c, err := startChain(ctx)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	n, err := b.startNode(ctx, unlimitedYAML, c.settings(revocationPoll))
	if err != nil {
		return nil, err
	}
	defer n.kill()
	viewers, err := b.holders(ctx, n, c, file)
	var took series
	if err == nil {
		took, err = b.revoke(ctx, n, c, viewers)
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, n.said())
	}
	what := fmt.Sprintf("transfer mined → first refused cell, %d sessions, chain polled every %v", len(viewers), revocationPoll)
	return []result{atMostP99(what, float64((revocationPoll + revocationSlip).Milliseconds()), "ms", took)}, nil
}

// holder is a wallet with a token that plays.
type holder struct {
	devnet.Account
	token *big.Int
	cell  string // with the ticket

	mined time.Time // the transfer
}

// holders are viewers of a film for those who have a token.
func (b *bench) holders(ctx context.Context, n *node, c *chain, file string) ([]*holder, error) {
	film, err := n.privateVideo(ctx, file)
	if err != nil {
		return nil, err
	}
	if err := n.setRule(ctx, film, c.holders()); err != nil {
		return nil, err
	}
	wallets, err := newWallets(b.runs(100, 20))
	if err != nil {
		return nil, err
	}
	var viewers []*holder
	for i, wallet := range wallets {
		v := &holder{Account: wallet}
		if v.token, err = c.outfit(ctx, wallet); err != nil {
			return nil, err
		}
		s, err := watch(ctx, n.visitor(i), wallet, c.ChainID, film)
		if err != nil {
			return nil, err
		}
		v.cell = n.player(s).base + cellRendition + "/0.m4s"
		viewers = append(viewers, v)
	}
	return viewers, nil
}

// watch signs a wallet in and opens its session.
func watch(ctx context.Context, visitor caller, wallet devnet.Account, chain uint64, film string) (session, error) {
	defer visitor.client.CloseIdleConnections()
	login, err := visitor.signIn(ctx, wallet, chain)
	if err != nil {
		return session{}, err
	}
	return login.session(ctx, film, "")
}

// revoke takes the viewers' tokens away, one after another, and returns how
// many milliseconds later each of them was refused.
func (b *bench) revoke(ctx context.Context, n *node, c *chain, viewers []*holder) (series, error) {
	limit := time.Duration(len(viewers))*transferEvery + refusedAtLast
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("not everybody was refused"))
	defer cancel()
	refused := make([]time.Time, len(viewers))
	group, ctx := errgroup.WithContext(ctx)
	for i, v := range viewers {
		group.Go(func() (err error) {
			refused[i], err = v.play(ctx, n.client, v.cell, fetchEvery)
			return err
		})
	}
	group.Go(func() error { return transferAll(ctx, c, viewers) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return b.waits(viewers, refused), nil
}

// waits are the milliseconds from the transfers to the refusals.
func (b *bench) waits(viewers []*holder, refused []time.Time) (took series) {
	for i, v := range viewers {
		if refused[i].Before(v.mined) {
			b.logf("   %s was refused before the receipt was here", v.Name)
		}
		took = append(took, max(0, float64(refused[i].Sub(v.mined).Microseconds())/1000))
	}
	return took
}

// transferAll hands the tokens over at a steady pace.
func transferAll(ctx context.Context, c *chain, viewers []*holder) error {
	pace := time.NewTicker(transferEvery)
	defer pace.Stop()
	for _, v := range viewers {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-pace.C:
		}
		if err := c.Transfer721(ctx, v.Account, c.Stranger.Address, v.token); err != nil {
			return err
		}
		v.mined = time.Now()
	}
	return nil
}

// play fetches a cell again and again, and returns when it was refused because
// the viewer has no token any more; any other failure is an error.
func (h *holder) play(ctx context.Context, client *http.Client, cell string, every time.Duration) (time.Time, error) {
	if err := sleep(ctx, rand.N(every)); err != nil { // not all at once
		return time.Time{}, err
	}
	pace := time.NewTicker(every)
	defer pace.Stop()
	for {
		status, body, err := getBy(ctx, client, cell)
		switch {
		case ctx.Err() != nil:
			return time.Time{}, context.Cause(ctx)
		case err != nil:
			return time.Time{}, err
		case status != http.StatusOK:
			return time.Now(), h.soldOut(status, body)
		}
		select {
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		case <-pace.C:
		}
	}
}

// soldOut is nil if a refusal is the one that is measured.
func (h *holder) soldOut(status int, body []byte) error {
	var problem struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(body, &problem); err != nil || status != http.StatusForbidden || problem.Code != "not_a_holder" {
		return fmt.Errorf("%s was refused for another reason: %d: %s", h.Name, status, body)
	}
	return nil
}
