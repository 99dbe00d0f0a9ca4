package webhooks

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// A name that resolves to loopback is refused when it is dialled, and so is an
// address that was stored while private ones were allowed.
func TestPrivateAddresses(t *testing.T) {
	b := newBench(t)
	r := receive(t, nil)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.URL, "http://"))
	b.ok(err)
	n := b.start("a", func(c *Config) { c.AllowPrivate, c.Retries = false, []time.Duration{} })
	named := n.create("https://localhost:" + port + "/")
	stored := n.create("https://hooks.example.org/")
	_, err = b.catalog.Webhooks.Update(t.Context(), stored.Id, func(w *store.Webhook) error {
		w.URL = r.URL
		return nil
	})
	b.ok(err)
	b.upload("u1")
	for _, w := range []*rpc.Webhook{named, stored} {
		d := b.only(n, w.Id, "failed")
		if !strings.Contains(d.LastError, "is not public; only a node with webhooks.allow_private: true delivers there.") || d.LastStatus != 0 {
			t.Errorf("%s: %v", w.Url, d)
		}
	}
	if got := r.all(); len(got) != 0 {
		t.Errorf("the receiver was reached: %v", got)
	}
	// With private addresses allowed the same is delivered.
	open := b.start("b")
	again := open.create("http://localhost:" + port + "/")
	_, err = open.TestWebhook(open.ctx, &rpc.TestWebhookRequest{Id: again.Id})
	b.ok(err)
	b.until("the receiver is reached", func() bool { return len(r.all()) == 1 })
}

// What a request fails with tells its reader nothing of the URL's secrets.
func TestUnreachable(t *testing.T) {
	b := newBench(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	address := ln.Addr().String()
	b.ok(ln.Close())
	n := b.start("a", func(c *Config) { c.Retries = []time.Duration{} })
	u := url.URL{Scheme: "http", Host: address, Path: "/hook", RawQuery: "token=hidden"}
	w := n.create(u.String())
	b.upload("u1")
	if d := b.only(n, w.Id, "failed"); !strings.HasPrefix(d.LastError, "The endpoint cannot be reached: ") || strings.Contains(d.LastError, "hidden") {
		t.Errorf("%v", d)
	}
	if strings.Contains(b.log.String(), "hidden") {
		t.Errorf("the log has the URL: %s", b.log.String())
	}
}

func sorted(words []string) []string {
	slices.Sort(words)
	return words
}
