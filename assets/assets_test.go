package assets

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// types is what browsers must be told of each file.
var types = map[string]string{
	"hls.min.js":    "text/javascript; charset=utf-8",
	"api.js":        "text/javascript; charset=utf-8",
	"session.js":    "text/javascript; charset=utf-8",
	"memory.js":     "text/javascript; charset=utf-8",
	"mediakeys.js":  "text/javascript; charset=utf-8",
	"share.js":      "text/javascript; charset=utf-8",
	"watch.js":      "text/javascript; charset=utf-8",
	"wallet.js":     "text/javascript; charset=utf-8",
	"gate.js":       "text/javascript; charset=utf-8",
	"demo.js":       "text/javascript; charset=utf-8",
	"watch.css":     "text/css; charset=utf-8",
	"gate.css":      "text/css; charset=utf-8",
	"icon.svg":      "image/svg+xml",
	"htmx.min.js":   "text/javascript; charset=utf-8",
	"hx-sse.min.js": "text/javascript; charset=utf-8",
	"tus.min.js":    "text/javascript; charset=utf-8",
	"console.js":    "text/javascript; charset=utf-8",
	"passkeys.js":   "text/javascript; charset=utf-8",

	"consolewallet.js": "text/javascript; charset=utf-8",
	"dashplayer.js":    "text/javascript; charset=utf-8",

	"dash.mediaplayer.min.js": "text/javascript; charset=utf-8",

	"charts.js": "text/javascript; charset=utf-8",

	"uPlot.iife.min.js": "text/javascript; charset=utf-8",
	"uPlot.min.css":     "text/css; charset=utf-8",

	"console.css": "text/css; charset=utf-8",
	"docs.js":     "text/javascript; charset=utf-8",

	"swagger-ui-bundle.js": "text/javascript; charset=utf-8",
	"swagger-ui.css":       "text/css; charset=utf-8",
}

func load(t *testing.T) *Set {
	t.Helper()
	set, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// embedded is every embedded file's bytes by logical name.
func embedded(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if path.Ext(name) == packedExt {
			zip, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				return err
			}
			body = read(t, zip)
		}
		out[strings.TrimSuffix(path.Base(name), packedExt)] = body
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ask(set *Set, method, url, accept string) *http.Response {
	r := httptest.NewRequest(method, url, nil)
	if accept != "" {
		r.Header.Set("Accept-Encoding", accept)
	}
	w := httptest.NewRecorder()
	set.ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRoot: pages of a site that lies under a path refer to files there; the
// proxy has taken the path off when they are asked for.
func TestRoot(t *testing.T) {
	set := load(t)
	plain := set.Path("watch.js")
	set.Root = "/tv"
	if got := set.Path("watch.js"); got != "/tv"+plain {
		t.Errorf("under /tv the path is %s, without %s", got, plain)
	}
	if resp := ask(set, http.MethodGet, plain, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", plain, resp.Status)
	}
}

// TestPath: a name changes with the bytes, so that it may be kept for ever.
func TestPath(t *testing.T) {
	set := load(t)
	form := regexp.MustCompile(`^/assets/[a-zA-Z.-]+\.[0-9a-f]{12}\.[a-z]+$`)
	for name := range embedded(t) {
		got := set.Path(name)
		body, err := files.ReadFile("src/" + name)
		if err != nil {
			body, err = files.ReadFile("dist/" + name + packedExt)
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		if !form.MatchString(got) || !strings.Contains(got, "."+hex.EncodeToString(sum[:6])+".") {
			t.Errorf("%s is served at %s, which does not carry its hash %x", name, got, sum[:6])
		}
	}
}

func TestServe(t *testing.T) {
	set := load(t)
	all := embedded(t)
	if len(all) != len(types) {
		t.Errorf("%d files are embedded, %d are known to this test", len(all), len(types))
	}
	for name, body := range all {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, accept := range []string{"", "gzip"} {
				t.Run(strings.Join([]string{name, method, accept}, " "), func(t *testing.T) {
					checkAnswer(t, ask(set, method, set.Path(name), accept), method, accept, types[name], body)
				})
			}
		}
	}
}

func checkAnswer(t *testing.T, answer *http.Response, method, coding, mimeType string, body []byte) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type":           mimeType,
		"Content-Encoding":       coding,
		"Cache-Control":          "public, max-age=31536000, immutable",
		"X-Content-Type-Options": "nosniff",
		"Vary":                   "Accept-Encoding",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	sent := read(t, answer.Body)
	if answer.StatusCode != http.StatusOK {
		t.Errorf("status %d", answer.StatusCode)
	}
	if method == http.MethodHead {
		if n, _ := strconv.Atoi(answer.Header.Get("Content-Length")); len(sent) > 0 || n == 0 {
			t.Errorf("HEAD sends %d bytes and announces %d", len(sent), n)
		}
		return
	}
	if n := answer.Header.Get("Content-Length"); n != strconv.Itoa(len(sent)) {
		t.Errorf("Content-Length %s for %d bytes", n, len(sent))
	}
	if coding == "gzip" {
		zip, err := gzip.NewReader(bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		sent = read(t, zip)
	}
	if !bytes.Equal(sent, body) {
		t.Errorf("%d bytes arrive that are not the file's %d", len(sent), len(body))
	}
}

func TestCoding(t *testing.T) {
	set := load(t)
	for accept, want := range map[string]string{
		"": "", "identity": "", "br": "", "x-gzip": "", "gzip;q=0": "", "br, gzip; q=0.000": "",
		"gzip": "gzip", "GZIP": "gzip", "br, gzip": "gzip", "deflate,gzip ;q=0.5": "gzip",
	} {
		answer := ask(set, http.MethodGet, set.Path("watch.css"), accept)
		if got := answer.Header.Get("Content-Encoding"); got != want {
			t.Errorf("asked with %q, it is coded %q, want %q", accept, got, want)
		}
	}
}

// TestTogether: many browsers may be the first to ask.
func TestTogether(t *testing.T) {
	set := load(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if answer := ask(set, http.MethodGet, set.Path("watch.js"), "gzip"); answer.StatusCode != http.StatusOK {
				t.Errorf("status %d", answer.StatusCode)
			}
		})
	}
	wg.Wait()
}

// TestTypesAreOurs: the machine's table of file types has no say, since
// browsers run no script of another type.
func TestTypesAreOurs(t *testing.T) {
	if err := mime.AddExtensionType(".js", "text/plain"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mime.AddExtensionType(".js", types["watch.js"]) })
	set := load(t)
	if got := ask(set, http.MethodGet, set.Path("watch.js"), "").Header.Get("Content-Type"); got != types["watch.js"] {
		t.Errorf("a script is served as %s", got)
	}
}

func TestUnknown(t *testing.T) {
	set := load(t)
	for _, url := range []string{
		Prefix, Prefix + "watch.js", Prefix + "src/watch.js", Prefix + "watch.000000000000.js", Prefix + "../assets.go",
		set.Path("watch.js") + "/", set.Path("missing.js"), set.Path(""), set.Path("../src/watch.js"),
	} {
		answer := ask(set, http.MethodGet, url, "")
		if answer.StatusCode != http.StatusNotFound || answer.Header.Get("Cache-Control") != "" {
			t.Errorf("%s: status %d, Cache-Control %q", url, answer.StatusCode, answer.Header.Get("Cache-Control"))
		}
	}
}

// TestSources: our own files keep to the policy of the pages: no inline script
// or style, no code from text, nothing from other origins.
func TestSources(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		"an inline handler":   regexp.MustCompile(`(?i)[\s"'` + "`" + `]on[a-z]+\s*=\s*["']|setAttribute\(\s*["']on`),
		"an inline style":     regexp.MustCompile(`(?i)\sstyle\s*=\s*["']|setAttribute\(\s*["']style|<style|cssText`),
		"an inline script":    regexp.MustCompile(`(?i)<script|javascript:`),
		"code made from text": regexp.MustCompile(`\beval\(|new Function|(?:inner|outer)HTML|insertAdjacentHTML|document\.write|set(?:Timeout|Interval)\(\s*["'` + "`]"),
		"another origin":      regexp.MustCompile(`(?i)(?:https?:|["'(])//|@import`),
	}
	sources, err := fs.Glob(files, "src/*")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d sources: %v", len(sources), err)
	}
	for _, name := range sources {
		body, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(body), `xmlns="http://www.w3.org/2000/svg"`, "") // a name, not an address
		for what, form := range forbidden {
			if found := form.FindString(text); found != "" {
				t.Errorf("%s has %s: %q", name, what, found)
			}
		}
	}
}
