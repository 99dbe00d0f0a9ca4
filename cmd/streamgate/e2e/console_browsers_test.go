package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"testing"
	"time"
)

// arrives waits for a condition, on whichever page is there by then.
func arrives(t *testing.T, b anyBrowser, what, condition string) {
	t.Helper()
	retry(t, what, func() error {
		said, err := b.try("return String(!!(" + condition + "))")
		if err == nil && said != "true" {
			where, _ := b.try("return location.pathname + ': ' + document.querySelector('main')?.innerText.slice(0, 500)")
			err = fmt.Errorf("not yet, at %s", where)
		}
		return err
	})
}

// press fills fields, by selector, and presses a button that leads elsewhere.
func press(t *testing.T, b anyBrowser, button string, fields map[string]string) {
	t.Helper()
	for field, text := range fields {
		inPage[any](t, b, "document.querySelector(%q).value = %q", field, text)
	}
	inPage[any](t, b, "const button = document.querySelector(%q); setTimeout(() => button.click(), 0)", button)
}

// firstStory is the first one of the console: make the first admin, drop a file,
// watch it become ready, play it, sign out and in again.
func firstStory(t *testing.T, b anyBrowser) {
	t.Helper()
	n := startNode(t)
	b.open(n.setupLink())
	begun := time.Now()
	press(t, b, "button.primary", map[string]string{"#name": adminName, "#password": adminPassword, "#again": adminPassword})
	arrives(t, b, "the overview", "location.pathname === '/console/' && document.querySelector('#nav')")

	data, err := os.ReadFile(ffmpeg(t, "harbour.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 "+x264+"-g 50"))
	if err != nil {
		t.Fatal(err)
	}
	b.open(n.url + "/console/videos")
	inPage[any](t, b, `
		const data = new DataTransfer();
		data.items.add(new File([Uint8Array.from(atob('%s'), (c) => c.charCodeAt(0))], 'harbour.mp4', { type: 'video/mp4' }));
		document.querySelector('#upload').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))`,
		base64.StdEncoding.EncodeToString(data))
	arrives(t, b, "the file has arrived", "document.querySelector('.transfers')?.textContent.includes('arrived')")
	arrives(t, b, "the video becomes ready, without a reload", "document.querySelector('.video-grid .state.ready')")

	b.open(n.url + inPage[string](t, b, "return document.querySelector('.video-grid a').getAttribute('href')"))
	const video = "document.querySelector('iframe')?.contentDocument?.querySelector('video')"
	arrives(t, b, "the player has the video", video+"?.readyState >= 2")
	inPage[any](t, b, "const video = "+video+"; video.muted = true; video.play()")
	arrives(t, b, "it plays", video+".currentTime > 0.3")

	press(t, b, "form[action$='/sign-out'] button", nil)
	arrives(t, b, "the sign-in", "location.pathname === '/console/sign-in' && document.querySelector('#password')")
	b.open(n.url + "/console/videos")
	arrives(t, b, "whoever is not signed in sees no page", "location.pathname === '/console/sign-in'")
	press(t, b, "button.primary", map[string]string{"#name": adminName, "#password": adminPassword})
	arrives(t, b, "the page that was asked for", "location.pathname === '/console/videos' && document.querySelector('.video-grid .name').textContent === 'harbour'")
	t.Logf("the first story of the console took %s", time.Since(begun).Round(time.Second))
}
