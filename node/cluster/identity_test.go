package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"streamgate/app/rpc"
)

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := InitCA(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// certified makes a node's identity by its CA.
func certified(t *testing.T, ca *CA, id string, roles ...string) *Identity {
	t.Helper()
	i, err := NewIdentity(t.Context(), IdentityConfig{ID: id, Roles: roles, Dir: t.TempDir(), CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// serve serves a handler as a node.
func serve(t *testing.T, as *Identity, h http.Handler) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	srv := &http.Server{Handler: h, TLSConfig: as.ServerTLS(), Protocols: protocols, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go srv.Serve(tls.NewListener(ln, as.ServerTLS()))
	t.Cleanup(func() { srv.Close() })
	return ln.Addr().String()
}

func TestCAIsKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadCA(dir); !errors.Is(err, ErrNoCA) {
		t.Errorf("an empty folder: %v", err)
	}
	made, err := InitCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := InitCA(dir); err == nil {
		t.Error("a CA was written over")
	}
	again, err := LoadCA(dir)
	if err != nil || again.Fingerprint() != made.Fingerprint() {
		t.Errorf("%v, %v", again, err)
	}
}

// A node joins by a token, keeps what it got, and is known by its roles alone.
func TestJoin(t *testing.T) {
	ca := newCA(t)
	addr := serve(t, certified(t, ca, "first", "metadata"), ca.Handler(slog.New(slog.DiscardHandler)))
	token := func(life time.Duration, roles ...string) string {
		text, err := ca.Token([]string{addr}, roles, life)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	foreign := newCA(t)
	forged, err := foreign.Token([]string{addr}, []string{"upload"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	good := token(time.Hour, "upload", "streaming")
	// Of the true CA's fingerprint, but signed by another.
	payload, _, _ := strings.Cut(good, ".")
	_, signature, _ := strings.Cut(forged, ".")
	for name, tt := range map[string]struct {
		token, want string
		roles       []string
	}{
		"no token":          {"", "streamgate ca token", []string{"upload"}},
		"not a token":       {"sgjoin_x", "not what streamgate ca token printed", []string{"upload"}},
		"too old":           {token(-time.Second, "upload"), "expired", []string{"upload"}},
		"for another role":  {token(time.Hour, "upload"), "the token is for upload", []string{"metadata"}},
		"the CA's own role": {token(time.Hour, "upload"), "the token is for upload", []string{"upload", RoleCA}},
		"another CA's":      {forged, "not of the CA", []string{"upload"}},
		"signed by another": {payload + "." + signature, "another CA", []string{"upload"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewIdentity(t.Context(), IdentityConfig{ID: "n", Roles: tt.roles, Dir: t.TempDir(), Token: tt.token})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	dir := t.TempDir()
	joined, err := NewIdentity(t.Context(), IdentityConfig{ID: "second", Roles: []string{"upload"}, Dir: dir, Token: good})
	if err != nil {
		t.Fatal(err)
	}
	if err := joined.Check(); err != nil {
		t.Error(err)
	}
	again, err := NewIdentity(t.Context(), IdentityConfig{ID: "second", Roles: []string{"upload"}, Dir: dir}) // without a token
	if err != nil || !again.expires().Equal(joined.expires()) {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := NewIdentity(t.Context(), IdentityConfig{ID: "second", Roles: []string{"metadata"}, Dir: dir}); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("another role: %v", err)
	}
}

// A certificate is renewed with itself, for the same node and no more roles.
func TestRenew(t *testing.T) {
	ca := newCA(t)
	addr := serve(t, certified(t, ca, "first", "metadata"), ca.Handler(slog.New(slog.DiscardHandler)))
	registry := &Static{}
	if err := registry.Announce(t.Context(), Instance{ID: "first", Roles: []string{RoleCA, "metadata"}, Addr: addr}); err != nil {
		t.Fatal(err)
	}
	text, err := ca.Token([]string{addr}, []string{"upload"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	i, err := NewIdentity(t.Context(), IdentityConfig{ID: "second", Roles: []string{"upload"}, Dir: t.TempDir(), Token: text})
	if err != nil {
		t.Fatal(err)
	}
	if i.old(time.Now()) || !i.old(time.Now().Add(certLife*3/4)) {
		t.Error("it is renewed at another time than when a third is left")
	}
	pool := NewPool(registry, i)
	defer pool.Close()
	before := i.certificate().Leaf
	if err := i.renew(t.Context(), nil, pool); err != nil {
		t.Fatal(err)
	}
	if after := i.certificate().Leaf; after.SerialNumber.Cmp(before.SerialNumber) == 0 {
		t.Error("it is the same certificate")
	}
	for name, claim := range map[string]func(){
		"of another node":   func() { i.id = "first" },
		"with another role": func() { i.id, i.roles = "second", []string{"upload", "metadata"} },
	} {
		claim()
		if err := i.renew(t.Context(), nil, pool); err == nil {
			t.Errorf("a certificate %s was made", name)
		}
	}
}

// A request of another node carries who calls, signed; anything else carries
// nobody.
func TestCaller(t *testing.T) {
	ca := newCA(t)
	server := certified(t, ca, "first", "metadata", "upload")
	gateway, streaming := certified(t, ca, "second", "api-gateway"), certified(t, ca, "third", "streaming")
	seen := make(chan rpc.Identity, 1)
	refused := make(chan error, 1)
	addr := serve(t, server, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx, err := server.Caller(r, slog.New(slog.DiscardHandler))
		if err != nil {
			refused <- err
			return
		}
		seen <- rpc.Caller(ctx)
	}))
	who := rpc.Identity{KeyID: "k", Scope: rpc.ScopeOperator, Wallet: "0xw", Login: "l", Person: "p", Client: "c"}
	for name, tt := range map[string]struct {
		from   *Identity // whose certificate
		signer *Identity // whose signature; nil for none
		header string    // instead of a signature
		path   string
		to     string
		want   error
	}{
		"by the gateway":              {from: gateway, signer: gateway, to: "metadata"},
		"by a role, its own work":     {from: streaming, signer: streaming, to: "metadata", path: rpc.TranscoderDemandProcedure},
		"by a role, something else":   {from: streaming, signer: streaming, to: "metadata", path: rpc.AccessCreateKeyProcedure, want: ErrScope},
		"not signed":                  {from: gateway, to: "metadata", want: ErrCaller},
		"forged":                      {from: gateway, header: `{"Scope":4}`, to: "metadata", want: ErrCaller},
		"signed by another":           {from: streaming, signer: gateway, to: "metadata", want: ErrCaller},
		"for another role":            {from: gateway, signer: gateway, to: "monitor", want: ErrAddress},
		"without a certificate":       {signer: gateway, to: "metadata", want: ErrNoPeer},
		"without either, as an admin": {header: encode([]byte(`{"Scope":4,"To":"metadata"}`)) + ".", to: "metadata", want: ErrNoPeer},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.ClientTLS("metadata")
			cfg.GetClientCertificate = nil
			if tt.from != nil {
				cfg = tt.from.ClientTLS("metadata")
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
			defer client.CloseIdleConnections()
			req, err := http.NewRequestWithContext(rpc.WithIdentity(t.Context(), who), http.MethodPost, "https://"+addr+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != "" {
				req.Header.Set(CallerHeader, tt.header)
			}
			if tt.signer != nil {
				if err := tt.signer.Sign(req, tt.to); err != nil {
					t.Fatal(err)
				}
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			select {
			case got := <-seen:
				if tt.want != nil || got != who {
					t.Errorf("%+v called", got)
				}
			case err := <-refused:
				if !errors.Is(err, tt.want) || tt.want == nil {
					t.Errorf("refused: %v, want %v", err, tt.want)
				}
			}
		})
	}
}

// A node of another CA, or one whose certificate is not for the role, is not called,
// and does not get in.
func TestOtherCA(t *testing.T) {
	ours, theirs := newCA(t), newCA(t)
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, tt := range map[string]struct{ server, client *Identity }{
		"the server is another's":  {certified(t, theirs, "a", "upload"), certified(t, ours, "b", "api-gateway")},
		"the client is another's":  {certified(t, ours, "a", "upload"), certified(t, theirs, "b", "api-gateway")},
		"the server is no upload":  {certified(t, ours, "a", "streaming"), certified(t, ours, "b", "api-gateway")},
		"all of it is as it ought": {certified(t, ours, "a", "upload"), certified(t, ours, "b", "api-gateway")},
	} {
		registry := &Static{}
		if err := registry.Announce(t.Context(), Instance{ID: "a", Roles: []string{"upload"}, Addr: serve(t, tt.server, ok)}); err != nil {
			t.Fatal(err)
		}
		pool := NewPool(registry, tt.client)
		for kind, through := range map[string]http.RoundTripper{"calls": pool.Transport("upload"), "bytes": pool.Streaming("upload")} {
			req := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "https://upload.streamgate/", nil)
			req.RequestURI = ""
			resp, err := through.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			if well := name == "all of it is as it ought"; well != (err == nil) {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
		pool.Close()
	}
}
