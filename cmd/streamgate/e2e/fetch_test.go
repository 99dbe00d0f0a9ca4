package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestFetchedSource: a node is given an address instead of a file, dies half way
// through, fetches it all the same, and tells what of the source is left out.
func TestFetchedSource(t *testing.T) {
	film, err := os.ReadFile(twoTongues(t))
	if err != nil {
		t.Fatal(err)
	}
	half := make(chan struct{})
	var asked atomic.Int32
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(film))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(film)))
		w.Write(film[:len(film)/2])
		w.(http.Flusher).Flush()
		close(half)
		<-r.Context().Done()
	}))
	t.Cleanup(origin.Close)
	address := origin.URL + "/two%20tongues.mkv?token=secret"

	// The node's own network is not fetched from unless told.
	careful := startNode(t)
	if _, said, err := careful.try("push", address); err == nil || !strings.Contains(said, "upload.fetch.allowed_networks") {
		t.Errorf("from loopback: %v\n%s", err, said)
	}
	if n := asked.Load(); n != 0 {
		t.Fatalf("the address was asked %d times by a node that may not", n)
	}

	n := startNode(t, "--set", "upload.fetch.allowed_networks=127.0.0.0/8")
	var up struct {
		VideoID string `json:"video_id"`
	}
	if err := json.Unmarshal([]byte(n.ctl("uploads", "fetch", address, "--json")), &up); err != nil {
		t.Fatal(err)
	}
	<-half
	n.kill()
	n.start()
	ready := n.waitState(up.VideoID, "ready")
	if int(ready.Duration) != 12 || asked.Load() != 2 {
		t.Errorf("%.2f s long, after %d requests", ready.Duration, asked.Load())
	}
	shown := n.ctl("videos", "show", up.VideoID)
	for _, want := range []string{"two tongues", "viewers hear one (German). Left out: French.", "subtitles are left out (English)"} {
		if !strings.Contains(shown, want) {
			t.Errorf("videos show lacks %q:\n%s", want, shown)
		}
	}
	if strings.Contains(shown+n.log.String(), "secret") {
		t.Error("the address' token is told")
	}
}

// twoTongues is a film with two tracks of sound and one of subtitles.
func twoTongues(t *testing.T) string {
	t.Helper()
	subtitles := filepath.Join(t.TempDir(), "en.srt")
	if err := os.WriteFile(subtitles, []byte("1\n00:00:01,000 --> 00:00:02,000\nHello.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return ffmpeg(t, "two tongues.mkv", testPicture+testTone+testTone+"-i "+subtitles+" -map 0 -map 1 -map 2 -map 3 "+x264+
		"-c:a aac -c:s srt -metadata:s:a:0 language=ger -metadata:s:a:1 language=fra -metadata:s:s:0 language=eng")
}
