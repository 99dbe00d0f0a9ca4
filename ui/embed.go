package ui

import (
	"context"
	"net/http"
	"strings"
)

type embedKey struct{}

// embedded tells whether a page is made for a frame of another site: it then
// has the player or the gate alone, filling the frame.
func embedded(ctx context.Context) bool { return ctx.Value(embedKey{}) != nil }

// embedVideo is watchVideo for a frame of another site.
func (u *UI) embedVideo(w http.ResponseWriter, r *http.Request) {
	u.watchVideo(w, r.WithContext(context.WithValue(r.Context(), embedKey{}, true)))
}

// policyOf is the Content-Security-Policy of the page that answers a request.
func (u *UI) policyOf(r *http.Request) string {
	if !embedded(r.Context()) {
		return policy
	}
	framers := "'none'"
	if len(u.Framers) > 0 {
		framers = "'self' " + strings.Join(u.Framers, " ")
	}
	return strings.Replace(policy, "frame-ancestors 'self'", "frame-ancestors "+framers, 1)
}
