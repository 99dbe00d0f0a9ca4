package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"streamgate/app/access/eth"
	"streamgate/cmd/devchain/devnet"
	"streamgate/store/servertest"
)

// servers are the backends that a node may have outside of it.
type servers struct {
	pg    *servertest.Postgres
	redis *servertest.Redis
	media string // the address of a bucket, or ""
	// records is the address of the database, if it is not the one of pg alone.
	records string
	made    func(id string) map[string]time.Time
}

// startServers starts them, or skips the test where they are not installed.
func startServers(t *testing.T) *servers {
	t.Helper()
	return &servers{
		pg:    servertest.NeedPostgres(t, servertest.PostgresOptions{Durable: true}),
		redis: servertest.Need(t, servertest.StartRedis),
	}
}

// startAllServers starts a MinIO too, with a bucket; it skips the test where none
// was built.
func startAllServers(t *testing.T) *servers {
	t.Helper()
	minio := servertest.NeedMinIO(t, "../../../bin/minio")
	bucket, err := minio.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := startServers(t)
	s.media = minio.URL(bucket)
	s.made = func(id string) map[string]time.Time {
		found := map[string]time.Time{}
		for cell, err := range minio.Objects(t.Context(), bucket, "videos/"+id+"/cells/") {
			if err != nil {
				t.Fatal(err)
			}
			found[cell.Key] = cell.LastModified
		}
		return found
	}
	return s
}

// startOn runs a node on the servers, whose addresses it reads from files as
// secrets are; nil are the embedded backends.
func startOn(t *testing.T, s *servers, args ...string) *node {
	t.Helper()
	n := newNode(t, args...)
	if s != nil {
		n.env = []string{
			"STREAMGATE_RECORDS_URL_FILE=" + writeFile(t, "records", s.pg.Address("postgres")+"\n"),
			"STREAMGATE_CACHE_URL_FILE=" + writeFile(t, "cache", s.redis.URL()+"\n"),
		}
		if s.media != "" {
			n.env = append(n.env, "STREAMGATE_MEDIA_URL_FILE="+writeFile(t, "media", s.media+"\n"))
			n.made = s.made
		}
	}
	n.start()
	return n
}

// said is what the API said to somebody.
type said struct {
	status int
	retry  string // Retry-After
	body   string

	ID     string `json:"id"`
	Code   string `json:"code"`
	Trace  string `json:"trace_id"`
	Token  string `json:"token"`
	Nonce  string `json:"nonce"`
	Domain string `json:"domain"`
	URI    string `json:"uri"`
}

// call is one request of the API with a key or a login, or with neither.
func (n *node) call(method, path, bearer string, body any, header ...string) said {
	n.t.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			n.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, bytes.NewReader(data))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	a, err := answered(req)
	if err != nil {
		n.t.Errorf("%s %s: %v", method, path, err) // also from other goroutines
	}
	return a
}

func answered(req *http.Request) (said, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return said{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	a := said{status: resp.StatusCode, retry: resp.Header.Get("Retry-After"), body: string(text)}
	_ = json.Unmarshal(text, &a) // not every body is JSON
	return a, err
}

func (a said) want(t *testing.T, what string, status int) said {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s: %d, want %d\n%s", what, a.status, status, a.body)
	}
	return a
}

// sign makes what a wallet sends to sign in with a nonce.
func sign(t *testing.T, chain *devnet.Net, who devnet.Account, nonce said) map[string]string {
	t.Helper()
	message := fmt.Sprintf("%s wants you to sign in with your Ethereum account:\n%s\n\nWatch with this wallet.\n\n"+
		"URI: %s\nVersion: 1\nChain ID: %d\nNonce: %s\nIssued At: %s",
		nonce.Domain, who.Address.Hex(), nonce.URI, chain.ChainID, nonce.Nonce, time.Now().UTC().Format(time.RFC3339))
	signature, err := who.Sign(eth.PersonalHash(message))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"message": message, "signature": fmt.Sprintf("0x%x", signature)}
}

// signIn returns the token of a wallet's login.
func (n *node) signIn(chain *devnet.Net, who devnet.Account) string {
	n.t.Helper()
	nonce := n.call("POST", "/api/v1/auth/nonce", "", map[string]any{}).want(n.t, "a nonce", http.StatusOK)
	return n.call("POST", "/api/v1/auth/verify", "", sign(n.t, chain, who, nonce)).want(n.t, "sign in", http.StatusOK).Token
}

// TestBackends tells one story on each set of backends.
func TestBackends(t *testing.T) {
	for name, on := range map[string]func(*testing.T) *servers{
		"bbolt and memory":         func(*testing.T) *servers { return nil },
		"PostgreSQL and Redis":     startServers,
		"PostgreSQL, S3 and Redis": startAllServers,
	} {
		t.Run(name, func(t *testing.T) {
			chain := startChain(t)
			tellStory(t, chain, startOn(t, on(t), "--config", gatedConfig(t, chain), "--set", "access.ticket_ttl=2m"))
		})
	}
}

// tellStory is a video's life: uploaded, played while it is encoded, behind a rule,
// revoked, cancelled, retried, deleted; and one that is uploaded by PUT. It knows
// nothing of backends.
func tellStory(t *testing.T, chain *devnet.Net, n *node) {
	ctx := t.Context()
	token, err := chain.Mint721(ctx, chain.Holder.Address)
	if err != nil {
		t.Fatal(err)
	}
	p := n.push(smallClip(t, 40), "--rule", writeFile(t, "rule.json", holders(chain)), "--wait", "playable")
	sessions := "/api/v1/videos/" + p.VideoID + "/sessions"
	n.call("POST", sessions, "", map[string]any{}).want(t, "a session for nobody", http.StatusUnauthorized)
	n.call("POST", sessions, n.signIn(chain, chain.Stranger), map[string]any{}).want(t, "a session for a stranger", http.StatusForbidden)
	holder := n.signIn(chain, chain.Holder)
	session := n.call("POST", sessions, holder, map[string]any{}).want(t, "a session for a holder", http.StatusCreated)
	master := n.url + "/s/" + session.Token + "/master.m3u8"
	if cell := lastCell(t, master); len(get(t, cell)) == 0 {
		t.Error("the last cell is empty")
	}
	if now := n.task(p.TaskID); now.State != "processing" {
		t.Errorf("it was played, but not while it was encoded: the task is %s", now.State)
	}

	n.ctl("tasks", "cancel", p.TaskID)
	if now := n.waitTask(p.TaskID, "cancelled"); now.Progress >= 100 {
		t.Errorf("cancelled at %v %%", now.Progress)
	}
	before := n.cells(p.VideoID)
	n.ctl("tasks", "retry", p.TaskID)

	session = n.call("POST", sessions, holder, map[string]any{}).want(t, "another session for a holder", http.StatusCreated)
	if err := chain.Transfer721(ctx, chain.Holder, chain.Buyer.Address, token); err != nil {
		t.Fatal(err)
	}
	n.refused(session.Token, time.Now())
	n.call("POST", sessions, holder, map[string]any{}).want(t, "a session for who has sold", http.StatusForbidden)
	buyer := n.call("POST", sessions, n.signIn(chain, chain.Buyer), map[string]any{}).want(t, "a session for the buyer", http.StatusCreated)

	n.wait(p.VideoID, 5*time.Minute, "ready", func(v video) bool { return v.State == "ready" })
	n.wantKept(p.VideoID, before)
	n.waitTask(p.TaskID, "succeeded")
	n.ctl("videos", "delete", p.VideoID)
	n.call("GET", "/api/v1/videos/"+p.VideoID, n.key, nil).want(t, "the video that was deleted", http.StatusNotFound)
	n.poll("the buyer's link to end", func() bool { return n.status("/s/"+buyer.Token+"/master.m3u8") >= http.StatusBadRequest })

	tellPut(t, n)
}

// tellPut is the upload by one request, with a key that is revoked then.
func tellPut(t *testing.T, n *node) {
	var made struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(n.ctl("keys", "create", "--scope", "uploader", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	video := n.call("POST", "/api/v1/videos", made.Secret, map[string]any{"title": "By PUT", "public": true}, "Idempotency-Key", "one")
	again := n.call("POST", "/api/v1/videos", made.Secret, map[string]any{"title": "By PUT", "public": true}, "Idempotency-Key", "one")
	if video.status/100 != 2 || again.ID != video.ID || video.ID == "" {
		t.Fatalf("created %+v, and again %+v", video, again)
	}
	clip, err := os.Open(copied(t))
	if err != nil {
		t.Fatal(err)
	}
	defer clip.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, n.url+"/api/v1/videos/"+video.ID+"/source", clip)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+made.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("PUT: %s", resp.Status)
	}
	n.waitState(video.ID, "ready")
	get(t, lastCell(t, n.url+"/v/"+video.ID+"/master.m3u8"))
	n.ctl("keys", "revoke", made.ID)
	n.call("GET", "/api/v1/videos", made.Secret, nil).want(t, "with a key that was revoked", http.StatusUnauthorized)
}

// smallClip lasts so many seconds and must be encoded: one rendition.
func smallClip(t *testing.T, seconds int) string {
	t.Helper()
	return ffmpeg(t, "small.mkv", fmt.Sprintf("-f lavfi -i testsrc2=size=640x360:rate=25:duration=%d "+
		"-f lavfi -i sine=frequency=330:sample_rate=48000:duration=%[1]d -c:v mpeg4 -q:v 6 -c:a aac", seconds))
}

// player asks for the same addresses again and again, and keeps what was not 200.
type player struct {
	stop   chan struct{}
	done   sync.WaitGroup
	asked  int
	faults []string
	may    int // fail, which a real one would ask for once more
}

func play(addresses ...string) *player {
	p := &player{stop: make(chan struct{})}
	p.done.Go(func() {
		for {
			for _, address := range addresses {
				if got, err := tryAsk(address); err != nil || got.status != http.StatusOK {
					p.faults = append(p.faults, fmt.Sprintf("%s: %+v %v", address, got, err))
				}
				p.asked++
			}
			select {
			case <-p.stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return p
}

// ended stops the player, for whom no more may have been amiss than said.
func (p *player) ended(t *testing.T) {
	t.Helper()
	close(p.stop)
	p.done.Wait()
	t.Logf("the player asked %d times", p.asked)
	if len(p.faults) > p.may {
		t.Errorf("%d of %d requests of the player failed, %d may:\n%s", len(p.faults), p.asked, p.may, firstTen(p.faults))
	}
}

// TestPostgresRestarts restarts PostgreSQL in order, then crashes it, in mid-play
// and mid-encode: what was acknowledged is there, what was not says 503, the player
// notices nothing, and the encode goes on.
func TestPostgresRestarts(t *testing.T) {
	s := startServers(t)
	n := startOn(t, s)
	p := n.push(smallClip(t, 120), "--public", "--wait", "playable")
	n.waitBusy(p)
	session := n.call("POST", "/api/v1/videos/"+p.VideoID+"/sessions", n.key, map[string]any{}).want(t, "a link", http.StatusCreated)
	public, gated := n.url+"/v/"+p.VideoID+"/", n.url+"/s/"+session.Token+"/"
	rendition := n.video(p.VideoID).Renditions[0].Name
	viewer := play(gated+"master.m3u8", gated+rendition+"/index.m3u8", gated+rendition+"/0.m4s", public+"manifest.mpd", public+rendition+"/0.m4s")

	var kept []string // the ids of what was acknowledged
	var refused int
	create := func() said {
		a := n.call("POST", "/api/v1/videos", n.key, map[string]any{"title": "Written"})
		switch {
		case a.status/100 == 2:
			kept = append(kept, a.ID)
		case a.status == http.StatusServiceUnavailable && a.retry != "":
			refused++
		default:
			t.Fatalf("a video could not be created: %d, Retry-After %q\n%s", a.status, a.retry, a.body)
		}
		return a
	}
	before := n.cells(p.VideoID)
	for _, outage := range []struct {
		name string
		end  func() error
	}{{"stopped", s.pg.Stop}, {"crashed", s.pg.Kill}} {
		for range 5 {
			create()
		}
		if err := outage.end(); err != nil {
			t.Fatal(err)
		}
		n.poll("503", func() bool { return create().status == http.StatusServiceUnavailable })
		n.poll("a degraded node", func() bool {
			body := get(t, "http://"+n.operator+"/readyz") // which is 200: it plays
			return strings.Contains(string(body), `"degraded"`) && strings.Contains(string(body), "PostgreSQL has not been reached")
		})
		if got := ask(t, n.url+"/api/v1/videos/"+p.VideoID); got.status != http.StatusServiceUnavailable && got.status != http.StatusUnauthorized {
			t.Errorf("%s: the API says %+v", outage.name, got)
		}
		if err := s.pg.Start(); err != nil {
			t.Fatal(err)
		}
		n.poll("writes again", func() bool { return create().status/100 == 2 })
	}
	if now := n.task(p.TaskID); now.State != "processing" {
		t.Errorf("the encode was over before the outages were: %s", now.State)
	}
	n.wait(p.VideoID, 5*time.Minute, "ready", func(v video) bool { return v.State == "ready" })
	n.wantKept(p.VideoID, before)
	if now := n.waitTask(p.TaskID, "succeeded"); now.Attempt != 1 {
		t.Errorf("task %+v", now)
	}
	viewer.ended(t)
	for _, id := range kept {
		n.call("GET", "/api/v1/videos/"+id, n.key, nil).want(t, "what was acknowledged", http.StatusOK)
	}
	t.Logf("%d acknowledged and there, %d refused", len(kept), refused)
	if strings.Contains(n.log.String(), "internal error") {
		t.Error("the log tells of an internal error")
	}
}

// TestRedisGone: without Redis limits are the node's own, nonces are refused, and
// nobody is let in who should not be; who plays goes on.
func TestRedisGone(t *testing.T) {
	s, chain := startServers(t), startChain(t)
	n := startOn(t, s, "--config", gatedConfig(t, chain), "--set", "access.ticket_ttl=10m", "--set", "api_gateway.rate_limit.requests_per_second=0.5", "--set", "api_gateway.rate_limit.burst=20")
	if _, err := chain.Mint721(t.Context(), chain.Holder.Address); err != nil {
		t.Fatal(err)
	}
	p := n.push(copied(t), "--rule", writeFile(t, "rule.json", holders(chain)), "--wait", "ready")
	key := strings.TrimSpace(n.ctl("keys", "create", "--scope", "admin"))
	sessions := "/api/v1/videos/" + p.VideoID + "/sessions"
	holder := n.signIn(chain, chain.Holder)
	session := n.call("POST", sessions, holder, map[string]any{}).want(t, "a session", http.StatusCreated)
	old := n.call("POST", "/api/v1/auth/nonce", "", map[string]any{}).want(t, "a nonce", http.StatusOK)
	viewer := play(n.url + "/s/" + session.Token + "/master.m3u8")

	if err := s.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	for what, a := range map[string]said{
		"a nonce":                     n.call("POST", "/api/v1/auth/nonce", "", map[string]any{}),
		"a sign-in":                   n.call("POST", "/api/v1/auth/verify", "", sign(t, chain, chain.Holder, old)),
		"a request that happens once": n.call("POST", "/api/v1/videos", key, map[string]any{"title": "Once"}, "Idempotency-Key", "k"),
	} {
		if a.status != http.StatusServiceUnavailable || a.Code != "store_unavailable" || a.retry == "" {
			t.Errorf("%s without Redis: %d, Retry-After %q\n%s", what, a.status, a.retry, a.body)
		}
	}
	n.call("POST", sessions, holder, map[string]any{}).want(t, "a session for who had signed in before", http.StatusCreated)
	n.call("POST", sessions, "", map[string]any{}).want(t, "a session for nobody", http.StatusUnauthorized)
	n.call("GET", "/api/v1/videos", "sw_forged", nil).want(t, "a login that was not made here", http.StatusUnauthorized)
	limited := 0
	for range 40 {
		if n.call("GET", "/api/v1/videos", "", nil).status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited == 0 || limited == 40 {
		t.Errorf("%d of 40 requests were too many, of a client that may ask 20 at once", limited)
	}
	n.poll("a degraded node", func() bool {
		return strings.Contains(string(get(t, "http://"+n.operator+"/readyz")), "Redis has not been reached")
	})
	viewer.ended(t)

	if err := s.redis.Start(); err != nil {
		t.Fatal(err)
	}
	n.poll("a node that is ready", func() bool {
		return strings.Contains(string(get(t, "http://"+n.operator+"/readyz")), `"ready"`)
	})
	// The nonce of before is lost with the server: nobody gets in by it.
	if a := n.call("POST", "/api/v1/auth/verify", "", sign(t, chain, chain.Holder, old)); a.Code != "nonce_unknown" {
		t.Errorf("a nonce of before: %d %s", a.status, a.body)
	}
	n.signIn(chain, chain.Holder)
}
