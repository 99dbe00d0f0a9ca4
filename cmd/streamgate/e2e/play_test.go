package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const playing = `document.querySelector('video').currentTime > %v && !document.querySelector('video').paused`

// TestWatchPage plays the page a second after the upload and seeks to where
// the encode has not been.
func TestWatchPage(t *testing.T) {
	n := startNode(t)
	p := n.push(longClip(t), "--public", "--title", "A long clip", "--wait", "playable")
	b := openTab(t, p.WatchURL)
	if title := eval[string](b, `return document.title`); !strings.HasPrefix(title, "A long clip") {
		t.Errorf("the page's title is %q", title)
	}
	eval[any](b, `document.querySelector('.big-play').click()`)
	b.until("the picture moves", fmt.Sprintf(playing, 0.5), 20*time.Second)
	first := eval[float64](b, `return document.querySelector('video').currentTime`)
	b.until("it goes on", fmt.Sprintf(playing, first+0.5), 10*time.Second)

	if v := n.video(p.VideoID); v.Progress > 60 {
		t.Fatalf("%v %% is made already: the seek would prove nothing", v.Progress)
	}
	eval[any](b, `document.querySelector('video').currentTime = 70`)
	took := b.until("it plays from the middle of what is not made", fmt.Sprintf(playing, 70.5), 15*time.Second)
	t.Logf("seeking to a part not made yet took %s", took.Round(time.Millisecond))
	if state := n.video(p.VideoID).State; state != "playable" {
		t.Errorf("the video is %s while parts are missing", state)
	}
	if making := eval[string](b, `return document.querySelector('.making').textContent`); !strings.Contains(making, "Still in the making") {
		t.Errorf("the page does not say what is being made: %q", making)
	}

	// Keys: space, arrows, tenths.
	press := func(key string) {
		eval[any](b, fmt.Sprintf(`document.body.dispatchEvent(new KeyboardEvent('keydown', {key: %q, bubbles: true}))`, key))
	}
	press(" ")
	b.until("space pauses", `document.querySelector('video').paused`, time.Second)
	press("0")
	b.until("0 goes to the start", `document.querySelector('video').currentTime === 0`, time.Second)
	press("ArrowRight")
	b.until("an arrow goes on by 5 s", `document.querySelector('video').currentTime === 5`, time.Second)
	press("m")
	b.until("m mutes", `document.querySelector('video').muted`, time.Second)
	b.expectQuiet()
}

// TestSessionPage plays a private video through a session's link, and nothing
// without one.
func TestSessionPage(t *testing.T) {
	n := startNode(t)
	clip := ffmpeg(t, "a.mp4", testPicture+testTone+x264+"-g 50 -c:a aac -t 8")
	p := n.push(clip, "--wait", "ready")
	b := openTab(t, p.WatchURL)
	eval[any](b, `document.querySelector('.big-play').click()`)
	b.until("it plays to its end", `document.querySelector('video').ended`, 20*time.Second)
	if kinds := eval[int](b, `return document.querySelector('.quality').options.length`); kinds < 2 {
		t.Errorf("the quality menu has %d entries", kinds)
	}
	b.until("the storyboard is there", `document.querySelector('.player').dataset.storyboard !== ''`, 10*time.Second)
	eval[any](b, `
		await fetch(document.querySelector('.player').dataset.storyboard);
		await new Promise(r => setTimeout(r, 100));
		document.querySelector('.bar').dispatchEvent(new PointerEvent('pointermove', {clientX: 300, bubbles: true}))`)
	b.until("the storyboard shows", `getComputedStyle(document.querySelector('.preview .still')).backgroundImage.includes('storyboard-0.jpg')`, 5*time.Second)
	b.expectQuiet()

	for _, path := range []string{"/watch/" + p.VideoID, "/v/" + p.VideoID + "/master.m3u8", "/s/forged/master.m3u8", "/s/forged/"} {
		resp, err := http.Get(n.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("GET %s: %s, want 401", path, resp.Status)
		}
	}
	token := strings.Split(strings.TrimPrefix(p.HLSURL, n.url+"/s/"), "/")[0]
	if strings.Contains(n.log.String(), token) {
		t.Error("the ticket is in the log")
	}
}

// TestPlayers plays the same cells in three players, to the end.
func TestPlayers(t *testing.T) {
	n := startNode(t)
	clip := ffmpeg(t, "a.mkv", testPicture+testTone+"-c:v mpeg4 -q:v 5 -bf 2 -c:a aac -t 10")
	p := n.push(clip, "--public", "--wait", "ready")
	mux := http.NewServeMux()
	mux.Handle("/lib/", http.StripPrefix("/lib/", http.FileServer(http.Dir("../../../assets/node_modules"))))
	page := func(path, script, start string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><video muted></video><script src="/lib/%s"></script><script>
				const video = document.querySelector('video'); %s</script>`, script, start)
		})
	}
	page("/hls", "hls.js/dist/hls.min.js", fmt.Sprintf(`
		const hls = new Hls(); hls.loadSource(%q); hls.attachMedia(video); video.play()`, p.HLSURL))
	page("/dash", "dashjs/dist/modern/umd/dash.all.min.js", fmt.Sprintf(`
		const player = dashjs.MediaPlayer().create(); player.updateSettings({debug: {logLevel: 0}}); player.initialize(video, %q, true)`, p.DASHURL))
	page("/shaka", "shaka-player/dist/shaka-player.compiled.js", fmt.Sprintf(`
		const player = new shaka.Player(); player.attach(video).then(() => player.load(%q)).then(() => video.play())`, p.DASHURL))
	page("/shaka-hls", "shaka-player/dist/shaka-player.compiled.js", fmt.Sprintf(`
		const player = new shaka.Player(); player.attach(video).then(() => player.load(%q)).then(() => video.play())`, p.HLSURL))
	pages := httptest.NewServer(mux)
	defer pages.Close()

	for _, player := range []string{"hls", "dash", "shaka", "shaka-hls"} {
		t.Run(player, func(t *testing.T) {
			b := openTab(t, pages.URL+"/"+player)
			b.until("it starts", `video.currentTime > 0.3`, 15*time.Second)
			if at := eval[float64](b, `return video.buffered.start(0)`); at > 0.05 {
				t.Errorf("the first frame is at %v s", at)
			}
			eval[any](b, `video.currentTime = 8`)
			b.until("it ends", `video.ended`, 40*time.Second)
			// Past the last picture there is sound; a manifest that ends before
			// it makes dash.js go back and pause.
			eval[any](b, `video.currentTime = 10.003`)
			b.until("it goes to the last sound", `!video.seeking && video.currentTime > 10`, 5*time.Second)
			if d := eval[float64](b, `return video.duration`); d < 9.9 || d > 10.1 {
				t.Errorf("it lasts %v s, the source 10 s", d)
			}
			if dropped := eval[int](b, `return video.error ? 1 : 0`); dropped != 0 {
				t.Error("the player ended with an error")
			}
			b.expectQuiet()
		})
	}
}
