package gateway

import (
	"net/http"
	"strings"
	"testing"
)

// ask sends a request with headers of its own, without a key.
func (b *bench) ask(method, path string, headers map[string]string) *http.Response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// OPTIONS says what a path takes, to everybody.
func TestOptions(t *testing.T) {
	b := newBench(t)
	for path, want := range map[string]string{
		"/api/v1/videos":                       "GET, HEAD, POST, OPTIONS",
		"/api/v1/videos/x":                     "GET, HEAD, PATCH, DELETE, OPTIONS",
		"/api/v1/videos/x/source":              "PUT, OPTIONS",
		"/api/v1/tasks/x":                      "GET, HEAD, PATCH, OPTIONS",
		"/api/v1/tasks/x:cancel":               "POST, OPTIONS",
		"/api/v1/uploads":                      "GET, HEAD, POST, OPTIONS",
		"/api/v1/events":                       "GET, HEAD, OPTIONS",
		"/openapi.json":                        "GET, HEAD, OPTIONS",
		"/streamgate.Library/GetVideo":         "GET, POST, OPTIONS",
		"/streamgate.Library/CreateVideo":      "POST, OPTIONS",
		"/grpc.health.v1.Health/Check":         "POST, OPTIONS",
		"/streamgate.Library/GetFilm":          "",
		"/api/v1/nothing":                      "",
		"/api/v1/videos/x:cancel":              "",
		"/api/v1/videos/x/source/of/the/river": "",
	} {
		r := b.ask("OPTIONS", path, nil)
		status := http.StatusNoContent
		if want == "" {
			status = http.StatusNotFound
		}
		if r.StatusCode != status || r.Header.Get("Allow") != want || r.Header.Get(requestIDHeader) == "" {
			t.Errorf("%s: %d, Allow %q, want %d, %q", path, r.StatusCode, r.Header.Get("Allow"), status, want)
		}
		if got := r.Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s lets %s in", path, got)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	const app, other = "https://app.example.org", "https://app.example.org.evil.example"
	for _, tt := range []struct {
		allowed      []string
		origin, want string
	}{
		{nil, app, ""},
		{[]string{app}, app, app},
		{[]string{app}, other, ""},
		{[]string{app}, "http://app.example.org", ""},
		{[]string{app}, "null", ""},
		{[]string{"*"}, other, "*"},
	} {
		b := newBench(t, func(c *Config) { c.AllowedOrigins = tt.allowed })
		for _, path := range []string{"/api/v1/videos/x", "/streamgate.Library/GetVideo"} {
			r := b.ask("OPTIONS", path, map[string]string{
				"Origin": tt.origin, "Access-Control-Request-Method": "POST",
				"Access-Control-Request-Headers": "authorization,content-type,upload-offset",
			})
			if got := r.Header.Get("Access-Control-Allow-Origin"); got != tt.want || r.StatusCode != http.StatusNoContent {
				t.Errorf("%v, preflight of %s from %s: %d, allows %q", tt.allowed, path, tt.origin, r.StatusCode, got)
			}
			if ok := r.Header.Get("Access-Control-Allow-Headers") != ""; ok != (tt.want != "") {
				t.Errorf("%v: headers %v", tt.allowed, r.Header)
			}
		}
		// A refusal can be read by those who may ask.
		r := b.ask("GET", "/api/v1/videos/x", map[string]string{"Origin": tt.origin, "Authorization": "Bearer " + b.keys["read"]})
		if got := r.Header.Get("Access-Control-Allow-Origin"); got != tt.want || r.StatusCode != http.StatusNotFound {
			t.Errorf("%v, from %s: %d, allows %q", tt.allowed, tt.origin, r.StatusCode, got)
		}
		if exposed := r.Header.Get("Access-Control-Expose-Headers"); tt.want != "" && !strings.Contains(exposed, "Location") {
			t.Errorf("exposes %q", exposed)
		}
		if got := r.Header.Get("Access-Control-Allow-Credentials"); got != "" {
			t.Errorf("cookies of %s count: %q", tt.origin, got)
		}
	}
}
