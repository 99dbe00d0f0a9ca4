package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// openConsole signs in as the first admin, made with a link of the command's.
func (n *node) openConsole() *tab {
	n.t.Helper()
	_, link, found := strings.Cut(strings.TrimSpace(n.ctl("setup-link")), "http")
	if !found {
		n.t.Fatal("setup-link prints no link")
	}
	b := openTabFor(n.t, "http"+link, 4*time.Minute)
	b.setUp()
	return b
}

// TestConsoleUploads: three files are dropped, the page is loaded again in the
// middle, and the same files go on where they were. Then what waits in the queue
// is given a priority and cancelled, all at once.
func TestConsoleUploads(t *testing.T) {
	n := startNode(t)
	b := n.openConsole()
	n.ctl("queue", "pause")
	var files []string
	for i := range 3 {
		files = append(files, ffmpeg(t, fmt.Sprintf("film %d.mkv", i), fmt.Sprintf(
			"-f lavfi -i testsrc2=size=320x180:rate=25:duration=%d -c:v mpeg4 -b:v 1M", 5+i)))
	}
	b.open(n.url + "/console/videos")
	b.throttle(150_000)
	b.drop(files...)
	b.until("the first has begun", `[...document.querySelectorAll('.transfers progress')].some(p => p.value > 0 && p.value < 100)`, 30*time.Second)
	b.open(n.url + "/console/videos") // again
	b.throttle(0)
	b.drop(files...)
	b.until("all have arrived", `document.querySelectorAll('.transfers li').length === 3 &&
		[...document.querySelectorAll('.transfers li')].every(e => e.textContent.includes('arrived'))`, 60*time.Second)
	b.until("all are in the list, without a reload", `document.querySelectorAll('#videos .video-grid a').length >= 3`, 30*time.Second)
	var list struct {
		Videos []video `json:"videos"`
	}
	if err := json.Unmarshal([]byte(n.ctl("videos", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	sizes := map[int64]bool{}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		sizes[info.Size()] = true
	}
	for _, v := range list.Videos {
		if !sizes[int64(v.Size)] {
			t.Errorf("a video of %.0f bytes is none of the files", v.Size)
		}
		delete(sizes, int64(v.Size))
	}
	if len(list.Videos) != 3 {
		t.Errorf("%d videos of 3 files", len(list.Videos))
	}

	// All three wait: whether admitted already or not, nothing of them begins.
	state := "queued"
	if n.waiting("queued") == 0 {
		state = "processing"
	}
	b.open(n.url + "/console/queue?state=" + state)
	waiting := n.waiting(state)
	eval[any](b, `document.querySelector('[name=all]').checked = true; document.querySelector('.bulk [name=priority]').value = 90; return null`)
	b.follow(`.bulk button[value=priority]`)
	if said := eval[string](b, `return document.querySelector('.said:not(.warn)').textContent`); !strings.Contains(said, fmt.Sprintf("%d of %[1]d", waiting)) {
		t.Errorf("after the priority the page says %q", said)
	}
	eval[any](b, `document.querySelector('[name=all]').checked = true; return null`)
	b.follow(`.bulk button[value=cancel]`)
	b.until("none is left there", `!document.querySelector('table.cards')`, 30*time.Second)
	if got := n.waiting("cancelled"); got != waiting {
		t.Errorf("%d tasks are cancelled, want %d", got, waiting)
	}
	b.forgive("net::ERR") // the requests that the reload cut off
	b.expectQuiet()
}

// waiting counts the tasks in a state.
func (n *node) waiting(state string) int {
	n.t.Helper()
	var list struct {
		Tasks []struct{} `json:"tasks"`
	}
	if err := json.Unmarshal([]byte(n.ctl("tasks", "list", "--state", state, "--json")), &list); err != nil {
		n.t.Fatal(err)
	}
	return len(list.Tasks)
}

// drop lets files go over the upload panel, as a hand would.
func (b *tab) drop(files ...string) {
	b.t.Helper()
	eval[any](b, `
		const input = Object.assign(document.createElement('input'), { type: 'file', multiple: true, id: 'dropped', hidden: true });
		document.body.append(input); return null`)
	if err := chromedp.Do(b.ctx, chromedp.SetUploadFiles(chromedp.CSS("#dropped"), files)); err != nil {
		b.t.Fatal(err)
	}
	eval[any](b, `
		const data = new DataTransfer();
		const input = document.querySelector('#dropped');
		for (const f of input.files) data.items.add(f);
		input.remove();
		document.querySelector('#upload').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); return null`)
}

// throttle bounds what the page sends, bytes a second; 0 for no bound.
func (b *tab) throttle(up float64) {
	b.t.Helper()
	if up == 0 {
		up = -1
	}
	limits := network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: up}},
	}
	if _, err := chromedp.Call(b.ctx, network.EmulateNetworkConditionsByRule, limits); err != nil {
		b.t.Fatal(err)
	}
}

// TestConsoleRule: a rule is tried on two wallets and set, a holder watches, and
// the operator ends the session: the player stops and says so.
func TestConsoleRule(t *testing.T) {
	chain := startChain(t)
	if _, err := chain.Mint721(t.Context(), chain.Holder.Address); err != nil {
		t.Fatal(err)
	}
	n := startGated(t, chain)
	film := n.push(ffmpeg(t, "for holders.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=120 "+
		"-f lavfi -i sine=frequency=440:sample_rate=48000:duration=120 "+x264+"-g 50 -c:a aac"), "--wait", "ready")
	b := n.openConsole()
	page := n.url + "/console/videos/" + film.VideoID
	b.open(page)
	for wallet, want := range map[string]string{chain.Holder.Address.Hex(): "admitted", chain.Stranger.Address.Hex(): "refused"} {
		b.fill("#rule", holders(chain))
		b.fill("#try-wallet", wallet)
		b.follow(`button[value=try]`)
		if said := eval[string](b, `return document.querySelector('[role=status] .state')?.className ?? ''`); !strings.Contains(said, want) {
			t.Errorf("tried on %s: %q, want %s", wallet, said, want)
		}
	}
	b.fill("#rule", holders(chain))
	b.fill("#try-wallet", "")
	b.follow(`form[action$="/rule"] button.primary`)
	b.arrive("the rule is set", `document.querySelector('.said')`)

	viewer := openGate(t, n.url+"/watch/"+film.VideoID, chain.Holder)
	viewer.press("Test holder")
	viewer.plays()
	b.open(page)
	b.until("the viewer is listed", `document.querySelector('form[action$="/access/end"] button')`, 30*time.Second)
	b.look("video-watched")
	b.follow(`form[action$="/access/end"] button`)
	viewer.stops("The operator has ended this session.")

	b.open(n.url + "/console/audit")
	said := eval[string](b, `return document.querySelector('table').textContent`)
	for _, want := range []string{"video.rule", "session.end"} {
		if !strings.Contains(said, want) {
			t.Errorf("the audit log does not tell of %s:\n%s", want, said)
		}
	}
	b.expectQuiet()
	viewer.expectOnlyRefusals()
}

// retryInConsole opens a failed task, one chunk of which is given up, and retries
// it once ffmpeg is mended: its cells go from failed to ready before one's eyes.
func (n *node) retryInConsole(task, mended string) {
	n.t.Helper()
	b := n.openConsole()
	b.open(n.url + "/console/queue?state=failed")
	b.follow("a[href$='" + task + "']")
	b.arrive("the task", `document.querySelector('h1 + .state.failed')`)
	const failed = `document.querySelectorAll('.map .cell.failed').length`
	before := eval[int](b, `return document.querySelectorAll('.map .cell.ready').length`)
	if got := eval[int](b, `return `+failed); got != 2 {
		n.t.Errorf("%d cells of the map have failed, want two segments of one rendition", got)
	}
	for _, want := range []string{"out of luck", "The picture from 0:08 to 0:16 could not be made"} {
		if said := eval[string](b, `return document.querySelector('#task').textContent`); !strings.Contains(said, want) {
			n.t.Errorf("the page does not say %q:\n%s", want, said)
		}
	}
	b.look("task-failed")
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		n.t.Fatal(err)
	}
	b.follow("button[value=retry]")
	b.until("what had failed is ready, without a reload", failed+` === 0 && document.querySelectorAll('.map .cell.ready').length === `+fmt.Sprint(before+2), time.Minute)
	b.until("the task is done", `document.querySelector('h1 + .state.succeeded')`, 30*time.Second)
	b.open(n.url + "/console/audit")
	if said := eval[string](b, `return document.querySelector('table').textContent`); !strings.Contains(said, "task.retry") || !strings.Contains(said, "person ada") {
		n.t.Errorf("the audit log does not tell of the retry:\n%s", said)
	}
	b.expectQuiet()
}
