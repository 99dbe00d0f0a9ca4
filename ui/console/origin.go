package console

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"streamgate/app/rpc"
	"streamgate/store"
)

// The names of the cookies. Over TLS they carry the prefix that keeps other
// hosts of the same domain from setting them.
const (
	cookieName  = "streamgate_console"
	flashName   = "streamgate_console_said"
	hostPrefix  = "__Host-"
	pathPrefix  = "__Secure-"
	maxForm     = 1 << 20 // bytes
	flashPeriod = 60      // seconds
)

// sameSite refuses what pages of other sites send; ours may stand behind a
// proxy, at publicURL.
func sameSite(publicURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		p.AddTrustedOrigin(u.Scheme + "://" + u.Host) //nolint:errcheck // made of a URL's own parts
	}
	return p
}

// secure tells whether the browser has come over TLS.
func (c *Console) secure(r *http.Request) bool {
	switch {
	case r.TLS != nil, strings.HasPrefix(c.PublicURL, "https://"):
		return true
	case c.trusts(remote(r)):
		first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
		return strings.TrimSpace(first) == "https"
	}
	return false
}

// cookie is one of the console's. Scripts cannot read it, and no other site's
// request brings it along but a plain link.
func (c *Console) cookie(r *http.Request, name, value string, age int) *http.Cookie {
	secure := c.secure(r)
	return &http.Cookie{
		Name: c.cookieName(r, name), Value: value, Path: c.Assets.Root + "/", MaxAge: age,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
}

// cookieName has a prefix over TLS. A site that shares its host with others has
// the one that allows a path, so that two nodes do not take each other's.
func (c *Console) cookieName(r *http.Request, name string) string {
	switch {
	case !c.secure(r):
		return name
	case c.Assets.Root != "":
		return pathPrefix + name
	}
	return hostPrefix + name
}

func (c *Console) cookieValue(r *http.Request, name string) string {
	if got, err := r.Cookie(c.cookieName(r, name)); err == nil {
		return got.Value
	}
	return ""
}

// client is from where a request comes, as far as limits tell clients apart: an
// IPv4 address or an IPv6 /64; the nearest that is not a trusted proxy's.
func (c *Console) client(r *http.Request) string {
	ip := remote(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && c.trusts(ip); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = hop.Unmap()
	}
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

func (c *Console) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(c.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func remote(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap()
}

// rootKey is the context's key of the path under which browsers see the site.
type rootKey struct{}

// at is a path of this node as browsers see it.
func at(ctx context.Context, path string) string {
	root, _ := ctx.Value(rootKey{}).(string)
	if !strings.HasPrefix(path, "/") { // a whole address
		return path
	}
	return root + path
}

// linkTo is at for the attribute of a link or a form.
func linkTo(ctx context.Context, path string) templ.SafeURL { return templ.SafeURL(at(ctx, path)) }

// local is a path of the console, without the site's own, that a form may name
// to go back to; anything else is the overview.
func local(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/console/") || strings.Contains(path, "\\") {
		return "/console/"
	}
	return u.RequestURI()
}

// sentence is what a person is told of an error; unexpected ones say no more
// than that.
func sentence(err error) (text string, expected bool) {
	if reason, _ := rpc.Reason(err); reason != "" {
		_, text, _ = strings.Cut(err.Error(), ": ") // without Connect's code
		return text, true
	}
	if errors.Is(err, store.ErrUnavailable) {
		return "The node cannot reach the store of its records; try again in a moment.", false
	}
	return "Something went wrong here; the node's log says what.", false
}
