package apptest

import (
	"strings"
	"testing"
)

// reporter notes that a test would fail.
type reporter struct {
	testing.TB
	failed bool
}

func (r *reporter) Helper()               {}
func (r *reporter) Errorf(string, ...any) { r.failed = true }

func TestWantNoSecrets(t *testing.T) {
	for line, secret := range map[string]bool{
		"GET /s/" + strings.Repeat("Ab1_", 20) + "/master.m3u8":               true,
		"login=sw_" + strings.Repeat("Ab1_", 20):                              true,
		"key sg_" + strings.Repeat("a1", 12) + "_" + strings.Repeat("AB", 13): true,
		"signed 0x" + strings.Repeat("ab", 65):                                true,
		`body={"password":"open sesame"}`:                                     true,
		"msg=request path=/s/-/master.m3u8 status=200":                        false,
		"wallet=0x52908400098527886E0F7030069857D2E4169EE7":                   false,
		"entered ABCD-EFGH-2345-WXYZ":                                         true,
		"reason=not_a_holder code=500":                                        false,
	} {
		r := &reporter{TB: t}
		if WantNoSecrets(r, line); r.failed != secret {
			t.Errorf("%q: found a secret: %v", line, r.failed)
		}
	}
}
