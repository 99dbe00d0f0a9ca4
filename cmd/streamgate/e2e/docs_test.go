package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestDocs: the API's description is read and tried in a browser, which has no
// complaint about the page's policy, and asks no other host.
func TestDocs(t *testing.T) {
	n := startNode(t)
	b := openTab(t, n.url+"/docs/")
	b.readsDocs(n)
	b.triesDocs(n)
	b.expectQuiet()
	b.shoot("docs")
	eval[any](b, `document.querySelector('#operations-Library-Library_CreateVideo button').click()`)
	b.until("the operation is open", `document.querySelector('#operations-Library-Library_CreateVideo .responses-wrapper')`, 30*time.Second)
	eval[any](b, `document.querySelector('#operations-Library-Library_CreateVideo').scrollIntoView()`)
	b.shoot("docs-open")
}

// readsDocs checks that /docs lists every operation that the document has.
func (b *tab) readsDocs(n *node) {
	b.t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(get(b.t, n.url+"/openapi.json"), &doc); err != nil {
		b.t.Fatal(err)
	}
	want := 0
	for _, item := range doc.Paths {
		want += len(item)
		if item["parameters"] != nil {
			want--
		}
	}
	b.until("the operations are listed", `document.querySelector('#operations-Library-Library_ListVideos')`, 30*time.Second)
	if got := eval[int](b, `return document.querySelectorAll('.opblock').length`); got != want {
		b.t.Errorf("%d operations are listed, the document has %d", got, want)
	}
	outside := eval[[]string](b, `return performance.getEntriesByType('resource').map((e) => e.name).filter((name) => !name.startsWith('`+n.url+`/'))`)
	if len(outside) > 0 {
		b.t.Errorf("the page asked outside of its node: %v", outside)
	}
}

// triesDocs gives the page a key and lists videos with it.
func (b *tab) triesDocs(n *node) {
	b.t.Helper()
	eval[any](b, `document.querySelector('.btn.authorize').click()`)
	b.until("the key is asked for", `document.querySelector('.auth-container input')`, 30*time.Second)
	err := chromedp.Do(b.ctx, chromedp.SendKeys(".auth-container input", strings.TrimSpace(n.ctl("keys", "create", "--scope", "read"))))
	if err != nil {
		b.t.Fatal(err)
	}
	eval[any](b, `document.querySelector('.auth-container .btn.authorize').click()`)
	b.until("the key is taken", `[...document.querySelectorAll('.auth-container .btn')].some((e) => e.textContent === 'Logout')`, 30*time.Second)
	eval[any](b, `document.querySelector('.btn-done').click(); document.querySelector('#operations-Library-Library_ListVideos button').click()`)
	b.until("the operation is open", `document.querySelector('.try-out__btn')`, 30*time.Second)
	eval[any](b, `document.querySelector('.try-out__btn').click()`)
	b.until("it can be tried", `document.querySelector('.btn.execute')`, 30*time.Second)
	eval[any](b, `document.querySelector('.btn.execute').click()`)
	b.until("the videos are listed", `document.querySelector('.live-responses-table .response .response-col_status')?.textContent.startsWith('200')`, 30*time.Second)
	if asked := eval[string](b, `return document.querySelector('.request-url pre').textContent`); asked != n.url+"/api/v1/videos" {
		b.t.Errorf("it asked %s", asked)
	}
}
