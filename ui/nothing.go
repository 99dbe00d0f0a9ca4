package ui

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"streamgate/app/rpc"
)

// withoutSlash leads to the same path without the slash at its end.
func withoutSlash(w http.ResponseWriter, r *http.Request) {
	// Relative, for a proxy may stand before the node: /watch/ID/ → ../ID.
	to := "../" + url.PathEscape(path.Base(r.URL.Path))
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusPermanentRedirect)
}

// nothing answers what no part of the node does: people get a page, programs a
// problem. What is there, but not for that method, says so.
func (u *UI) nothing(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		get := *r
		get.Method = http.MethodGet
		_, pattern := mux.Handler(&get)
		there := pattern != "" && pattern != "/"
		w.Header().Set("Vary", "Accept")
		if !there && strings.Contains(r.Header.Get("Accept"), "text/html") && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			u.refuse(w, r, http.StatusNotFound, "There is no such page", "The link may not be complete. What can be watched here is listed on the first page.")
			return
		}
		r = u.traced(r)
		if there {
			w.Header().Set("Allow", "GET, HEAD")
			rpc.WriteStatus(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "A page can only be read: use GET.")
			return
		}
		rpc.WriteStatus(w, r, http.StatusNotFound, "route_not_found", "There is no such path; /openapi.json lists those of the API.")
	}
}

// traced gives a request that may be answered by a problem the id that it tells.
func (u *UI) traced(r *http.Request) *http.Request {
	return r.WithContext(rpc.WithTrace(r.Context(), rpc.NewTraceID(), u.Log))
}
