package webhooks

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"streamgate/app/egress"
)

// newClient returns the client of all attempts. It follows no redirect, uses no
// proxy, and dials public addresses only unless private ones are allowed.
func newClient(allowPrivate bool) *http.Client {
	policy := egress.Policy{}
	if allowPrivate {
		policy = egress.Any()
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: policy.Control}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConns: maxWebhooks, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// privateAddress is the sentence about an address that is not public.
func privateAddress(refused egress.RefusedError) error {
	//nolint:staticcheck // a sentence for people
	return fmt.Errorf("The address %s is not public; only a node with webhooks.allow_private: true delivers there.", refused.Addr)
}
