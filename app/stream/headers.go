package stream

import (
	"net/http"
	"strings"
)

// headers are header values made once: assigning a shared slice costs no
// allocation, and nobody writes into it (Header.Add on it would copy, for
// their capacity is one).
type headers struct {
	anyOrigin, exposed, nosniff, noReferrer, ranges []string
	allowMethods, allowHeaders, preflightAge, allow []string
	immutable, list, still                          caching
	gzip, varyEncoding                              []string
	hls, dash, videoMP4, audioMP4, jpeg, vtt        []string
}

// caching is a Cache-Control value for either scope.
type caching struct{ session, public []string }

func (c caching) of(s scope) []string {
	if s == scopePublic {
		return c.public
	}
	return c.session
}

func newHeaders() headers {
	one := func(v string) []string { return []string{v} }
	return headers{
		anyOrigin:    one("*"), // no credentials are involved: the ticket is in the path
		exposed:      one("Content-Length, Content-Range, ETag"),
		nosniff:      one("nosniff"),
		noReferrer:   one("no-referrer"), // a page's links must not carry the ticket on
		ranges:       one("bytes"),
		allow:        one("GET, HEAD, OPTIONS"),
		allowMethods: one("GET, HEAD, OPTIONS"),
		allowHeaders: one("Authorization, Range"),
		preflightAge: one("86400"),

		immutable: caching{one("private, max-age=31536000, immutable"), one("public, max-age=31536000, immutable")},
		// A public list is the same for all, but its rates grow truer while
		// the video is being made, and the video may stop being public.
		list:  caching{one("private, no-cache"), one("public, max-age=2")},
		still: caching{one("private, max-age=3600"), one("public, max-age=3600")},

		gzip: one("gzip"), varyEncoding: one("Accept-Encoding"),
		hls: one("application/vnd.apple.mpegurl"), dash: one("application/dash+xml"),
		videoMP4: one("video/mp4"), audioMP4: one("audio/mp4"), jpeg: one("image/jpeg"), vtt: one("text/vtt; charset=utf-8"),
	}
}

// common sets what every answer has, errors included: without CORS headers a
// page's player could not even see the status.
func (hs *headers) common(h http.Header) {
	h["Access-Control-Allow-Origin"] = hs.anyOrigin
	h["Access-Control-Expose-Headers"] = hs.exposed
	h["X-Content-Type-Options"] = hs.nosniff
	h["Referrer-Policy"] = hs.noReferrer
}

// preflight answers OPTIONS.
func (hs *headers) preflight(w http.ResponseWriter) {
	h := w.Header()
	h["Allow"] = hs.allow
	h["Access-Control-Allow-Methods"] = hs.allowMethods
	h["Access-Control-Allow-Headers"] = hs.allowHeaders
	h["Access-Control-Max-Age"] = hs.preflightAge
	w.WriteHeader(http.StatusNoContent)
}

// plain tells whether a request wants the whole thing whatever it has
// already: no range, no condition.
func plain(h http.Header) bool {
	for _, name := range [...]string{"Range", "If-None-Match", "If-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"} {
		if len(h[name]) > 0 {
			return false
		}
	}
	return true
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3).
func acceptsGzip(h http.Header) bool {
	for _, line := range h["Accept-Encoding"] {
		for line != "" {
			var coding string
			coding, line, _ = strings.Cut(line, ",")
			coding, weight, _ := strings.Cut(coding, ";")
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				return !zeroWeight(weight)
			}
		}
	}
	return false
}

// zeroWeight tells whether a weight parameter is q=0, q=0.0 …
func zeroWeight(param string) bool {
	q, found := strings.CutPrefix(strings.TrimSpace(param), "q=")
	return found && q != "" && strings.Trim(q, "0.") == ""
}
