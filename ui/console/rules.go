package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// rulesView is the named rules, and the form of another one.
type rulesView struct {
	Rules []ruleRow
	More  bool // than are listed
	Form  ruleForm
}

// ruleRow is one named rule.
type ruleRow struct {
	Name, Path, Rule string
	Changed          stamp
}

// ruleForm is what somebody types about a named rule, and what is wrong with it.
type ruleForm struct {
	Name, Rule string
	Version    string // of the rule that the form was filled from
	Try        tryView

	NameError, RuleError, Error string
}

// ruleView is one named rule, and who refers to it.
type ruleView struct {
	ruleRow
	Created stamp
	Form    ruleForm
	Used    usedView
}

func rulePath(name string) string { return rulesPath + "/" + url.PathEscape(name) }

// blame writes an error where it belongs; it tells whether that is a mistake of
// who typed.
func (f *ruleForm) blame(err error) bool {
	text, expected := sentence(err)
	switch reason, _ := rpc.Reason(err); reason {
	case "invalid_name", "rule_exists":
		f.NameError = text
	case "invalid_rule":
		f.RuleError = text
	default:
		f.Error = text
	}
	return expected
}

// typedRule is a form as it was sent, and the rule in it.
func (v *visit) typedRule() (form ruleForm, rule *structpb.Struct, err error) {
	form = ruleForm{
		Name: printable(strings.TrimSpace(v.r.PostFormValue("name"))), Rule: printable(v.r.PostFormValue("rule")),
		Version: v.r.PostFormValue("version"), Try: tryView{Wallet: printable(v.r.PostFormValue("wallet"))},
	}
	rule, err = parseRule(v.r.PostFormValue("rule"))
	return form, rule, err
}

// try fills in what the rule of a form says of its wallet.
func (v *visit) try(form *ruleForm, rule *structpb.Struct) (err error) {
	said, err := v.tryRule(rule, v.r.PostFormValue("wallet"))
	if err == nil {
		form.Try = said
	}
	return err
}

func (v *visit) rules() { v.showRules(http.StatusOK, ruleForm{}) }

func (v *visit) showRules(status int, form ruleForm) {
	list, err := v.Access.ListRules(v.ctx, &rpc.ListRulesRequest{Limit: store.MaxLimit})
	if err != nil {
		v.fail(err)
		return
	}
	view := rulesView{More: list.NextCursor != "", Form: form}
	for _, r := range list.Rules {
		view.Rules = append(view.Rules, newRuleRow(r))
	}
	v.page(status, "Named rules", accessPath, rulesPage(view))
}

func newRuleRow(r *rpc.Rule) ruleRow {
	const shown = 160
	text := ""
	if data, err := json.Marshal(r.Rule.AsMap()); err == nil {
		text = printable(string(data))
	}
	if runes := []rune(text); len(runes) > shown {
		text = string(runes[:shown]) + "…"
	}
	return ruleRow{printable(r.Name), rulePath(r.Name), text, agoOf(r.UpdatedAt)}
}

// addRule saves a rule under a name that none has, or tries it.
func (v *visit) addRule() {
	form, rule, err := v.typedRule()
	name := strings.TrimSpace(v.r.PostFormValue("name"))
	trying := v.r.PostFormValue("do") == "try"
	switch {
	case err != nil:
	case trying:
		err = v.try(&form, rule)
	default:
		err = v.createRule(name, rule)
	}
	switch {
	case err != nil && !form.blame(err):
		v.fail(err)
	case err != nil:
		v.showRules(http.StatusUnprocessableEntity, form)
	case trying:
		v.showRules(http.StatusOK, form)
	default:
		v.back(rulePath(name), fmt.Sprintf("The rule is saved. A video's rule refers to it as {%q: %q}.", "rule", name), nil)
	}
}

// createRule does not replace a rule: its form was not filled from it.
func (v *visit) createRule(name string, rule *structpb.Struct) error {
	v.saving.Lock()
	defer v.saving.Unlock()
	_, err := v.Access.GetRule(v.ctx, &rpc.GetRuleRequest{Name: name})
	if err == nil {
		return rpc.Errorf(connect.CodeAlreadyExists, "rule_exists", "There is a rule of this name: open it to change it, or choose another name.")
	}
	if connect.CodeOf(err) != connect.CodeNotFound {
		return err
	}
	_, err = v.Access.PutRule(v.ctx, &rpc.PutRuleRequest{Name: name, Rule: rule})
	return err
}

func (v *visit) rule() { v.showRule(http.StatusOK, ruleForm{}) }

func (v *visit) showRule(status int, form ruleForm) {
	r, err := v.Access.GetRule(v.ctx, &rpc.GetRuleRequest{Name: v.r.PathValue("name")})
	if err != nil {
		v.fail(err)
		return
	}
	view := ruleView{ruleRow: newRuleRow(r), Created: agoOf(r.CreatedAt), Form: form}
	if form.Version == "" { // nothing was typed
		data, err := json.MarshalIndent(r.Rule.AsMap(), "", "  ")
		if err != nil {
			v.fail(fmt.Errorf("write the rule: %w", err))
			return
		}
		view.Form = ruleForm{Rule: printable(string(data)), Version: ruleVersion(r)}
	}
	if view.Used, err = v.usedBy(r.Name); err != nil {
		v.fail(err)
		return
	}
	v.page(status, "Rule "+view.Name, accessPath, rulePage(view))
}

// ruleVersion tells one state of a rule from another.
func ruleVersion(r *rpc.Rule) string { return r.UpdatedAt.AsTime().Format(time.RFC3339Nano) }

// changeNamedRule does what the pressed button says.
func (v *visit) changeNamedRule() {
	name := v.r.PathValue("name")
	switch do := v.r.PostFormValue("do"); do {
	case "save", "try":
		v.saveRule(name, do == "try")
	case "delete":
		_, err := v.Access.DeleteRule(v.ctx, &rpc.DeleteRuleRequest{Name: name})
		v.back(rulesPath, "The rule is deleted: what refers to it admits nobody through it.", err)
	default:
		v.back(rulePath(name), "", rpc.Invalid("invalid_action", "There is no action %q.", do))
	}
}

// saveRule replaces the rule that a form was filled with, unless that is not there
// any more, or tries what was typed.
func (v *visit) saveRule(name string, trying bool) {
	form, rule, err := v.typedRule()
	v.saving.Lock()
	defer v.saving.Unlock()
	now, gone := v.Access.GetRule(v.ctx, &rpc.GetRuleRequest{Name: name})
	switch {
	case gone != nil:
		v.fail(gone)
		return
	case err != nil:
	case trying:
		err = v.try(&form, rule)
	case form.Version != ruleVersion(now):
		form.Version = ruleVersion(now)
		form.Error = "Somebody has changed this rule since you opened the form. Save again to replace what they wrote, or open the page anew to see it."
		v.showRule(http.StatusConflict, form)
		return
	default:
		_, err = v.Access.PutRule(v.ctx, &rpc.PutRuleRequest{Name: name, Rule: rule})
	}
	if form.Version == "" {
		form.Version = ruleVersion(now)
	}
	switch {
	case err != nil && !form.blame(err):
		v.fail(err)
	case err != nil:
		v.showRule(http.StatusUnprocessableEntity, form)
	case trying:
		v.showRule(http.StatusOK, form)
	default:
		v.back(rulePath(name), "The rule is saved; everybody who watches by it has been asked again.", nil)
	}
}
