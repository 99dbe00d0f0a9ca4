package cluster

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"consul://127.0.0.1:8500":                  {Host: "127.0.0.1:8500", Prefix: "streamgate"},
		"consul://127.0.0.1":                       {Host: "127.0.0.1:8500", Prefix: "streamgate"},
		"consul://consul.example?tls=true":         {Host: "consul.example:8501", TLS: true, Prefix: "streamgate"},
		"consul://:s%2Fecret@h:1/films-2?tls=":     {Host: "h:1", Token: "s/ecret", Prefix: "films-2"},
		"consul://[::1]:8500/films/":               {Host: "[::1]:8500", Prefix: "films"},
		"consul://:token@h:8500?tls=false":         {Host: "h:8500", Token: "token", Prefix: "streamgate"},
		"consul://":                                {},
		"127.0.0.1:8500":                           {},
		"http://127.0.0.1:8500":                    {},
		"consul://user:secret@h":                   {},
		"consul://:secret@h:0":                     {},
		"consul://:secret@h:99999":                 {},
		"consul://:secret@h/a/b":                   {},
		"consul://:secret@h/Films":                 {},
		"consul://:secret@h/1films":                {},
		"consul://:secret@h/?tls=yes":              {},
		"consul://:secret@h/?dc=secret":            {},
		"consul://:secret@h/#x":                    {},
		"consul://:sec%zzret@h":                    {},
		"consul:h":                                 {},
		"consul://h/" + strings.Repeat("long", 11): {},
	} {
		got, err := ParseAddress(text)
		if got != want || (err == nil) != (want.Host != "") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the secret: %v", text, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("consul://:token@127.0.0.1:8500/films?tls=true")
	f.Add("consul://[::1]")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err == nil && (a.Host == "" || !deployment.MatchString(a.Prefix)) {
			t.Errorf("%q: %+v", text, a)
		}
	})
}
