package main

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/app/access/eth"
	"streamgate/app/access/identities"
	"streamgate/cmd/devchain/devnet"
	"streamgate/store"
	"streamgate/store/memory"
)

const (
	signInsPerSecond = 2000 // at least
	signInCores      = 2
	signInClients    = 32 // at once
)

// benchSignIn measures sign-ins a second with keys of accounts that have no
// code: issue a nonce, then read the message and check nonce, times, site and
// signature, and ask the chain whether there is code at the address. All runs
// on two cores, the chain too. The wallets' own work is not counted.
func benchSignIn(ctx context.Context, b *bench) ([]result, error) {
	if usesCgo() {
		return nil, errors.New("the bench was built with cgo and would check signatures with C code that the node does not have: use make bench, or CGO_ENABLED=0")
	}
	c, err := startChain(ctx)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	d, err := newDoor(ctx, c)
	if err != nil {
		return nil, err
	}
	wallets, err := newWallets(100)
	if err != nil {
		return nil, err
	}
	cores := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(cores)
	runtime.GOMAXPROCS(min(cores, signInCores))
	var rates series
	for round := -1; round < b.runs(5, 2); round++ {
		rate, err := d.signIns(ctx, wallets, b.runs(4000, 1000))
		if err != nil {
			return nil, err
		}
		if round >= 0 { // after one to warm up
			rates = append(rates, rate)
			b.logf("   %.0f sign-ins/s", rate)
		}
	}
	return []result{atLeast("sign-ins on 2 cores (key without code, development chain asked on the same cores)", signInsPerSecond, "/s", rates)}, nil
}

// door is where wallets sign in.
type door struct {
	*identities.SignIn
	at    site
	chain uint64
}

func newDoor(ctx context.Context, c *chain) (*door, error) {
	chains, err := c.reader()
	if err != nil {
		return nil, err
	}
	cache := memory.NewCache(memory.Options{})
	logins, err := identities.NewLogins(ctx, store.Catalog{Secrets: secrets{}})
	if err != nil {
		return nil, err
	}
	in := identities.NewSignIn(identities.SignInConfig{Cache: cache, Chains: chains, Logins: logins})
	return &door{in, site{Domain: "video.example.org", URI: "https://video.example.org"}, c.ChainID}, nil
}

// request is what a wallet sends to sign in.
type request struct{ message, signature string }

// signIns has the wallets sign in so many times, and returns how many a second.
func (d *door) signIns(ctx context.Context, wallets []devnet.Account, times int) (float64, error) {
	nonces, requests := make([]string, times), make([]request, times)
	issuing, err := clients(times, func(i int) (err error) {
		nonces[i], err = d.Nonce(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	_, err = clients(times, func(i int) (err error) {
		who, s := wallets[i%len(wallets)], d.at
		s.Nonce = nonces[i]
		requests[i].message = s.message(who, d.chain)
		requests[i].signature, err = signature(who, requests[i].message)
		return err
	})
	if err != nil {
		return 0, err
	}
	checking, err := clients(times, func(i int) error {
		login, _, err := d.Verify(ctx, d.at.URI, requests[i].message, requests[i].signature)
		if err == nil && login.Wallet != eth.Address(wallets[i%len(wallets)].Address) {
			err = errors.New("somebody else has signed in")
		}
		return err
	})
	return float64(times) / (issuing + checking).Seconds(), err
}

// clients does something so many times, some at once, and returns how long it
// took.
func clients(times int, do func(i int) error) (time.Duration, error) {
	began := time.Now()
	var group errgroup.Group
	group.SetLimit(signInClients)
	for i := range times {
		group.Go(func() error { return do(i) })
	}
	err := group.Wait()
	return time.Since(began), err
}

// usesCgo tells whether this program was built with cgo.
func usesCgo() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" {
			return s.Value == "1"
		}
	}
	return false
}
