package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"streamgate/app/apptest"
)

// anyBrowser opens pages and runs scripts in them.
type anyBrowser interface {
	open(url string)
	// try runs the body of an async function that returns text. It fails also when
	// the page goes meanwhile.
	try(body string) (string, error)
}

// chromium is a tab as anyBrowser.
type chromium struct{ *tab }

func startChromium(t *testing.T) anyBrowser { return chromium{openTab(t, "about:blank")} }

func (c chromium) open(url string) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, chromedp.Navigate(url)); err != nil {
		c.t.Fatalf("open %s: %v", url, err)
	}
}

func (c chromium) try(body string) (string, error) {
	return chromedp.Run(c.ctx, chromedp.Evaluate[string]("(async () => {"+body+"})()", chromedp.EvalAwaitPromise))
}

// browserStart is how long a browser may take to start.
const browserStart = time.Minute

// needBrowser skips a test whose browser is neither installed nor to be had.
func needBrowser(t *testing.T, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if exec.Command("apt-cache", "show", debian).Run() == nil {
		t.Fatalf("%s is not installed: make install-test", program)
	}
	t.Skipf("there is no %s: Debian has it in the package %s", program, debian)
}

// launch starts a program that ends with the test, and what it has started too.
// What they say is shown if the test fails.
func launch(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	said := &apptest.Log{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second // for the last of the group to let go of its output
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // they may be gone
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), lastLines(said.String(), 40))
		}
	})
}

// retry does what a browser lets do once it has started.
func retry(t *testing.T, what string, do func() error) {
	t.Helper()
	err := do()
	for end := time.Now().Add(browserStart); err != nil; err = do() {
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// inPage runs the body of an async function and returns its value.
func inPage[T any](t *testing.T, b anyBrowser, body string, args ...any) (value T) {
	t.Helper()
	text, err := b.try("const value = await (async () => {" + fmt.Sprintf(body, args...) + "})(); return JSON.stringify(value ?? null)")
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s returned %q: %v", body, text, err)
	}
	return value
}

// watching is a script for the watch page.
const watching = `
	window.video = document.querySelector('video');
	window.until = async (condition) => {
		for (const end = performance.now() + 30000; performance.now() < end;) {
			if (condition()) return true;
			await new Promise((again) => setTimeout(again, 20));
		}
		return false;
	};
	// sought pauses at a time and returns the number of the picture there, as soon
	// as it is one from first to last.
	window.sought = async (at, first, last) => {
		video.pause();
		video.currentTime = at;
		await until(() => !video.seeking && numberOf(video) >= first && numberOf(video) <= last);
		return numberOf(video);
	};`

// shownAt are times, seconds, and the numbers of the pictures shown there: the
// first and last ones of cells and others, forward and back.
var shownAt = []struct {
	at      float64
	picture int
}{{0.02, 0}, {5.5, 137}, {1.98, 49}, {11.9, 297}, {2.02, 50}, {3.98, 99}}

// buffering appends the cells of some renditions to a buffer each, and tells where
// what is buffered ends after every cell, seconds, by rendition.
const buffering = `
	const [base, renditions] = [%q, %s];
	const media = new MediaSource();
	const player = window.player = document.createElement('video'); // kept: without it the media source closes
	player.src = URL.createObjectURL(media);
	await new Promise((open) => media.addEventListener('sourceopen', open));
	const buffers = renditions.map(({ type }) => media.addSourceBuffer(type));
	return Promise.all(renditions.map(async ({ name, cells }, i) => {
		const ends = [];
		const append = async (file) => {
			buffers[i].appendBuffer(await (await fetch(base + name + '/' + file)).arrayBuffer());
			await new Promise((done) => buffers[i].addEventListener('updateend', done, { once: true }));
		};
		await append('init.mp4');
		for (let cell = 0; cell < cells; cell++) {
			await append(cell + '.m4s');
			const { buffered } = buffers[i];
			if (buffered.length !== 1 || buffered.start(0) > 0.001) throw new Error(name + ' has a gap before the end of cell ' + cell);
			ends.push(buffered.end(0));
		}
		return ends;
	}));`

// expectOneClock has the sound of each cell end with the picture: in a browser that
// reads no edit lists, both are late.
func expectOneClock(t *testing.T, b anyBrowser, p pushed) {
	t.Helper()
	base := strings.TrimSuffix(p.HLSURL, "master.m3u8")
	cells := strings.Count(string(get(t, base+"audio/index.m3u8")), "#EXTINF")
	b.open(p.WatchURL)
	type rendition struct {
		Name  string `json:"name"`
		Type  string `json:"type"`
		Cells int    `json:"cells"`
	}
	both, err := json.Marshal([]rendition{
		{"source", `video/mp4; codecs="avc1.64001f"`, cells},
		{"audio", `audio/mp4; codecs="mp4a.40.2"`, cells},
	})
	if err != nil {
		t.Fatal(err)
	}
	ends := inPage[[2][]float64](t, b, buffering, base, both)
	for i, picture := range ends[0] {
		if sound := ends[1][i]; math.Abs(sound-picture) > 0.022 { // a frame of sound
			t.Errorf("cell %d: the picture ends at %.4f s, the sound at %.4f s", i, picture, sound)
		}
	}
	t.Logf("pictures end at %.4f s, sounds at %.4f s", ends[0], ends[1])
}

// TestBrowsers plays the watch page in three browsers, seeks while it is paused,
// where each must show the very picture of that time, and plays to the end; the
// copy of the source, and what is encoded. Picture and sound are on one clock.
// Then comes the first story of the console, which Chromium has in tests of its own.
func TestBrowsers(t *testing.T) {
	n := startNode(t)
	p := n.push(numberedClip(t, "854x480", 12, 50), "--public", "--wait", "ready")
	for _, tc := range []struct {
		name    string
		start   func(*testing.T) anyBrowser
		late    int // pictures, at most
		console bool
	}{
		{"Chromium", startChromium, 0, false},
		{"Firefox", startFirefox, 0, true},
		// It reads no edit lists in fragmented MP4: ARCHITECTURE.md, "The edit list stays, and sound has it too".
		{"WebKitGTK", startWebKit, 2, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := tc.start(t)
			expectOneClock(t, b, p)
			for _, height := range []int{480, 360} {
				watchNumbers(t, b, p.WatchURL, height, tc.late)
			}
			if tc.console {
				firstStory(t, b)
			}
		})
	}
}

// watchNumbers watches one rendition of a numbered clip, of which pictures may be
// shown so many too late.
func watchNumbers(t *testing.T, b anyBrowser, url string, height, late int) {
	t.Helper()
	numbers, err := os.ReadFile("testdata/numbers.js")
	if err != nil {
		t.Fatal(err)
	}
	load := func() {
		b.open(url)
		inPage[any](t, b, "%s", string(numbers)+watching)
	}
	expect := func(what, condition string) {
		t.Helper()
		if !inPage[bool](t, b, "return until(() => %s)", condition) {
			t.Fatalf("%s: not within 30 s; it is %s", what, inPage[string](t, b, "return `at ${video.currentTime} of ${video.duration}, "+
				"ready ${video.readyState}, error ${video.error && video.error.message}`"))
		}
	}

	load()
	expect("the qualities are there", "document.querySelectorAll('.quality option').length === 3")
	inPage[any](t, b, `
		const quality = document.querySelector('.quality');
		quality.value = [...quality.options].find((option) => option.text.startsWith('%dp')).value;
		quality.dispatchEvent(new Event('change'))`, height)
	load() // what was chosen is remembered, and nothing of the other one is there
	inPage[any](t, b, "video.muted = true; document.querySelector('.big-play').click()")
	expect("it plays", "video.played.length > 0 && video.played.end(0) > video.played.start(0) + 0.3")
	for _, s := range shownAt {
		if got := inPage[int](t, b, "return sought(%g, %d, %d)", s.at, max(0, s.picture-late), s.picture); got > s.picture || got < max(0, s.picture-late) {
			t.Errorf("%dp: at %g s the picture %d is shown, want %d", height, s.at, got, s.picture)
		}
	}
	if got := inPage[int](t, b, "return video.videoHeight"); got != height {
		t.Errorf("%d lines are shown, want %d", got, height)
	}
	inPage[any](t, b, "video.currentTime = 10.8; video.play()")
	expect("it ends", "video.ended")
	if failed := inPage[bool](t, b, "return video.error !== null"); failed {
		t.Errorf("%dp ended with an error", height)
	}
}
