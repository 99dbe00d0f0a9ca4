package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"streamgate/app/console"
)

// TestTryRule: a rule is tried on a wallet without being saved; what was typed
// stays, and what is wrong is said.
func TestTryRule(t *testing.T) {
	s := newSite(t)
	const rule = `{"erc721": {"mine": true}}`
	for _, c := range []struct {
		name, rule, wallet string
		status             int
		want               []string
	}{
		{"admitted", rule, "holder", 200, []string{"admitted\n", "met\n", "a token of ", "not met\n", "100 coins", "It has 3."}},
		{"refused", rule, "0x1", 200, []string{`"state refused"`, "100 coins"}},
		{"no wallet", rule, "nonsense", 422, []string{"The wallet is no address."}},
		{"no rule", `{"erc721": `, "holder", 422, []string{"no JSON object"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			form := url.Values{"rule": {c.rule}, "wallet": {c.wallet}, "do": {"try"}}
			w := s.send(http.MethodPost, "/console/videos/film/rule", form, s.cookies[console.Operator], nil)
			page := w.Body.String()
			if w.Code != c.status {
				t.Fatalf("status %d\n%s", w.Code, page)
			}
			for _, want := range append(c.want, `value="`+c.wallet+`"`, "erc721&#34;") {
				if !strings.Contains(page, want) && !strings.Contains(strings.Join(strings.Fields(page), " "), strings.TrimSpace(want)) {
					t.Errorf("the page lacks %q", want)
				}
			}
			if strings.Contains(page, "<script>alert") {
				t.Error("the page runs what a stranger wrote")
			}
		})
	}
	page := s.send(http.MethodGet, "/console/videos/film", nil, s.cookies[console.ReadOnly], nil).Body.String()
	if strings.Contains(page, "Watching now") || strings.Contains(page, "Try it") {
		t.Error("who may only look is offered changes")
	}
}
