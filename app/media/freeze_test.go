package media

import (
	"bytes"
	"testing"
)

// TestFirstCells: what is copied has its first cells from planning, and they
// are those that Encode makes.
func TestFirstCells(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]string{
		"longer than a segment": "-f lavfi -i testsrc2=s=320x180:r=25:d=7 -f lavfi -i sine=d=7 -c:v libx264 -preset ultrafast -g 25 -bf 2 -pix_fmt yuv420p -c:a aac",
		"one segment":           "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -f lavfi -i sine=d=1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac",
	} {
		t.Run(name, func(t *testing.T) {
			f := shoot(t, smallProfile(true), "a.mp4", args)
			got := f.encode(t, 100)
			copies := 0
			for _, r := range f.Plan.Renditions {
				if r.Copy {
					copies++
				}
			}
			if copies != 2 || len(f.Cells) != copies {
				t.Fatalf("%d first cells of %d copies, want 2", len(f.Cells), copies)
			}
			for _, c := range f.Cells {
				if c.Segment != 0 || !bytes.Equal(c.Data, got[c.Rendition][0]) {
					t.Errorf("%s: cell %d of %d bytes is not what Encode makes", c.Rendition, c.Segment, len(c.Data))
				}
			}
		})
	}
}
