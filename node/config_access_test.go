package node

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"streamgate/app/access/evm"
)

func TestLoadChainErrors(t *testing.T) {
	for _, c := range []struct {
		name, keys string // of one chain, besides its id and an endpoint
		want       []string
	}{
		{"id", "id: 0", []string{"chains[0].id", `"0"`, "from 1"}},
		{"no endpoint", "urls: []", []string{"chains[0].urls", "at least one"}},
		{"an endpoint that is none", "urls: ['ws://rpc.example.org/s3cret']", []string{"chains[0].urls", "https://"}},
		{"confirmations", "confirmations: -1", []string{"chains[0].confirmations", "0 to 10000"}},
		{"a quorum of more than there are", "quorum: 2", []string{"chains[0].quorum", "0 to 1"}},
		{"poll interval", "poll_interval: 1ms", []string{"chains[0].poll_interval", "1ms", "50ms"}},
		{"time-out", "timeout: 2m", []string{"chains[0].timeout", "2m", "1m"}},
		{"a block age that every block has", "max_block_age: 1s", []string{"chains[0].max_block_age", "1s", "10s"}},
		{"a block age of weeks", "max_block_age: 400h", []string{"chains[0].max_block_age", "168h"}},
		{"unreachable", "unreachable: allow", []string{"chains[0].unreachable", "allow", "deny or grace"}},
		{"grace without a policy", "grace: 1m", []string{"chains[0].grace", "1m", "unreachable: grace"}},
		{"budget", "requests_per_second: -1", []string{"chains[0].requests_per_second", "at least 0"}},
		{"multicall", "multicall: '0x1'", []string{"chains[0].multicall", "0x1", "40 hex digits"}},
		{"registry", "delegate_registry: none", []string{"chains[0].delegate_registry", "none", "40 hex digits"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain := map[string]string{"id": "id: 1", "urls": "urls: ['https://rpc.example.org']"}
			key, _, _ := strings.Cut(c.keys, ":")
			chain[key] = c.keys
			var keys []string
			for _, k := range chain {
				keys = append(keys, k)
			}
			_, err := Load(Sources{File: write(t, "chains: [{"+strings.Join(keys, ", ")+"}]")})
			if err == nil {
				t.Fatal("accepted")
			}
			if !containsAll(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %q, want %q", err, c.want)
			}
		})
	}
	_, err := Load(Sources{File: write(t, "chains: [{id: 5, urls: ['http://a']}, {id: 5, urls: ['http://b']}]")})
	if err == nil || !containsAll(err.Error(), []string{"chains[1].id", "another chain"}) {
		t.Errorf("two of the same id: %v", err)
	}
}

// TestShippedChain: the example chain of the shipped file, which is commented
// out, is one, and has every key.
func TestShippedChain(t *testing.T) {
	data, err := os.ReadFile("../packaging/config/streamgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(data), "chains: []\n")
	text, _, _ = strings.Cut(text, "\n\n")
	if !found {
		t.Fatal("there is no example")
	}
	var example strings.Builder
	for line := range strings.Lines(text) {
		example.WriteString(strings.Replace(strings.TrimPrefix(line, "# "), "# grace:", "grace:", 1))
	}
	yaml := strings.Replace(example.String(), "unreachable: deny", "unreachable: grace", 1)
	cfg, err := Load(Sources{File: write(t, "chains:\n"+yaml)})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range reflect.VisibleFields(reflect.TypeFor[Chain]()) {
		key := f.Tag.Get("yaml")
		if !strings.Contains(text, key+":") {
			t.Errorf("key %d, %s, is not in the example", i, key)
		}
	}
	if cfg.Chains[0].Grace != 10*time.Minute {
		t.Errorf("grace %s", cfg.Chains[0].Grace)
	}
}

func TestEVMConfig(t *testing.T) {
	c := Chain{
		ID: 5, Name: "n", URLs: []string{"http://a"}, Confirmations: 1, Quorum: 1, Timeout: 2, MaxBlockAge: 3, RequestsPerSecond: 4,
		Multicall: "0x" + strings.Repeat("11", 20), DelegateRegistry: "0x" + strings.Repeat("22", 20),
	}
	want := evm.ChainConfig{ID: 5, Name: "n", URLs: []string{"http://a"}, Confirmations: 1, Quorum: 1, Timeout: 2, MaxBlockAge: 3, MaxRequestsPerSecond: 4}
	for i := range 20 {
		want.Multicall[i], want.DelegateRegistry[i] = 0x11, 0x22
	}
	if got := c.evmConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
