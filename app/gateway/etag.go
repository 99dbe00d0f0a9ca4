package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"streamgate/app/rpc"
)

// conditional answers what has an ETag: whatever can be read and changed at
// one path (videos, tasks, rules). The tag is of the representation, so it
// needs no store. Changes of one path are made one at a time, so that between
// the look at If-Match and the change no other change of it comes.
type conditional struct {
	routes  routes
	changes [64]sync.Mutex // by path
}

// changing tells whether a request is for a resource that can be read and
// changed, and whether it changes it.
func (c *conditional) changing(r *http.Request) (tagged, changes bool) {
	methods := c.routes.allow(r.URL.Path)
	if !slices.Contains(methods, http.MethodGet) {
		return false, false
	}
	for _, m := range []string{http.MethodPatch, http.MethodPut, http.MethodDelete} {
		tagged = tagged || slices.Contains(methods, m)
		changes = changes || r.Method == m
	}
	return tagged, changes
}

// serve runs a request with its preconditions (RFC 9110 §13).
func (c *conditional) serve(r *http.Request, body []byte, do call) *response {
	tagged, changes := c.changing(r)
	switch {
	case !tagged:
		return do(r, body)
	case !changes:
		return c.read(r, body, do)
	}
	lock := &c.changes[len(c.changes)-1-int(sum(r.URL.Path))%len(c.changes)]
	lock.Lock()
	defer lock.Unlock()
	if refused := c.refused(r, do); refused != nil {
		return refused
	}
	resp := do(r, body)
	tag(resp)
	return resp
}

// read answers 304 to who has the representation already.
func (c *conditional) read(r *http.Request, body []byte, do call) *response {
	resp := do(r, body)
	tag(resp)
	etag := resp.header.Get("ETag")
	if etag == "" {
		return resp
	}
	if names(r.Header.Values("If-None-Match"), etag, true) {
		resp.status = http.StatusNotModified
		resp.body.Reset()
		resp.header.Del("Content-Type")
	}
	return resp
}

// refused is the answer to a change whose precondition does not hold; nil if
// it holds, or there is none.
func (c *conditional) refused(r *http.Request, do call) *response {
	match, none := r.Header.Values("If-Match"), r.Header.Values("If-None-Match")
	if len(match)+len(none) == 0 {
		return nil
	}
	look := r.Clone(r.Context())
	look.Method, look.URL.RawQuery = http.MethodGet, ""
	now := do(look, nil)
	exists := now.status == http.StatusOK
	if !exists && now.status != http.StatusNotFound { // who may not read may not ask
		return now
	}
	tag(now)
	etag := now.header.Get("ETag")
	var detail string
	switch {
	case len(match) > 0 && (!exists || !names(match, etag, false)):
		detail = "It was changed since you read it (If-Match): read it again, and decide anew."
	case len(none) > 0 && exists && names(none, etag, true):
		detail = "It is there already (If-None-Match)."
	default:
		return nil
	}
	out := newResponse()
	rpc.WriteStatus(out, r, http.StatusPreconditionFailed, "precondition_failed", detail)
	if etag != "" {
		out.header.Set("ETag", etag)
	}
	return out
}

// tag gives a success its ETag.
func tag(resp *response) {
	if resp.status == http.StatusOK {
		resp.header.Set("ETag", `"`+hash(resp.body.String())[:32]+`"`)
		resp.header.Set("Cache-Control", "private, no-cache")
	}
}

// names tells whether a list of entity tags has one. A weak tag names nothing
// where the strong comparison is asked for.
func names(lists []string, etag string, weak bool) bool {
	for _, t := range strings.Split(strings.Join(lists, ","), ",") {
		t = strings.TrimSpace(t)
		if weak {
			t = strings.TrimPrefix(t, "W/")
		}
		if t == "*" || t == etag {
			return true
		}
	}
	return false
}

func sum(text string) (n uint32) {
	for _, c := range []byte(text) {
		n = n*31 + uint32(c)
	}
	return n
}

// agree refuses a body that names another resource than the path does.
func (r routes) agree(path string, body []byte) error {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil // the decoder says it better
	}
	for _, rt := range r.rest {
		match := rt.path.FindStringSubmatch(path)
		for i, variable := range rt.path.SubexpNames() {
			if match == nil || variable == "" || fields[variable] == nil {
				continue
			}
			want, _ := json.Marshal(match[i]) // text always encodes
			if got := fields[variable]; !bytes.Equal(got, want) {
				return rpc.Invalid("id_mismatch", "The body says that %s is %s, the path says %s: leave it out of the body.",
					variable, short(got), fmt.Sprintf("%q", match[i]))
			}
		}
	}
	return nil
}

// short is the beginning of a text.
func short(text []byte) string {
	if len(text) > 60 {
		return string(text[:60]) + "…"
	}
	return string(text)
}
