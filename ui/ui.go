package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/a-h/templ"

	"streamgate/app/rpc"
	"streamgate/assets"
	"streamgate/store"
)

// Config is what the pages need.
type Config struct {
	Library rpc.LibraryClient
	// Ticket checks a playback ticket and returns its video's id. A
	// *stream.EndedError is told to the viewer; store.ErrUnavailable: it cannot be
	// known now.
	Ticket func(token string, now time.Time) (videoID string, err error)
	Assets *assets.Set
	// BaseURL is what absolute links in the answer to a request begin with;
	// "" if it does not tell.
	BaseURL func(*http.Request) string
	// Framers are the origins whose pages may show /embed/ in a frame.
	Framers []string
	// DemoChain is the URL of a development chain's JSON-RPC: gates then offer
	// its wallets, and a button that hands its token over. Empty: they do not.
	DemoChain string
	Log       *slog.Logger
}

// UI serves the pages.
type UI struct{ Config }

// New returns the pages.
func New(cfg Config) *UI { return &UI{cfg} }

// Routes mounts every page: the URL space of people on one screen.
func (u *UI) Routes(mux *http.ServeMux) {
	mux.Handle("GET "+assets.Prefix, u.Assets)
	mux.HandleFunc("GET /{$}", u.home)                   // what can be watched here
	mux.HandleFunc("GET /watch/{id}", u.watchVideo)      // a public video, or the gate of one
	mux.HandleFunc("GET /watch/{id}/{$}", withoutSlash)  // as some write it
	mux.HandleFunc("GET /s/{token}/{$}", u.watchSession) // a video with a session's ticket
	mux.HandleFunc("GET /embed/{id}", u.embedVideo)      // the player alone, for frames of other sites
	mux.HandleFunc("GET /embed/{id}/{$}", withoutSlash)
	mux.HandleFunc("GET /oembed", u.oembed) // what sites ask that show a link to a video
	mux.HandleFunc("GET /docs", u.docs)     // the API's description, to read and to try
	mux.HandleFunc("GET /docs/{$}", withoutSlash)
	mux.HandleFunc("/", u.nothing(mux)) // what is none of all that
}

// policy is the Content-Security-Policy of every page that sets no other.
// Media Source Extensions play from blob: URLs; stills are images, and so are
// the icons of wallets (data:).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"

// render writes a page whole, or a plain error if its template fails.
func (u *UI) render(w http.ResponseWriter, r *http.Request, status int, page templ.Component) {
	h := w.Header()
	if h.Get("Content-Security-Policy") == "" {
		h.Set("Content-Security-Policy", u.policyOf(r))
	}
	h.Set("Referrer-Policy", "no-referrer") // a ticket is in the path
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-cache")
	templ.Handler(page, templ.WithStatus(status), templ.WithErrorHandler(func(_ *http.Request, err error) http.Handler {
		u.Log.Error("render a page", "err", err)
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "The page cannot be shown; the node's log says why.", http.StatusInternalServerError)
		})
	})).ServeHTTP(w, r)
}

// refuse shows a page that says what is wrong and what to do.
func (u *UI) refuse(w http.ResponseWriter, r *http.Request, status int, title, detail string) {
	u.render(w, r, status, layout(u.Assets, title, notice(title, detail)))
}

// cannot answers a page that could not be made: 503 if a store cannot be reached
// now, else 500.
func (u *UI) cannot(w http.ResponseWriter, r *http.Request, err error, detail string) {
	if errors.Is(err, store.ErrUnavailable) || connect.CodeOf(err) == connect.CodeUnavailable {
		rpc.RetryAfter(w.Header(), retryPage)
		u.refuse(w, r, http.StatusServiceUnavailable, "Not just now", detail+" Try again in a moment.")
		return
	}
	u.Log.Error("make a page", "path", r.Pattern, "err", err)
	u.refuse(w, r, http.StatusInternalServerError, "Something went wrong", detail)
}

// retryPage is after how long a page is worth another try.
const retryPage = 2 * time.Second

// system is the context in which a page reads for everybody: what may be
// shown is decided by the page's own gate.
func system(r *http.Request) context.Context { return rpc.System(r.Context()) }
