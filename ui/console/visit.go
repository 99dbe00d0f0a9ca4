package console

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"
	"github.com/a-h/templ"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/store"
)

// policy is the Content-Security-Policy of every page. The player is a page of
// this node in a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// visit is one request of somebody.
type visit struct {
	*Console
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context // with the person's identity
	person  store.Person    // "" before sign-in
	session store.ConsoleSession
}

func (v *visit) role() console.Role { return console.Role(v.person.Role) }

// may tells whether the person has at least the role.
func (v *visit) may(role console.Role) bool { return v.role().Includes(role) }

// guard answers a route: for whom it is, and from where.
func (c *Console) guard(route route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		r = r.WithContext(context.WithValue(r.Context(), rootKey{}, c.Assets.Root))
		v := &visit{Console: c, w: w, r: r}
		v.ctx = rpc.WithIdentity(r.Context(), rpc.Identity{Client: c.client(r)})
		if err := c.origin.Check(r); err != nil {
			v.refuse(http.StatusForbidden, "This came from another site", "A page of another site has sent this request; nothing was changed.")
			return
		}
		if !route.stream {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		}
		if v.identify() || route.need == "" {
			v.enter(route)
			return
		}
		v.signInFirst()
	}
}

// identify finds out who has signed in.
func (v *visit) identify() bool {
	token := v.cookieValue(v.r, cookieName)
	if token == "" {
		return false
	}
	person, session, err := v.People.Visit(v.ctx, token)
	if err != nil {
		if connect.CodeOf(err) != connect.CodeUnauthenticated {
			v.Log.Error("look up a console session", "err", err)
		}
		return false
	}
	v.person, v.session = person, session
	v.ctx = rpc.WithIdentity(v.r.Context(), rpc.Identity{
		Scope: console.Role(person.Role).Scope(), Person: person.Name, Client: v.client(v.r),
	})
	v.r = v.r.WithContext(v.ctx)
	return true
}

func (v *visit) enter(route route) {
	if route.need != "" && !v.may(route.need) {
		v.refuse(http.StatusForbidden, "You may not do this",
			"This needs the role "+string(route.need)+"; you have "+v.person.Role+". Ask an admin.")
		return
	}
	route.serve(v)
}

// signInFirst sends a person to the sign-in and then back here. What is no page
// is refused plainly: scripts and uploads cannot follow.
func (v *visit) signInFirst() {
	if strings.HasPrefix(v.r.URL.Path, "/console/api/") || v.r.URL.Path == eventsPath {
		http.Error(v.w, "You are not signed in.", http.StatusUnauthorized)
		return
	}
	to := "/console/sign-in"
	if v.r.Method == http.MethodGet || v.r.Method == http.MethodHead {
		to += "?to=" + url.QueryEscape(v.r.URL.RequestURI())
	} else if from, err := url.Parse(v.r.Referer()); err == nil && from.Path != "" {
		to += "?to=" + url.QueryEscape(local(strings.TrimPrefix(from.RequestURI(), v.Assets.Root)))
	}
	if v.r.Header.Get("HX-Request") != "" { // a live part: the whole page must go there
		v.w.Header().Set("HX-Redirect", at(v.ctx, to))
		v.w.WriteHeader(http.StatusNoContent)
		return
	}
	v.redirect(to)
}

// redirect sends the browser to a path of this node.
func (v *visit) redirect(to string) {
	http.Redirect(v.w, v.r, at(v.ctx, to), http.StatusSeeOther)
}

// page shows a page in the frame, with the scripts that it needs besides.
func (v *visit) page(status int, title, active string, body templ.Component, extras ...string) {
	f := v.newFrame(title, active)
	f.Extras = extras
	v.render(status, frame(f, body))
}

// bare shows a page without navigation: before sign-in.
func (v *visit) bare(status int, title string, body templ.Component) {
	v.bareWith(status, title, body)
}

func (v *visit) bareWith(status int, title string, body templ.Component, extras ...string) {
	v.render(status, bareFrame(frameView{Assets: v.Assets, Title: title, Said: v.takeFlash(), Extras: extras}, body))
}

// refuse shows what is wrong and what to do.
func (v *visit) refuse(status int, title, detail string) {
	if v.person.Name == "" {
		v.bare(status, title, notice(title, detail))
		return
	}
	v.page(status, title, "", notice(title, detail))
}

// fail shows an error as a page.
func (v *visit) fail(err error) {
	text, expected := sentence(err)
	status := http.StatusInternalServerError
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable:
		status = http.StatusServiceUnavailable
	case connect.CodeNotFound:
		status = http.StatusNotFound
	case connect.CodeInvalidArgument:
		status = http.StatusBadRequest
	case connect.CodePermissionDenied:
		status = http.StatusForbidden
	case connect.CodeFailedPrecondition, connect.CodeAlreadyExists:
		status = http.StatusConflict
	}
	if errors.Is(err, store.ErrUnavailable) {
		status = http.StatusServiceUnavailable
	}
	if status == http.StatusServiceUnavailable {
		v.w.Header().Set("Retry-After", "2")
	}
	if !expected && !errors.Is(err, context.Canceled) {
		v.Log.Error("a console page failed", "path", v.r.URL.Path, "err", err)
	}
	title := "That did not work"
	if status == http.StatusNotFound {
		title = "It is not there (any more)"
	}
	v.refuse(status, title, text)
}

func (v *visit) render(status int, page templ.Component) {
	w, done := v.packed()
	defer done()
	templ.Handler(page, templ.WithStatus(status), templ.WithErrorHandler(func(_ *http.Request, err error) http.Handler {
		v.Log.Error("render a console page", "err", err)
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { // in plain text
			http.Error(v.w, "The page cannot be shown; the node's log says why.", http.StatusInternalServerError)
		})
	})).ServeHTTP(w, v.r)
}

// said is a sentence that the next page shows once.
type said struct {
	Text string
	Bad  bool
}

// back ends a change: the browser gets the page again, which says what was done
// or what is wrong.
func (v *visit) back(to, done string, err error) {
	v.counts.forget()
	v.videoList.forget()
	s := said{Text: done}
	if err != nil {
		text, expected := sentence(err)
		s = said{Text: text, Bad: true}
		if !expected {
			v.Log.Error("a change in the console failed", "path", v.r.URL.Path, "err", err)
		}
	}
	v.flash(s)
	v.redirect(local(to))
}

func (v *visit) flash(s said) {
	mark := "+"
	if s.Bad {
		mark = "-"
	}
	text := mark + s.Text
	if len(text) > 1500 {
		text = strings.ToValidUTF8(text[:1500], "") + "…"
	}
	http.SetCookie(v.w, v.cookie(v.r, flashName, base64.RawURLEncoding.EncodeToString([]byte(text)), flashPeriod))
}

// takeFlash returns what is to be said, once. A live part does not take it from
// the page that is on its way.
func (v *visit) takeFlash() said {
	value := v.cookieValue(v.r, flashName)
	if value == "" || v.r.Header.Get("HX-Request") != "" {
		return said{}
	}
	http.SetCookie(v.w, v.cookie(v.r, flashName, "", -1))
	text, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(text) < 2 {
		return said{}
	}
	return said{Text: strings.ToValidUTF8(string(text[1:]), "�"), Bad: text[0] == '-'}
}
