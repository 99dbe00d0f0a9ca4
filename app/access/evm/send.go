package evm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// requestsAtOnce is how many requests for the parts of a batch are under
	// way at the same time.
	requestsAtOnce = 8
	// firstPause is how long an endpoint that refuses for the number of calls,
	// and does not say for how long, is left alone at first; it doubles.
	firstPause = 100 * time.Millisecond
)

// send sends the calls, in as many requests as the endpoint takes calls at
// once. If it refuses a batch, half of it is tried, down to single calls; the
// size that works is kept.
func (e *endpoint) send(ctx context.Context, calls []call) ([]reply, error) {
	size := min(len(calls), e.batchLimit())
	if size == len(calls) {
		replies, err := e.request(ctx, calls)
		if !is(err, reasonBatch) || len(calls) < 2 {
			return replies, err
		}
		first, err := e.halve(ctx, calls, err)
		if err != nil {
			return nil, err
		}
		rest, err := e.sendParts(ctx, calls[len(first):], e.batchLimit())
		return append(first, rest...), err
	}
	return e.sendParts(ctx, calls, size)
}

// halve finds the size of batches that the endpoint takes, after it refused
// one of all calls, and returns the replies to the first calls.
func (e *endpoint) halve(ctx context.Context, calls []call, refusal error) ([]reply, error) {
	for size := len(calls) / 2; ; size /= 2 {
		replies, err := e.request(ctx, calls[:size])
		switch {
		case is(err, reasonBatch) && size > 1:
			refusal = err
			continue
		case err != nil:
			return nil, err
		case size == 1 && sameRefusal(refusal, replies[0]):
			return nil, e.refused(replies[0].err) // not for the number
		}
		e.learnBatch(size)
		return replies, nil
	}
}

// sameRefusal says whether a single call is refused as the batch was.
func sameRefusal(refusal error, single reply) bool {
	var f *fault
	return errors.As(refusal, &f) && f.code != 0 && single.err != nil && single.err.Code == f.code
}

// sendParts sends the calls in parts, several at the same time; a part with a
// call that must come after others waits for the parts before.
func (e *endpoint) sendParts(ctx context.Context, calls []call, size int) ([]reply, error) {
	replies := make([]reply, len(calls))
	for next := 0; next < len(calls); {
		part, ctx := errgroup.WithContext(ctx)
		part.SetLimit(requestsAtOnce)
		for first := true; next < len(calls); first = false {
			from, to := next, min(next+size, len(calls))
			if !first && mustWait(calls[from:to]) {
				break
			}
			next = to
			part.Go(func() error {
				got, err := e.request(ctx, calls[from:to])
				copy(replies[from:], got)
				return err
			})
		}
		if err := part.Wait(); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

func mustWait(calls []call) bool {
	for _, c := range calls {
		if c.after {
			return true
		}
	}
	return false
}

// batchLimit is how many calls one request may carry.
func (e *endpoint) batchLimit() int {
	if learned := int(e.maxCalls.Load()); learned > 0 {
		return learned
	}
	return maxBatch + 1 // with the chain id
}

func (e *endpoint) learnBatch(size int) {
	if size < e.batchLimit() {
		e.maxCalls.Store(int32(size))
		e.log.Warn("The chain endpoint refuses batches of many calls; fewer are sent in one request from now on.", "calls", size)
	}
}

// request sends the calls in one request. If the endpoint refuses them for
// their number, they are sent again after as long as it says, as long as all
// pauses together are within the time-out of one request and ctx has time.
func (e *endpoint) request(ctx context.Context, calls []call) ([]reply, error) {
	last := time.Now().Add(e.timeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(last) {
		last = deadline
	}
	for pause := firstPause; ; pause *= 2 {
		replies, err := e.requestOnce(ctx, calls)
		var f *fault
		if !errors.As(err, &f) || f.reason != reasonLimited {
			return replies, err
		}
		wait := pause
		if f.wait > 0 {
			wait = f.wait
		}
		now := time.Now()
		if !now.Add(wait).Before(last) {
			f.wait = max(f.wait, time.Second)
			return nil, f
		}
		e.metrics.failed(reasonLimited)
		e.budget.refused(now, wait)
	}
}

// requestOnce waits for the budget, then posts.
func (e *endpoint) requestOnce(ctx context.Context, calls []call) ([]reply, error) {
	within, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	if err := e.budget.wait(within, len(calls)); err != nil {
		if ctx.Err() != nil {
			return nil, e.fault(reasonCancelled, "")
		}
		return nil, e.fault(reasonBudget, "")
	}
	start := time.Now()
	replies, err := e.post(within, calls)
	e.metrics.took(start)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, e.fault(reasonCancelled, "")
	}
	if err != nil && within.Err() != nil {
		return nil, e.fault(slow(ctx), "")
	}
	if err == nil {
		e.budget.answered(time.Now())
	}
	return replies, err
}

type strangersCodeKey struct{}

// strangersCode marks a call that runs code of the caller's choosing: that it is
// slow says nothing about the endpoint.
func strangersCode(ctx context.Context) context.Context {
	return context.WithValue(ctx, strangersCodeKey{}, true)
}

// slow is the reason of a call that had no answer in time.
func slow(ctx context.Context) reason {
	if ctx.Value(strangersCodeKey{}) != nil {
		return reasonWallet
	}
	return reasonTimeout
}

func (e *endpoint) post(ctx context.Context, calls []call) ([]reply, error) {
	body, err := encodeCalls(calls)
	if err != nil {
		return nil, e.fault(reasonGarbage, "the calls cannot be written as JSON")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return nil, e.fault(reasonTransport, "the URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := e.client.Do(req)
	if err != nil {
		return nil, e.fault(reasonTransport, withoutURL(err))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	if err != nil {
		return nil, e.fault(reasonTransport, withoutURL(err))
	}
	if len(answer) > maxResponse {
		return nil, e.fault(reasonTooLarge, "")
	}
	return e.read(res, answer, len(calls))
}

// read makes replies of a response. Servers also refuse calls by status with
// JSON-RPC's error object as the body.
func (e *endpoint) read(res *http.Response, body []byte, calls int) ([]reply, error) {
	if res.StatusCode == http.StatusTooManyRequests {
		f := e.fault(reasonLimited, "HTTP 429")
		f.wait = retryAfter(res.Header.Get("Retry-After"), time.Now())
		return nil, f
	}
	replies, err := decodeReplies(body, calls)
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusInternalServerError:
		if err == nil && replies[0].err == nil {
			err = errors.New("a result with an HTTP error")
		}
	default:
		err = errors.New("refused by HTTP")
	}
	var batch *batchError
	errors.As(err, &batch)
	switch {
	case err == nil:
		return e.notLimited(replies)
	case batch != nil && batch.err.rateLimited():
		return nil, e.fault(reasonLimited, batch.err.said())
	case batch != nil:
		f := e.fault(reasonBatch, batch.Error())
		f.code = batch.code()
		return nil, f
	case calls > 1 && refusesBatch(res.StatusCode):
		return nil, e.fault(reasonBatch, "HTTP "+strconv.Itoa(res.StatusCode))
	case res.StatusCode == http.StatusRequestEntityTooLarge:
		return nil, e.fault(reasonTooLarge, "the request")
	case res.StatusCode != http.StatusOK:
		return nil, e.fault(reasonStatus, strconv.Itoa(res.StatusCode))
	default:
		return nil, e.fault(reasonGarbage, err.Error())
	}
}

// notLimited lets replies pass of which none refuses for the number of calls.
func (e *endpoint) notLimited(replies []reply) ([]reply, error) {
	for _, r := range replies {
		if r.err.rateLimited() {
			return nil, e.fault(reasonLimited, r.err.said())
		}
	}
	return replies, nil
}

// refusesBatch says whether a batch may be refused with a status because it is
// one, or has too many calls.
func refusesBatch(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return true
	default:
		return false
	}
}

// retryAfter reads the header, of seconds or a date (RFC 9110 §10.2.3); 0 if it
// says nothing.
func retryAfter(header string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil {
		wait = time.Duration(min(seconds, int64(maxCooldown/time.Second))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxCooldown)
}

// withoutURL is an error's text without the URL, which net/http puts first.
func withoutURL(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}
