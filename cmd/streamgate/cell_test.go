package main

import (
	"strings"
	"testing"
)

func TestCell(t *testing.T) {
	for text, want := range map[string]string{
		"short": "short", "two\nlines\u202e": "two lines",
		strings.Repeat("x", cellWidth):   strings.Repeat("x", cellWidth),
		strings.Repeat("x", cellWidth+1): strings.Repeat("x", cellWidth-1) + "…",
	} {
		if got := cell(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
