package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"streamgate/cmd/devchain/devnet"
	"streamgate/store/servertest"
)

// faultLasts is how long each fault of TestClusterFaults stays: FAULT_LASTS=30s for
// the long form.
func faultLasts(t *testing.T) time.Duration {
	d, err := time.ParseDuration(cmp.Or(os.Getenv("FAULT_LASTS"), "4s"))
	if err != nil || d <= 0 {
		t.Fatalf("FAULT_LASTS=%q is no duration", os.Getenv("FAULT_LASTS"))
	}
	return d
}

// TestClusterFaults takes away, one after the other, what a cluster rests on, and
// brings nodes that must not serve, while a viewer plays, others ask in vain to be
// let in, videos are written and uploaded, and one is encoded. The player notices
// nothing, nobody is let in who should not be, whoever is not served is told so by
// 503 and when to try again, and what was acknowledged is there at the end. FAULTS is
// a regular expression of the names of those faults that are wanted.
func TestClusterFaults(t *testing.T) {
	chain := startChain(t)
	f := newFleet(t, gatedConfig(t, chain))
	f.links = newLinks(f)
	s3 := newBucket(t, f.on.media)
	f.on.media = s3.url
	replica := servertest.Need(t, f.on.pg.Replica)
	f.on.records = fmt.Sprintf("host=%s,%s user=test dbname=postgres target_session_attrs=read-write", f.on.pg.Dir(), replica.Dir())
	f.run("metadata", "monitor", "transcoder", "transcoder 2", "upload", "streaming", "streaming 2", "api-gateway")
	c := f.clients(chain)
	for name, how := range map[string]answering{"S3 answers 503": busy, "S3 is slow": slow, "S3 cuts bodies": cutting} {
		c.during(name, func() { s3.set(how) }, func() { s3.set(well) })
	}
	c.outage("Redis is gone", f.on.redis)
	c.outage("Consul is gone", f.consul)
	c.outage("PostgreSQL is restarted", f.on.pg)
	c.newcomers()
	c.partitions()
	c.during("PostgreSQL fails over", func() { check(t, f.on.pg.Kill()) }, func() { check(t, replica.Promote()) })
	c.ended()
}

// during has clients use the cluster while something is wrong, and until it serves
// again.
func (c *clients) during(name string, begin, end func()) {
	if !c.faults.MatchString(name) {
		return
	}
	c.f.t.Logf("%s: %s", time.Now().Format("15:04:05"), name)
	c.now(name)
	begin()
	<-time.After(c.lasts)
	end()
	c.f.front.poll("the end of: "+name, c.served)
}

// outage is during the time that a server is not there.
func (c *clients) outage(name string, s interface {
	Kill() error
	Start() error
}) {
	c.during(name, func() { check(c.f.t, s.Kill()) }, func() { check(c.f.t, s.Start()) })
}

// partitions are every two nodes of different roles apart, and every node's events.
func (c *clients) partitions() {
	links, names := c.f.links, slices.Sorted(maps.Keys(c.f.nodes))
	for i, a := range names {
		for j, b := range names[i+1:] {
			if role(a) != role(b) {
				how := []fault{broken, silent}[(i+j)%2]
				c.during(fmt.Sprintf("%s and %s are apart (%v)", a, b, how), func() { links.cut(a, b, how) }, links.heal)
			}
		}
	}
	for _, how := range []fault{broken, silent} {
		c.during(fmt.Sprintf("the routes of events are cut (%v)", how), func() { links.cutRoutes(how) }, links.heal)
	}
}

func role(name string) string {
	role, _, _ := strings.Cut(name, " ")
	return role
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// String names a fault.
func (f fault) String() string { return []string{"", "broken", "silent"}[f] }

// clients use a cluster all the time.
type clients struct {
	f                *fleet
	lasts            time.Duration  // each fault
	faults           *regexp.Regexp // that are wanted
	viewer           *player
	encoded          pushed
	before           map[string]time.Time // cells of encoded
	sessions, closed string               // addresses of where nobody may get in
	done             chan struct{}
	all              sync.WaitGroup

	mu       sync.Mutex
	fault    string
	kept     []string // ids of what was acknowledged
	sent     []string // ids of videos whose file was acknowledged
	answers  map[string]int
	let, bad []string
	writes   int // since the fault ended
}

// clients begins to use the cluster.
func (f *fleet) clients(chain *devnet.Net) *clients {
	t, n := f.t, f.front
	n.key = strings.TrimSpace(n.ctl("keys", "create", "--scope", "admin"))
	played := n.push(copied(t), "--rule", writeFile(t, "rule.json", holders(chain)), "--wait", "ready")
	c := &clients{
		f: f, lasts: faultLasts(t), faults: regexp.MustCompile(os.Getenv("FAULTS")),
		done: make(chan struct{}), answers: map[string]int{},
	}
	c.encoded = n.push(smallClip(t, 240), "--public", "--wait", "playable")
	c.before = n.cells(c.encoded.VideoID)
	c.sessions = "/api/v1/videos/" + played.VideoID + "/sessions"
	session := n.call("POST", c.sessions, n.key, map[string]any{}).want(t, "a link", http.StatusCreated)
	ended := n.call("POST", c.sessions, n.key, map[string]any{}).want(t, "a link", http.StatusCreated)
	n.call("DELETE", "/api/v1/sessions/"+ended.ID, n.key, nil).want(t, "its end", http.StatusNoContent)
	c.closed = "/s/" + ended.Token + "/master.m3u8"
	n.poll("the end of a session", func() bool { return n.status(c.closed) >= http.StatusBadRequest })
	gated := n.url + "/s/" + session.Token + "/"
	rendition := n.video(played.VideoID).Renditions[0].Name
	c.viewer = play(gated+"master.m3u8", gated+rendition+"/index.m3u8", gated+rendition+"/0.m4s", gated+"manifest.mpd")

	t.Cleanup(c.all.Wait)
	stranger := n.signIn(chain, chain.Stranger)
	clip, err := os.ReadFile(ffmpeg(t, "sent.mp4", testPicture+testTone+x264+"-g 50 -c:a aac -t 2"))
	check(t, err)
	c.every(100*time.Millisecond, c.write)
	c.every(200*time.Millisecond, func() { c.refused("POST", c.sessions, "") })
	c.every(200*time.Millisecond, func() { c.refused("POST", c.sessions, stranger) })
	c.every(200*time.Millisecond, func() { c.refused("GET", c.closed, "") })
	c.every(c.lasts/2, func() { c.send(clip) }) // all of them are encoded before the test ends
	return c
}

func (c *clients) every(pause time.Duration, do func()) {
	c.all.Go(func() {
		for {
			do()
			select {
			case <-c.done:
				return
			case <-c.f.t.Context().Done(): // the test has failed
				return
			case <-time.After(pause):
			}
		}
	})
}

// now begins another fault.
func (c *clients) now(fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

// told counts an answer; it is a fault unless it is one of those that may be, or 503
// that says when to ask again.
func (c *clients) told(what string, a said, may ...int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[fmt.Sprintf("%s: %s %d %s", c.fault, what, a.status, a.Code)]++
	if slices.Contains(may, a.status) {
		return true
	}
	switch {
	case a.status == http.StatusBadGateway && c.f.proxied:
		return false
	case a.status == http.StatusGatewayTimeout && strings.HasSuffix(c.fault, "(silent)"):
		return false // what was under way when the line went silent: nobody knows whether it happened
	}
	if a.status != http.StatusServiceUnavailable || a.retry == "" {
		c.bad = append(c.bad, fmt.Sprintf("%s: %s: %d, Retry-After %q %.500s\n%s", c.fault, what, a.status, a.retry, a.body, c.f.logged(a.Trace)))
	}
	return false
}

// logged is what the nodes say of a trace.
func (f *fleet) logged(trace string) string {
	var out strings.Builder
	for name, node := range f.nodes {
		for line := range strings.Lines(node.log.String()) {
			if trace != "" && strings.Contains(line, trace) {
				fmt.Fprintf(&out, "\t%s: %s", name, line)
			}
		}
	}
	return out.String()
}

func (c *clients) write() {
	a := c.f.front.call("POST", "/api/v1/videos", c.f.front.key, map[string]any{"title": "Written"})
	if c.told("write", a, http.StatusCreated) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.kept = append(c.kept, a.ID)
		c.writes++
	}
}

// served tells whether somebody could write since it was asked last.
func (c *clients) served() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.writes = 0 }()
	return c.writes > 0
}

// refused asks to be let in where nobody may be.
func (c *clients) refused(method, path, bearer string) {
	a := c.f.front.call(method, path, bearer, nil)
	if !c.told("admission", a, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests) && a.status < http.StatusBadRequest {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.let = append(c.let, fmt.Sprintf("%s: %s %s: %d", c.fault, method, path, a.status))
	}
}

// send makes a video of a file.
func (c *clients) send(clip []byte) {
	n := c.f.front
	made := n.call("POST", "/api/v1/videos", n.key, map[string]any{"title": "Sent", "public": true})
	if !c.told("create", made, http.StatusCreated) {
		return
	}
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPut, n.url+"/api/v1/videos/"+made.ID+"/source", bytes.NewReader(clip))
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+n.key)
	if a, err := answered(req); err == nil && c.told("PUT", a, http.StatusOK, http.StatusCreated, http.StatusAccepted) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sent = append(c.sent, made.ID)
	}
}

// ended stops the clients and looks at what they saw, and at what there is.
func (c *clients) ended() {
	n, t := c.f.front, c.f.t
	close(c.done)
	c.all.Wait()
	c.viewer.ended(t)
	for _, line := range slices.Sorted(maps.Keys(c.answers)) {
		t.Logf("%6d %s", c.answers[line], line)
	}
	t.Logf("%d videos acknowledged, %d files", len(c.kept), len(c.sent))
	if len(c.let) > 0 {
		t.Errorf("%d times somebody was let in who may not be:\n%s", len(c.let), firstTen(c.let))
	}
	if len(c.bad) > 0 {
		t.Errorf("%d answers were neither what was asked for nor 503 with a time:\n%s", len(c.bad), firstTen(c.bad))
	}
	n.waitState(c.encoded.VideoID, "ready")
	n.wantKept(c.encoded.VideoID, c.before)
	if now := n.waitTask(c.encoded.TaskID, "succeeded"); now.Attempt != 1 {
		t.Errorf("task %+v", now)
	}
	for _, id := range c.kept {
		n.call("GET", "/api/v1/videos/"+id, n.key, nil).want(t, "what was acknowledged", http.StatusOK)
	}
	for _, id := range c.sent {
		n.waitState(id, "ready")
	}
	for name, node := range c.f.nodes {
		if strings.Contains(node.log.String(), "internal error") {
			t.Errorf("the log of %s tells of an internal error", name)
		}
	}
}

func firstTen(lines []string) string { return strings.Join(lines[:min(10, len(lines))], "\n") }

// TestClusterKillsInChromium kills one streaming node after the other with -9 while a
// page plays: the picture does not stand still.
func TestClusterKillsInChromium(t *testing.T) {
	f := startFleet(t, writeFile(t, "streamgate.yaml", ""), "metadata", "monitor", "transcoder", "upload", "streaming", "streaming 2", "api-gateway")
	p := f.front.push(copied(t), "--public", "--wait", "ready")
	b := openTab(t, p.WatchURL)
	eval[any](b, `document.querySelector('.big-play').click()`)
	b.plays()
	eval[any](b, `
		const v = document.querySelector('video');
		let since = performance.now();
		window.longest = 0;
		v.requestVideoFrameCallback(function seen(now) {
			window.longest = Math.max(window.longest, now - since);
			since = now;
			v.requestVideoFrameCallback(seen);
		})`)
	for i, name := range []string{"streaming", "streaming 2"} {
		f.node(name).kill()
		eval[any](b, fmt.Sprintf(`document.querySelector('video').currentTime = %d`, 40*(i+1))) // where nothing is loaded yet
		b.until("it plays on without "+name, fmt.Sprintf(playing, 40.5*float64(i+1)), 15*time.Second)
		f.node(name).start()
		f.front.poll(name+" to be back", func() bool { return f.ready() == len(f.nodes) })
	}
	b.until("it plays to the end", `document.querySelector('video').currentTime > 85`, 30*time.Second)
	longest := eval[float64](b, `return window.longest`)
	t.Logf("the picture stood still for %.0f ms at most, seeks included", longest)
	if longest > 3000 {
		t.Errorf("the picture stood still for %.0f ms", longest)
	}
	b.expectQuiet()
}
