package gateway

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// What strangers send by mistake is refused in a sentence that says what is
// wrong, and never passed over.
func TestStrangers(t *testing.T) {
	b := newBench(t)
	const videos = "/api/v1/videos"
	long := strings.Repeat("a", 5000)
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code, says               string
	}{
		{"unknown parameter", "GET", videos + "?limt=5", "", nil, 400, "invalid_request", `no parameter "limt"`},
		{"parameter twice", "GET", videos + "?limit=5&limit=6", "", nil, 400, "invalid_request", `"limit" is there 2 times`},
		{"parameter beside a body", "POST", videos + "?title=b", `{"title":"a"}`, nil, 400, "invalid_request", `"title" in its address`},
		{"limit too large", "GET", videos + "?limit=100000", "", nil, 400, "invalid_limit", "1 to 200"},
		{"limit negative", "GET", videos + "?limit=-1", "", nil, 400, "invalid_limit", "1 to 200"},
		{"limit beyond 32 bits", "GET", videos + "?limit=99999999999999999999", "", nil, 400, "invalid_request", `"limit" does not take`},
		{"limit in words", "GET", videos + "?limit=five", "", nil, 400, "invalid_request", `"limit" does not take`},
		{"limit empty", "GET", videos + "?limit=", "", nil, 400, "invalid_request", `"limit" does not take`},
		{"cursor made up", "GET", videos + "?cursor=garbage", "", nil, 400, "invalid_cursor", "cursor"},
		{"cursor of bytes", "GET", videos + "?cursor=%00%ff", "", nil, 400, "invalid_request", `"cursor" is no UTF-8`},
		{"long id", "GET", videos + "/" + long, "", nil, 404, "video_not_found", strings.Repeat("a", 100) + "…"},
		{"slash in an id", "GET", videos + "/a%2Fb", "", nil, 404, "route_not_found", "no such path"},
		{"NUL in an id", "GET", videos + "/a%00b", "", nil, 404, "video_not_found", "no video"},
		{"id of bytes", "GET", videos + "/%ff", "", nil, 400, "invalid_request", `"id" is no UTF-8`},
		{"no id", "GET", videos + "/", "", nil, 404, "route_not_found", "slash"},
		{"field twice", "POST", videos, `{"title":"a","title":"b"}`, nil, 400, "invalid_request", `The field "title" is there twice`},
		{"garbage behind", "POST", videos, `{"title":"a"} x`, nil, 400, "invalid_request", "It is not JSON at line 1"},
		{"half a pair", "POST", videos, `{"title":"\ud800"}`, nil, 400, "invalid_request", "surrogate"},
		{"nothing", "POST", videos, "", nil, 400, "invalid_request", "The body is empty; send a JSON object."},
		{"body of 2 MB", "POST", videos, `{"title":"` + strings.Repeat("a", 2<<20) + `"}`, nil, 413, "body_too_large", "1048576"},
		{"another charset", "POST", videos, `{"title":"a"}`, []string{"Content-Type", "application/json; charset=iso-8859-1"}, 415, "unsupported_media_type", "UTF-8"},
		{"a form", "POST", videos, "title=a", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", "JSON"},
		{"packed", "POST", videos, "x", []string{"Content-Encoding", "gzip"}, 415, "unsupported_encoding", "without Content-Encoding"},
		{"body of GET", "GET", videos, `{"x":1}`, nil, 400, "invalid_request", "takes no body"},
		{"ticket of something", "POST", "/api/v1/events:ticket", `{"x":1}`, nil, 400, "invalid_request", "made of nothing"},
		{"ticket with parameters", "POST", "/api/v1/events:ticket?type=x", "", nil, 400, "invalid_request", "stream's address"},
		{"ticket of 2 MB", "POST", "/api/v1/events:ticket", strings.Repeat("a", 2<<20), nil, 413, "body_too_large", "1048576"},
		{"description changed", "DELETE", "/openapi.json", "", nil, 405, "method_not_allowed", "GET, HEAD, OPTIONS"},
		{"unknown method", "FOO", videos, "", nil, 405, "method_not_allowed", "GET, HEAD, POST, OPTIONS"},
		{"method in a header", "POST", videos + "/x", "", []string{"X-HTTP-Method-Override", "DELETE"}, 405, "method_not_allowed", "GET, HEAD, PATCH, DELETE, OPTIONS"},
		{"for people", "GET", "/api/v1/none", "", []string{"Accept", "text/html"}, 404, "route_not_found", "no such path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := wantProblem(t, b.do("admin", tt.method, tt.path, tt.body, tt.headers...), tt.status, tt.code)
			if !strings.Contains(p.Detail, tt.says) || len(p.Detail) > 300 {
				t.Errorf("it says %q, want %q", p.Detail, tt.says)
			}
		})
	}
}

// HEAD has the header of GET, of problems too.
func TestHeadOfProblem(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/api/v1/videos/none", "/api/v1/none", "/api/v1/videos?limt=5", "/api/v1/auth/login"} {
		get, head := b.do("read", "GET", path, ""), b.do("read", "HEAD", path, "")
		if head.StatusCode != get.StatusCode || head.body != "" || head.Header.Get("Content-Length") != get.Header.Get("Content-Length") {
			t.Errorf("%s: %d with %s bytes, GET has %d with %s", path, head.StatusCode, head.Header.Get("Content-Length"),
				get.StatusCode, get.Header.Get("Content-Length"))
		}
	}
}

// HTTP/1.0 is spoken too.
func TestHTTP10(t *testing.T) {
	b := newBench(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/videos HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n", b.keys["read"])
	answer, err := io.ReadAll(conn) // the server closes the connection
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 200 OK\r\n") || strings.Contains(string(answer), "chunked") ||
		!strings.HasSuffix(string(answer), "}") {
		t.Errorf("%v, %q", err, answer)
	}
}

// Law: the parameters that may be repeated are those that the schema repeats.
func TestRepeatable(t *testing.T) {
	annotated(t, func(m protoreflect.MethodDescriptor, verb, _ string) {
		for i := range m.Input().Fields().Len() {
			if f := m.Input().Fields().Get(i); verb == "get" && f.IsList() && !slices.Contains(repeatable, string(f.Name())) {
				t.Errorf("%s may be repeated, and is refused", f.FullName())
			}
		}
	})
}
