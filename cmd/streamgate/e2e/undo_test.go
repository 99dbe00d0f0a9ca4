package e2e

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// status asks for a path of the node.
func (n *node) status(path string) int {
	n.t.Helper()
	resp, err := http.Get(n.url + path)
	if err != nil {
		n.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// settles waits until a path answers with a status.
func (n *node) settles(path string, want int) {
	n.t.Helper()
	got := 0
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = n.status(path); got == want {
			return
		}
	}
	n.t.Errorf("%s answers %d, want %d", path, got, want)
}

// TestUndoDelete: a video that is deleted in the console plays for nobody, comes
// back whole, and goes for good when it is due, also if the node is killed
// meanwhile.
func TestUndoDelete(t *testing.T) {
	n := startNode(t)
	p := n.push(copied(t), "--public", "--title", "A film", "--wait", "ready")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &plainBrowser{t, &http.Client{Jar: jar, Timeout: time.Minute}, n.url}
	_, token, _ := strings.Cut(n.setupLink(), "token=")
	b.send("/console/setup", url.Values{"token": {token}, "name": {adminName}, "password": {adminPassword}, "again": {adminPassword}})

	page, playlist := "/console/videos/"+p.VideoID, "/v/"+p.VideoID+"/master.m3u8"
	n.settles(playlist, http.StatusOK)
	if said := b.send(page+"/delete", nil); !strings.Contains(said, page+"/undo") {
		t.Errorf("there is no undo: %s", said)
	}
	for _, path := range []string{playlist, "/watch/" + p.VideoID} {
		n.settles(path, http.StatusNotFound)
	}
	if home := b.read("/"); strings.Contains(home, "A film") {
		t.Error("the home page lists it")
	}
	b.send(page+"/undo", nil)
	n.settles(playlist, http.StatusOK)

	media := filepath.Join(n.data, "media", "videos", p.VideoID)
	b.send(page+"/delete", nil)
	n.kill()
	n.start()
	n.settles(playlist, http.StatusNotFound)
	if _, err := os.Stat(media); err != nil {
		t.Errorf("its media went with the node: %v", err)
	}
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat(media); os.IsNotExist(err) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("its media stay")
		}
	}
	if said := b.send(page+"/undo", nil); !strings.Contains(said, "gone for good") {
		t.Errorf("an undo too late: %s", said)
	}
}
