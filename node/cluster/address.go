package cluster

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Address is where the registry is, and which deployment's.
type Address struct {
	Host   string // with port
	TLS    bool
	Token  string // of Consul's access control; "" for none
	Prefix string // of the deployment's services and keys
}

// DefaultPrefix is the deployment's name where the address has none.
const DefaultPrefix = "streamgate"

// deployment is what may stand in the name of a service, and so of a host.
var deployment = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// errAddress is not about a value, which may have a secret.
var errAddress = errors.New("write the address of a Consul agent, like consul://127.0.0.1:8500, or " +
	"consul://:TOKEN@HOST:8500/PREFIX?tls=true; PREFIX (streamgate if left out) names the deployment: a letter, then letters, digits and -, all small")

// ParseAddress reads the address of a Consul agent. Without a port it is Consul's
// own: 8500, or 8501 with TLS.
func ParseAddress(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "consul" || u.Opaque != "" || u.Hostname() == "" || u.Fragment != "" || u.User.Username() != "" {
		return Address{}, errAddress
	}
	query, err := url.ParseQuery(u.RawQuery)
	a := Address{Prefix: strings.Trim(u.Path, "/")}
	if a.Prefix == "" {
		a.Prefix = DefaultPrefix
	}
	port := "8500"
	switch query.Get("tls") {
	case "", "false":
	case "true":
		a.TLS, port = true, "8501"
	default:
		return Address{}, errAddress
	}
	query.Del("tls")
	if named := u.Port(); named != "" {
		port = named
	}
	if n, perr := strconv.Atoi(port); err != nil || len(query) > 0 || perr != nil || n < 1 || n > 65535 || !deployment.MatchString(a.Prefix) {
		return Address{}, errAddress
	}
	a.Host = net.JoinHostPort(u.Hostname(), port)
	a.Token, _ = u.User.Password()
	return a, nil
}
