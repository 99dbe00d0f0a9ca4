package sessions

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"streamgate/store"
)

func aTicket() Ticket {
	return Ticket{SessionID: store.NewID(), VideoID: store.NewID(), Expires: time.Unix(2_000_000_000, 0).UTC()}
}

func TestTickets(t *testing.T) {
	k := ticketsWith([]byte("key"))
	ticket := aTicket()
	token := k.Sign(ticket)
	if len(token) > 100 {
		t.Errorf("token of %d characters", len(token))
	}
	got, err := k.Verify(token, ticket.Expires.Add(-time.Second))
	if err != nil || got != ticket {
		t.Errorf("Verify = %+v, %v; want %+v", got, err, ticket)
	}
	if _, err := k.Verify(token, ticket.Expires); !errors.Is(err, ErrExpired) {
		t.Errorf("at its end: %v", err)
	}
	for name, bad := range map[string]string{
		"empty":     "",
		"cut":       token[:len(token)-1],
		"longer":    token + "A",
		"padded":    token + "=",
		"huge":      strings.Repeat("A", 1<<20),
		"not ours":  base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"two lines": token[:10] + "\n" + token[10:],
	} {
		if _, err := k.Verify(bad, time.Now()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No other token than the signed one stands for a ticket.
func TestTicketsTampered(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	k := ticketsWith([]byte("key"))
	token := k.Sign(aTicket())
	for i := range token {
		for _, c := range alphabet {
			if byte(c) == token[i] {
				continue
			}
			bad := token[:i] + string(c) + token[i+1:]
			if _, err := k.Verify(bad, time.Now()); !errors.Is(err, ErrInvalid) {
				t.Fatalf("character %d as %q: %v", i, c, err)
			}
		}
	}
}

func TestVerifyAllocates(t *testing.T) {
	k := ticketsWith([]byte("key"))
	token, now := k.Sign(aTicket()), time.Unix(1_900_000_000, 0)
	if n := testing.AllocsPerRun(1000, func() { k.Verify(token, now) }); n > 8 { // 3, but the race detector empties pools
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkVerify(b *testing.B) {
	k := ticketsWith([]byte("key"))
	token, now := k.Sign(aTicket()), time.Unix(1_900_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(token, now); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever is accepted is exactly what was signed.
func FuzzVerify(f *testing.F) {
	k := ticketsWith([]byte("key"))
	f.Add(k.Sign(Ticket{SessionID: "s", VideoID: "v", Expires: time.Unix(2_000_000_000, 0)}))
	f.Add(k.Sign(Ticket{Expires: time.Unix(0, 0)}))
	f.Add("")
	f.Add("AQAAAAB3NZQA")
	f.Fuzz(func(t *testing.T, token string) {
		ticket, err := k.Verify(token, time.Unix(1_000_000_000, 0))
		if err == nil && k.Sign(ticket) != token {
			t.Errorf("%q stands for %+v, as does %q", token, ticket, k.Sign(ticket))
		}
	})
}

// Every node of a deployment has the same key.
func TestTicketKeyIsShared(t *testing.T) {
	m := newManager(t)
	again, err := NewTickets(t.Context(), m.Catalog.Secrets)
	if err != nil {
		t.Fatal(err)
	}
	token := m.Tickets.Sign(Ticket{SessionID: "s", VideoID: "v", Expires: time.Unix(1<<40, 0)})
	if _, err := again.Verify(token, time.Now()); err != nil {
		t.Error(err)
	}
	_, err = ticketsWith([]byte("another deployment's")).Verify(token, time.Now())
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("foreign token: %v", err)
	}
}
