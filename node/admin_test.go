package node

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"streamgate/app/rpc"
)

// socketClient speaks HTTP over the admin socket of a data directory.
func socketClient(dir string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", AdminSocket(dir))
		},
	}}
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestAdminSocketModes(t *testing.T) {
	for _, c := range []struct{ name, dir string }{
		{"short path", t.TempDir()},
		{"long path", filepath.Join(t.TempDir(), strings.Repeat("long", 30))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.MkdirAll(filepath.Join(c.dir, runDir), 0o755); err != nil { // too open
				t.Fatal(err)
			}
			ln, err := listenAdmin(c.dir, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			path := AdminSocket(c.dir)
			if path != ln.Addr().String() || len(path) > maxSocketPath {
				t.Errorf("it listens on %s, clients look at %s", ln.Addr(), path)
			}
			if got := mode(t, path); got != 0o600 {
				t.Errorf("the socket's mode is %o", got)
			}
			if got := mode(t, filepath.Dir(path)); got != 0o700 {
				t.Errorf("the folder's mode is %o", got)
			}
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestStaleSocket: what a killed node left behind does not stop the next.
func TestStaleSocket(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		ln, err := listenAdmin(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		ln.(*net.UnixListener).SetUnlinkOnClose(false)
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(AdminSocket(dir)); err != nil {
		t.Fatalf("the test left no stale socket: %v", err)
	}
	n := startNode(t, testConfig(t, dir))
	if status, body := get(t, socketClient(dir), "http://socket/api/v1/node"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if got := n.Addr("admin"); got != AdminSocket(dir) {
		t.Errorf("address %s", got)
	}
}

func TestForeignRunDir(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, runDir)); err != nil {
		t.Fatal(err)
	}
	if ln, err := listenAdmin(dir, ""); err == nil {
		ln.Close()
		t.Error("a link was taken for the folder")
	}
}

func TestAsAdmin(t *testing.T) {
	var who rpc.Identity
	var base string
	h := asAdmin(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		who, base = rpc.Caller(r.Context()), rpc.BaseURL(r.Context())
	}), func() string { return "https://example.org" })
	h.ServeHTTP(nil, mustRequest(t, "/"))
	if who.Scope != rpc.ScopeAdmin || base != "https://example.org" {
		t.Errorf("caller %+v, base %q", who, base)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
