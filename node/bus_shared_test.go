package node

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"streamgate/app/events"
)

// natsServer runs a NATS that wants a password, on this port or a free one.
func natsServer(t *testing.T, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, Username: "films", Password: "secret", NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	t.Cleanup(srv.Shutdown)
	return srv
}

// TestSharedBus: two nodes on one NATS hear each other; while it is away they serve,
// degraded, and when it is back they hear each other again.
func TestSharedBus(t *testing.T) {
	srv := natsServer(t, server.RANDOM_PORT)
	port := srv.Addr().String()[strings.LastIndex(srv.Addr().String(), ":")+1:]
	start := func() *Node {
		cfg := testConfig(t, t.TempDir())
		cfg.Bus.URL = "nats://films:secret@127.0.0.1:" + port
		return startNode(t, cfg)
	}
	one, two := start(), start()
	heard := make(chan events.Jobs, 100)
	if _, err := events.JobsReady.Listen(two.kernel.Bus, func(j events.Jobs) { heard <- j }); err != nil {
		t.Fatal(err)
	}
	hears := func() bool {
		events.JobsReady.Announce(one.kernel.Bus, one.kernel.Log, events.Jobs{Rank: 2})
		select {
		case <-heard:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}
	within(t, "heard", hears)
	at := srv.Addr().String()
	srv.Shutdown()
	srv.WaitForShutdown()
	within(t, "degraded", func() bool {
		status, ready := readyz(t, one.Addr("operator"))
		return status == http.StatusOK && ready.Status == phaseDegraded && strings.Contains(ready.Checks["bus"], "NATS")
	})
	_, number, err := splitPort(at)
	if err != nil {
		t.Fatal(err)
	}
	natsServer(t, number)
	within(t, "heard again", hears)
	within(t, "ready", func() bool {
		_, ready := readyz(t, one.Addr("operator"))
		return ready.Status == phaseReady
	})
}

// TestSharedBusCredentials: a server of an operator, with TLS by a CA of its own, lets
// in the node that has a credentials file, and only if the node knows the CA.
func TestSharedBusCredentials(t *testing.T) {
	ca, pair := selfSigned(t)
	at, credentials := operatedNATS(t, pair)
	for _, tt := range []struct {
		name, credentials, ca, says string
	}{
		{"both", credentials, ca, ""},
		{"no credentials", "", ca, "bus.credentials_file"},
		{"a credentials file that is not there", credentials + ".none", ca, "bus.credentials_file"},
		{"another CA", credentials, "", "bus.ca_file"},
		{"a CA file that is none", credentials, credentials, "root certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(t, t.TempDir())
			cfg.Bus = Bus{URL: "tls://" + at, CredentialsFile: tt.credentials, CAFile: tt.ca}
			n, err := New(cfg, Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = n.Start(t.Context())
			if err == nil {
				defer n.Stop()
			}
			if (err == nil) != (tt.says == "") || err != nil && (!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// operatedNATS runs a NATS server whose users an operator signs, and makes one.
func operatedNATS(t *testing.T, pair tls.Certificate) (at, credentials string) {
	t.Helper()
	operator, account, user := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateUser)
	accountJWT, err := jwt.NewAccountClaims(publicOf(t, account)).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(publicOf(t, account), accountJWT); err != nil {
		t.Fatal(err)
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		TrustedKeys: []string{publicOf(t, operator)}, AccountResolver: resolver,
		TLS: true, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(srv.Shutdown)
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	userJWT, err := jwt.NewUserClaims(publicOf(t, user)).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	credentials = filepath.Join(t.TempDir(), "node.creds")
	if err := os.WriteFile(credentials, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return srv.Addr().String(), credentials
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	key, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicOf(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	text, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// selfSigned is a certificate for 127.0.0.1 and the file of its CA, which it is itself.
func selfSigned(t *testing.T) (file string, pair tls.Certificate) {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	defer srv.Close()
	file = filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, srv.TLS.Certificates[0]
}

// TestSharedBusRefused: who is not let in, and who finds nobody, does not start, and
// says so in a line without the secret.
func TestSharedBusRefused(t *testing.T) {
	srv := natsServer(t, server.RANDOM_PORT)
	at := srv.Addr().String()
	for address, says := range map[string]string{
		"nats://films:wrong-secret@" + at:       "does not let the node in",
		"nats://" + at:                          "bus.credentials_file",
		"nats://films:wrong-secret@127.0.0.1:1": "no NATS server answers at 127.0.0.1:1",
		"tls://films:wrong-secret@" + at:        "bus.url",
	} {
		cfg := testConfig(t, t.TempDir())
		cfg.Bus.URL = address
		n, err := New(cfg, Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = n.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "wrong-secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for text, want := range map[string]bool{
		"nats://a:4222": true, "tls://u:p@a": true, "nats://a,nats://b:4222": true,
		"http://a": false, "a:4222": false, "nats://": false, "nats://a/b": false, "nats://a,": false,
	} {
		if got := validBus(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
