package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// The first admin of the tests.
const (
	adminName     = "ada"
	adminPassword = "a long enough password"
)

// setupLink is the link that the node's log tells of.
func (n *node) setupLink() string {
	n.t.Helper()
	m := regexp.MustCompile(`"link":"([^"]+)"`).FindStringSubmatch(n.waitFor(`"link":`))
	if m == nil {
		n.t.Fatal("the log has no set-up link")
	}
	return m[1]
}

// waitFor returns the log once it has the text.
func (n *node) waitFor(text string) string {
	n.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if said := n.log.String(); strings.Contains(said, text) {
			return said
		}
		time.Sleep(20 * time.Millisecond)
	}
	n.t.Fatalf("the log has no %s", text)
	return ""
}

// open goes to a page of the node, and waits for its scripts.
func (b *tab) open(url string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
}

// follow clicks on something and waits for the page that it leads to.
func (b *tab) follow(selector string) {
	b.t.Helper()
	eval[any](b, `window.left = false; return null`)
	eval[any](b, fmt.Sprintf(`
		const e = document.querySelector(%q);
		if (!e) throw new Error('nothing is ' + %[1]q + ' at ' + location.pathname);
		setTimeout(() => e.click(), 0); return null`, selector))
	b.arrive("the page that follows "+selector, `document.readyState === 'complete' && window.left === undefined`)
}

// arrive waits for a condition across pages: a question that a page takes with
// it when it goes is asked again.
func (b *tab) arrive(what, condition string) {
	b.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		if ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+condition+")")); err == nil && ok {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("%s: not within a minute", what)
}

// fill types into a field.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	eval[any](b, fmt.Sprintf(`document.querySelector(%q).value = %q; return null`, selector, text))
}

// setUp makes the first admin and signs in.
func (b *tab) setUp() {
	b.fill("#name", adminName)
	b.fill("#password", adminPassword)
	b.fill("#again", adminPassword)
	b.follow("button.primary")
	b.arrive("the overview", `location.pathname === '/console/'`)
}

// TestConsoleStory: set up the first admin, upload, watch it being made, rename
// it, delete it, and find all of it in the audit log.
func TestConsoleStory(t *testing.T) {
	n := startNode(t)
	b := openTabFor(t, n.setupLink(), 12*time.Minute)
	b.look("setup")
	b.setUp()
	b.look("overview-empty")

	b.open(n.url + "/console/videos")
	b.choose("#file", ffmpeg(t, "harbour.mkv", "-f lavfi -i testsrc2=size=640x360:rate=25:duration=30 "+
		"-f lavfi -i sine=frequency=330:sample_rate=48000:duration=30 -c:v mpeg4 -q:v 6 -g 100 -bf 2 -c:a aac -b:a 96k"))
	eval[any](b, `document.querySelector('#upload form').requestSubmit(); return null`)
	b.until("the upload has arrived", `document.querySelector('.transfers')?.textContent.includes('arrived')`, 60*time.Second)
	b.until("the video is in the list, without a reload", `document.querySelector('#videos .video-grid a')`, 30*time.Second)
	b.look("videos")
	video := eval[string](b, `return document.querySelector('#videos .video-grid a').getAttribute('href')`)

	b.open(n.url + video)
	b.until("its task", `document.querySelector('a[href^="/console/tasks/"]')`, 30*time.Second)
	task := eval[string](b, `return document.querySelector('a[href^="/console/tasks/"]').getAttribute('href')`)
	b.open(n.url + task)
	b.until("the first cells are ready", `document.querySelectorAll('.map .cell.ready').length > 0`, 60*time.Second)
	first := eval[int](b, `return document.querySelectorAll('.map .cell.ready').length`)
	b.look("task")
	for _, p := range []string{"queue", "workers", ""} {
		b.open(n.url + "/console/" + p)
		b.look("busy-" + p)
	}
	b.open(n.url + task)
	b.until("every cell becomes ready, without a reload", `document.querySelector('.map .cell.ready') && !document.querySelector('.map .cell:not(.ready)')`, 240*time.Second)
	if last := eval[int](b, `return document.querySelectorAll('.map .cell.ready').length`); last < first {
		t.Errorf("%d cells were ready, and then %d", first, last)
	}
	b.until("it is done", `document.querySelector('.state.succeeded')`, 60*time.Second)
	b.look("task-done")

	b.open(n.url + video)
	b.until("the player", `document.querySelector('iframe')?.contentDocument?.querySelector('video')`, 30*time.Second)
	b.look("video")
	b.follow(".tabs a[href*='dash']")
	const dash = `document.querySelector('iframe')?.contentDocument?.querySelector('video[data-url]')`
	b.until("the player of DASH has the video", dash+`?.readyState >= 2`, 60*time.Second)
	eval[any](b, `const v = `+dash+`; v.muted = true; v.play(); return null`)
	b.until("DASH plays", dash+`.currentTime > 0.5`, 30*time.Second)
	if said := eval[string](b, `return `+dash+`.parentElement.querySelector('.rendition').textContent`); !strings.Contains(said, "360p") {
		t.Errorf("it says that it plays %q", said)
	}
	b.look("video-dash")

	const listed, other = "0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D"
	b.open(n.url + video + "?as=" + other)
	b.arrive("a private video is private", `document.querySelector('.seen h2')?.textContent === 'This video is private'`)
	b.fill("#rule", `{"wallets": ["`+listed+`"]}`)
	b.follow("form[action$='/rule'] button.primary")
	b.fill("#seen-as", other)
	b.follow("form.filters button")
	b.arrive("a stranger's wallet is refused", `document.querySelector('.seen ul') && !document.querySelector('iframe')`)
	b.look("video-refused")
	b.fill("#seen-as", listed)
	b.follow("form.filters button")
	b.until("it plays to the wallet on the list", `document.querySelector('.seen') && document.querySelector('iframe')?.contentDocument?.querySelector('video')`, 30*time.Second)
	b.look("video-as")
	b.nameRule(n, listed)
	b.open(n.url + video)
	b.fill("#new-title", `Harbour <b>at</b> night`)
	b.follow("#rename button")
	if got := eval[string](b, `return document.querySelector('h1').textContent`); got != `Harbour <b>at</b> night` {
		t.Errorf("it is called %q", got)
	}
	b.open(n.url + video + "/delete")
	b.look("delete")
	b.follow("button.danger")
	b.arrive("it is gone from the list", `location.pathname === '/console/videos' && !document.querySelector('.video-grid a')`)
	b.look("videos-deleted")
	b.open(n.url + video)
	b.look("video-deleted")
	b.follow("form[action$='/undo'] button")
	b.arrive("it is back", `location.pathname === '`+video+`' && document.querySelector('#rename')`)
	b.open(n.url + video + "/delete")
	b.follow("button.danger")

	b.open(n.url + "/console/audit")
	said := eval[string](b, `return document.querySelector('table').textContent`)
	for _, want := range []string{"person ada", "video.update", "Harbour", "video.delete", "video.undelete", "person.create", "upload.create", "rule.put", "codes.create"} {
		if !strings.Contains(said, want) {
			t.Errorf("the audit log does not tell of %s:\n%s", want, said)
		}
	}
	b.follow("main button")
	b.arrive("the chain is whole", `document.querySelector('.said')?.textContent.includes('whole')`)
	b.look("audit")
	for _, p := range []string{"access", "keys", "people", "settings", "you", "find?q=nothing"} {
		b.open(n.url + "/console/" + p)
		b.look(strings.Split(p, "?")[0])
	}
	b.forgive("status of 404") // the page of what is deleted
	b.expectQuiet()
}

// nameRule makes a named rule, after a slip of the pen, has the video's refer to
// it, and makes ticket codes.
func (b *tab) nameRule(n *node, listed string) {
	b.t.Helper()
	video := eval[string](b, `return location.pathname`)
	b.open(n.url + "/console/access/rules")
	b.fill("#rule-name", "Friends!")
	b.fill("#rule", `{"wallets": ["`+listed+`"]}`)
	b.follow("form.stack button.primary")
	b.arrive("a wrong name is refused beside it", `document.querySelector('#rule-name-error') && document.querySelector('#rule').value.includes('wallets')`)
	b.look("rules-wrong")
	b.fill("#rule-name", "friends")
	b.fill("#try-wallet", listed)
	b.follow("button[value=try]")
	b.arrive("the wallet would be admitted", `document.querySelector('[role=status] .state.admitted')`)
	b.follow("form.stack button.primary")
	b.arrive("the rule is made", `location.pathname === '/console/access/rules/friends'`)
	b.open(n.url + video)
	b.fill("#rule", `{"any": [{"rule": "friends"}, {"ticket_code": {"pool": "premiere"}}]}`)
	b.follow("form[action$='/rule'] button.primary")
	b.open(n.url + "/console/access/rules")
	b.look("rules")
	b.follow("td.name a")
	b.arrive("the video refers to it", `document.querySelector('main').textContent.includes('Used by 1 video and 0 named rules')`)
	eval[any](b, `document.querySelector('main details').open = true; return null`)
	b.look("rule")

	b.open(n.url + "/console/access/codes")
	b.fill("#pool", "premiere")
	b.fill("#count", "3")
	b.follow("form.stack button.primary")
	b.arrive("the codes are shown", `/^(\w{4}-\w{4}-\w{4}-\w{4}\n?){3}$/.test(document.querySelector('.made pre')?.textContent)`)
	eval[any](b, `document.querySelector('td details').open = true; return null`)
	b.look("codes")
	b.forgive("status of 422") // the name that was wrong
}

// forgive drops complaints that are as they should be.
func (b *tab) forgive(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = slices.DeleteFunc(b.complaints, func(c string) bool { return strings.Contains(c, text) })
}

// plainBrowser is one without scripts: it follows links and sends forms.
type plainBrowser struct {
	t      *testing.T
	client *http.Client
	base   string
}

// read returns a page.
func (b *plainBrowser) read(path string) string {
	b.t.Helper()
	resp, err := b.client.Get(b.base + path)
	return b.body(path, resp, err)
}

func (b *plainBrowser) body(path string, resp *http.Response, err error) string {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: status %d, %v\n%s", path, resp.StatusCode, err, data)
	}
	return string(data)
}

// send posts a form and returns the page that follows.
func (b *plainBrowser) send(path string, form url.Values) string {
	b.t.Helper()
	resp, err := b.client.PostForm(b.base+path, form)
	return b.body(path, resp, err)
}

// upload posts a form with a file.
func (b *plainBrowser) upload(path, file string) string {
	b.t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", filepath.Base(file))
	if err == nil {
		var data []byte
		if data, err = os.ReadFile(file); err == nil {
			_, err = part.Write(data)
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Post(b.base+path, w.FormDataContentType(), &form)
	return b.body(path, resp, err)
}

// until reads a page until it has the text.
func (b *plainBrowser) until(path, text string) string {
	b.t.Helper()
	page := ""
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if page = b.read(path); strings.Contains(page, text) {
			return page
		}
	}
	b.t.Fatalf("%s does not show %q:\n%s", path, text, page)
	return ""
}

// TestConsoleWithoutScripts: the story by forms and links alone.
func TestConsoleWithoutScripts(t *testing.T) {
	n := startNode(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &plainBrowser{t, &http.Client{Jar: jar, Timeout: time.Minute}, n.url}
	link, err := url.Parse(n.setupLink())
	if err != nil {
		t.Fatal(err)
	}
	first := b.send("/console/setup", url.Values{
		"token": {link.Query().Get("token")}, "name": {adminName}, "password": {adminPassword}, "again": {adminPassword},
	})
	if !strings.Contains(first, "No video is here yet") {
		t.Fatalf("the first page: %s", first)
	}
	b.send("/console/queue/pause", nil)
	said := b.upload("/console/videos/upload", ffmpeg(t, "short.mp4", testPicture+testTone+x264+"-t 4"))
	video := regexp.MustCompile(`/console/videos/([a-z0-9]{24})"`).FindStringSubmatch(said)
	if video == nil || !strings.Contains(said, "“short” has arrived") {
		t.Fatalf("after the upload: %s", said)
	}
	page := b.until("/console/videos/"+video[1], "/console/tasks/")
	task := regexp.MustCompile(`/console/tasks/([a-z0-9]{24})"`).FindStringSubmatch(page)
	state := "queued"
	if !strings.Contains(b.read("/console/queue?state=queued"), task[1]) {
		state = "processing" // let in, but none of its jobs begins
	}
	said = b.send("/console/queue", url.Values{"do": {"priority"}, "priority": {"90"}, "all": {"1"}, "state": {state}, "back": {"/console/queue?state=" + state}})
	if !strings.Contains(said, "1 of 1 task: given their priority.") || !strings.Contains(said, `value="90"`) {
		t.Errorf("after the priority: %s", said)
	}
	b.send("/console/queue", url.Values{"one": {task[1] + " cancel"}, "back": {"/console/queue"}})
	b.until("/console/queue?state=cancelled", task[1])
	b.send("/console/tasks/"+task[1], url.Values{"do": {"retry"}})
	b.send("/console/queue/resume", nil)
	b.until("/console/tasks/"+task[1], "everything is made")
	b.nameRule()
	said = b.send("/console/videos/"+video[1]+"/delete", nil)
	if !strings.Contains(said, "is deleted") {
		t.Errorf("after the deletion: %s", said)
	}
	said = b.send("/console/videos/"+video[1]+"/undo", nil)
	if !strings.Contains(said, "is back") || !strings.Contains(said, `value="short"`) {
		t.Errorf("after the undo: %s", said)
	}
	b.send("/console/videos/"+video[1]+"/delete", nil)
	log := b.read("/console/audit")
	for _, want := range []string{"queue.pause", "video.create", "upload.create", "tasks.prioritise", "task.cancel", "task.retry", "video.delete", "video.undelete", "rule.put", "rule.delete", "codes.create", "codes.delete"} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log lacks %s", want)
		}
	}
	if said := b.send("/console/audit/verify", nil); !strings.Contains(said, "The chain is whole") {
		t.Error("the chain is not whole")
	}
}

// nameRule makes, changes and deletes a named rule and ticket codes.
func (b *plainBrowser) nameRule() {
	b.t.Helper()
	expect := func(page, text string) {
		b.t.Helper()
		if !strings.Contains(page, text) {
			b.t.Errorf("the page does not show %q:\n%s", text, page)
		}
	}
	made := b.send("/console/access/rules", url.Values{"name": {"everybody"}, "rule": {`{"public": true}`}})
	expect(made, "The rule is saved")
	version := regexp.MustCompile(`name="version" value="([^"]+)"`).FindStringSubmatch(made)
	if version == nil {
		b.t.Fatalf("the rule's form has no version:\n%s", made)
	}
	expect(b.send("/console/access/rules/everybody", url.Values{"do": {"save"}, "version": {version[1]}, "rule": {`{"all": [{"public": true}]}`}}), "has been asked again")
	expect(b.read("/console/access/rules"), "everybody</a>")
	expect(b.send("/console/access/rules/everybody", url.Values{"do": {"delete"}}), "No named rule yet")

	expect(b.send("/console/access/codes", url.Values{"pool": {"gala"}, "count": {"2"}}), "2 new codes of gala")
	expect(b.read("/console/access/codes"), `<td class="num" data-label="codes">2</td>`)
	expect(b.send("/console/access/codes/gala/delete", nil), "No ticket code yet")
}

// choose puts a file into a field.
func (b *tab) choose(selector, path string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.SetUploadFiles(chromedp.CSS(selector), []string{path})); err != nil {
		b.t.Fatal(err)
	}
}

// look checks a page as people see it, light and dark, narrow and wide: axe
// finds nothing, and nothing is wider than the window. CONSOLE_SHOTS names a
// folder for the pictures.
func (b *tab) look(name string) {
	b.t.Helper()
	for _, width := range []int64{360, 768, 1440} {
		for _, scheme := range []string{"light", "dark"} {
			b.shape(scheme, width)
			if over := eval[int](b, `return document.documentElement.scrollWidth - innerWidth`); over > 0 {
				b.t.Errorf("%s at %d px is %d px too wide: %s", name, width, over, eval[string](b, `
					return [...document.querySelectorAll('main *')].filter(e => !e.parentElement.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1)
						.slice(0, 5).map(e => e.tagName + '.' + e.className).join(', ')`))
			}
			b.picture(fmt.Sprintf("%s-%s-%d", name, scheme, width))
			if width == 360 && scheme == "light" || width == 1440 && scheme == "dark" {
				b.axe(fmt.Sprintf("%s, %s, %d px", name, scheme, width))
			}
		}
	}
	b.shape("light", 1280)
}

func (b *tab) shape(scheme string, width int64) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 900), func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return chromedp.Void{}, err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("CONSOLE_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		b.t.Errorf("picture of %s: %v", name, err)
	}
}

// axe runs axe-core on the page as it is, in a world of its own: the page's
// policy stays as it is.
func (b *tab) axe(what string) {
	b.t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "..", "assets", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		b.t.Fatalf("axe-core: %v; run make assets", err)
	}
	if !eval[bool](b, `return !!window.axe`) {
		if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](string(source)+";null")); err != nil {
			b.t.Fatalf("load axe-core: %v", err)
		}
	}
	for _, v := range eval[[]string](b, `
		const found = await axe.run(document, {iframes: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']});
		return found.violations.map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + ' ' + (n.any[0]?.message || n.all[0]?.message || n.none[0]?.message || '')).join(' | '))`) {
		b.t.Errorf("%s: %s", what, v)
	}
}
