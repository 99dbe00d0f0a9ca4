package gateway

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// ticketTTL is for how long an event ticket can be used.
const ticketTTL = 2 * time.Minute

const ticketPatience = 10 * time.Second // for a body that should not be there

// eventTickets let browsers' EventSource in, which can send no header: a ticket
// in the address opens one event stream, once, and nothing else.
//
// The stream ends when the key that the ticket was made with is revoked, so
// the key must be known again: it is kept encrypted with the ticket, of which
// the cache has only a hash.
type eventTickets struct{ cache store.Cache }

// create answers POST /api/v1/events:ticket.
func (t eventTickets) create(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST, OPTIONS")
		rpc.WriteStatus(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "This path takes POST, OPTIONS only.")
		return
	}
	if err := rpc.Require(r.Context(), rpc.ScopeRead); err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	body, ok := readBody(w, r, ticketPatience)
	if !ok {
		return
	}
	if text := string(bytes.TrimSpace(body)); r.URL.RawQuery != "" || text != "" && text != "{}" {
		rpc.WriteProblem(w, r, rpc.Invalid("invalid_request", "A ticket is made of nothing: parameters go into the stream's address, /api/v1/events?ticket=…"))
		return
	}
	ticket, expires := rand.Text(), time.Now().Add(ticketTTL).UTC().Truncate(time.Second)
	sealed, err := seal(ticket, []byte(r.Header.Get("Authorization")))
	if err == nil {
		err = t.cache.Set(r.Context(), ticketName(ticket), sealed, ticketTTL)
	}
	if err != nil {
		rpc.WriteProblem(w, r, fmt.Errorf("make an event ticket: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{"ticket": ticket, "expires_at": expires}) //nolint:errcheck // the client may have gone
}

// use spends a ticket and returns the Authorization that it was made with.
func (t eventTickets) use(ctx context.Context, ticket string) (authorization string, err error) {
	sealed, err := t.cache.Take(ctx, ticketName(ticket))
	if errors.Is(err, store.ErrNotFound) {
		return "", rpc.Errorf(connect.CodeUnauthenticated, "ticket_invalid",
			"The ticket was used already, or is older than 2 minutes: get another by POST /api/v1/events:ticket.")
	}
	if err != nil {
		return "", fmt.Errorf("take an event ticket: %w", err)
	}
	plain, err := unseal(ticket, sealed)
	return string(plain), err
}

func ticketName(ticket string) string { return "events/ticket/" + hash("name", ticket) }

// seal encrypts with a key that only the ticket's holder has. Each ticket is
// its own key, used once: the nonce may be constant.
func seal(ticket string, plain []byte) ([]byte, error) {
	gcm, err := ticketCipher(ticket)
	if err != nil {
		return nil, err
	}
	return gcm.Seal(nil, make([]byte, gcm.NonceSize()), plain, nil), nil
}

func unseal(ticket string, sealed []byte) ([]byte, error) {
	gcm, err := ticketCipher(ticket)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, make([]byte, gcm.NonceSize()), sealed, nil)
}

func ticketCipher(ticket string) (cipher.AEAD, error) {
	key := sha256.Sum256([]byte("event ticket\x00" + ticket))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
