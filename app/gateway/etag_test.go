package gateway

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestETag(t *testing.T) {
	b := newBench(t)
	made := b.do("operator", "POST", "/api/v1/videos", `{"title":"one"}`)
	path := "/api/v1/videos/" + made.json(t)["id"].(string)
	got := b.do("read", "GET", path, "")
	etag := got.Header.Get("ETag")
	if !strings.HasPrefix(etag, `"`) || len(etag) != 34 {
		t.Fatalf("ETag %q", etag)
	}
	for _, tt := range []struct {
		name, scope, method, path, body, header, value string
		status                                         int
	}{
		{"has it", "read", "GET", path, "", "If-None-Match", etag, 304},
		{"has it, weakly", "read", "HEAD", path, "", "If-None-Match", `"x", W/` + etag, 304},
		{"has another", "read", "GET", path, "", "If-None-Match", `"x"`, 200},
		{"stale change", "operator", "PATCH", path, `{"title":"two"}`, "If-Match", `"x"`, 412},
		{"weak tag", "operator", "PATCH", path, `{"title":"two"}`, "If-Match", "W/" + etag, 412},
		{"stale deletion", "operator", "DELETE", path, "", "If-Match", `"x"`, 412},
		{"of nothing", "operator", "PATCH", path + "0", `{"title":"two"}`, "If-Match", "*", 412},
		{"a stranger's", "", "PATCH", path, `{"title":"two"}`, "If-Match", `"x"`, 401},
		{"a reader's", "read", "PATCH", path, `{"title":"two"}`, "If-Match", etag, 403},
		{"fresh, changes nothing", "operator", "PATCH", path, `{}`, "If-Match", etag, 200},
		{"without a body", "operator", "PATCH", path, "", "If-Match", etag, 200},
		{"fresh", "operator", "PATCH", path, `{"title":"two"}`, "If-Match", `"x", ` + etag, 200},
		{"used up", "operator", "PATCH", path, `{"title":"three"}`, "If-Match", etag, 412},
		{"new rule", "operator", "PUT", "/api/v1/rules/r", `{"rule":{"wallets":["0x00000000000000000000000000000000000000aa"]}}`, "If-None-Match", "*", 200},
		{"rule that is there", "operator", "PUT", "/api/v1/rules/r", `{"rule":{"wallets":["0x00000000000000000000000000000000000000aa"]}}`, "If-None-Match", "*", 412},
		{"lists have none", "read", "GET", "/api/v1/videos", "", "If-None-Match", "*", 200},
	} {
		r := b.do(tt.scope, tt.method, tt.path, tt.body, tt.header, tt.value)
		if r.StatusCode != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, r.StatusCode, r.body, tt.status)
		}
		if tt.status == 304 && (r.body != "" || r.Header.Get("ETag") != etag) {
			t.Errorf("%s: %q %v", tt.name, r.body, r.Header)
		}
		if tt.status == 412 {
			wantProblem(t, r, 412, "precondition_failed")
		}
	}
	// What a change answers is what a read would.
	changed := b.do("operator", "PATCH", path, `{"title":"four"}`)
	if now := b.do("read", "GET", path, ""); now.Header.Get("ETag") != changed.Header.Get("ETag") || now.Header.Get("ETag") == etag {
		t.Errorf("ETag %q after the change, then %q", changed.Header.Get("ETag"), now.Header.Get("ETag"))
	}
}

// Of those who change the same version at once one wins.
func TestIfMatchIsAtomic(t *testing.T) {
	b := newBench(t)
	path := "/api/v1/videos/" + b.do("operator", "POST", "/api/v1/videos", `{"title":"one"}`).json(t)["id"].(string)
	etag := b.do("read", "GET", path, "").Header.Get("ETag")
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if b.do("operator", "PATCH", path, `{"title":"two"}`, "If-Match", etag).StatusCode == http.StatusOK {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d changes of one version", won.Load())
	}
}

func TestBodiesThatCannotBeRead(t *testing.T) {
	b := newBench(t)
	path := "/api/v1/videos/" + b.do("operator", "POST", "/api/v1/videos", `{"title":"one"}`).json(t)["id"].(string)
	for body, want := range map[string]string{
		`{"titel":"x"}`:              `There is no field "titel" here (line 1, column 2).`,
		`{"title":5}`:                `The field "title" takes a text in quotation marks, not 5.`,
		`{"public":"yes"}`:           `The field "public" takes true or false, not "yes".`,
		`{"title":"a", "title":"b"}`: `The field "title" is there twice (line 1, column 15).`,
		`[]`:                         `A JSON object was expected, and something else begins at line 1, column 1: [.`,
		`{"title":`:                  `The JSON ends too early, or has half of a surrogate pair (\ud800).`,
		`{"id":"other"}`:             `The body says that id is "other", the path says "` + strings.TrimPrefix(path, "/api/v1/videos/") + `": leave it out of the body.`,
	} {
		r := b.do("operator", "PATCH", path, body)
		if got := r.json(t)["detail"]; r.StatusCode != http.StatusBadRequest || got != want {
			t.Errorf("%s: %d %v, want %s", body, r.StatusCode, got, want)
		}
	}
	for query, want := range map[string]string{
		"?limt=1":  `There is no parameter "limt" here.`,
		"?limit=x": `The parameter "limit" does not take that value`,
	} {
		r := b.do("operator", "GET", "/api/v1/videos"+query, "")
		if got, _ := r.json(t)["detail"].(string); r.StatusCode != http.StatusBadRequest || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %d %v, want %s", query, r.StatusCode, got, want)
		}
	}
	same := `{"id":"` + strings.TrimPrefix(path, "/api/v1/videos/") + `","title":"two"}`
	if r := b.do("operator", "PATCH", path, same); r.StatusCode != http.StatusOK {
		t.Errorf("the path's own id: %d %s", r.StatusCode, r.body)
	}
}
