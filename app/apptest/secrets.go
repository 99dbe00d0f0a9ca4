package apptest

import (
	"regexp"
	"testing"
)

// secrets are the shapes of what must never be in a log: tickets in paths,
// logins, API keys, signatures, and JSON fields that carry a secret.
var secrets = map[string]*regexp.Regexp{
	"a ticket":      regexp.MustCompile(`/s/[A-Za-z0-9_-]{40,}`),
	"a login":       regexp.MustCompile(`sw_[A-Za-z0-9_-]{40,}`),
	"an API key":    regexp.MustCompile(`sg_[a-z0-9]{20,}_[A-Z2-7]{20,}`),
	"a webhook key": regexp.MustCompile(`whsec_[A-Za-z0-9+/]{20,}`),
	"a signature":   regexp.MustCompile(`0x[0-9a-fA-F]{128,}`),
	"a secret":      regexp.MustCompile(`"?(password|signature|authorization|cookie)"?[=:]\s?"?[^\s"]{4,}`),
	"a code":        regexp.MustCompile(`[A-Z2-7]{4}(-[A-Z2-7]{4}){3}`),
}

// WantNoSecrets fails the test if a log holds anything that looks like one.
func WantNoSecrets(t testing.TB, log string) {
	t.Helper()
	for what, shape := range secrets {
		if found := shape.FindString(log); found != "" {
			t.Errorf("%s is in the log: %.20s…", what, found)
		}
	}
}
