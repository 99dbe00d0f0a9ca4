package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// mostPicture is how large a picture of the README may be, bytes.
const mostPicture = 200_000

// TestPictures makes the README's pictures of the console, of a node that is at
// work, in the folder that PICTURES names.
func TestPictures(t *testing.T) {
	dir := os.Getenv("PICTURES")
	if dir == "" {
		t.Skip("make pictures makes the README's pictures by this test")
	}
	chain := startChain(t)
	n := startGated(t, chain)
	b := openTabFor(t, n.setupLink(), 5*time.Minute)
	b.setUp()
	if _, err := chain.Mint721(t.Context(), chain.Holder.Address); err != nil {
		t.Fatal(err)
	}
	rule := writeFile(t, "rule.json", holders(chain))
	done := n.push(ffmpeg(t, "a.mp4", "-f lavfi -i gradients=size=1280x720:rate=25:c0=navy:c1=orange:duration=20 "+
		"-f lavfi -i sine=frequency=330:sample_rate=48000:duration=20 "+x264+"-g 50 -c:a aac"), "--rule", rule, "--title", "Harbour at night", "--wait", "ready")
	long := ffmpeg(t, "b.mkv", "-f lavfi -i testsrc2=size=1920x1080:rate=25:duration=90 -f lavfi -i sine=frequency=330:sample_rate=48000:duration=90 "+
		"-c:v mpeg4 -q:v 6 -g 100 -c:a aac")
	film := n.push(long, "--rule", rule, "--title", "The long way to the lighthouse", "--wait", "playable")
	for _, title := range []string{"Lecture 4: tides", "Lecture 5: currents"} {
		n.push(long, "--title", title, "--public", "--wait", "playable")
	}
	for _, a := range chain.All() {
		n.rest(http.MethodPost, "videos/"+done.VideoID+"/sessions", fmt.Sprintf(`{"wallet": %q}`, a.Address.Hex()), nil)
	}
	b.open(n.url + "/console/tasks/" + n.video(film.VideoID).TaskID)
	b.until("some of it is made", `document.querySelectorAll('.map .cell.ready').length > 40`, 3*time.Minute)
	for _, p := range []struct{ name, scheme, path, there string }{
		{"console-overview", "dark", "/console/", `document.querySelector('progress')`},
		{"console-task", "light", "/console/tasks/" + n.video(film.VideoID).TaskID, `document.querySelector('.map .cell.ready')`},
		{"console-access", "dark", "/console/access", `document.body.textContent.includes('does not hold a token of')`},
	} {
		b.open(n.url + p.path)
		b.until(p.name, p.there, 30*time.Second)
		b.until("it hears events", `document.querySelector('.live-state.on')`, 30*time.Second)
		b.shape(p.scheme, 1280)
		b.keepPicture(filepath.Join(dir, p.name+".png"))
	}
}

// keepPicture writes what is seen to a file.
func (b *tab) keepPicture(file string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil || len(png) > mostPicture {
		b.t.Errorf("%s: %d bytes, %v", file, len(png), err)
	}
}
