package media

import (
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// soundName is how players call sound in a language: by its name in English
// and in the language itself.
func soundName(tag string) string {
	parsed, err := language.Parse(languageTag(tag))
	if err != nil || parsed == language.Und {
		return "Sound"
	}
	english, own := display.English.Tags().Name(parsed), display.Self.Name(parsed)
	switch {
	case english == "":
		return "Sound"
	case own == "" || own == english:
		return english
	}
	return english + " (" + own + ")"
}

// iso639 maps the three-letter codes of containers (ISO 639-2, both kinds) to
// the two-letter ones that BCP 47 prefers.
const iso639 = "ara ar bel be bul bg cat ca ces cs chi zh cmn zh cze cs dan da deu de dut nl ell el eng en est et " +
	"eus eu fas fa fin fi fra fr fre fr ger de gle ga gre el heb he hin hi hrv hr hun hu ice is ind id isl is ita it " +
	"jpn ja kor ko lav lv lit lt may ms msa ms nld nl nno nn nob nb nor no per fa pol pl por pt ron ro rum ro rus ru " +
	"slk sk slo sk slv sl spa es srp sr swe sv tam ta tel te tha th tur tr ukr uk urd ur vie vi zho zh"

// bcp47 turns a container's language tag into one for players: two letters
// where there are two, lower case; "" for none or nonsense.
func bcp47(tag string) string {
	tag = strings.ToLower(strings.TrimSpace(tag))
	if len(tag) < 2 || len(tag) > 16 || tag == "und" || tag == "mis" || tag == "mul" || tag == "zxx" {
		return ""
	}
	for i, c := range []byte(tag) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i < 2 || c != '-' && (c < '0' || c > '9')) {
			return ""
		}
	}
	if len(tag) != 3 {
		return tag
	}
	words := strings.Fields(iso639)
	for i := 0; i+1 < len(words); i += 2 {
		if words[i] == tag {
			return words[i+1]
		}
	}
	return tag
}
