package identities

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"streamgate/app/access/eth"
	"streamgate/store"
	"streamgate/store/bolt"
)

func TestLogins(t *testing.T) {
	now := time.Unix(1_900_000_000, 0).UTC()
	l := loginsWith([]byte("key"), signOuts(t))
	login, token := l.Issue(addr(t, alice), 1, now.Add(time.Hour))
	other, otherToken := l.Issue(addr(t, alice), 1, now.Add(time.Hour))
	if login.ID == other.ID || !strings.HasPrefix(token, "sw_") {
		t.Errorf("%+v %+v %s", login, other, token)
	}
	if got, err := l.Verify(t.Context(), token, now); err != nil || got != login {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := l.Verify(t.Context(), token, login.Expires); !errors.Is(err, ErrExpired) {
		t.Errorf("at its end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Verify(ctx, token, now); !errors.Is(err, context.Canceled) {
		t.Errorf("without a cache: %v", err)
	}
	for range 2 { // again is harmless
		if err := l.SignOut(t.Context(), token, now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Verify(t.Context(), token, now); !errors.Is(err, ErrSignedOut) {
		t.Errorf("signed out: %v", err)
	}
	if _, err := l.Verify(t.Context(), otherToken, now); err != nil {
		t.Errorf("the other login: %v", err)
	}
	for _, useless := range []string{"", "sw_", token + "A", loginsToken(t, "other key")} {
		if err := l.SignOut(t.Context(), useless, now); err != nil {
			t.Errorf("%q: %v", useless, err)
		}
	}
	if err := l.SignOut(t.Context(), otherToken, login.Expires); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

// signOuts is an empty table.
func signOuts(t testing.TB) store.Table[store.SignOut] {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db.Catalog().SignOuts
}

func TestSignOutsAreForgotten(t *testing.T) {
	l := loginsWith([]byte("key"), signOuts(t))
	_, past := l.Issue(addr(t, alice), 1, time.Now().Add(time.Second))
	login, token := l.Issue(addr(t, alice), 1, time.Now().Add(time.Hour))
	for _, out := range []string{past, token} {
		if err := l.SignOut(t.Context(), out, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.removeExpired(t.Context(), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	left, _, err := l.outs.List(t.Context(), store.Query{})
	if err != nil || len(left) != 1 || left[0].ID != login.ID {
		t.Errorf("left are %v, %v", left, err)
	}
}

func loginsToken(t *testing.T, key string) string {
	_, token := loginsWith([]byte(key), nil).Issue(addr(t, alice), 1, time.Unix(2_000_000_000, 0))
	return token
}

// No other token than the issued one stands for a login.
func TestLoginsTampered(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_\n="
	l, token := loginsWith([]byte("key"), nil), loginsToken(t, "key")
	for i := range token {
		for _, c := range alphabet {
			bad := token[:i] + string(c) + token[i+1:]
			if _, err := l.parse(bad); bad != token && !errors.Is(err, ErrInvalid) {
				t.Fatalf("character %d as %q: %v", i, c, err)
			}
		}
	}
	for _, bad := range []string{
		"", "sw_", token[3:], "sg_" + token[3:], token[:len(token)-1], token + "A", token[:20] + "\n" + token[20:],
		strings.Repeat("A", 1<<20), loginsToken(t, "other key"),
	} {
		if _, err := l.parse(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func FuzzLogin(f *testing.F) {
	l := loginsWith([]byte("key"), nil)
	token := l.sign(Login{Wallet: eth.Address{1}, Chain: 1, Expires: time.Unix(2_000_000_000, 0)}, [loginID]byte{2})
	f.Add(token)
	f.Add("sw_")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := l.parse(text); err == nil && text != token {
			t.Errorf("%q was accepted", text)
		}
	})
}

// All nodes of a deployment have one key.
func TestLoginsKey(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var nodes [2]*Logins
	for i := range nodes {
		if nodes[i], err = NewLogins(t.Context(), db.Catalog()); err != nil {
			t.Fatal(err)
		}
	}
	login, token := nodes[0].Issue(addr(t, alice), 1, time.Now().Add(time.Hour))
	if got, err := nodes[1].Verify(t.Context(), token, time.Now()); err != nil || got != login {
		t.Errorf("on another node: %+v, %v", got, err)
	}
}
