package evm

import (
	"fmt"
	"math/big"
	"testing"

	"streamgate/app/access/eth"
)

func TestTally(t *testing.T) {
	for name, c := range map[string]struct {
		said   []string // by a, b, c …: a digit is an amount, an x a problem
		agreed string   // - is none
		source string
	}{
		"all alike":                       {[]string{"12", "12"}, "12", "a, b"},
		"one is not enough":               {[]string{"1"}, "-", ""},
		"a liar about one question":       {[]string{"12", "92", "12"}, "12", "a, b, c"},
		"one question on which all lie":   {[]string{"12", "42", "52"}, "-2", "a, b, c"},
		"pairs that differ":               {[]string{"12", "19", "89"}, "19", "a, b, c"},
		"who says nothing that is agreed": {[]string{"11", "22", "11"}, "11", "a, c"},
		"a problem is an answer":          {[]string{"x", "0", "x"}, "x", "a, c"},
		"a problem is not its amount":     {[]string{"x", "0"}, "-", ""},
		"no question":                     {[]string{"", ""}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tl := tally{quorum: 2, agreed: make([]eth.Answer, len(c.said[0]))}
			for i, text := range c.said {
				s := said[[]eth.Answer]{by: &endpoint{name: string(rune('a' + i))}}
				for _, r := range text {
					a := eth.Answer{Amount: new(big.Int)}
					if r == 'x' {
						a.Problem = problemReverted
					} else {
						a.Amount.SetInt64(int64(r - '0'))
					}
					s.got = append(s.got, a)
				}
				tl.count(s)
			}
			got := ""
			for _, a := range tl.agreed {
				switch {
				case a.Amount == nil:
					got += "-"
				case a.Problem != "":
					got += "x"
				default:
					got += fmt.Sprint(a.Amount)
				}
			}
			if got != c.agreed || tl.source() != c.source {
				t.Errorf("agreed %q by %q, want %q by %q", got, tl.source(), c.agreed, c.source)
			}
		})
	}
}
