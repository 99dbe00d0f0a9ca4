package rpc

import (
	"strings"
	"testing"
)

func TestTitleOf(t *testing.T) {
	for name, want := range map[string]string{
		"/a/holiday.2024.mp4":                   "holiday.2024",
		"film":                                  "film",
		".hidden":                               ".hidden",
		"\xff.mp4":                              "_",
		strings.Repeat("ä", 300) + ".mp4":       strings.Repeat("ä", 200),
		"holiday.2024":                          "holiday.2024",
		"Dr. No.mkv":                            "Dr. No",
		"a\x00b\x1b[31m.mp4":                    "ab[31m",
		" two\n\tlines  of\u00a0name .mp4":      "two lines of name",
		"\u202egnp.exe\u2066\u200f.mp4":         "gnp.exe",
		"\u200b\ufeff.mp4":                      ".mp4",
		"\x01\x02":                              "Untitled",
		"family \U0001f468\u200d\U0001f469.3gp": "family \U0001f468\u200d\U0001f469",
	} {
		if got := TitleOf(name); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}
