package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// loginCookie carries the login of a browser. Scripts cannot read it, and no
// other site's request brings it along but a plain link.
const loginCookie = "streamgate_login"

// cookie is what an answer changes about the browser's login; nil for most.
func (a answer) cookie(base string) *http.Cookie {
	if !a.signOut && (a.login == nil || a.login.Token == "") {
		return nil
	}
	path, secure := "/", false
	if u, err := url.Parse(base); err == nil {
		path, secure = strings.TrimRight(u.Path, "/")+"/", u.Scheme == "https"
	}
	c := &http.Cookie{Name: loginCookie, Path: path, HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode}
	if a.signOut {
		c.MaxAge = -1
		return c
	}
	c.Value, c.Expires = a.login.Token, a.login.ExpiresAt.AsTime()
	return c
}

// browser returns who signed in with the browser that sends a request without a
// key: nobody, if there is no cookie or its login is over. What other sites'
// pages send is refused, with a cookie or without: it could sign a viewer in
// with somebody else's wallet.
func (e *edge) browser(r *http.Request) (rpc.Identity, error) {
	if err := e.sameSite.Check(r); err != nil {
		return rpc.Identity{}, rpc.Errorf(connect.CodePermissionDenied, "cross_origin",
			"A page of another site has sent this request; that is not allowed.")
	}
	c, err := r.Cookie(loginCookie)
	if err != nil {
		return rpc.Identity{}, nil
	}
	who, err := e.auth.Authenticate(r.Context(), c.Value)
	switch {
	case connect.CodeOf(err) == connect.CodeUnauthenticated: // over
		return rpc.Identity{}, nil
	case err != nil:
		return rpc.Identity{}, err
	case who.Wallet == "": // no login at all
		return rpc.Identity{}, nil
	}
	return who, nil
}

// sameSite refuses requests of other sites' pages; ours may stand behind a
// proxy, at publicURL.
func sameSite(publicURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		p.AddTrustedOrigin(u.Scheme + "://" + u.Host) //nolint:errcheck // made of a URL's own parts
	}
	return p
}
