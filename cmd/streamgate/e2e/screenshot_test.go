package e2e

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// shoot keeps pictures of the page, in light and dark, narrow and wide, in the
// folder that SCREENSHOTS names; without one it does nothing.
func (b *tab) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, theme := range []string{"light", "dark"} {
		feature := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: theme}
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{feature}})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, width := range []int64{360, 1280} {
			if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 800)); err != nil {
				b.t.Fatal(err)
			}
			eval[any](b, `document.querySelectorAll('.player').forEach((p) => p.dispatchEvent(new PointerEvent('pointermove', {bubbles: true}))); // shows the controls
				await new Promise(requestAnimationFrame); await new Promise((r) => setTimeout(r, 300))`)
			picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err != nil {
				b.t.Fatal(err)
			}
			file := filepath.Join(dir, fmt.Sprintf("%s-%s-%d.png", name, theme, width))
			if err := os.WriteFile(file, picture, 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(1280, 900)); err != nil {
		b.t.Fatal(err)
	}
}
