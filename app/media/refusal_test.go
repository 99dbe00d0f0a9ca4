package media

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	film := clip(t, "film.mp4", picture+" "+x264+" -g 25 -movflags +faststart")
	cut := func(path string, share float64) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data[:int(float64(len(data))*share)])
	}
	noise := make([]byte, 100_000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	read := func(path string) string { return cut(path, 1) }
	for _, tc := range []struct{ name, content, code string }{
		{"empty", "", CodeEmptyFile},
		{"text", "Dear diary,\nno film today.\n", CodeNotAVideo},
		{"long text", strings.Repeat("Füße und Öl\n", 2000), CodeNotAVideo},
		{"noise", string(noise), CodeNotAVideo},
		{"zeros", string(make([]byte, 100_000)), CodeNotAVideo},
		{"zip", "PK\x03\x04" + string(noise[:5000]), CodeNotAVideo},
		{"PNG", read(clip(t, "a.png", "-f lavfi -i testsrc2=size=64x64 -frames:v 1")), CodeImage},
		{"JPEG", read(clip(t, "a.jpg", "-f lavfi -i testsrc2=size=64x64 -frames:v 1")), CodeImage},
		{"GIF", read(clip(t, "a.gif", "-f lavfi -i testsrc2=size=64x64 -frames:v 3")), CodeImage},
		{"WebP", read(clip(t, "a.webp", "-f lavfi -i testsrc2=size=64x64 -frames:v 1")), CodeImage},
		{"BMP", read(clip(t, "a.bmp", "-f lavfi -i testsrc2=size=64x64 -frames:v 1")), CodeImage},
		{"HLS", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", CodePlaylist},
		{"HLS after a mark", "\xef\xbb\xbf \r\n#extm3u\nx", CodePlaylist},
		{"HLS hidden", "#x\n#EXTM3U\n#EXT-X-TARGETDURATION:1\n", CodePlaylist},
		{"DASH", "<?xml version=\"1.0\"?>\n<MPD type=\"static\"/>", CodePlaylist},
		{"concat script", "ffconcat version 1.0\nfile '/etc/passwd'\n", CodePlaylist},
		{"old concat script", "file '/etc/passwd'\n", CodePlaylist},
		{"SDP", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", CodePlaylist},
		{"encrypted", read(clip(t, "a.mp4", picture+" "+x264+" -encryption_scheme cenc-aes-ctr -encryption_key 00112233445566778899aabbccddeeff -encryption_kid 00112233445566778899aabbccddeeff")), CodeEncrypted},
		{"no index", cut(clip(t, "a.mp4", picture+" "+x264), 0.5), CodeTruncated},
		{"half a film", cut(film, 0.5), CodeTruncated},
		{"header alone", cut(film, 0.04), CodeTruncated},
		{"half of Matroska", cut(clip(t, "a.mkv", picture+" "+x264), 0.5), CodeTruncated},
		{"subtitles alone", read(clip(t, "a.mkv", "-f srt -i "+srt(t)+" -c copy")), CodeNoStreams},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "source")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := testTools.Plan(t.Context(), PlanInput{VideoID: "v", Source: path, Dir: t.TempDir(), Profile: DefaultProfile()})
			var r Refusal
			if !errors.As(err, &r) || r.Code != tc.code || !strings.HasSuffix(r.Message, ".") {
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
}

func srt(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "a.srt")
	if err := os.WriteFile(path, []byte("1\n00:00:00,000 --> 00:00:02,000\nHello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNothingElseIsOpened gives ffprobe playlists past the sniffing: the
// format whitelist alone must keep it from the address they name.
func TestNothingElseIsOpened(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{}, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			c.Close()
			accepted <- struct{}{}
		}
	}()
	url := "http://" + l.Addr().String() + "/a.ts"
	for name, content := range map[string]string{
		"a.m3u8":   "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" + url + "\n",
		"a.concat": "ffconcat version 1.0\nfile '" + url + "'\n",
		"a.mpd":    `<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>` + url + `</BaseURL></Representation></AdaptationSet></Period></MPD>`,
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append(inputArgs(path), "-show_streams", "-i", inputName(path))
		if err := (run{path: testTools.FFprobe, args: args}).do(t.Context()); err == nil {
			t.Errorf("ffprobe accepts %s", name)
		}
		if _, err := testTools.Plan(t.Context(), PlanInput{VideoID: "v", Source: path, Dir: t.TempDir(), Profile: DefaultProfile()}); !errors.As(err, new(Refusal)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.Close()
	for range accepted {
		t.Error("the address was opened")
	}
}

// TestPlanIsNotARefusal: what is wrong with this machine is no verdict on the
// source.
func TestPlanIsNotARefusal(t *testing.T) {
	t.Parallel()
	path := clip(t, "a.mp4", picture+" "+x264)
	for name, tools := range map[string]Tools{
		"no ffprobe": {FFmpeg: "ffmpeg", FFprobe: "/nonexistent/ffprobe"},
	} {
		_, err := tools.Plan(t.Context(), PlanInput{VideoID: "v", Source: path, Dir: t.TempDir(), Profile: DefaultProfile()})
		if err == nil || errors.As(err, new(Refusal)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := testTools.Plan(t.Context(), PlanInput{VideoID: "v", Source: path + ".gone", Dir: t.TempDir(), Profile: DefaultProfile()})
	if err == nil || errors.As(err, new(Refusal)) {
		t.Errorf("a source that is gone: %v", err)
	}
}
