package files

import (
	"path/filepath"
	"strings"
	"testing"

	"streamgate/store/internal/backend"
)

// FuzzKey looks for a key that leads out of the root, into the temp folder, or
// to another key's file.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{
		"videos/v1/720p/17.m4s", "a", "", "..", "a/../b", "../../etc/passwd", "/etc/passwd", "~tmp/x",
		"a//b", "./a", "a/.", "a\x00b", "..a", "a\\..\\b", "%2e%2e/a", "ａ", strings.Repeat("a/", 128) + "a",
	} {
		f.Add(seed)
	}
	s := &Store{root: "/srv/media", temp: "/srv/media/" + tempName}
	f.Fuzz(func(t *testing.T, key string) {
		path, err := s.path(key)
		if err != nil {
			return
		}
		if len(key) == 0 || len(key) > backend.MaxKey {
			t.Errorf("a key of %d bytes was accepted", len(key))
		}
		if path != s.root+"/"+key {
			t.Errorf("%q became %q", key, path)
		}
		rel, err := filepath.Rel(s.root, path)
		if err != nil || !filepath.IsLocal(rel) || rel == "." || strings.HasPrefix(path, s.temp) {
			t.Errorf("%q leads to %q", key, path)
		}
	})
}
