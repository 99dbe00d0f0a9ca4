// Package fetch reads a source from another server over HTTP.
//
// # Usage
//
//	c := fetch.New(fetch.Config{…})
//	a, err := c.Open(ctx, fetch.Want{URL: address, From: have, Validator: validator})
//	defer a.Close()
//	io.Copy(file, a) // from a.From on
//
// # Guarantees
//
// Only http and https, and only addresses that the policy allows, checked when
// they are dialled: of the first address as of each redirect, of which there may
// be MaxRedirects. No proxy, no credentials, no cookies, no Referer, no
// compression.
//
// An Answer goes on from Want.From only if the server says that these are still
// the same bytes; else it begins at 0. A read takes Config.Stall at most.
//
// Every error is an *Error with a stable code and a sentence that shows no
// address with its query.
//
// # Testing
//
// Against a server that misbehaves, through app/upload.
package fetch

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"streamgate/app/egress"
)

const (
	// MaxRedirects bounds how often an address may lead to another.
	MaxRedirects = 5
	dialTimeout  = 10 * time.Second
	maxHeader    = 64 << 10 // bytes of an answer's header
)

// Config is what a Client needs.
type Config struct {
	Policy   egress.Policy
	Resolver *net.Resolver // nil: the machine's
	Agent    string        // of User-Agent
	// Stall is how long an answer, and then each of its bytes, may take.
	Stall time.Duration
}

// Client fetches.
type Client struct {
	Config
	http *http.Client
}

// New returns a client.
func New(cfg Config) *Client {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: cfg.Policy.Control, Resolver: cfg.Resolver}
	return &Client{Config: cfg, http: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTimeout,
			ResponseHeaderTimeout: cfg.Stall, MaxResponseHeaderBytes: maxHeader,
			DisableCompression: true, DisableKeepAlives: true,
		},
		CheckRedirect: checkRedirect,
	}}
}

// Want is what to fetch.
type Want struct {
	URL string
	// From is how many bytes are here already, of the file that Validator names.
	From      int64
	Validator string
}

// Open asks for a source. The answer ends with ctx; the caller closes it.
func (c *Client) Open(ctx context.Context, want Want) (*Answer, error) {
	watch := newWatch(ctx, c.Stall)
	a, err := c.open(watch, want)
	if err != nil {
		err = watch.explain(err)
		watch.stop()
		return nil, err
	}
	watch.rest()
	return a, nil
}

func (c *Client) open(watch *watch, want Want) (*Answer, error) {
	req, err := http.NewRequestWithContext(watch.ctx, http.MethodGet, want.URL, nil)
	if err != nil {
		return nil, fault(CodeURL, "The address is none that can be fetched.")
	}
	req.Header.Set("User-Agent", c.Agent)
	req.Header.Set("Accept", "*/*")
	req.Header.Set("Accept-Encoding", "identity")
	if want.From > 0 && want.Validator != "" {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(want.From, 10)+"-")
		req.Header.Set("If-Range", want.Validator)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	a, err := read(resp, want, watch)
	if err != nil {
		resp.Body.Close()
	}
	return a, err
}

// checkRedirect follows where we would have gone at once; where the connection
// leads is checked as it is made.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fault(CodeRedirects, "The address leads on to others more than %d times.", MaxRedirects)
	}
	if err := check(req.URL); err != nil {
		return fault(CodeRedirects, "The address leads on to one that is not fetched: %s", err.Error())
	}
	req.Header.Del("Referer") // it would tell the query
	return nil
}

// unreachable names why there is no answer.
func unreachable(err error) error {
	var refused egress.RefusedError
	var own *Error
	var name *net.DNSError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &refused):
		return fault(CodeAddress, "The address %s is not public; only a node with it in upload.fetch.allowed_networks fetches from there.", refused.Addr)
	case errors.As(err, &name) && name.IsNotFound:
		return fault(CodeUnreachable, "There is no server %q.", name.Name)
	}
	return passing(fault(CodeUnreachable, "The server cannot be reached: %s.", plain(err)))
}
