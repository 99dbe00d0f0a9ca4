package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spruceid/siwe-go"
)

func TestSeries(t *testing.T) {
	for _, c := range []struct {
		s    series
		want string
	}{
		{nil, "–"}, {series{3}, "3.00"}, {series{3, 1, 2}, "2.00 (1.00–3.00)"},
		{series{1, 2, 30, 400}, "16.0 (1.00–400)"}, {series{0.0123}, "0.0123"},
	} {
		if got := c.s.String(); got != c.want {
			t.Errorf("%v: %s, want %s", []float64(c.s), got, c.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	hundred := series{}
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	for _, c := range []struct {
		s       series
		q, want float64
	}{
		{nil, 0.99, 0}, {series{7}, 0.01, 7}, {series{3, 1, 2}, 0.5, 2}, {series{4, 3, 1, 2}, 0.5, 2},
		{hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0.001, 1}, {hundred[:20], 0.99, 100},
	} {
		if got := c.s.quantile(c.q); got != c.want {
			t.Errorf("%v of %v: %v, want %v", c.q, []float64(c.s), got, c.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	c := comparison{what: "x", unit: "s", peer: "peer", ours: series{11}, them: series{10}}
	for _, v := range []struct {
		r    result
		want string
	}{
		{c.atMost(1.10), "met"}, {c.atMost(1.05), "missed"}, {c.atLeast(1.0), "met"}, {c.atLeast(1.5), "missed"},
		{c.lower(), "missed"}, {atMost("x", 5, "s", series{4, 6, 5}), "met"}, {atMost("x", 5, "s", nil), "missed"},
		{atLeast("x", 5, "/s", series{4, 6, 5}), "met"}, {atLeast("x", 5.5, "/s", series{4, 6, 5}), "missed"}, {atLeast("x", 0, "/s", nil), "missed"},
		{atMostP99("x", 6, "ms", series{4, 6, 5}), "met"}, {atMostP99("x", 5, "ms", series{4, 6, 5}), "missed"}, {atMostP99("x", 5, "ms", nil), "missed"},
		{result{what: "not measured"}, ""},
	} {
		if got := v.r.verdict(); got != v.want {
			t.Errorf("%+v: %q, want %q", v.r, got, v.want)
		}
	}
}

func TestP99(t *testing.T) {
	r := atMostP99("x", 100, "ms", series{30, 10, 20})
	if r.what != "x, p99" || r.target != "≤ 100 ms" || r.measured != "p50 20.0, p99 30.0, most 30.0 ms; 3 times" {
		t.Errorf("%+v", r)
	}
}

func TestPick(t *testing.T) {
	if got, err := pick(rows(), ""); err != nil || len(got) != len(rows()) {
		t.Errorf("no name picks %d rows, %v", len(got), err)
	}
	got, err := pick(rows(), "demand, start")
	if err != nil || len(got) != 2 || got[0].name != "demand" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := pick(rows(), "start,nonsense"); err == nil || !strings.Contains(err.Error(), "picture-copy") {
		t.Errorf("an unknown row: %v; the error should list the known ones", err)
	}
}

func TestMissingTool(t *testing.T) {
	err := row{name: "x", tools: []string{"no-such-program"}}.haveTools()
	if err == nil || !strings.Contains(err.Error(), "apt-get install no-such-program") {
		t.Errorf("got %v", err)
	}
}

func TestReport(t *testing.T) {
	r := &report{
		machine: machine{
			date: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), cores: 2, cpu: "A CPU", memory: 8 << 30,
			kernel: "6.1", ffmpeg: "ffmpeg 5.1", nginx: "nginx/1.22", golang: "go1.26",
		},
		results: []result{
			{what: "one", target: "≤ 1 s", measured: "0.50 s", met: true},
			{what: "another", target: "≥ 1.5 × nginx", measured: "node 3, nginx 3 /s", ratio: "1.00"},
		},
	}
	want := `
* 2 January 2026, 03:04 UTC
* 2 cores, A CPU, 8.0 GiB of memory
* Linux 6.1
* ffmpeg 5.1, nginx/1.22, go1.26

| what    | target        | measured           | ratio |        |
| ------- | ------------- | ------------------ | ----- | ------ |
| one     | ≤ 1 s         | 0.50 s             |       | met    |
| another | ≥ 1.5 × nginx | node 3, nginx 3 /s | 1.00  | missed |
`
	if got := r.markdown(); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant at the end\n%s", got, want)
	}
}

func TestParseStat(t *testing.T) {
	line := "4242 (a (strange) name) S 17 4242 4242 0 -1 4194560 9 8 7 6 100 20 3 4 20 0 9 0 1 2 3"
	got, err := parseStat(line)
	if err != nil || got.parent != 17 || got.cpu != 1.27 || got.own != 1.2 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 2", strings.Replace(line, " 17 ", " x ", 1), strings.Replace(line, " 100 ", " x ", 1)} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestParseWrk(t *testing.T) {
	const good = "Running 1s test @ http://127.0.0.1:1/\n  9251 requests in 1.00s, 8.93GB read\nRequests/sec:   9250.70\nTransfer/sec:      8.92GB\n"
	if got, err := parseWrk(good); err != nil || got.requests != 9251 || got.perSecond != 9250.7 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{
		"", "unable to connect",
		good + "  Non-2xx or 3xx responses: 9251\n",
		good + "  Socket errors: connect 0, read 5, write 0, timeout 0\n",
		strings.Replace(good, "9251 requests", "0 requests", 1),
	} {
		if _, err := parseWrk(bad); err == nil {
			t.Errorf("%q is taken for good", bad)
		}
	}
}

func TestPlaylist(t *testing.T) {
	list := []byte("#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\n0.m4s\n\n#EXTINF:4,\n1.m4s\r\n#EXT-X-ENDLIST\n")
	if got := uris(list); !slices.Equal(got, []string{"0.m4s", "1.m4s"}) {
		t.Errorf("addresses: %q", got)
	}
	if got, ok := attribute(list, "#EXT-X-MAP:", "URI"); !ok || got != "init.mp4" {
		t.Errorf("init: %q", got)
	}
	if _, ok := attribute(list, "#EXT-X-KEY:", "URI"); ok {
		t.Error("a tag that is not there is found")
	}
}

func TestFarSegments(t *testing.T) {
	got := farSegments(100, 9)
	seen := map[int]bool{}
	for _, s := range got {
		if s < 20 || s >= 100 || seen[s] {
			t.Errorf("segment %d of %v", s, got)
		}
		seen[s] = true
	}
	if len(got) != 9 || !slices.Equal(got, farSegments(100, 9)) {
		t.Errorf("got %v", got)
	}
}

func TestSourcesHaveRecipes(t *testing.T) {
	for _, s := range []source{copied30s, copied120s, copied60min, foreign30s, foreign10min, foreign60min, megabytes28s, megabytes, groups2s, groups10s} {
		r, ok := s.recipe()
		for ok && r.of != "" {
			r, ok = r.of.recipe()
		}
		if !ok || r.options == "" {
			t.Errorf("%s cannot be made", s)
		}
	}
}

func TestNginxConf(t *testing.T) {
	alone := nginxSettings{Dir: "/d", Auth: "127.0.0.1:1", Listen: "127.0.0.1:2", Workers: 2}
	mutual, front := alone, nginxSettings{Listen: "127.0.0.1:4", Back: "127.0.0.1:2"}
	mutual.Mutual = &mutualTLS{Listen: "127.0.0.1:3", Front: "/f.pem", Back: "/b.pem", Roots: "/ca", Name: "back"}
	over := front
	over.Mutual = mutual.Mutual
	for name, c := range map[string]struct {
		settings   nginxSettings
		text       string
		want, none []string
	}{
		"alone":             {alone, nginxConf, []string{"worker_processes 2;", "listen 127.0.0.1:2 "}, []string{"user root", "ssl"}},
		"over TLS too":      {mutual, nginxConf, []string{"listen 127.0.0.1:2 ", "listen 127.0.0.1:3 ssl", "ssl_certificate /b.pem;", "ssl_verify_client on;"}, []string{"/f.pem"}},
		"in front":          {front, nginxFrontConf, []string{"listen 127.0.0.1:4 ", "server 127.0.0.1:2;", "proxy_pass http://"}, []string{"ssl"}},
		"in front over TLS": {over, nginxFrontConf, []string{"server 127.0.0.1:3;", "proxy_pass https://", "proxy_ssl_certificate /f.pem;", "proxy_ssl_verify on;"}, []string{"/b.pem"}},
	} {
		conf, err := c.settings.conf(c.text)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(string(conf), want) {
				t.Errorf("%s: %q is missing:\n%s", name, want, conf)
			}
		}
		for _, none := range c.none {
			if strings.Contains(string(conf), none) {
				t.Errorf("%s: it has %q:\n%s", name, none, conf)
			}
		}
	}
}

// TestSignInMessage: what the bench's wallets sign, the node reads.
func TestSignInMessage(t *testing.T) {
	wallets, err := newWallets(2)
	if err != nil {
		t.Fatal(err)
	}
	in := site{Domain: "video.example.org", URI: "https://video.example.org", Nonce: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
	text := in.message(wallets[0], 1337)
	parsed, err := siwe.ParseMessage(text)
	if err != nil || parsed.GetAddress() != wallets[0].Address || parsed.GetChainID() != 1337 || parsed.GetNonce() != in.Nonce {
		t.Errorf("%v\n%s", err, text)
	}
	sig, err := signature(wallets[0], text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.VerifyEIP191(sig); err != nil {
		t.Errorf("the signature: %v", err)
	}
}

func TestSoldOut(t *testing.T) {
	h := &holder{}
	if err := h.soldOut(http.StatusForbidden, []byte(`{"code":"not_a_holder"}`)); err != nil {
		t.Error(err)
	}
	for status, body := range map[int]string{
		http.StatusUnauthorized: `{"code":"not_a_holder"}`, http.StatusForbidden: `{"code":"chain_unreachable"}`, http.StatusNotFound: "no",
	} {
		if err := h.soldOut(status, []byte(body)); err == nil {
			t.Errorf("%d %s is taken for a transfer", status, body)
		}
	}
}

func TestIOCalls(t *testing.T) {
	own, err := ownCalls()
	if err != nil {
		t.Fatal(err)
	}
	before, err := ioCalls()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := os.ReadFile("bench_test.go"); err != nil {
			t.Fatal(err)
		}
	}
	after, err := ioCalls()
	if got := after - before - own; err != nil || got < 100 {
		t.Errorf("100 files are %d reads, %v", got, err)
	}
}

func TestContest(t *testing.T) {
	c := contest{
		what: "x", unit: "/s", ours: series{30}, notes: []string{"a note"},
		peers: []rival{{"one", series{10}}, {"two", series{20}}},
	}
	if r := c.first(); !r.met || r.ratio != "1.50" || r.measured != "node 30.0, one 10.0, two 20.0 /s" {
		t.Errorf("%+v", r)
	}
	if c.atLeast(2).met || !c.atLeast(1.5).met {
		t.Error("the ratio is that to the best peer")
	}
	if v := c.shown().verdict(); v != "" {
		t.Errorf("without a target: %q", v)
	}
	c.ours = series{20}
	if c.first().met {
		t.Error("a draw is not first")
	}
}

func TestNotesOnce(t *testing.T) {
	r := &report{results: []result{{notes: []string{"a", "b"}}, {}, {notes: []string{"b", "c"}}}}
	if got := r.markdown(); !strings.HasSuffix(got, "\n\n* a\n* b\n* c\n") {
		t.Errorf("got %q", got)
	}
}

func TestCompareP99(t *testing.T) {
	if r := compareP99("x", "ms", 2, series{4, 6}, series{3, 2}); !r.met || r.ratio != "2.00" {
		t.Errorf("%+v", r)
	}
	if r := compareP99("x", "ms", 2, series{4, 7}, series{3, 2}); r.met {
		t.Errorf("%+v", r)
	}
}

func TestEncodes(t *testing.T) {
	for line, want := range map[string]bool{
		"/usr/bin/ffmpeg\x00-i\x00x\x00-c:v\x00libx264\x00pipe:3\x00": true,
		"/usr/bin/ffmpeg\x00-i\x00x\x00-c\x00copy\x00pipe:3\x00":      false,
		// The helper before it becomes ffmpeg.
		"/usr/bin/streamgate\x00confine\x00/usr/bin/ffmpeg\x00-c:v\x00libx264\x00": false,
		"": false,
	} {
		if got := encodes(line); got != want {
			t.Errorf("%q: %t", line, got)
		}
	}
}

func TestBorders(t *testing.T) {
	single := make(series, 100)
	for i := range single {
		single[i] = 0.98
	}
	chunked := append(series(nil), single...)
	for i := 48; i < 60; i++ {
		chunked[i] -= 0.005
	}
	r := judgeBorders(chunked, single, []int{48, 96}, 12) // the last half second is cut short
	if !r[0].met || !r[1].met || !strings.HasPrefix(r[1].measured, "-0.00500, mean -0.00250; 2") {
		t.Errorf("%+v", r)
	}
	chunked[50] -= 0.1
	if r := judgeBorders(chunked, single, []int{48}, 12); r[0].met || r[1].met {
		t.Errorf("a bad border is not seen: %+v", r)
	}
}

func TestParseSSIM(t *testing.T) {
	got, err := parseSSIM("n:1 Y:0.98 U:0.99 V:0.99 All:0.981 (17.2)\nn:2 Y:1 U:1 V:1 All:1.000000 (inf)\n")
	if err != nil || len(got) != 2 || got[0] != 0.981 || got[1] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseSSIM("nonsense\n"); err == nil {
		t.Error("nonsense is read")
	}
}

func TestOwnQueue(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	q, err := b.openQueue("queue")
	if err != nil {
		t.Fatal(err)
	}
	defer q.close()
	if err := q.fill(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	rate, err := perSecond(t.Context(), 2, time.Minute, q.work)
	if rate <= 0 || !errors.Is(err, errDrained) {
		t.Errorf("%f, %v", rate, err)
	}
	stats, err := q.queue.Stats(t.Context())
	if err != nil || stats.Done != 3 || stats.Ready != 0 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// TestSlowLine: what comes over the line is whole, and takes as long as its
// rate and its delay say.
func TestSlowLine(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 4<<10) // 64 KiB: 350 ms
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	defer server.Close()
	line, err := openLine(t.Context(), strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer line.close()
	client := newClient()
	defer client.CloseIdleConnections()
	began := time.Now()
	_, got, err := getBy(t.Context(), client, "http://"+line.address()+"/")
	took := time.Since(began)
	least := 2*lineTrip + time.Duration(len(body)-lineBurst)*8*time.Second/lineRate
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(body), err)
	}
	if took < least || took > least+5*time.Second {
		t.Errorf("it took %s, want %s or little more", took, least)
	}
}
