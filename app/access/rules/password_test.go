package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPasswords(t *testing.T) {
	p := NewPasswords(2)
	r := parse(t, `{"any":[{"password":"first one"},{"all":[{"password":"second one"}]}]}`)
	if _, err := r.Stored(); !errors.Is(err, ErrUnsealed) {
		t.Errorf("stored before it was sealed: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", *r.Parts[0].Password, r.Parts[0].Password, r.Parts[0].Password); strings.Contains(text, "first") {
		t.Errorf("printed as %s", text)
	}
	if err := p.Seal(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	stored, err := r.Stored()
	if err != nil || strings.Contains(string(stored), "first one") || !strings.Contains(string(stored), "$argon2id$") {
		t.Errorf("stored as %s, %v", stored, err)
	}
	if shown, _ := json.Marshal(r); strings.Contains(string(shown), "argon2id") {
		t.Errorf("shown as %s", shown)
	}
	loaded, err := Load(stored)
	if err != nil {
		t.Fatal(err)
	}
	first, second := r.Parts[0].Password.ProofKey(), r.Parts[1].Parts[0].Password.ProofKey()
	if first == second {
		t.Error("two passwords have one key")
	}
	for plain, want := range map[string][2]Proof{
		"first one":               {ProofGood, ProofWrong},
		"second one":              {ProofWrong, ProofGood},
		"First one":               {ProofWrong, ProofWrong},
		"":                        {ProofWrong, ProofWrong},
		strings.Repeat("x", 5000): {ProofWrong, ProofWrong},
	} {
		proofs, err := p.Check(t.Context(), loaded, plain)
		if err != nil || len(proofs) != 2 || proofs[first] != want[0] || proofs[second] != want[1] {
			t.Errorf("%.20q: %v, %v", plain, proofs, err)
		}
	}
	full := NewPasswords(1)
	full.slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := full.Check(ctx, loaded, "first one"); !errors.Is(err, context.Canceled) {
		t.Errorf("without a slot: %v", err)
	}
}

func TestPasswordKept(t *testing.T) {
	p := NewPasswords(2)
	before := parse(t, `{"any":[{"password":"first one"},{"password":"second one"}]}`)
	if err := p.Seal(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	after := parse(t, `{"any":[{"password":{}},{"password":"another"}]}`)
	if err := after.Keep(before); err != nil || after.Parts[0].Password.hash != before.Parts[0].Password.hash {
		t.Errorf("kept %v, %v", after.Parts[0].Password.hash, err)
	}
	moved := parse(t, `{"all":[{"public":true},{"password":{}}]}`)
	if err := moved.Keep(&before.Parts[1]); err != nil || moved.Parts[1].Password.hash != before.Parts[1].Password.hash {
		t.Errorf("the only one was not kept: %v", err)
	}
	for name, old := range map[string]*Rule{"two": before, "none": nil, "public": parse(t, `{"public":true}`)} {
		err := parse(t, `{"all":[{"public":true},{"password":{}}]}`).Keep(old)
		if err == nil || err.Error() != "/all/1/password: there is no password to keep: give one" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A hash of other costs than ours is not read: it could take all memory.
func TestForeignHashRefused(t *testing.T) {
	p := NewPasswords(1)
	r := parse(t, `{"password":"abcd"}`)
	if err := p.Seal(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	good := r.Password.hash
	for _, bad := range []string{
		"", "x", good + "A", good[:len(good)-1], strings.Replace(good, "m=19456", "m=4194304", 1),
		strings.Replace(good, "argon2id", "argon2i", 1), good[:40], good + "$",
	} {
		if _, err := Load(fmt.Appendf(nil, `{"password":{"hash":%q}}`, bad)); err == nil {
			t.Errorf("%s was loaded", bad)
		}
	}
	if _, err := Load(fmt.Appendf(nil, `{"password":{"hash":%q}}`, good)); err != nil {
		t.Error(err)
	}
}
