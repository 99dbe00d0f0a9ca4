package media

import (
	"fmt"
	"strings"
	"testing"
)

func TestLeftOut(t *testing.T) {
	const (
		film     = `{"index":0,"codec_type":"video","codec_name":"h264","width":640,"height":360}`
		hdr      = `{"index":0,"codec_type":"video","codec_name":"hevc","width":640,"height":360,"color_transfer":"smpte2084"}`
		inset    = `{"index":1,"codec_type":"video","codec_name":"h264","width":320,"height":180}`
		cover    = `{"index":1,"codec_type":"video","codec_name":"png","width":9000,"height":9000,"disposition":{"attached_pic":1}}`
		english  = `{"index":2,"codec_type":"audio","codec_name":"aac","channels":2,"disposition":{"default":1},"tags":{"language":"eng"}}`
		surround = `{"index":2,"codec_type":"audio","codec_name":"ac3","channels":6}`
		french   = `{"index":3,"codec_type":"audio","codec_name":"aac","channels":2,"tags":{"language":"fra"}}`
		unknown  = `{"index":4,"codec_type":"audio","channels":2}`
		german   = `{"index":5,"codec_type":"subtitle","codec_name":"subrip","tags":{"language":"ger"}}`
		dutch    = `{"index":6,"codec_type":"subtitle","codec_name":"mov_text","tags":{"language":"dut"}}`
		timecode = `{"index":7,"codec_type":"data"}`
	)
	for name, tc := range map[string]struct {
		streams []string
		want    []string
	}{
		"nothing":       {[]string{film, english, cover, timecode}, nil},
		"sound alone":   {[]string{cover, english}, nil},
		"second sound":  {[]string{film, english, french, unknown}, []string{"sound_left_out: The file has 3 tracks of sound; viewers hear one (English). Left out: French, no language given."}},
		"subtitles":     {[]string{film, german, german, dutch}, []string{"subtitles_left_out: The file's subtitles are left out (German, Dutch). Draw them into the picture if viewers need them."}},
		"inset":         {[]string{film, inset}, []string{"pictures_left_out: The file has 2 streams of pictures; viewers see the one of 640 × 360 pixels."}},
		"surround":      {[]string{film, surround}, []string{"sound_mixed_down: The sound has 6 channels; viewers hear it in stereo."}},
		"dynamic range": {[]string{hdr}, []string{"colours_not_mapped: The pictures have a high dynamic range (smpte2084), which is not converted: their colours look pale on most screens."}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parseProbe([]byte(`{"streams":[` + strings.Join(tc.streams, ",") + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range p.warnings {
				got = append(got, w.Code+": "+w.Message)
			}
			if g, want := strings.Join(got, "\n"), strings.Join(tc.want, "\n"); g != want {
				t.Errorf("warnings\n%s\nwant\n%s", g, want)
			}
		})
	}
}

// TestLanguagesAreBounded: a transponder's recording has many.
func TestLanguagesAreBounded(t *testing.T) {
	var tags []string
	for i := range 200 {
		tags = append(tags, fmt.Sprintf("%c%c", 'a'+i/26, 'a'+i%26))
	}
	if got := languages(tags); len(got) > 200 || !strings.Contains(got, "more") {
		t.Errorf("languages: %s", got)
	}
}
