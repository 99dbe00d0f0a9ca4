// Package limits bounds how often callers without a key may try passwords and
// codes, ask for decisions, and sign in.
package limits

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// limit is a bucket: so many at once, then so many a minute. Clients read its
// name in the RateLimit header fields of answers.
type limit struct {
	name   string
	burst  int
	perMin float64
}

// How much callers without a key may ask for.
var (
	// Passwords and codes for a video: of one client, and of all together, who
	// might be one with many addresses.
	clientAttempts = limit{"attempts", 10, 6}
	videoAttempts  = limit{"attempts-of-all", 200, 120}
	// Decisions, each of which may cost a reading of a chain or a record: of
	// one wallet, or of one client without.
	viewerQuestions = limit{"decisions", 60, 300}
	walletQuestions = limit{"decisions-of-wallet", 60, 300}
	// Nonces and sign-ins of one client, behind whose address a whole audience
	// may be: each costs a call to a chain, whose budget those who watch need
	// too.
	clientSignIns = limit{"sign-ins", 200, 600}
)

// Limits bounds what callers without a key may ask for. The counts are in the
// deployment's cache.
type Limits struct{ cache store.Cache }

// New returns the limits of a deployment.
func New(cache store.Cache) *Limits { return &Limits{cache} }

// Attempt spends one try at a video's passwords and codes: too_many_attempts.
func (l *Limits) Attempt(ctx context.Context, videoID string) error {
	wait, err := l.spend(ctx, "attempt/"+videoID+"/"+rpc.Caller(ctx).Client, clientAttempts)
	if err == nil && wait == 0 {
		wait, err = l.spend(ctx, "attempt/"+videoID, videoAttempts)
	}
	if err == nil && wait > 0 {
		err = rpc.RetryErrorf(wait, connect.CodeResourceExhausted, "too_many_attempts", "Too many tries; wait %s and try again.", wait)
	}
	return err
}

// Question spends one of the decisions of a caller without a key: rate_limited.
func (l *Limits) Question(ctx context.Context) error {
	who := rpc.Caller(ctx)
	if who.Scope != rpc.ScopeNone {
		return nil
	}
	// Wallets are free: a client with many of them is still one.
	err := l.limited(ctx, "question/client/"+who.Client, viewerQuestions)
	if err == nil && who.Wallet != "" {
		err = l.limited(ctx, "question/"+who.Wallet, walletQuestions)
	}
	return err
}

// SignIn spends one of a client's nonces or sign-ins: rate_limited.
func (l *Limits) SignIn(ctx context.Context) error {
	who := rpc.Caller(ctx)
	if who.Scope != rpc.ScopeNone {
		return nil
	}
	return l.limited(ctx, "sign-in/"+who.Client, clientSignIns)
}

func (l *Limits) limited(ctx context.Context, key string, most limit) error {
	wait, err := l.spend(ctx, key, most)
	if err == nil && wait > 0 {
		err = rpc.RetryErrorf(wait, connect.CodeResourceExhausted, "rate_limited", "Too many requests; wait %s and try again.", wait)
	}
	return err
}

// spend takes one from a bucket, or tells how long until there is one, in
// whole seconds. If the cache cannot be asked there is none.
func (l *Limits) spend(ctx context.Context, key string, most limit) (wait time.Duration, err error) {
	rate := most.perMin / 60
	left, err := l.cache.Allow(ctx, key, rate, most.burst)
	if err != nil {
		return 0, fmt.Errorf("count the attempts: %w", err)
	}
	rpc.Limited(ctx, most.name, rate, most.burst, left)
	if left.OK {
		return 0, nil
	}
	return time.Duration(rpc.Seconds(left.Next)) * time.Second, nil
}
