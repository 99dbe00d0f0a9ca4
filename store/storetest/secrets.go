package storetest

import (
	"context"
	"crypto/rand"
	"testing"

	"streamgate/store"
)

// TestSecrets checks a store.Secrets. open returns an empty one that is
// closed by the test's cleanup.
func TestSecrets(t *testing.T, open func(t *testing.T) store.Secrets) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Secrets)
	}{
		{"a secret is made once", secretOnce},
		{"a cancelled context makes none", secretCancelled},
		{"all of many first calls get the same", secretMany},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func secretOnce(t *testing.T, s store.Secrets) {
	made := []byte{0, 1, 0xff}
	got, err := s.Secret(t.Context(), "tickets", func() []byte { return made })
	check(t, err)
	same(t, "first", got, []byte{0, 1, 0xff})
	made[0], got[1] = 9, 9

	never := func() []byte { t.Error("made again"); return []byte{2} }
	got, err = s.Secret(t.Context(), "tickets", never)
	check(t, err)
	same(t, "second", got, []byte{0, 1, 0xff})
	got, err = s.Secret(t.Context(), "ticket", func() []byte { return []byte{7} })
	check(t, err)
	same(t, "another name", got, []byte{7})
}

func secretCancelled(t *testing.T, s store.Secrets) {
	_, err := s.Secret(cancelled(t), "tickets", func() []byte { return []byte{1} })
	wantErr(t, "secret", err, context.Canceled)
	got, err := s.Secret(t.Context(), "tickets", func() []byte { return []byte{2} })
	check(t, err)
	same(t, "secret", got, []byte{2})
}

func secretMany(t *testing.T, s store.Secrets) {
	const callers = 16
	secrets, errs := make([][]byte, callers), make([]error, callers)
	together(callers, func(i int) {
		secrets[i], errs[i] = s.Secret(t.Context(), "tickets", func() []byte { return []byte(rand.Text()) })
	})
	for i := range callers {
		check(t, errs[i])
		same(t, "secret", secrets[i], secrets[0])
	}
}
