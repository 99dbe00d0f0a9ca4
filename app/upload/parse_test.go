package upload_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/tus/tusd/v2/pkg/handler"

	"streamgate/app/upload"
)

// What our strict parser accepts means the same to tusd, which reads the
// header again.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{"", "a", "a YQ==", "a YQ==,b", " a YQ== , b Yg==", "a YQ==,a Yg==", "a  YQ==", "a\tb", "ä YQ==", "a Y\nQ==", ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := upload.ParseMetadata(header)
		if err != nil {
			return
		}
		if theirs := handler.ParseMetadataHeader(header); !maps.Equal(got, theirs) {
			t.Errorf("%q: %v, tusd %v", header, got, theirs)
		}
		if title, err := upload.TitleFrom(got); err == nil && (title == "" || len([]rune(title)) > 200 || strings.ContainsAny(title, "\x00\n")) {
			t.Errorf("%q: title %q", header, title)
		}
	})
}

func FuzzDigest(f *testing.F) {
	good := digestOf([]byte("x"))
	for _, s := range []string{good, "sha-512=:YQ==:, " + good, good + ",", "sha-256=:YQ==:", "sha-256", "sha-256=::", "=:YQ==:", "sha-256=:" + strings.Repeat("A", 44) + ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := upload.ParseDigest(header)
		if err == nil && (len(got) != 64 || strings.Trim(got, "0123456789abcdef") != "") {
			t.Errorf("%q: %q", header, got)
		}
	})
}

func FuzzChecksum(f *testing.F) {
	for _, s := range []string{"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha256 x", "md5 eA==", "", "sha1", "sha1  Kq5sNclPz7QV2+lfQIuc6R7oRu0="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if upload.ParseChecksum(header) == nil && len(header) != len("sha1 ")+28 && len(header) != len("sha256 ")+44 {
			t.Errorf("%q was accepted", header)
		}
	})
}

func TestTitles(t *testing.T) {
	for _, c := range []struct{ title, file, want string }{
		{"My film", "a.mp4", "My film"},
		{"", "a.mp4", "a"},
		{"", "a.b.mp4", "a.b"},
		{"", ".mp4", ".mp4"},
		{"", `C:\films\a.mp4`, "a"},
		{"", "../../etc/passwd", "passwd"},
		{"", strings.Repeat("ü", 300), strings.Repeat("ü", 200)},
		{"", "", ""}, {"", "/", "Untitled"}, {"", "a\x00b", "ab"}, {"a\nb", "", ""}, {"\xff", "", ""},
	} {
		if got, _ := upload.TitleFrom(map[string]string{"title": c.title, "filename": c.file}); got != c.want {
			t.Errorf("title %q, file %q: %q, want %q", c.title, c.file, got, c.want)
		}
	}
}
