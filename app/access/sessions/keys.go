package sessions

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// byOperator stands for a key in the sessions that the admin socket has made.
const byOperator = "operator"

// keyReader tells whether keys still count, as the store has it: what is made with
// a key outlives what a node remembers of keys. Each is read once.
type keyReader struct {
	keys  store.Table[store.Key]
	known map[string]bool
}

// counts tells whether sessions of a key go on; true if no key made them.
func (r keyReader) counts(ctx context.Context, keyID string) (bool, error) {
	if keyID == "" || keyID == byOperator {
		return true, nil
	}
	if counts, ok := r.known[keyID]; ok {
		return counts, nil
	}
	_, err := r.keys.Get(ctx, keyID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("look up key %s: %w", keyID, err)
	}
	r.known[keyID] = err == nil
	return err == nil, nil
}

// keyCounts refuses a caller whose key has been revoked, be it a moment ago and
// on another node.
func (m *Manager) keyCounts(ctx context.Context) error {
	counts, err := keyReader{m.Catalog.Keys, map[string]bool{}}.counts(ctx, rpc.Caller(ctx).KeyID)
	if err == nil && !counts {
		err = rpc.Errorf(connect.CodeUnauthenticated, "invalid_key", "The API key is wrong or has been revoked.")
	}
	return err
}

func keyRevoked() *store.Failure {
	return &store.Failure{Code: reasonKey, Message: "The key that made this link has been revoked."}
}
