package node

import (
	"net/http"
	"strings"
	"testing"

	"streamgate/app/rpc"
)

// TestConsoleListener: a console with an address of its own is not on the
// public port, and has what its pages load.
func TestConsoleListener(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.Console.Listen = "127.0.0.1:0"
	n := startNode(t, cfg)
	own := "http://" + n.Addr(consoleServer)
	link, err := n.FirstLink(rpc.System(t.Context()))
	if err != nil || !strings.HasPrefix(link, own+"/console/setup?token=") {
		t.Errorf("the set-up link is %q: %v", link, err)
	}
	for url, want := range map[string]int{
		link: http.StatusOK, own + "/console/sign-in": http.StatusOK, own + "/rule.schema.json": http.StatusOK, own + "/": http.StatusOK,
		n.URL() + "/console/": http.StatusNotFound, n.URL() + "/console/sign-in": http.StatusNotFound, n.URL() + "/console": http.StatusNotFound,
		n.URL() + "/": http.StatusOK,
	} {
		if status, body := get(t, http.DefaultClient, url); status != want {
			t.Errorf("%s: status %d\n%s", url, status, body)
		}
	}
}

// TestConsolePublicURL: links to the console are for its own name.
func TestConsolePublicURL(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.APIGateway.PublicURL = "https://example.org/videos"
	cfg.Console.Listen, cfg.Console.PublicURL = "127.0.0.1:0", "https://console.example.org/videos/"
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	n := startNode(t, cfg)
	link, err := n.FirstLink(rpc.System(t.Context()))
	if err != nil || !strings.HasPrefix(link, "https://console.example.org/videos/console/setup?token=") {
		t.Errorf("the set-up link is %q: %v", link, err)
	}
	status, body := get(t, http.DefaultClient, "http://"+n.Addr(consoleServer)+"/videos/console/sign-in")
	if status != http.StatusOK || !strings.Contains(body, `action="/videos/console/sign-in"`) {
		t.Errorf("status %d\n%s", status, body)
	}
}
