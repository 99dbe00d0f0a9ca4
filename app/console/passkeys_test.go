package console

import (
	"testing"

	"streamgate/app/rpc"
	"streamgate/store"
)

// TestPasskeyOrigin: where passkeys can be, and that elsewhere they are refused.
func TestPasskeyOrigin(t *testing.T) {
	s, _ := open(t)
	for site, want := range map[string]string{
		"https://video.example.org":        "https://video.example.org",
		"https://video.example.org:8443/x": "https://video.example.org:8443",
		"http://localhost:8080":            "http://localhost:8080",
		"http://127.0.0.1:8080":            "http://localhost:8080",
		"http://[::1]:8080":                "http://localhost:8080",
		"http://video.example.org":         "",
		"https://192.0.2.1":                "",
		"http://192.0.2.1:8080":            "",
	} {
		s.Site = func() string { return site }
		got, err := s.PasskeyOrigin()
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", site, got, err)
		}
		if _, err := s.AskSignIn(t.Context(), From{Client: site}); (err != nil) != (want == "") {
			t.Errorf("%s: to sign in: %v", site, err)
		}
	}
}

// TestPasskeysRefused: answers without a challenge, to an old one, that are
// none, and to others' passkeys.
func TestPasskeysRefused(t *testing.T) {
	s, c := open(t)
	ada := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead, Person: "ada"})
	want(t, s.AddPasskey(ada, "phone", "none", "{}"), "challenge_over")
	asked, err := s.AskPasskey(ada)
	want(t, err, "")
	want(t, s.AddPasskey(ada, " ", asked.Ticket, "{}"), "invalid_passkey_name")
	want(t, s.AddPasskey(ada, "phone", asked.Ticket, "{}"), "invalid_passkey")
	want(t, s.AddPasskey(ada, "phone", asked.Ticket, "{}"), "challenge_over")
	in, err := s.AskSignIn(t.Context(), From{})
	want(t, err, "")
	_, _, err = s.SignInWithPasskey(t.Context(), in.Ticket, "no JSON", From{})
	want(t, err, "wrong_passkey")
	_, _, err = s.SignInWithPasskey(t.Context(), in.Ticket, "{}", From{})
	want(t, err, "challenge_over")

	want(t, s.Add(rpc.System(t.Context()), NewPerson{"bob", ReadOnly, goodPassword}), "")
	want(t, s.Add(rpc.System(t.Context()), NewPerson{"eve", Admin, goodPassword}), "")
	want(t, c.Passkeys.Create(t.Context(), store.Passkey{ID: "key", Person: "bob"}), "")
	want(t, s.RemovePasskey(ada, "key"), "permission_denied")
	_, err = s.Passkeys(ada, "bob")
	want(t, err, "permission_denied")
	want(t, s.RemovePasskey(ada, "other"), "passkey_not_found")
	want(t, s.Remove(rpc.System(t.Context()), "bob"), "")
	if _, err := c.Passkeys.Get(t.Context(), "key"); err == nil {
		t.Error("the passkeys of a person stay when they are removed")
	}
}
