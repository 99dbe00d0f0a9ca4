package sessions

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"

	"streamgate/store"
)

// The outcomes of Verify other than success.
var (
	// ErrInvalid: the token was not signed by this deployment.
	ErrInvalid = errors.New("invalid ticket")
	// ErrExpired: the token was good until its time.
	ErrExpired = errors.New("ticket expired")
)

// Ticket lets one session play one video until it expires.
type Ticket struct {
	SessionID string
	VideoID   string
	Expires   time.Time // whole seconds
}

// A token is the base64url of
//
//	version (1 byte) · expiry (8, Unix seconds, big endian) ·
//	length of session id (1) · session id · video id · HMAC-SHA256/128 (16)
//
// The HMAC covers all that stands before it.
const (
	ticketVersion = 1
	ticketHead    = 1 + 8 + 1
	ticketMAC     = 16
	ticketMax     = 256 // bytes of a token before base64
	ticketKeyName = "ticket-key"
)

// Tickets signs and verifies. Its methods are safe for concurrent use.
type Tickets struct {
	encoding *base64.Encoding
	macs     sync.Pool // of *ticketHash
}

// ticketHash is a keyed hash with room for its sum.
type ticketHash struct {
	hash.Hash
	sum [sha256.Size]byte
}

// NewTickets returns the deployment's tickets, with the signing key from
// secrets.
func NewTickets(ctx context.Context, secrets store.Secrets) (*Tickets, error) {
	key, err := secrets.Secret(ctx, ticketKeyName, func() []byte {
		key := make([]byte, sha256.Size)
		rand.Read(key) // never fails (crypto/rand)
		return key
	})
	if err != nil {
		return nil, fmt.Errorf("read the ticket key: %w", err)
	}
	return ticketsWith(key), nil
}

func ticketsWith(key []byte) *Tickets {
	return &Tickets{
		encoding: base64.RawURLEncoding.Strict(), // each ticket has exactly one token
		macs:     sync.Pool{New: func() any { return &ticketHash{Hash: hmac.New(sha256.New, key)} }},
	}
}

// Sign returns the ticket's token. The ids together must be at most 230 bytes
// long, which ids of the store always are.
func (k *Tickets) Sign(t Ticket) string {
	b := make([]byte, 0, ticketMax)
	b = append(b, ticketVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Expires.Unix()))
	b = append(b, byte(len(t.SessionID)))
	b = append(b, t.SessionID...)
	b = append(b, t.VideoID...)
	m := k.mac(b)
	b = append(b, m.sum[:ticketMAC]...)
	k.macs.Put(m)
	return k.encoding.EncodeToString(b)
}

// Verify returns what a token says, if this deployment signed it and it has
// not expired: ErrInvalid, ErrExpired. It does no I/O.
func (k *Tickets) Verify(token string, now time.Time) (Ticket, error) {
	var src [ticketMax * 4 / 3]byte
	var buf [ticketMax]byte
	if len(token) > len(src) {
		return Ticket{}, ErrInvalid
	}
	n, err := k.encoding.Decode(buf[:], src[:copy(src[:], token)])
	if err != nil || n < ticketHead+ticketMAC || buf[0] != ticketVersion ||
		len(token) != k.encoding.EncodedLen(n) { // the decoder passes over line ends
		return Ticket{}, ErrInvalid
	}
	body := buf[:n-ticketMAC]
	m := k.mac(body)
	genuine := hmac.Equal(m.sum[:ticketMAC], buf[n-ticketMAC:n])
	k.macs.Put(m)
	session := int(buf[ticketHead-1])
	if !genuine || ticketHead+session > len(body) {
		return Ticket{}, ErrInvalid
	}
	t := Ticket{
		SessionID: string(body[ticketHead : ticketHead+session]),
		VideoID:   string(body[ticketHead+session:]),
		Expires:   time.Unix(int64(binary.BigEndian.Uint64(body[1:9])), 0).UTC(),
	}
	if !now.Before(t.Expires) {
		return Ticket{}, ErrExpired
	}
	return t, nil
}

// mac returns a hash whose sum is that of b; the caller puts it back.
func (k *Tickets) mac(b []byte) *ticketHash {
	m := k.macs.Get().(*ticketHash)
	m.Reset()
	m.Write(b)
	m.Sum(m.sum[:0])
	return m
}

// genuine returns what a token says if this deployment signed it, expired or
// not: ErrInvalid.
func (k *Tickets) genuine(token string) (Ticket, error) {
	return k.Verify(token, time.Time{})
}
