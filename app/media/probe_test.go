package media

import (
	"errors"
	"testing"
)

const probeSample = `{"format":{"format_name":"mov,mp4"},"packets":[{"side_data_list":[{"side_data_type":"Skip Samples"}]}],"streams":[
 {"index":0,"codec_type":"video","codec_name":"png","width":9000,"height":9000,"disposition":{"attached_pic":1}},
 {"index":1,"codec_type":"video","codec_name":"h264","width":720,"height":576,"sample_aspect_ratio":"16:15","time_base":"1/12800","avg_frame_rate":"25/1","duration":"6.0",
  "side_data_list":[{"side_data_type":"Display Matrix","rotation":-90,"displaymatrix":"\n00000000: 0 65536 0\n00000001: -65536 0 0\n00000002: 0 0 1073741824\n"}]},
 {"index":2,"codec_type":"video","codec_name":"h264","width":320,"height":180,"time_base":"1/12800"},
 {"index":3,"codec_type":"audio","codec_name":"mp3","time_base":"1/48000"},
 {"index":4,"codec_type":"audio","codec_name":"aac","sample_rate":"48000","channels":6,"time_base":"1/48000","disposition":{"default":1},"tags":{"language":"eng"}},
 {"index":5,"codec_type":"audio","time_base":"1/48000"}]}`

func TestParseProbe(t *testing.T) {
	p, err := parseProbe([]byte(probeSample))
	if err != nil {
		t.Fatal(err)
	}
	v, a := p.video, p.audio
	if p.format != "mov" || v.index != 1 || v.width != 576 || v.height != 768 || v.square || !v.turned || v.rate != 25 || v.seconds != 6 {
		t.Errorf("video %+v", v)
	}
	if a.index != 4 || a.language != "en" || a.sampleRate != 48000 || a.channels != 6 {
		t.Errorf("audio %+v", a)
	}
}

func TestParseProbeRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ json, code string }{
		"nothing":          {`{}`, CodeNoStreams},
		"no JSON":          {`{`, CodeNotAVideo},
		"cover art alone":  {`{"streams":[{"codec_type":"video","codec_name":"png","disposition":{"attached_pic":1}}]}`, CodeNoStreams},
		"unknown codec":    {`{"streams":[{"codec_type":"video"}]}`, CodeUnsupportedCodec},
		"too large":        {`{"streams":[{"codec_type":"video","codec_name":"h264","width":8194,"height":100}]}`, CodeTooLarge},
		"no size":          {`{"streams":[{"codec_type":"video","codec_name":"h264"}]}`, CodeTruncated},
		"too long":         {`{"streams":[{"codec_type":"video","codec_name":"h264","width":8,"height":8,"duration":"90000"}]}`, CodeTooLong},
		"encrypted entry":  {`{"streams":[{"codec_type":"video","codec_name":"h264","codec_tag_string":"encv"}]}`, CodeEncrypted},
		"encrypted stream": {`{"streams":[{"side_data_list":[{"side_data_type":"Encryption initialization data"}]}]}`, CodeEncrypted},
		"encrypted packet": {`{"streams":[],"packets":[{"side_data_list":[{"side_data_type":"Encryption info"}]}]}`, CodeEncrypted},
	} {
		var r Refusal
		if _, err := parseProbe([]byte(tc.json)); !errors.As(err, &r) || r.Code != tc.code {
			t.Errorf("%s: %v, want %s", name, err, tc.code)
		}
	}
}

func FuzzParseProbe(f *testing.F) {
	f.Add([]byte(probeSample))
	f.Add([]byte(`{"streams":[{"codec_type":"video","codec_name":"x","width":1,"height":1,"sample_aspect_ratio":"1:9223372036854775807","tags":{"DURATION":"1:2:x"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseProbe(b)
		if err == nil && p.video != nil && (p.video.width < 1 || p.video.height < 1 || max(p.video.width, p.video.height) > maxSide) {
			t.Errorf("size %d × %d", p.video.width, p.video.height)
		}
	})
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("#EXTM3U\n"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBP"))
	f.Add([]byte("BM\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := sniff(b); err != nil && !errors.As(err, new(Refusal)) {
			t.Error(err)
		}
	})
}

func TestBCP47(t *testing.T) {
	for tag, want := range map[string]string{
		"eng": "en", "GER": "de", "deu": "de", "und": "", "": "", "x": "", "tlh": "tlh", "pt-BR": "pt-br", "\"e": "", "en\"": "", "zho": "zh", "cmn": "zh",
	} {
		if got := bcp47(tag); got != want {
			t.Errorf("bcp47(%q) = %q, want %q", tag, got, want)
		}
	}
}
