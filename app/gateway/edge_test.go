package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"streamgate/app/rpc"
	"streamgate/store/memory"
)

func TestBaseURLAndClient(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	forwarded := map[string]string{
		"X-Forwarded-Proto": "https", "X-Forwarded-Host": "tv.example, inner", "X-Forwarded-For": "1.1.1.1, 2.2.2.2, 10.0.0.9",
	}
	for _, tt := range []struct {
		name, public, remote, host string
		tls                        bool
		headers                    map[string]string
		wantBase, wantIP           string
	}{
		{"direct", "", "9.9.9.9:1", "a:8080", false, nil, "http://a:8080", "9.9.9.9"},
		{"direct with TLS", "", "9.9.9.9:1", "a", true, nil, "https://a", "9.9.9.9"},
		{"configured", "https://x.example/tv/", "9.9.9.9:1", "a", false, nil, "https://x.example/tv", "9.9.9.9"},
		{"forged", "", "9.9.9.9:1", "a", false, forwarded, "http://a", "9.9.9.9"},
		{"trusted proxy", "", "10.1.2.3:1", "a", false, forwarded, "https://tv.example", "2.2.2.2"},
		{"trusted, mapped IPv4", "", "[::ffff:10.1.2.3]:1", "a", false, forwarded, "https://tv.example", "2.2.2.2"},
		{"trusted, IPv6", "", "[::1]:1", "a", false, nil, "http://a", "::1"},
		{"trusted, nonsense", "", "10.1.2.3:1", "a", false,
			map[string]string{"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "a/b", "X-Forwarded-For": "x"}, "", "10.1.2.3"},
		{"Unix socket", "", "@", "", false, nil, "", "invalid IP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &edge{publicURL: tt.public, ownLinks: true, trusted: trusted}
			r := httptest.NewRequest(http.MethodGet, "/api/v1/videos", nil)
			r.RemoteAddr, r.Host = tt.remote, tt.host
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			for k, v := range tt.headers {
				r.Header.Set(k, v)
			}
			if got := e.baseURL(r); got != tt.wantBase {
				t.Errorf("base URL %q, want %q", got, tt.wantBase)
			}
			if got := e.clientIP(r).String(); got != tt.wantIP {
				t.Errorf("client %s, want %s", got, tt.wantIP)
			}
		})
	}
}

func TestTraceID(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for header, keep := range map[string]bool{
		"00-" + id + "-b7ad6b7169203331-01":                       true,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-" + id[1:] + "-b7ad6b7169203331-01":                   false,
		"00-" + id[:31] + "G-b7ad6b7169203331-01":                 false,
		id: false,
		"": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Traceparent", header)
		if got := traceID(r); (got == id) != keep || len(got) != 32 {
			t.Errorf("%q: trace id %q", header, got)
		}
	}
}

// One client's limit is not another's.
func TestRateLimit(t *testing.T) {
	l := &limiter{cache: memory.NewCache(memory.Options{}), log: slog.New(slog.DiscardHandler)}
	l.limit.Store(&limit{rate: 1e-3, burst: 2})
	key := rpc.Identity{KeyID: "k1", Scope: rpc.ScopeRead}
	for _, tt := range []struct {
		name string
		who  rpc.Identity
		ip   string
		want bool
	}{
		{"first", key, "1.1.1.1", true},
		{"second, elsewhere", key, "2.2.2.2", true},
		{"third", key, "3.3.3.3", false},
		{"another key", rpc.Identity{KeyID: "k2", Scope: rpc.ScopeRead}, "1.1.1.1", true},
		{"stranger", rpc.Identity{}, "1.1.1.1", true},
		{"stranger again", rpc.Identity{}, "1.1.1.1", true},
		{"stranger's third", rpc.Identity{}, "1.1.1.1", false},
		{"other stranger", rpc.Identity{}, "1.1.1.2", true},
		{"IPv6", rpc.Identity{}, "2001:db8::1", true},
		{"same network", rpc.Identity{}, "2001:db8::2", true},
		{"same network, third", rpc.Identity{}, "2001:db8::3", false},
		{"admin socket", rpc.Identity{Scope: rpc.ScopeAdmin}, "1.1.1.1", true},
	} {
		wait, ok := l.allow(httptest.NewRequest(http.MethodGet, "/", nil), tt.who, netip.MustParseAddr(tt.ip))
		if ok != tt.want || !ok && wait == 0 {
			t.Errorf("%s: %v, wait %v", tt.name, ok, wait)
		}
	}
}

func TestRateLimited(t *testing.T) {
	b := newBench(t, func(c *Config) { c.RequestsPerSecond, c.Burst = 0.1, 1 })
	if r := b.do("read", "GET", "/api/v1/videos", ""); r.StatusCode != http.StatusOK {
		t.Fatal(r.body)
	}
	r := b.do("read", "GET", "/api/v1/videos", "")
	wantProblem(t, r, 429, "rate_limited")
	if r.Header.Get("Retry-After") != "10" {
		t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
	}
	wantLimits(t, r, `"requests";q=1;w=10`, `"requests";r=0;t=10`)
	// Guessing keys is limited by address.
	wrong := []string{"Authorization", "Bearer sg_a_b"}
	wantProblem(t, b.do("", "GET", "/api/v1/videos", "", wrong...), 401, "invalid_key")
	wantProblem(t, b.do("", "GET", "/api/v1/videos", "", wrong...), 429, "rate_limited")
}

func wantLimits(t *testing.T, r reply, policy, left string) {
	t.Helper()
	gotPolicy, gotLeft := strings.Join(r.Header.Values("RateLimit-Policy"), ", "), strings.Join(r.Header.Values("RateLimit"), ", ")
	if gotPolicy != policy || gotLeft != left {
		t.Errorf("limits %s and %s, want %s and %s", gotPolicy, gotLeft, policy, left)
	}
}

// Answers tell what is left of every limit that they were counted against, by
// REST and by RPC, also if they are errors, and of none if there is none.
func TestLimitsAreTold(t *testing.T) {
	b := newBench(t, func(c *Config) { c.RequestsPerSecond, c.Burst = 1e-3, 10 })
	const all = `"requests";q=10;w=10000`
	for i, ask := range []func() reply{
		func() reply { return b.do("read", "GET", "/api/v1/videos", "") },
		func() reply { return b.do("read", "GET", "/api/v1/videos/none", "") },
		func() reply { return b.do("read", "POST", "/streamgate.Library/ListVideos", "{}") },
		func() reply { return b.do("read", "HEAD", "/api/v1/events", "") },
		func() reply { return b.do("read", "GET", "/api/v1/nothing", "") },
	} {
		wantLimits(t, ask(), all, fmt.Sprintf(`"requests";r=%d;t=1000`, 9-i))
	}
	signIn := b.do("", "POST", "/api/v1/auth/nonce", "{}")
	wantLimits(t, signIn, all+`, "sign-ins";q=200;w=20`, `"requests";r=9;t=1000, "sign-ins";r=199;t=1`)
	wantLimits(t, newBench(t).do("read", "GET", "/api/v1/videos", ""), "", "")
}

// A listener that knows its callers says so in the context.
func TestPresetIdentity(t *testing.T) {
	b := newBench(t, func(c *Config) { c.RequestsPerSecond, c.Burst = 0.1, 1 })
	ctx := rpc.WithBaseURL(rpc.System(context.Background()), "http://preset")
	for range 3 {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/keys", nil).WithContext(ctx)
		w := httptest.NewRecorder()
		b.gateway.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
