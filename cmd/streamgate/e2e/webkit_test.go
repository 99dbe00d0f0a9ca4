package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webKit is WebKitGTK, driven by WebDriver (https://www.w3.org/TR/webdriver2) on
// a display of its own.
type webKit struct {
	t       *testing.T
	session string // its address
}

func startWebKit(t *testing.T) anyBrowser {
	t.Helper()
	needBrowser(t, "WebKitWebDriver", "webkit2gtk-driver")
	needBrowser(t, "Xvfb", "xvfb")
	const places = "/usr/lib/*/webkit2gtk-4.1/MiniBrowser"
	binaries, err := filepath.Glob(places)
	if err != nil || len(binaries) == 0 {
		t.Fatalf("WebKitGTK has no browser at %s: %v", places, err)
	}
	port := freePorts(t, 1)[0]
	cmd := exec.Command("WebKitWebDriver", "--host=127.0.0.1", "--port="+port)
	cmd.Env = append(os.Environ(), "DISPLAY="+startDisplay(t), "HOME="+t.TempDir(),
		"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS=1", "LIBGL_ALWAYS_SOFTWARE=1")
	launch(t, cmd)

	w := &webKit{t: t, session: "http://127.0.0.1:" + port + "/session"}
	wanted := map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"webkitgtk:browserOptions": map[string]any{"binary": binaries[0], "args": []string{"--automation"}},
		"timeouts":                 map[string]any{"script": time.Minute.Milliseconds()},
	}}}
	var made struct {
		SessionID string `json:"sessionId"`
	}
	retry(t, "begin a session of WebKitWebDriver", func() error { return w.call(http.MethodPost, "", wanted, &made) })
	w.session += "/" + made.SessionID
	t.Cleanup(func() { _ = w.call(http.MethodDelete, "", nil, nil) }) // closes the browser
	return w
}

// startDisplay starts an X server without a screen and returns its display.
func startDisplay(t *testing.T) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{w}
	launch(t, cmd)
	w.Close()
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb does not name its display: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

// call sends a command; value is what its answer's value is decoded into.
func (w *webKit) call(method, path string, body, value any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // used after the test, too
	defer cancel()
	sent := &bytes.Buffer{}
	if body != nil {
		if err := json.NewEncoder(sent).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, w.session+path, sent)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, said)
	}
	answer := struct {
		Value any `json:"value"`
	}{value}
	return json.Unmarshal(said, &answer)
}

func (w *webKit) open(url string) {
	w.t.Helper()
	if err := w.call(http.MethodPost, "/url", map[string]any{"url": url}, nil); err != nil {
		w.t.Fatalf("open %s: %v", url, err)
	}
}

func (w *webKit) try(body string) (string, error) {
	var answer struct {
		Value string `json:"value"`
		Error string `json:"error"`
	}
	script := "const done = arguments[arguments.length - 1];" +
		"(async () => {" + body + "})().then((value) => done({value}), (thrown) => done({error: String(thrown)}))"
	err := w.call(http.MethodPost, "/execute/async", map[string]any{"script": script, "args": []any{}}, &answer)
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return answer.Value, err
}
