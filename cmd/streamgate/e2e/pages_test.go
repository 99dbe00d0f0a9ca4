package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// copied makes two minutes that need no encoding.
func copied(t *testing.T) string {
	t.Helper()
	return ffmpeg(t, "clip.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=120 "+
		"-f lavfi -i sine=frequency=440:sample_rate=48000:duration=120 "+x264+"-g 50 -c:a aac")
}

// head returns what a page's head says to those who read it elsewhere.
func (b *tab) head(selector, attribute string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`return document.querySelector('head %s')?.getAttribute(%q) ?? ''`, selector, attribute))
}

// TestSharedLink: a link tells what it leads to, begins where it says, and can
// be made where playback is.
func TestSharedLink(t *testing.T) {
	n := startNode(t)
	p := n.push(copied(t), "--public", "--title", "A shared film", "--wait", "ready")
	n.wait(p.VideoID, 30*time.Second, "with its stills", func(v video) bool { return v.Storyboard })
	b := openTab(t, p.WatchURL+"?t=1m15s&autoplay=1&muted=1")
	b.until("it plays from where the link says", fmt.Sprintf(playing, 75.3), 30*time.Second)
	if at, muted := eval[float64](b, `return document.querySelector('video').currentTime`), eval[bool](b, `return document.querySelector('video').muted`); at > 85 || !muted {
		t.Errorf("it plays at %v s, muted %v", at, muted)
	}
	eval[any](b, `location.hash = '#t=20'`)
	b.until("another fragment goes on there", `Math.abs(document.querySelector('video').currentTime - 21) < 1.5`, 30*time.Second)

	if got := b.head(`meta[property="og:title"]`, "content"); got != "A shared film" {
		t.Errorf("the card's title is %q", got)
	}
	if poster := get(t, b.head(`meta[property="og:image"]`, "content")); !strings.HasPrefix(string(poster), "\xff\xd8") {
		t.Error("the card's picture is no JPEG")
	}
	var said struct{ Type, Title, Thumbnail_url string }
	if err := json.Unmarshal(get(t, b.head(`link[type="application/json+oembed"]`, "href")), &said); err != nil || said.Type != "link" || said.Title != "A shared film" {
		t.Errorf("oEmbed says %+v, %v", said, err)
	}

	eval[any](b, `document.querySelector('video').pause(); document.querySelector('video').currentTime = 33.7`)
	b.until("the button names the time", `document.querySelector('.copy').textContent === 'Copy link at 0:33'`, 30*time.Second)
	eval[any](b, `document.querySelector('.copy').click()`)
	b.until("the link was copied", `document.querySelector('.copied').textContent !== ''`, 30*time.Second)
	if got := eval[string](b, `return document.querySelector('.share input').value`); got != p.WatchURL+"?t=33" {
		t.Errorf("the link is %s", got)
	}
	b.shoot("watch")
	if _, err := chromedp.Call(b.ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		granted := browser.SetPermissionParams{Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted}
		if _, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, granted); err != nil {
			t.Fatal(err)
		}
	}
	eval[any](b, `document.querySelector('.copy').click()`)
	b.until("the link is in the clipboard", `document.querySelector('.copied').textContent === 'Copied.'`, 30*time.Second)
	if got := eval[string](b, `return navigator.clipboard.readText()`); got != p.WatchURL+"?t=33" {
		t.Errorf("the clipboard has %s", got)
	}
	b.expectQuiet()
}

// TestPlayerMemory: volume, quality and position are there again after a
// reload; buttons say what they do; the system knows what plays.
func TestPlayerMemory(t *testing.T) {
	n := startNode(t)
	clip := ffmpeg(t, "clip.mp4", "-f lavfi -i testsrc2=size=1280x720:rate=5:duration=30 "+
		"-f lavfi -i sine=frequency=440:sample_rate=48000:duration=30 "+x264+"-g 10 -c:a aac")
	p := n.push(clip, "--public", "--title", "A film", "--wait", "ready")
	n.wait(p.VideoID, 30*time.Second, "with its stills", func(v video) bool { return v.Storyboard })
	b := openTab(t, p.WatchURL)
	if got := eval[string](b, `return document.querySelector('.facts').textContent`); !strings.Contains(got, "720p (original)") || strings.Contains(got, "source") {
		t.Errorf("the facts are %q", got)
	}
	names := func() string {
		return eval[string](b, `return document.querySelector('.play').ariaLabel + ', ' + document.querySelector('.mute').ariaLabel`)
	}
	if got := names(); got != "Play, Mute" {
		t.Errorf("before playback the buttons are %s", got)
	}
	b.until("the qualities are known", `document.querySelector('.quality').options.length > 2`, 30*time.Second)
	if got := eval[string](b, `return document.querySelector('.quality').textContent`); !strings.Contains(got, "720p (original)") || !strings.Contains(got, "360p") {
		t.Errorf("the qualities are %s", got)
	}
	eval[any](b, `
		const choose = (name, value) => { const s = document.querySelector(name); s.value = value; s.dispatchEvent(new Event(s.type === 'range' ? 'input' : 'change')); };
		choose('.quality', [...document.querySelector('.quality').options].find((o) => o.text.startsWith('360p')).value);
		choose('.volume', 0.3);
		choose('.speed', 1.5);
		document.querySelector('video').currentTime = 20;
		document.querySelector('.big-play').click()`)
	b.until("it plays", fmt.Sprintf(playing, 20.5), 30*time.Second)
	if got := names(); got != "Pause, Mute" {
		t.Errorf("during playback the buttons are %s", got)
	}
	if rate := eval[float64](b, `return document.querySelector('video').playbackRate`); rate != 1.5 {
		t.Errorf("it plays at speed %v", rate)
	}
	eval[any](b, `document.querySelector('.mute').click()`)
	b.until("it is muted and says so", `document.querySelector('.mute').ariaLabel === 'Unmute'`, 30*time.Second)
	if got := eval[string](b, `const m = navigator.mediaSession.metadata; return m.title + ' ' + m.artwork.map((a) => a.src)`); got != "A film "+n.url+"/v/"+p.VideoID+"/poster.jpg" {
		t.Errorf("the system shows %s", got)
	}
	eval[any](b, `document.querySelector('video').pause()`)

	if err := chromedp.Do(b.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	b.until("it is where it was left", `document.querySelector('video').currentTime >= 20 && document.querySelector('video').currentTime < 30`, 30*time.Second)
	b.until("the quality is chosen", `document.querySelector('.quality').selectedOptions[0].text.startsWith('360p')`, 30*time.Second)
	if got := eval[string](b, `const v = document.querySelector('video'); return v.volume + ' ' + v.muted`); got != "0.3 true" {
		t.Errorf("volume and muted are %s", got)
	}
	eval[any](b, `document.querySelector('.big-play').click()`)
	b.plays()
	loaded := eval[[]string](b, `return [...new Set(performance.getEntriesByType('resource').flatMap((e) => e.name.match(/\/([^/]+)\/\d+\.m4s/)?.[1] ?? []))].filter((name) => !name.startsWith('audio'))`)
	if len(loaded) != 1 || loaded[0] != "360p" {
		t.Errorf("it loads %v", loaded)
	}
	b.shoot("qualities")
	b.expectQuiet()
}
