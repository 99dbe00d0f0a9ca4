package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// nginxHTTP begins a configuration of nginx that writes nowhere but to DIR.
const nginxHTTP = `
daemon off;
pid DIR/nginx.pid;
error_log DIR/error.log;
events {}
http {
	access_log off;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;`

// nginxConf is a proxy that gives the node a path of its host, and takes the
// path off; caddyConf leaves it on. LISTEN is where it listens, NODE the node.
const (
	nginxConf = nginxHTTP + `
	server {
		listen LISTEN;
		location / { return 404; }
		location /videos/ {
			proxy_pass http://NODE/;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_request_buffering off;
			proxy_buffering off;
			client_max_body_size 0;
		}
	}
}`
	caddyConf = `{
	admin off
}
http://LISTEN {
	handle /videos* {
		reverse_proxy NODE
	}
	respond 404
}`
)

// startProxy runs a proxy with this configuration until the test ends.
func startProxy(t *testing.T, conf, listen, node string, command func(conf, dir string) *exec.Cmd) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	text := strings.NewReplacer("LISTEN", listen, "NODE", node, "DIR", dir).Replace(conf)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command(file, dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (make install-test installs it)", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may be gone
		_ = cmd.Wait()
	})
	for end := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v does not listen: %v\n%s", cmd.Args, err, said.Bytes())
		}
	}
}

// nginx runs nginx.
func nginx(conf, dir string) *exec.Cmd { return exec.Command("nginx", "-p", dir, "-c", conf) }

// TestUnderPath: a node that has only a path of its host works behind the
// proxies that people use: pages, assets, cookies, links, API and uploads.
func TestUnderPath(t *testing.T) {
	for _, c := range []struct {
		name, conf string
		command    func(conf, dir string) *exec.Cmd
	}{
		{"nginx takes the path off", nginxConf, nginx},
		{"Caddy leaves it", caddyConf, func(conf, _ string) *exec.Cmd {
			return exec.Command("caddy", "run", "--config", conf, "--adapter", "caddyfile")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain := startChain(t)
			n := startGated(t, chain)
			listen := "127.0.0.1:" + freePorts(t, 1)[0]
			startProxy(t, c.conf, listen, strings.TrimPrefix(n.url, "http://"), c.command)
			n.kill()
			n.url = "http://" + listen + "/videos"
			n.args = append(n.args, "--set", "api_gateway.public_url="+n.url, "--set", "api_gateway.trusted_proxies=127.0.0.1")
			n.start()
			testUnderPath(t, n)
			testConsoleUnderPath(t, n)
			p := n.pushGated(holders(chain))
			if _, err := chain.Mint721(t.Context(), chain.Holder.Address); err != nil {
				t.Fatal(err)
			}
			b := openGate(t, p.WatchURL, chain.Holder)
			b.press("Test holder")
			b.plays()
			b.until("the ticket is renewed", `new Set(performance.getEntriesByType('resource').flatMap((e) => e.name.match(/\/s\/([^/]+)\/.*m4s/)?.[1] ?? [])).size > 1`, 40*time.Second)
			if err := chromedp.Do(b.ctx, chromedp.Reload()); err != nil {
				t.Fatal(err)
			}
			b.until("the cookie is kept for a reload", `document.querySelector('.stage .player')`, 30*time.Second)
			b.expectOnlyRefusals()
			outside := eval[[]string](b, `return performance.getEntriesByType('resource').map((e) => e.name).filter((name) => !name.startsWith('`+n.url+`/'))`)
			if len(outside) > 0 {
				t.Errorf("the page asked outside of its path: %v", outside)
			}
		})
	}
}

// testUnderPath uploads a public film by the API, and finds and plays it.
func testUnderPath(t *testing.T, n *node) {
	film, err := os.ReadFile(ffmpeg(t, "clip.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=20 "+x264+"-g 50"))
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		ID        string `json:"id"`
		UploadURL string `json:"upload_url"`
		WatchURL  string `json:"watch_url"`
	}
	if status := n.rest("POST", "videos", fmt.Sprintf(`{"title": "Under a path", "public": true, "size_bytes": %d}`, len(film)), &made); status != http.StatusCreated {
		t.Fatalf("the video is not made: %d", status)
	}
	for _, link := range []string{made.UploadURL, made.WatchURL} {
		if !strings.HasPrefix(link, n.url+"/") {
			t.Errorf("a link leads to %s", link)
		}
	}
	patch, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, made.UploadURL, bytes.NewReader(film))
	if err != nil {
		t.Fatal(err)
	}
	patch.Header = http.Header{
		"Authorization": {"Bearer " + n.key}, "Tus-Resumable": {"1.0.0"}, "Upload-Offset": {"0"}, "Content-Type": {"application/offset+octet-stream"},
	}
	resp, err := http.DefaultClient.Do(patch)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("the upload answers %s", resp.Status)
	}
	n.waitState(made.ID, "ready")
	created, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/api/v1/uploads", nil)
	if err != nil {
		t.Fatal(err)
	}
	created.Header = http.Header{
		"Authorization": {"Bearer " + n.key}, "Tus-Resumable": {"1.0.0"}, "Upload-Length": {"9"},
		"Upload-Metadata": {"filename " + base64.StdEncoding.EncodeToString([]byte("a.mp4"))},
	}
	if resp, err = http.DefaultClient.Do(created); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if at := resp.Header.Get("Location"); resp.StatusCode != http.StatusCreated || !strings.HasPrefix(at, n.url+"/api/v1/uploads/") {
		t.Errorf("an upload that begins answers %s, Location %s", resp.Status, at)
	}

	b := openTab(t, n.url+"/")
	if at := eval[string](b, `return document.querySelector('.library a').href`); at != made.WatchURL {
		t.Errorf("the home page leads to %s", at)
	}
	if err := chromedp.Do(b.ctx, chromedp.Navigate(made.WatchURL)); err != nil {
		t.Fatal(err)
	}
	eval[any](b, `document.querySelector('.big-play').click()`)
	b.plays()
	if at := eval[string](b, `return document.querySelector('.brand').href`); at != n.url+"/" {
		t.Errorf("the brand leads to %s", at)
	}
	if err := chromedp.Do(b.ctx, chromedp.Navigate(n.url+"/docs")); err != nil {
		t.Fatal(err)
	}
	b.readsDocs(n)
	b.triesDocs(n)
	b.expectQuiet()
}

// testConsoleUnderPath sets the console up and looks at its pages.
func testConsoleUnderPath(t *testing.T, n *node) {
	b := openTab(t, strings.TrimSpace(n.ctl("setup-link")))
	b.fill("#name", adminName)
	b.fill("#password", adminPassword)
	b.fill("#again", adminPassword)
	b.follow("button.primary")
	b.arrive("the overview", `location.pathname === '/videos/console/'`)
	b.until("the page hears hints", `document.querySelector('.live-state.on')`, 30*time.Second)
	b.follow("nav a[href$='/videos']")
	b.until("a video", `document.querySelector("#videos .video-grid li:has(.state.ready) a")`, 30*time.Second)
	b.follow("#videos .video-grid li:has(.state.ready) a")
	b.until("its player", `document.querySelector('iframe')?.contentDocument?.querySelector('video')`, 30*time.Second)
	b.follow("form[action$='/sign-out'] button")
	b.arrive("the sign-in", `location.pathname === '/videos/console/sign-in'`)
	outside := eval[[]string](b, `return performance.getEntriesByType('resource').map((e) => e.name).filter((name) => !name.startsWith('`+n.url+`/'))`)
	if len(outside) > 0 {
		t.Errorf("the console asked outside of its path: %v", outside)
	}
	b.expectQuiet()
}
