package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/store"
)

// turnstile is access of two rules: wallets tell by their names what the one in
// force, and the new one, say of them.
type turnstile struct{ services }

func (turnstile) ListSessions(ctx context.Context, _ *rpc.ListSessionsRequest) (*rpc.ListSessionsResponse, error) {
	return &rpc.ListSessionsResponse{Sessions: []*rpc.Session{
		{Id: "s1", Wallet: "in-out watches", CreatedAt: timestamppb.Now()}, {Id: "s2", Preview: true, CreatedAt: timestamppb.Now()},
		{Id: "s3", Wallet: "in-out long-ago", CreatedAt: timestamppb.New(time.Now().Add(-8 * 24 * time.Hour))},
	}}, rpc.Require(ctx, rpc.ScopeOperator)
}

func (turnstile) CheckAccess(_ context.Context, req *rpc.CheckAccessRequest) (*rpc.Decision, error) {
	now, _, _ := strings.Cut(req.Wallet, "-")
	if now == "private" {
		return nil, rpc.Errorf(connect.CodePermissionDenied, "private", "This video is private.")
	}
	return says(now), nil
}

func (turnstile) SimulateRule(ctx context.Context, req *rpc.SimulateRuleRequest) (*rpc.Decision, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if req.Rule.Fields["bad"] != nil {
		return nil, rpc.Invalid("invalid_rule", "There is no such condition.")
	}
	_, then, _ := strings.Cut(req.Wallet, "-")
	then, _, _ = strings.Cut(then, " ")
	return says(then), nil
}

func says(word string) *rpc.Decision {
	return &rpc.Decision{
		Admit: word == "in", Sentence: hostile, Tree: &rpc.RuleResult{},
		Reason: map[string]string{"lost": "chain_unreachable", "asks": "password_required"}[word],
	}
}

// TestDryRun: who came in the last week is told apart by what the new rule would
// change for them; what is not known is not taken for a no.
func TestDryRun(t *testing.T) {
	s := newSite(t)
	s.Access = turnstile{}
	for i, wallet := range []string{
		"in-out a", "out-in a", "out-in b", "private-in c", "in-asks a", "in-lost a", "lost-in a", "in-in a", "out-out a", "out-out b", "in-out watches", "",
	} {
		for n := range 2 { // each came twice
			d := store.Decision{ID: fmt.Sprintf("%02d.%d", i, n), VideoID: "film", Outcome: store.DecisionRefused, Wallet: wallet, Count: 1, Last: time.Now()}
			if err := s.catalog.Decisions.Create(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	send := func(rule string, role console.Role) (int, string) {
		form := url.Values{"rule": {rule}, "do": {"dry"}}
		w := s.send(http.MethodPost, "/console/videos/film/rule", form, s.cookies[role], nil)
		checkHostile(t, w)
		return w.Code, strings.Join(strings.Fields(w.Body.String()), " ")
	}
	status, page := send(`{"erc721": {}}`, console.Operator)
	if status != http.StatusOK {
		t.Fatalf("status %d\n%s", status, page)
	}
	for _, want := range []string{
		"2 viewers would fall out", "3 viewers would come in", "1 viewer would have to show a password or a code",
		"2 viewers not known: a chain cannot be reached", "1 viewer stays admitted", "3 viewers stay refused",
		"about 12 viewers of the last week: all of them.", "What the rule in force says is not known.", "erc721&#34;",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if status, page = send(`{"bad": 1}`, console.Operator); status != http.StatusUnprocessableEntity || !strings.Contains(page, "There is no such condition.") {
		t.Errorf("a bad rule: status %d", status)
	}
	if status, _ = send(`{}`, console.ReadOnly); status != http.StatusForbidden {
		t.Errorf("who may only look: status %d", status)
	}
}

// TestDryRunIsBounded: of many only the newest are asked about, which is said.
func TestDryRunIsBounded(t *testing.T) {
	s := newSite(t)
	s.Access = turnstile{}
	for i := range dryWallets + 20 {
		d := store.Decision{
			ID: fmt.Sprintf("%03d", i), VideoID: "film", Outcome: store.DecisionAdmitted, Wallet: fmt.Sprintf("in-out %d.", i), Count: 1,
			Last: time.Now().Add(time.Duration(i-1000) * time.Second),
		}
		if err := s.catalog.Decisions.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	form := url.Values{"rule": {`{"erc721": {}}`}, "do": {"dry"}}
	page := s.send(http.MethodPost, "/console/videos/film/rule", form, s.cookies[console.Operator], nil).Body.String()
	for text, want := range map[string]bool{
		fmt.Sprintf("about %d viewers", dryWallets): true, "the newest; there are more": true,
		"in-out 219.": true, "in-out 0.": false,
	} {
		if strings.Contains(page, text) != want {
			t.Errorf("%q is on the page: %t", text, !want)
		}
	}
}
