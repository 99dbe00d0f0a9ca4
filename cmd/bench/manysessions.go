package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/cmd/devchain/devnet"
)

const (
	liveSessions = 10_000 // live at any time
	// endsASecond is how many sessions are ended each second: 1 %. It is also how
	// many each wallet has.
	endsASecond = liveSessions / 100
	// endedBefore is how many wallets have sold when it begins: at that pace
	// those of two minutes, for which a ticket is good and its end remembered.
	endedBefore = 120
	endsShare   = 0.95 // of the cells of a node where none ends, at least
	// endsTurn is as long as the pause between two readings of the ended
	// sessions, so that each turn has its share of them.
	endsTurn = 5 * time.Second
	// endsThaw is how long a node has after it was frozen to do what was due
	// meanwhile, which would be too much for one turn.
	endsThaw = time.Second
)

// benchManySessions measures what it costs those who watch that others are thrown
// out: cells per second of a node where nothing happens, and of one where one
// session in a hundred is ended each second, and has been for a while: by the
// chain, when their wallet hands its token over, and by the operator, one after
// another. The two nodes take turns, and who waits is frozen.
func benchManySessions(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.sources.file(ctx, megabytes28s)
	if err != nil {
		return nil, err
	}
	chain, err := startChain(ctx)
	if err != nil {
		return nil, err
	}
	defer chain.stop()
	rounds := b.runs(5, 2)
	seconds := rounds * int(endsTurn.Seconds())
	quiet, err := b.startManySessions(ctx, chain, file, 0)
	if err != nil {
		return nil, err
	}
	defer quiet.kill()
	restless, err := b.startManySessions(ctx, chain, file, seconds)
	if err != nil {
		return nil, err
	}
	defer restless.kill()
	var none, sold, ended loads
	turns := []struct {
		*manySessions
		load func(context.Context) (load, error)
		to   *loads
	}{{quiet, quiet.press, &none}, {restless, restless.pressAndSell, &sold}, {restless, restless.pressAndEnd, &ended}}
	for round := range rounds {
		for i := range turns {
			t := turns[(i+round)%len(turns)] // none is always the first
			l, err := t.turn(ctx, t.load)
			if err != nil {
				return nil, fmt.Errorf("%w\n%s", err, t.said())
			}
			t.to.add(l)
		}
		b.logf("   %.0f without, %.0f with tokens sold, %.0f with sessions ended; %.1f, %.1f, %.1f µs of CPU per request",
			last(none.rates), last(sold.rates), last(ended.rates), last(none.cpu), last(sold.cpu), last(ended.cpu))
	}
	what := fmt.Sprintf("gated cells of %s kB, requests/s, %d live sessions, %d a second ", number(float64(quiet.size)/1000), liveSessions, endsASecond)
	return []result{
		endsResult(what+"revoked by a transfer", sold, none), endsResult(what+"ended by the operator, each by itself", ended, none),
	}, nil
}

func endsResult(what string, with, without loads) result {
	r := comparison{what: what, peer: "none ended", ours: with.rates, them: without.rates}.atLeast(endsShare)
	r.measured = fmt.Sprintf("%s, none ended %s /s", with.rates, without.rates)
	return r
}

// manySessions is a node with many sessions. Between its turns it is frozen.
type manySessions struct {
	*node
	chain *chain
	film  string
	cell  string // of one who stays
	size  int    // of the cell, bytes
	// Those who leave, one wallet each second, with its sessions.
	sellers, leavers []member
}

// member is a wallet with a token, on which endsASecond sessions stand.
type member struct {
	devnet.Account
	token    *big.Int
	sessions []session
}

// startManySessions starts a node with those sessions, and with those who leave in so many
// seconds, by selling and by the operator. If there are any, others have sold
// before.
func (b *bench) startManySessions(ctx context.Context, chain *chain, file string, seconds int) (*manySessions, error) {
	n, err := b.startNode(ctx, unlimitedYAML, chain.settings(time.Second))
	if err != nil {
		return nil, err
	}
	c := &manySessions{node: n, chain: chain}
	if err := c.gather(ctx, file, seconds); err != nil {
		err = fmt.Errorf("%w\n%s", err, n.said())
		n.kill()
		return nil, err
	}
	return c, nil
}

func (c *manySessions) gather(ctx context.Context, file string, seconds int) (err error) {
	if c.film, err = c.privateVideo(ctx, file); err != nil {
		return err
	}
	if err := c.setRule(ctx, c.film, c.chain.holders()); err != nil {
		return err
	}
	stay, err := c.enter(ctx, liveSessions/endsASecond)
	if err != nil {
		return err
	}
	if c.leavers, err = c.enter(ctx, seconds); err != nil {
		return err
	}
	c.cell = c.cellOf(stay[0].sessions[0])
	body, err := player{}.fetch(ctx, c.cell)
	if err != nil {
		return err
	}
	c.size = len(body)
	if seconds > 0 {
		if err := c.sellBefore(ctx, seconds); err != nil {
			return err
		}
	}
	if _, err := press(ctx, c.cell, time.Second, nil); err != nil { // to warm up
		return err
	}
	return c.freeze()
}

func (c *manySessions) cellOf(s session) string { return c.player(s).base + cellRendition + "/0.m4s" }

// sellBefore lets those enter who will sell, and those who have.
func (c *manySessions) sellBefore(ctx context.Context, seconds int) (err error) {
	if c.sellers, err = c.enter(ctx, seconds+endedBefore); err != nil {
		return err
	}
	for _, m := range c.sellers[seconds:] {
		if err := c.sell(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range c.sellers[seconds:] {
		if err := c.awaitRefused(ctx, m.sessions[0]); err != nil {
			return err
		}
	}
	c.sellers = c.sellers[:seconds]
	return nil
}

// enter gives so many wallets a token each, and opens their sessions.
func (c *manySessions) enter(ctx context.Context, wallets int) ([]member, error) {
	accounts, err := newWallets(wallets)
	if err != nil {
		return nil, err
	}
	admin, err := c.admin(ctx)
	if err != nil {
		return nil, err
	}
	members := make([]member, wallets)
	for i, a := range accounts {
		m := member{Account: a, sessions: make([]session, endsASecond)}
		if m.token, err = c.chain.outfit(ctx, a); err != nil {
			return nil, err
		}
		members[i] = m
	}
	return members, many(wallets*endsASecond, func(i int) (err error) {
		m := &members[i/endsASecond]
		m.sessions[i%endsASecond], err = admin.session(ctx, c.film, m.Address.Hex())
		return err
	})
}

// many does something so many times, some at once.
func many(times int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(64)
	for i := range times {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}

func (c *manySessions) freeze() error { return syscall.Kill(-c.pid(), syscall.SIGSTOP) }

func (c *manySessions) thaw() error { return syscall.Kill(-c.pid(), syscall.SIGCONT) }

// turn thaws the node for one load.
func (c *manySessions) turn(ctx context.Context, do func(context.Context) (load, error)) (l load, err error) {
	if err := c.thaw(); err != nil {
		return load{}, err
	}
	defer func() { err = errors.Join(err, c.freeze()) }()
	if err := sleep(ctx, endsThaw); err != nil {
		return load{}, err
	}
	return do(ctx)
}

func (c *manySessions) press(ctx context.Context) (load, error) {
	return press(ctx, c.cell, endsTurn, []int{c.pid()})
}

// pressAndSell puts load on the node, and each second one wallet sells.
func (c *manySessions) pressAndSell(ctx context.Context) (load, error) {
	first := c.sellers[0]
	l, err := c.pressWhile(ctx, time.Second, func() error {
		m := c.sellers[0]
		c.sellers = c.sellers[1:]
		return c.sell(ctx, m)
	})
	if err != nil {
		return l, err
	}
	return l, c.awaitRefused(ctx, first.sessions[0])
}

func (c *manySessions) sell(ctx context.Context, m member) error {
	return c.chain.Transfer721(ctx, m.Account, c.chain.Stranger.Address, m.token)
}

// pressAndEnd puts load on the node, and the operator ends one session after
// another.
func (c *manySessions) pressAndEnd(ctx context.Context) (load, error) {
	admin, err := c.admin(ctx)
	if err != nil {
		return load{}, err
	}
	var leave []session
	for range int(endsTurn.Seconds()) {
		leave = append(leave, c.leavers[0].sessions...)
		c.leavers = c.leavers[1:]
	}
	first := leave[0]
	l, err := c.pressWhile(ctx, time.Second/endsASecond, func() error {
		s := leave[0]
		leave = leave[1:]
		return admin.call(ctx, http.MethodDelete, "/api/v1/sessions/"+s.ID, nil, nil)
	})
	if err != nil {
		return l, err
	}
	return l, c.awaitRefused(ctx, first)
}

// pressWhile puts load on the node and meanwhile does something at a steady
// pace, one time after another. On a busy machine it wakes late, and then makes
// up for it.
func (c *manySessions) pressWhile(ctx context.Context, every time.Duration, do func() error) (load, error) {
	during, stop := context.WithCancel(ctx)
	defer stop()
	outcome := make(chan error, 1)
	times := int(endsTurn / every)
	done := 0
	go func() {
		began, err := time.Now(), error(nil)
		for ; done < times && err == nil; done++ {
			if sleep(during, time.Duration(done)*every-time.Since(began)) != nil {
				break
			}
			err = do()
		}
		outcome <- err
	}()
	l, err := c.press(ctx)
	stop()
	err = errors.Join(err, <-outcome)
	if err == nil && done < times*9/10 {
		err = fmt.Errorf("only %d of %d times in %v: the row would measure something else", done, times, endsTurn)
	}
	return l, err
}

// awaitRefused returns when a session has ended, as it soon must.
func (c *manySessions) awaitRefused(ctx context.Context, s session) error {
	ctx, cancel := context.WithTimeoutCause(ctx, refusedAtLast, errors.New("a session that has ended still plays"))
	defer cancel()
	for {
		status, body, err := get(ctx, c.cellOf(s))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case status == http.StatusForbidden:
			return nil
		case status != http.StatusOK:
			return fmt.Errorf("a session that has ended: %d: %s", status, body)
		}
		if err := sleep(ctx, fetchEvery); err != nil {
			return context.Cause(ctx)
		}
	}
}
