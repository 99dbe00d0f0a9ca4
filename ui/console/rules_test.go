package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/store"
)

// book keeps one named rule.
type book struct {
	services
	rule *rpc.Rule
	puts int
}

func (b *book) GetRule(context.Context, *rpc.GetRuleRequest) (*rpc.Rule, error) {
	if b.rule == nil {
		return nil, rpc.NotFound(store.ErrNotFound, "rule", "r")
	}
	return b.rule, nil
}

func (b *book) PutRule(_ context.Context, req *rpc.PutRuleRequest) (*rpc.Rule, error) {
	b.puts++
	if _, wrong := req.Rule.AsMap()["nonsense"]; wrong {
		return nil, rpc.Invalid("invalid_rule", "There is no such thing as nonsense.")
	}
	b.rule = &rpc.Rule{Name: req.Name, Rule: req.Rule, UpdatedAt: timestamppb.Now()}
	return b.rule, nil
}

// TestNamedRule: a rule is made, and not made over another; what is wrong with it
// stands beside the field, with what was typed; and of two who change it at the
// same time, the later one hears of the other.
func TestNamedRule(t *testing.T) {
	s := newSite(t)
	b := &book{}
	s.Access = b
	operator := s.cookies[console.Operator]
	post := func(path string, form url.Values, want int) string {
		t.Helper()
		w := s.send(http.MethodPost, path, form, operator, nil)
		if w.Code != want {
			t.Errorf("%s %v: status %d, want %d: %s", path, form, w.Code, want, w.Body)
		}
		return w.Body.String()
	}
	for _, tc := range []struct{ rule, field, says string }{
		{`{"public": `, "rule-error", "no JSON object"},
		{`{"nonsense": true}`, "rule-error", "no such thing"},
	} {
		page := post("/console/access/rules", url.Values{"name": {"r"}, "rule": {tc.rule}}, http.StatusUnprocessableEntity)
		if !strings.Contains(page, `id="`+tc.field+`"`) || !strings.Contains(page, tc.says) || !strings.Contains(page, `value="r"`) {
			t.Errorf("after %s: %s", tc.rule, page)
		}
	}
	post("/console/access/rules", url.Values{"name": {"r"}, "rule": {`{"public": true}`}}, http.StatusSeeOther)
	page := post("/console/access/rules", url.Values{"name": {"r"}, "rule": {`{"public": false}`}}, http.StatusUnprocessableEntity)
	if !strings.Contains(page, `id="rule-name-error"`) || !strings.Contains(page, "There is a rule of this name") {
		t.Errorf("made over another: %s", page)
	}
	page = post("/console/access/rules", url.Values{"do": {"try"}, "rule": {`{"public": true}`}, "wallet": {"holder"}}, http.StatusOK)
	if !strings.Contains(page, "admitted") || b.puts != 2 {
		t.Errorf("tried, after %d changes: %s", b.puts, page)
	}

	opened := s.send(http.MethodGet, "/console/access/rules/r", nil, operator, nil).Body.String()
	change := url.Values{"do": {"save"}, "rule": {`{"public": false}`}, "version": {versionIn(t, opened)}}
	post("/console/access/rules/r", change, http.StatusSeeOther)
	page = post("/console/access/rules/r", change, http.StatusConflict)
	if !strings.Contains(page, "Somebody has changed this rule") || b.puts != 3 {
		t.Errorf("a form of before, after %d changes: %s", b.puts, page)
	}
}

// TestRuleUses: who refers to a rule is found, wherever it stands in theirs.
func TestRuleUses(t *testing.T) {
	s := newSite(t)
	page := s.send(http.MethodGet, "/console/access/rules/film", nil, s.cookies[console.Operator], nil).Body.String()
	if !strings.Contains(page, "Used by 1 video and 1 named rule") {
		t.Errorf("the page: %s", page)
	}
	for name, want := range map[string]bool{"a": true, "b": true, "note": false, "c": false} {
		rule := map[string]any{"any": []any{map[string]any{"rule": "a"}, map[string]any{"not": map[string]any{"rule": "b"}}, map[string]any{"note": "c"}}}
		if got := refers(rule, name); got != want {
			t.Errorf("refers to %s: %v", name, got)
		}
	}
}

// TestCodes: new codes are shown in the answer and not again; a wrong number
// stands beside its field.
func TestCodes(t *testing.T) {
	s := newSite(t)
	operator := s.cookies[console.Operator]
	w := s.send(http.MethodPost, "/console/access/codes", url.Values{"pool": {"gala"}, "count": {"2"}}, operator, nil)
	if page := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(page, "AAAA-BBBB\nCCCC-DDDD") {
		t.Errorf("status %d: %s", w.Code, page)
	}
	if page := s.send(http.MethodGet, "/console/access/codes", nil, operator, nil).Body.String(); strings.Contains(page, "AAAA") {
		t.Errorf("shown again: %s", page)
	}
	for _, count := range []string{"", "many", "0", "99999999999"} {
		w := s.send(http.MethodPost, "/console/access/codes", url.Values{"pool": {"gala"}, "count": {count}}, operator, nil)
		if page := w.Body.String(); w.Code != http.StatusUnprocessableEntity || !strings.Contains(page, `id="count-error"`) || !strings.Contains(page, `value="gala"`) {
			t.Errorf("count %q: status %d: %s", count, w.Code, page)
		}
	}
}
