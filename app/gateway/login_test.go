package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/access/eth"
	"streamgate/app/rpc"
)

// login returns the token of a wallet that has signed in.
func (b *bench) login() (wallet, token string) {
	b.t.Helper()
	a := eth.Address{1, 2, 3}
	_, token = b.access.Logins.Issue(a, 1, time.Now().Add(time.Hour))
	return a.String(), token
}

func TestLoginCookie(t *testing.T) {
	b := newBench(t)
	wallet, token := b.login()
	cookie := loginCookie + "=" + token
	who := func(headers ...string) string {
		r := b.do("", "GET", "/api/v1/auth/login", "", headers...)
		if r.StatusCode != http.StatusOK {
			return ""
		}
		got, _ := r.json(t)["wallet"].(string)
		return got
	}
	if got := who("Cookie", cookie); got != wallet {
		t.Errorf("by cookie %q", got)
	}
	if got := who("Authorization", "Bearer "+token); got != wallet {
		t.Errorf("by bearer %q", got)
	}
	for name, value := range map[string]string{
		"altered": altered(cookie), "a key": loginCookie + "=" + b.keys["admin"], "empty": loginCookie + "=",
	} {
		wantProblem(t, b.do("", "GET", "/api/v1/auth/login", "", "Cookie", value), http.StatusUnauthorized, "not_signed_in")
		if got := who("Cookie", value); got != "" {
			t.Errorf("%s cookie: %q", name, got)
		}
	}

	// A cookie comes with other sites' requests too, if a browser is old.
	for _, headers := range [][]string{
		{"Cookie", cookie, "Sec-Fetch-Site", "cross-site"},
		{"Cookie", cookie, "Origin", "https://elsewhere.example"},
	} {
		wantProblem(t, b.do("", "POST", "/api/v1/auth/sign-out", "{}", headers...), http.StatusForbidden, "cross_origin")
	}
	// Nor may they sign a viewer in with a wallet of theirs.
	wantProblem(t, b.do("", "POST", "/api/v1/auth/verify", `{"message":"x"}`, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "cross_origin")
	if r := b.do("read", "GET", "/api/v1/videos", "", "Sec-Fetch-Site", "cross-site"); r.StatusCode != http.StatusOK {
		t.Errorf("a key is as good from anywhere: %d", r.StatusCode)
	}
	r := b.do("", "POST", "/api/v1/auth/sign-out", "{}", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	if c := r.Cookies(); r.StatusCode != http.StatusNoContent || len(c) != 1 || c[0].MaxAge != -1 || c[0].Name != loginCookie {
		t.Errorf("sign out: %d %v", r.StatusCode, c)
	}
	wantProblem(t, b.do("", "GET", "/api/v1/auth/login", "", "Cookie", cookie), http.StatusUnauthorized, "not_signed_in")
	wantProblem(t, b.do("", "GET", "/api/v1/auth/login", "", "Authorization", "Bearer "+token), http.StatusUnauthorized, "signed_out")
}

func TestCookieOfAnswer(t *testing.T) {
	login := &rpc.Login{Token: "sw_x", ExpiresAt: timestamppb.New(time.Now().Add(time.Hour))}
	for base, want := range map[string]string{"": "/", "http://a": "/", "https://a": "/ secure", "https://a/tv": "/tv/ secure"} {
		c := answer{login: login}.cookie(base)
		got := c.Path
		if c.Secure {
			got += " secure"
		}
		if got != want || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Value != "sw_x" {
			t.Errorf("under %q: %v, want %s", base, c, want)
		}
	}
	if c := (answer{login: &rpc.Login{Wallet: "0x"}}).cookie(""); c != nil { // GetLogin has no token
		t.Errorf("cookie %v", c)
	}
}

// A refusal reaches the client with the decision that it stands on.
func TestRefusalHasItsDecision(t *testing.T) {
	b := newBench(t)
	r := b.do("operator", "POST", "/api/v1/videos", `{"title":"A film"}`)
	id, _ := r.json(t)["id"].(string)
	wantProblem(t, b.do("", "POST", "/api/v1/videos/"+id+"/sessions", "{}"), http.StatusForbidden, "private")
	r = b.do("operator", "PUT", "/api/v1/videos/"+id+"/rule", `{"rule":{"password":"open sesame"}}`)
	if rule, _ := r.json(t)["rule"].(map[string]any); r.StatusCode != http.StatusOK || rule["password"] == nil || rule["password"] == "open sesame" {
		t.Errorf("PUT rule: %d %s", r.StatusCode, r.body)
	}
	r = b.do("", "POST", "/api/v1/videos/"+id+"/sessions", "{}")
	wantProblem(t, r, http.StatusUnauthorized, "password_required")
	d, _ := r.json(t)["decision"].(map[string]any)
	tree, _ := d["tree"].(map[string]any)
	if d["admit"] != false || d["reason"] != "password_required" || tree["kind"] != "password" || tree["at"] != "/password" {
		t.Errorf("decision %v", d)
	}
	r = b.do("", "POST", "/api/v1/videos/"+id+"/sessions", `{"password":"open sesame"}`)
	if r.StatusCode != http.StatusCreated {
		t.Errorf("session: %d %s", r.StatusCode, r.body)
	}
	if r := b.do("", "POST", "/api/v1/auth/nonce", ""); r.StatusCode != http.StatusOK || r.json(t)["nonce"] == "" {
		t.Errorf("a nonce without a body: %d %s", r.StatusCode, r.body)
	}
	wantProblem(t, b.do("operator", "PUT", "/api/v1/videos/"+id+"/rule", `{"rule":{"password":"x"}}`), http.StatusBadRequest, "invalid_rule")
}

// altered is a token with another last character.
func altered(token string) string {
	last := "A"
	if strings.HasSuffix(token, last) {
		last = "B"
	}
	return token[:len(token)-1] + last
}
