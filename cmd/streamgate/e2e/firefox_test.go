package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// firefox is driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi).
type firefox struct {
	t       *testing.T
	conn    *websocket.Conn
	context string // its window
	last    int    // id of a command
}

// firefoxSettings let films begin without a click, and nothing else be fetched.
const firefoxSettings = `
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
`

func startFirefox(t *testing.T) anyBrowser {
	t.Helper()
	needBrowser(t, "firefox-esr", "firefox-esr")
	profile := t.TempDir()
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxSettings), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePorts(t, 1)[0]
	cmd := exec.Command("firefox-esr", "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", port)
	cmd.Env = append(os.Environ(), "HOME="+profile)
	launch(t, cmd)

	f := &firefox{t: t}
	retry(t, "connect to Firefox", func() (err error) {
		f.conn, _, err = websocket.DefaultDialer.DialContext(t.Context(), "ws://127.0.0.1:"+port+"/session", nil)
		return err
	})
	t.Cleanup(func() { _ = f.conn.Close() })
	f.must("session.new", map[string]any{"capabilities": map[string]any{}}, nil)
	var tree struct {
		Contexts []struct {
			Context string `json:"context"`
		} `json:"contexts"`
	}
	f.must("browsingContext.getTree", map[string]any{}, &tree)
	if len(tree.Contexts) == 0 {
		t.Fatal("Firefox has no window")
	}
	f.context = tree.Contexts[0].Context
	return f
}

// call sends a command and reads its answer: there are no events, for none were
// asked for.
func (f *firefox) call(method string, params, result any) error {
	f.last++
	if err := f.conn.WriteJSON(map[string]any{"id": f.last, "method": method, "params": params}); err != nil {
		return err
	}
	if err := f.conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	var answer struct {
		ID      int             `json:"id"`
		Error   string          `json:"error"`
		Message string          `json:"message"`
		Result  json.RawMessage `json:"result"`
	}
	if err := f.conn.ReadJSON(&answer); err != nil {
		return err
	}
	if answer.ID != f.last || answer.Error != "" {
		return fmt.Errorf("%s: %s", answer.Error, answer.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

func (f *firefox) must(method string, params, result any) {
	f.t.Helper()
	if err := f.call(method, params, result); err != nil {
		f.t.Fatalf("%s: %v", method, err)
	}
}

func (f *firefox) open(url string) {
	f.t.Helper()
	f.must("browsingContext.navigate", map[string]any{"context": f.context, "url": url, "wait": "complete"}, nil)
}

func (f *firefox) try(body string) (string, error) {
	var answer struct {
		Result struct {
			Value string `json:"value"`
		} `json:"result"`
		ExceptionDetails json.RawMessage `json:"exceptionDetails"`
	}
	err := f.call("script.evaluate", map[string]any{
		"expression": "(async () => {" + body + "})()", "awaitPromise": true,
		"target": map[string]any{"context": f.context},
	}, &answer)
	if err == nil && answer.ExceptionDetails != nil {
		err = fmt.Errorf("%s", answer.ExceptionDetails)
	}
	return answer.Result.Value, err
}
