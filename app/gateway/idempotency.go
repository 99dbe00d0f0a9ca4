package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	idempotencyTTL    = 24 * time.Hour
	maxIdempotencyKey = 255 // bytes
)

// idempotency makes a POST with an Idempotency-Key happen once per caller,
// path and key: a repetition gets the first answer again.
//
// A key is claimed with the cache's Allow: of concurrent requests one gets
// the single token of a bucket that refills after the request's time-out, so
// that a node that died with the request blocks nobody for long. Each attempt
// that failed inside the node opens the next attempt's bucket.
type idempotency struct {
	cache store.Cache
	claim time.Duration
}

// kept is what the cache remembers of a key.
type kept struct {
	BodyHash string      `json:"body_hash"`
	Attempt  int         `json:"attempt"` // the next one; used while Status is 0
	Status   int         `json:"status"`  // 0: the last attempt failed
	Header   http.Header `json:"header,omitempty"`
	Body     []byte      `json:"body,omitempty"`
	Secret   bool        `json:"secret,omitempty"` // the body was not kept
}

type call func(r *http.Request, body []byte) *response

func (i idempotency) serve(w http.ResponseWriter, r *http.Request, key string, body []byte, do call) {
	if len(key) > maxIdempotencyKey {
		rpc.WriteStatus(w, r, http.StatusBadRequest, "invalid_idempotency_key",
			fmt.Sprintf("The Idempotency-Key has more than %d bytes.", maxIdempotencyKey))
		return
	}
	name := "idempotency/" + hash(rpc.Caller(r.Context()).KeyID, r.URL.Path, key)
	old, mine, err := i.take(r.Context(), name)
	switch {
	case err != nil:
		rpc.WriteProblem(w, r, fmt.Errorf("idempotency key: %w", err))
	case old.Status != 0:
		old.replay(w, r, hash(string(body)))
	case !mine:
		rpc.WriteStatus(w, r, http.StatusConflict, "idempotency_in_progress",
			"A request with this Idempotency-Key is being worked on; try again.")
	default:
		resp := do(r, body)
		i.keep(r, name, resp, hash(string(body)), old.Attempt)
		resp.writeTo(w, r)
	}
}

// take returns what is kept under a name, and if there is no answer whether
// this request is the one to make it.
func (i idempotency) take(ctx context.Context, name string) (old kept, mine bool, err error) {
	if old, err = i.load(ctx, name); err != nil || old.Status != 0 {
		return old, false, err
	}
	bucket := fmt.Sprintf("%s/%d", name, old.Attempt)
	claim, err := i.cache.Allow(ctx, bucket, 1/i.claim.Seconds(), 1)
	if err != nil {
		return old, false, err
	}
	// Another may have finished between the two calls.
	old, err = i.load(ctx, name)
	return old, claim.OK, err
}

func (i idempotency) load(ctx context.Context, name string) (kept, error) {
	var k kept
	data, err := i.cache.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	return k, json.Unmarshal(data, &k)
}

// keep remembers the answer. One that says "not now" is not the request's
// outcome: the next attempt may have another.
func (i idempotency) keep(r *http.Request, name string, resp *response, bodyHash string, attempt int) {
	k := kept{BodyHash: bodyHash, Status: resp.status, Header: resp.header, Body: resp.body.Bytes(), Secret: resp.secret}
	if (resp.status >= 500 || resp.status == 499 || resp.status == http.StatusTooManyRequests) && !resp.mayBeDone() {
		k = kept{Attempt: attempt + 1}
	}
	if k.Secret {
		k.Body = nil
	}
	data, err := json.Marshal(k)
	if err == nil {
		err = i.cache.Set(context.WithoutCancel(r.Context()), name, data, idempotencyTTL)
	}
	if err != nil { // the answer stands; a repetition would be done again
		rpc.Outward(r.Context(), fmt.Errorf("keep idempotent answer: %w", err)) //nolint:errcheck // for its log line
	}
}

func (k kept) replay(w http.ResponseWriter, r *http.Request, bodyHash string) {
	switch {
	case k.BodyHash != bodyHash:
		rpc.WriteStatus(w, r, http.StatusUnprocessableEntity, "idempotency_key_reused",
			"This Idempotency-Key was used with another body; take a new key.")
	case k.Secret:
		rpc.WriteStatus(w, r, http.StatusConflict, "idempotency_secret",
			"This was done already, and its answer held a secret that is not kept; undo it and do it again with a new key.")
	default:
		resp := &response{header: k.Header, status: k.Status}
		resp.body.Write(k.Body)
		resp.header.Set("Idempotent-Replayed", "true")
		resp.writeTo(w, r)
	}
}

// hash is one word for a list of words.
func hash(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	return hex.EncodeToString(h.Sum(nil))
}
