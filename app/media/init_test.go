package media

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"streamgate/store"
)

// The moov files are ffmpeg's own, of one rendition each.
func TestHeaderGolden(t *testing.T) {
	for _, c := range []struct {
		moov, golden string
		rendition    store.Rendition
		codecs       string
	}{
		{"video", "video", store.Rendition{Kind: store.KindVideo, Timescale: 12800, Width: 320, Height: 180, Delay: 1024}, "avc1.64000c"},
		{"video", "video-long", store.Rendition{Kind: store.KindVideo, Timescale: 1e9, Width: 320, Height: 180, Delay: 1 << 33}, "avc1.64000c"},
		{"audio", "audio", store.Rendition{Kind: store.KindAudio, Timescale: 48000, Language: "pt-BR"}, "mp4a.40.2"},
		{"audio", "audio-late", store.Rendition{Kind: store.KindAudio, Timescale: 48000, Delay: 3840}, "mp4a.40.2"},
	} {
		t.Run(c.golden, func(t *testing.T) {
			moov, err := os.ReadFile("testdata/init/" + c.moov + ".moov")
			if err != nil {
				t.Fatal(err)
			}
			got, codecs, err := header(moov, &c.rendition)
			if err != nil || codecs != c.codecs {
				t.Fatalf("codecs %q, %v; want %q", codecs, err, c.codecs)
			}
			golden(t, "testdata/init/"+c.golden+".mp4", got)
		})
	}
}

func FuzzHeader(f *testing.F) {
	for _, name := range []string{"video", "audio"} {
		moov, err := os.ReadFile("testdata/init/" + name + ".moov")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(moov)
	}
	f.Fuzz(func(t *testing.T, moov []byte) {
		r := store.Rendition{Kind: store.KindVideo, Timescale: 1000, Delay: 80}
		init, _, err := header(moov, &r)
		if err != nil {
			if !errors.Is(err, errInit) {
				t.Fatalf("not errInit: %v", err)
			}
			return
		}
		again, _, err := header(moov, &r)
		if err != nil || !bytes.Equal(init, again) {
			t.Fatalf("not the same again: %v", err)
		}
	})
}
