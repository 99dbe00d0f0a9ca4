package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestSources pushes files of many kinds and looks at what becomes of them.
func TestSources(t *testing.T) {
	n := startNode(t)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := ffmpeg(t, "plain.mp4", testPicture+testTone+x264+"-bf 2 -g 50 -c:a aac -t 6")
	whole, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name       string
		file       string
		renditions string // in order, "" if the video must fail
		copied     bool   // the first rendition is a copy
		code       string // of the failure
		width      int
	}{
		{"real: Big Buck Bunny", realClip(t, "bbb480.mp4"), "480p 360p audio", false, "", 854},
		{"real: cars", realClip(t, "car-detection.mp4"), "source audio-en", true, "", 768},
		{"H.264 in MP4", plain, "source audio", true, "", 640},
		{"rotated", ffmpeg(t, "rotated.mp4", "-i "+plain+" -c copy -metadata:s:v rotate=90"), "", false, "", 360},
		{"AVI", ffmpeg(t, "a.avi", testPicture+testTone+"-c:v mpeg4 -c:a mp3 -t 6"), "360p audio", false, "", 640},
		{"WebM", ffmpeg(t, "a.webm", testPicture+testTone+"-c:v libvpx -deadline realtime -cpu-used 8 -c:a libopus -t 6"), "360p audio", false, "", 640},
		{"transport stream", ffmpeg(t, "a.ts", testPicture+testTone+x264+"-bf 2 -g 50 -c:a aac -t 6"), "", false, "", 640},
		{"no sound", ffmpeg(t, "mute.mp4", testPicture+x264+"-g 50 -t 6"), "source", true, "", 640},
		{"only sound", ffmpeg(t, "sound.m4a", testTone+"-c:a aac"), "audio", false, "", 0},
		{"encrypted", ffmpeg(t, "cenc.mp4", "-i "+plain+" -c copy -encryption_scheme cenc-aes-ctr "+
			"-encryption_key 76a6c65c5ea762046bd749a2e632ccbb -encryption_kid a7e61c373e219033c21091fa607bf3b8"), "", false, "encrypted", 0},
		{"text", write("a.txt", strings.Repeat("Not a video. ", 500)), "", false, "not_a_video", 0},
		{"image", ffmpeg(t, "a.png", testPicture+"-frames:v 1"), "", false, "image", 0},
		{"playlist", write("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"), "", false, "playlist_refused", 0},
		{"truncated", write("cut.mp4", string(whole[:len(whole)/2])), "", false, "truncated", 0},
	}
	for _, tc := range tests {
		if tc.file == "" {
			continue // the real clip is not at hand; the made clips stand in
		}
		t.Run(tc.name, func(t *testing.T) {
			n := &node{t: t, data: n.data}
			out, stderr, err := n.try("push", tc.file, "--public", "--json", "--wait", "ready")
			if tc.code != "" {
				if err == nil {
					t.Fatalf("push succeeded: %s", out)
				}
				n.expectFailed(stderr, tc.code)
				return
			}
			if err != nil {
				t.Fatalf("push: %v\n%s", err, stderr)
			}
			v := n.newest()
			if v.State != "ready" || v.Progress != 100 {
				t.Errorf("the video is %s at %v %%: %+v", v.State, v.Progress, v.Error)
			}
			var names []string
			for _, r := range v.Renditions {
				names = append(names, r.Name)
			}
			if want := strings.Fields(tc.renditions); len(want) > 0 && !slices.Equal(names, want) {
				t.Errorf("renditions are %v, want %v", names, want)
			}
			if v.Renditions[0].Copy != tc.copied && tc.renditions != "" {
				t.Errorf("first rendition copied: %v, want %v", v.Renditions[0].Copy, tc.copied)
			}
			if v.Width != tc.width {
				t.Errorf("it is %d wide, want %d", v.Width, tc.width)
			}
		})
	}
}

// TestEmptySource sends a file without a byte, which only the API lets through.
func TestEmptySource(t *testing.T) {
	n := startNode(t)
	key := strings.TrimSpace(n.ctl("keys", "create", "--scope", "uploader"))
	call := func(method, path, body string) []byte {
		req, err := http.NewRequestWithContext(t.Context(), method, n.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %s\n%s", method, path, resp.Status, said)
		}
		return said
	}
	var v video
	if err := json.Unmarshal(call("POST", "/api/v1/videos", `{"title":"nothing"}`), &v); err != nil {
		t.Fatal(err)
	}
	call("PUT", "/api/v1/videos/"+v.ID+"/source", "")
	n.waitState(v.ID, "failed")
	n.expectFailed("The file is empty.", "empty_file")
}

// newest returns the video that was pushed last.
func (n *node) newest() video {
	n.t.Helper()
	out := strings.Fields(n.ctl("videos", "list", "--limit", "1"))
	for _, word := range out {
		if len(word) == 24 {
			return n.video(word)
		}
	}
	n.t.Fatalf("videos list printed %q", out)
	return video{}
}

// expectFailed checks that the newest video has failed with a code and a
// sentence that push also showed, and that nothing but its record is left.
func (n *node) expectFailed(said, code string) {
	n.t.Helper()
	v := n.newest()
	if v.State != "failed" || v.Error == nil || v.Error.Code != code {
		n.t.Fatalf("the video is %s, %+v; want failed, %s", v.State, v.Error, code)
	}
	if !strings.HasSuffix(v.Error.Message, ".") || !strings.Contains(said, v.Error.Message) {
		n.t.Errorf("push said %q, the video %q", said, v.Error.Message)
	}
	n.poll("the refused file's removal", func() bool {
		left, err := filepath.Glob(filepath.Join(n.data, "media", "videos", v.ID, "*"))
		return err == nil && len(left) == 0
	})
}

// TestPlaylistCannotReachOut uploads playlists and scripts that name a file or
// a loopback address, under names and first bytes that hide what they are.
func TestPlaylistCannotReachOut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var touched atomic.Int32
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			touched.Add(1)
			c.Close()
		}
	}()
	n := startNode(t)
	url := "http://" + ln.Addr().String() + "/x.ts"
	for name, text := range map[string]string{
		"file.m3u8":     "#EXTM3U\n#EXTINF:4,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
		"http.m3u8":     "#EXTM3U\n#EXTINF:4,\n" + url + "\n#EXT-X-ENDLIST\n",
		"http.mp4":      "#EXTM3U\n#EXTINF:4,\n" + url + "\n#EXT-X-ENDLIST\n",
		"space.mp4":     "\n\n  #EXTM3U\n#EXTINF:4,\n" + url + "\n",
		"bom.mp4":       "\xef\xbb\xbf#EXTM3U\n#EXTINF:4,\n" + url + "\n",
		"concat.mkv":    "ffconcat version 1.0\nfile '" + url + "'\nfile '/etc/passwd'\n",
		"manifest.mp4":  `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>` + url + `</BaseURL></MPD>`,
		"session.sdp":   "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
		"smil.mp4":      `<smil><body><video src="` + url + `"/></body></smil>`,
		"reference.mov": "\x00\x00\x00\x60moov\x00\x00\x00\x58rmra\x00\x00\x00\x50rmda\x00\x00\x00\x48rdrf\x00\x00\x00\x00url \x00\x00\x00\x34" + url,
	} {
		t.Run(name, func(t *testing.T) {
			n := &node{t: t, data: n.data}
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, _, err := n.try("push", path, "--json", "--wait", "ready"); err == nil {
				t.Errorf("push succeeded: %s", out)
			}
			if v := n.newest(); v.State != "failed" || v.Error == nil {
				t.Errorf("the video is %s, %+v", v.State, v.Error)
			}
		})
	}
	if c := touched.Load(); c != 0 {
		t.Errorf("the address in the playlists saw %d connections", c)
	}
}
