package console

import "testing"

// TestWalletSite: for which site messages must be, whatever a browser says.
func TestWalletSite(t *testing.T) {
	s, _ := open(t)
	for _, c := range []struct{ site, base, want string }{
		{"https://video.example.org", "https://video.example.org", "https://video.example.org"},
		{"https://video.example.org", "https://evil.example", "https://video.example.org"},
		{"https://video.example.org", "http://localhost:8080", "https://video.example.org"},
		{"http://127.0.0.1:8080", "http://localhost:8080", "http://localhost:8080"},
		{"http://127.0.0.1:8080", "http://[::1]:8080", "http://[::1]:8080"},
		{"http://127.0.0.1:8080", "http://localhost:9999", "http://127.0.0.1:8080"},
		{"http://127.0.0.1:8080", "https://localhost:8080", "http://127.0.0.1:8080"},
		{"http://127.0.0.1:8080", "http://evil.example:8080", "http://127.0.0.1:8080"},
		{"http://127.0.0.1:8080/tv", "http://localhost:8080/tv", "http://localhost:8080/tv"},
		{"http://127.0.0.1:8080", "http://user@localhost:8080", "http://127.0.0.1:8080"},
		{"http://127.0.0.1:8080", "://", "http://127.0.0.1:8080"},
	} {
		s.Site = func() string { return c.site }
		if got := s.walletSite(c.base); got != c.want {
			t.Errorf("at %s, a browser at %s is asked to sign for %s", c.site, c.base, got)
		}
	}
}
