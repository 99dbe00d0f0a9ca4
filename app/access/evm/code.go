package evm

import (
	"context"
	"sync"

	"streamgate/app/access/eth"
)

const (
	// codeFlights is how many requests for code are under way at most; who
	// comes meanwhile shares the next.
	codeFlights = 4
	// codeBatch is how many accounts one of them asks about: code has up to
	// 24 kB, and a response is bounded.
	codeBatch = 32
)

// coder asks what code accounts have at the newest block that an endpoint
// knows; for chains without a quorum. Many who sign in at the same time share a
// request; alone, nobody waits.
type coder struct {
	chain *chain

	mu      sync.Mutex
	flying  int
	waiting []*codeQuestion
}

// codeQuestion is one account's; code or err is there once done is closed.
type codeQuestion struct {
	of   eth.Address
	done chan struct{}
	code []byte
	err  error
}

// code returns an account's code, as it is after the call began.
func (c *coder) code(ctx context.Context, of eth.Address) ([]byte, error) {
	q := &codeQuestion{of: of, done: make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, q)
	if c.flying < codeFlights {
		c.flying++
		go c.fly(context.WithoutCancel(ctx)) // for others too
	}
	c.mu.Unlock()
	select {
	case <-q.done:
		return q.code, q.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly asks for those who wait until nobody does.
func (c *coder) fly(ctx context.Context) {
	for batch := c.take(); len(batch) > 0; batch = c.take() {
		codes, _, err := failOver(ctx, c.chain.endpoints, func(ctx context.Context, e *endpoint) ([][]byte, error) {
			return e.codes(ctx, batch)
		})
		for i, q := range batch {
			if q.err = err; err == nil {
				q.code = codes[i]
			}
			close(q.done)
		}
	}
}

// take returns who goes next; if nobody waits, the flight is over.
func (c *coder) take() []*codeQuestion {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), codeBatch)
	batch := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if n == 0 {
		c.flying--
		c.waiting = nil
	}
	return batch
}

// codes asks for the code of several accounts at the newest block.
func (e *endpoint) codes(ctx context.Context, of []*codeQuestion) ([][]byte, error) {
	calls, codes := make([]call, len(of)), make([][]byte, len(of))
	for i, q := range of {
		calls[i] = codeCall(q.of, "latest")
	}
	err := e.ask(ctx, func(replies []reply) (err error) {
		for i, r := range replies {
			if codes[i], err = e.readCode(r); err != nil {
				return err
			}
		}
		return nil
	}, calls...)
	return codes, err
}
