package rules

import "testing"

// A rule that nobody could satisfy is refused when it is saved.
func TestRulesThatAdmitNobody(t *testing.T) {
	for rule, ok := range map[string]bool{
		`{"all":[{"password":"one1"},{"password":"two2"}]}`:                                                     false,
		`{"all":[{"ticket_code":{"pool":"a"}},{"any":[{"ticket_code":{"pool":"b"}}]}]}`:                         false,
		`{"any":[{"password":"one1"},{"password":"two2"}]}`:                                                     true,
		`{"all":[{"password":"one1"},{"ticket_code":{"pool":"a"}}]}`:                                            true,
		`{"all":[{"any":[{"password":"one1"},{"public":true}]},{"any":[{"password":"two2"},{"public":true}]}]}`: true,
	} {
		if err := parse(t, rule).Check(nil); (err == nil) != ok {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
