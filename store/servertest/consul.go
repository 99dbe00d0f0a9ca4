package servertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Consul is a Consul of its own: one server, which is the agent too. What it knows
// stays while it is killed and started again.
type Consul struct {
	process
	bin     string
	address string
	token   string
}

// StartConsul starts the program at bin, which make test-consul builds; ErrMissing.
// Sessions may be as short as 100 ms there.
func StartConsul(bin string) (*Consul, error) { return StartConsulWith(bin, "") }

// StartConsulWith is StartConsul, where nobody may do anything without a token; this
// one, a UUID, may do everything.
func StartConsulWith(bin, token string) (*Consul, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("bin/consul (make test-consul builds it, which takes some minutes once): %w", ErrMissing)
	}
	dir, err := os.MkdirTemp("", "consul")
	if err != nil {
		return nil, err
	}
	c := &Consul{process: process{dir: dir}, bin: bin, token: token}
	if err := errors.Join(c.configure(), c.Start()); err != nil {
		return nil, errors.Join(fmt.Errorf("start Consul: %w", err), c.Close())
	}
	return c, nil
}

// configure chooses ports that are free: Consul cannot be given sockets.
func (c *Consul) configure() error {
	var ports [3]int
	for i := range ports {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer free.Close() //nolint:errcheck // it has served its purpose
		ports[i] = free.Addr().(*net.TCPAddr).Port
	}
	c.address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	settings := map[string]any{
		"node_name": "test", "server": true, "bootstrap": true, "data_dir": filepath.Join(c.dir, "data"),
		"bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "log_level": "warn",
		"ports": map[string]int{
			"http": ports[0], "server": ports[1], "serf_lan": ports[2],
			"serf_wan": -1, "dns": -1, "https": -1, "grpc": -1, "grpc_tls": -1,
		},
		"performance":     map[string]any{"raft_multiplier": 1},
		"session_ttl_min": "100ms", "disable_update_check": true, "leave_on_terminate": false,
		"connect": map[string]any{"enabled": false}, "peering": map[string]any{"enabled": false},
	}
	if c.token != "" {
		tokens := map[string]string{"initial_management": c.token, "agent": c.token}
		settings["acl"] = map[string]any{"enabled": true, "default_policy": "deny", "tokens": tokens}
	}
	config, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, "consul.json"), config, 0o600)
}

// Start starts a server that was killed, and waits until it leads and knows itself.
func (c *Consul) Start() error {
	cmd, err := c.command("", c.bin, "agent", "-config-file", filepath.Join(c.dir, "consul.json"))
	if err != nil {
		return err
	}
	return c.launch(cmd, c.ready)
}

func (c *Consul) ready() error {
	req, err := http.NewRequest(http.MethodGet, "http://"+c.address+"/v1/catalog/node/test", nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Consul-Token", c.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	itself, err := io.ReadAll(io.LimitReader(res.Body, 10_000))
	if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(itself, []byte("127.0.0.1")) {
		return fmt.Errorf("status %d, itself %s: %w", res.StatusCode, itself, err)
	}
	return nil
}

// Kill ends the server at once.
func (c *Consul) Kill() error { return c.end(syscall.SIGKILL) }

// Forget removes what a server that was killed knew.
func (c *Consul) Forget() error { return os.RemoveAll(filepath.Join(c.dir, "data")) }

// Close ends the server and removes its directory.
func (c *Consul) Close() error { return errors.Join(c.Kill(), os.RemoveAll(c.dir)) }

// Address is host and port of its HTTP.
func (c *Consul) Address() string { return c.address }

// URL is the address of a deployment's registry, as the configuration takes it.
func (c *Consul) URL(prefix string) string { return "consul://" + c.address + "/" + prefix }

// NeedConsul is Need of the Consul at bin.
func NeedConsul(t testing.TB, bin string) *Consul {
	t.Helper()
	return Need(t, func() (*Consul, error) { return StartConsul(bin) })
}
