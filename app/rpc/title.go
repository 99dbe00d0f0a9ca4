package rpc

import (
	"path/filepath"
	"strings"
	"unicode"
)

// TitleOf makes a title of a file's name that the node takes: without the
// extension and what cannot be seen, and no longer than is allowed.
func TitleOf(name string) string {
	base := filepath.Base(name)
	if base == "/" || base == "." {
		base = ""
	}
	title := PlainText(strings.TrimSuffix(base, extension(base)))
	if title == "" {
		title = PlainText(base)
	}
	if r := []rune(title); len(r) > MaxTitle {
		title = strings.TrimSpace(string(r[:MaxTitle]))
	}
	if title == "" {
		return "Untitled"
	}
	return title
}

// extension is a name's, if it looks like one: a dot and up to five letters and
// digits, not only digits.
func extension(name string) string {
	ext := filepath.Ext(name)
	digits := 0
	for _, r := range strings.TrimPrefix(ext, ".") {
		switch {
		case '0' <= r && r <= '9':
			digits++
		case r > unicode.MaxASCII || !unicode.IsLetter(r):
			return ""
		}
	}
	if n := len(ext) - 1; n < 1 || n > 5 || digits == n {
		return ""
	}
	return ext
}

// PlainText is a text on one line without what cannot be seen: control
// characters, those that turn the direction of writing, and more than one space.
func PlainText(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == '\u200c' || r == '\u200d': // joiners, which scripts and emoji need
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "_"))
	return strings.Join(strings.Fields(text), " ")
}
