package node

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files anew")

// write makes a configuration file.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadPrecedence(t *testing.T) {
	file := write(t, "api_gateway: {port: 1001, grpc_port: 1002}\ntranscoder: {grpc_port: 1003}\nmonitor:\n")
	cfg, err := Load(Sources{
		File: file,
		Env:  []string{"STREAMGATE_API_GATEWAY_GRPC_PORT=2002", "STREAMGATE_TRANSCODER_GRPC_PORT=2003", "STREAMGATE_LOG_LEVEL="},
		Set:  []Setting{{"transcoder.grpc_port", "3003"}, {"data_dir", "/x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []int{cfg.APIGateway.Port, cfg.APIGateway.GRPCPort, cfg.Transcoder.GRPCPort}
	if want := []int{1001, 2002, 3003}; !reflect.DeepEqual(got, want) {
		t.Errorf("ports %v, want file < environment < flag: %v", got, want)
	}
	if cfg.Log.Level != "info" {
		t.Errorf("an empty variable counted: log.level %q", cfg.Log.Level)
	}
}

func TestLoadValues(t *testing.T) {
	file := write(t, `
deployment: {mode: microservice}
cluster: {registry: 'consul://127.0.0.1'}
records: {url: 'postgres://db/x'}
media: {url: 'http://key:secret@127.0.0.1:9000/bucket'}
cache: {url: 'redis://127.0.0.1'}
api_gateway:
  public_url: https://video.example.org
  timeout: 1m30s
  trusted_proxies: [10.0.0.0/8, "::1"]
upload: {max_size: 1.5GiB}
transcoder:
  profiles:
    small:
      rungs: [{name: 240p, height: 240, crf: 25, max_rate: 400000, buf_size: 600000}]
`)
	cfg, err := Load(Sources{File: file, Env: []string{"HOME=/home/x"}, Set: []Setting{{"streaming.hold", "0"}}})
	if err != nil {
		t.Fatal(err)
	}
	small := cfg.Transcoder.Profiles["small"]
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"the alias of cluster", cfg.Deployment.Mode, ModeCluster},
		{"a duration", cfg.APIGateway.Timeout, 90 * time.Second},
		{"a list", cfg.APIGateway.TrustedProxies, []string{"10.0.0.0/8", "::1"}},
		{"a size", cfg.Upload.MaxSize, Bytes(3 << 29)},
		{"zero without a unit", cfg.Streaming.Hold, time.Duration(0)},
		{"rungs", len(small.Rungs), 1},
		{"what a profile leaves out", small.Preset, "veryfast"},
		{"the built-in profile", len(cfg.Transcoder.Profiles["default"].Rungs), 4},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		env        string
		set        Setting
		want       []string // all in one line
	}{
		{name: "unknown key", yaml: "transcoder:\n  worker_pol_size: 3\n",
			want: []string{"line 2", "transcoder.worker_pol_size is no configuration key", "did you mean transcoder.worker_pool_size?"}},
		{name: "key of another section", yaml: "port: 1\n", want: []string{"line 1", "did you mean api_gateway.port"}},
		{name: "unknown section", yaml: "transcode:\n  x: 1\n", want: []string{"did you mean transcoder"}},
		{name: "unknown and unlike", yaml: "elephant_count: 1\n", want: []string{"elephant_count is no", "config print"}},
		{name: "unknown key of a profile", yaml: "transcoder: {profiles: {default: {presett: fast}}}",
			want: []string{"did you mean transcoder.profiles.default.preset?"}},
		{name: "console without an address of its own", yaml: "console: {public_url: \"https://console.example.org\"}", want: []string{"console.public_url", "console.listen"}},
		{name: "console elsewhere", yaml: "api_gateway: {public_url: \"https://example.org/tv\"}\nconsole: {listen: \"127.0.0.1:1\", public_url: \"https://console.example.org\"}",
			want: []string{"console.public_url", "https://console.example.org/tv"}},
		{name: "console's address", yaml: "console: {listen: \"1234\"}", want: []string{"console.listen", "an address and a port"}},
		{name: "twice", yaml: "log: {level: info, level: debug}", want: []string{"log.level is set twice"}},
		{name: "no value", yaml: "log:\n  level:\n", want: []string{"line 2", "log.level has no value"}},
		{name: "section as value", yaml: "log: debug", want: []string{"log must be a section"}},
		{name: "value as section", yaml: "data_dir: {a: b}", want: []string{"data_dir must be a single value"}},
		{name: "not YAML", yaml: "a: [", want: []string{"is not YAML"}},
		{name: "a list", yaml: "- a", want: []string{"the file must be a section"}},
		{name: "no unit", yaml: "transcoder:\n  task_timeout: 30\n",
			want: []string{"line 2", "transcoder.task_timeout", `"30" has no unit`, "30s"}},
		{name: "no duration", yaml: "api_gateway: {timeout: soon}", want: []string{"api_gateway.timeout", `"soon"`, "30s"}},
		{name: "no size", yaml: "upload: {max_size: big}", want: []string{"upload.max_size", `"big"`, "GiB"}},
		{name: "no number", yaml: "api_gateway: {port: http}", want: []string{"api_gateway.port", `"http"`, "whole number"}},
		{name: "no bool", yaml: "transcoder: {scaling_policy: {cap_to_cores: maybe}}", want: []string{"true nor false"}},
		{name: "bad variable", env: "STREAMGATE_API_GATEWAY_PORT=x", want: []string{"STREAMGATE_API_GATEWAY_PORT", `"x"`}},
		{name: "bad flag", set: Setting{"api_gateway.prot", "1"}, want: []string{"api_gateway.prot", "did you mean api_gateway.port?"}},

		{name: "mode", yaml: "deployment: {mode: single}", want: []string{"deployment.mode", `"single"`, "monolith or cluster"}},
		{name: "records", yaml: "records: {url: 'mysql://streamgate:hunter2@db'}", want: []string{"records.url", "(secret)", "postgres://USER:PASSWORD@HOST"}},
		{name: "records, no address", yaml: "records: {url: 'postgres://db:hunter2@h:port/x'}", want: []string{"records.url", "(secret)"}},
		{name: "connections", yaml: "records: {max_connections: 1}", want: []string{"records.max_connections", "from 4 to 1000"}},
		{name: "cache", yaml: "cache: {url: 'http://:hunter2@cache:6379'}", want: []string{"cache.url", "(secret)", "redis://USER:PASSWORD@HOST"}},
		{name: "cache, no address", yaml: "cache: {url: 'redis://:hunter2@cache:6379/x'}", want: []string{"cache.url", "(secret)"}},
		{name: "registry", yaml: "cluster: {registry: 'http://:hunter2@consul:8500'}", want: []string{"cluster.registry", "(secret)", "consul://127.0.0.1:8500"}},
		{name: "no registry", yaml: "deployment: {mode: cluster}", want: []string{"cluster.registry", "consul://127.0.0.1:8500"}},
		{name: "no database", yaml: "deployment: {mode: cluster}", want: []string{"records.url", "PostgreSQL"}},
		{name: "no bucket", yaml: "deployment: {mode: cluster}", want: []string{"media.url", "S3"}},
		{name: "no Redis", yaml: "deployment: {mode: cluster}", want: []string{"cache.url", "Redis"}},
		{name: "cluster port", yaml: "cluster: {listen: '7070'}", want: []string{"cluster.listen", "an address and a port"}},
		{name: "events port", yaml: "cluster: {events: 'here:x'}", want: []string{"cluster.events", "an address and a port"}},
		{name: "advertised", yaml: "cluster: {advertise_host: '10.0.0.1:7070'}", want: []string{"cluster.advertise_host", "without a port"}},
		{name: "not advertised", yaml: "{deployment: {mode: cluster}, cluster: {events: '[::]:6222'}}", want: []string{"cluster.advertise_host", "cluster.events is every address"}},
		{name: "a certificate without its key", yaml: "cluster: {cert_file: /a}", want: []string{"cluster.cert_file", "or none"}},
		{name: "port", yaml: "api_gateway: {port: 70000}", want: []string{"api_gateway.port", "70000", "65535"}},
		{name: "host with port", yaml: "api_gateway: {host: '127.0.0.1:80'}", want: []string{"api_gateway.host", "without a port"}},
		{name: "same port", yaml: "api_gateway: {port: 9090}", want: []string{"api_gateway.grpc_port", "9090", "api_gateway.port has that port"}},
		{name: "public URL", yaml: "api_gateway: {public_url: example.org}", want: []string{"api_gateway.public_url", "https://"}},
		{name: "public URL, odd path", yaml: "api_gateway: {public_url: 'https://example.org/a b'}", want: []string{"api_gateway.public_url", "letters, digits"}},
		{name: "public URL, dots", yaml: "api_gateway: {public_url: 'https://example.org/../x'}", want: []string{"api_gateway.public_url", "letters, digits"}},
		{name: "public URL, double slash", yaml: "api_gateway: {public_url: 'https://example.org//x'}", want: []string{"api_gateway.public_url", "letters, digits"}},
		{name: "public URL, own path", yaml: "api_gateway: {public_url: 'https://example.org/watch/tv'}", want: []string{"api_gateway.public_url", "node's own"}},
		{name: "framer with path", yaml: "embed: {allowed_origins: ['https://blog.example/x']}", want: []string{"embed.allowed_origins", "without a path"}},
		{name: "framer that is more", yaml: `embed: {allowed_origins: ["https://a.example; script-src *"]}`, want: []string{"embed.allowed_origins", "https://blog.example.org"}},
		{name: "framer without scheme", yaml: "embed: {allowed_origins: [blog.example]}", want: []string{"embed.allowed_origins", `"blog.example"`}},
		{name: "proxy", yaml: "api_gateway: {trusted_proxies: [proxy]}", want: []string{"api_gateway.trusted_proxies", `"proxy"`, "10.0.0.0/8"}},
		{name: "rate", yaml: "api_gateway: {rate_limit: {requests_per_second: .nan}}", want: []string{"requests_per_second"}},
		{name: "workers", yaml: "transcoder: {worker_pool_size: 0}", want: []string{"transcoder.worker_pool_size", `"0"`, "from 1"}},
		{name: "bounds", yaml: "transcoder: {scaling_policy: {min_workers: 20}}", want: []string{"min_workers", "max_workers, which is 16"}},
		{name: "thresholds", yaml: "transcoder: {scaling_policy: {scale_down_threshold: 3}}", want: []string{"scale_down_threshold", "less than"}},
		{name: "profile", yaml: "transcoder: {profiles: {'A b': {}}}", want: []string{"transcoder.profiles", `"A b"`}},
		{name: "rung", yaml: "transcoder: {profiles: {p: {rungs: [{name: a, height: 100, crf: 99, max_rate: 99999, buf_size: 99999}]}}}",
			want: []string{"transcoder.profiles.p.rungs[0].crf", "0 to 51"}},
		{name: "copied groups", yaml: "transcoder: {profiles: {p: {copy_group_seconds: 13}}}",
			want: []string{"transcoder.profiles.p.copy_group_seconds", `"13"`, "1 to 12"}},
		{name: "hold", yaml: "streaming: {hold: 20s}", want: []string{"streaming.hold", "20s", "9.5s"}},
		{name: "listen", yaml: "monitor: {listen: '6060'}", want: []string{"monitor.listen", "127.0.0.1:6060"}},
		{name: "origin with a path", yaml: "cors: {allowed_origins: ['https://app.example.org/']}", want: []string{"cors.allowed_origins", "https://app.example.org"}},
		{name: "origin with a wildcard", yaml: "cors: {allowed_origins: ['https://*.example.org']}", want: []string{"cors.allowed_origins", "without a path, or *"}},
		{name: "origin without a scheme", yaml: "cors: {allowed_origins: [app.example.org]}", want: []string{"cors.allowed_origins"}},
		{name: "collector", yaml: "monitor: {otlp_endpoint: 'collector:4317'}", want: []string{"monitor.otlp_endpoint", "http://127.0.0.1:4317"}},
		{name: "collector without port", yaml: "monitor: {otlp_endpoint: 'http://collector'}", want: []string{"monitor.otlp_endpoint", "port"}},
		{name: "level", yaml: "log: {level: loud}", want: []string{"log.level", "loud", "debug or info"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := Sources{File: write(t, c.yaml), Env: []string{c.env}}
			if c.set.Key != "" {
				src.Set = []Setting{c.set}
			}
			_, err := Load(src)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, line := range strings.Split(err.Error(), "\n") {
				if containsAll(line, c.want) {
					return
				}
			}
			t.Errorf("got %q, want one line with %q", err, c.want)
		})
	}
}

func containsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

func TestLoadMissingFile(t *testing.T) {
	if _, err := Load(Sources{File: "/no/such.yaml"}); err == nil || !strings.Contains(err.Error(), "/no/such.yaml") {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

// TestEveryKeyFromEnvironment sets each key from the text that print gives it.
func TestEveryKeyFromEnvironment(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range leaves(tree(Default()), "") {
		name := envName(l.key)
		if seen[name] {
			t.Errorf("%s stands for two keys", name)
		}
		seen[name] = true
		value, err := yaml.Marshal(encode(l.value))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Trim(strings.TrimSpace(string(value)), `"[]`)
		if text == "" {
			continue
		}
		cfg := &Config{}
		if err := setAll(cfg, map[string]string{name: text}); err != nil {
			t.Errorf("%s=%s: %v", name, text, err)
			continue
		}
		if got := leafOf(cfg, l.key); !reflect.DeepEqual(got, l.value.Interface()) {
			t.Errorf("%s=%s: got %v, want %v", name, text, got, l.value.Interface())
		}
	}
}

func leafOf(cfg *Config, key string) any {
	for _, l := range leaves(tree(cfg), "") {
		if l.key == key {
			return l.value.Interface()
		}
	}
	return nil
}

// secretive is a configuration with a secret; Config has none yet.
type secretive struct {
	Name     string `yaml:"name"`
	Password string `yaml:"password" secret:"true"`
}

func TestSecrets(t *testing.T) {
	file := write(t, "hunter2\n")
	var cfg secretive
	if err := setAll(&cfg, map[string]string{"STREAMGATE_PASSWORD_FILE": file, "STREAMGATE_NAME_FILE": file}); err != nil {
		t.Fatal(err)
	}
	if cfg.Password != "hunter2" || cfg.Name != "" {
		t.Errorf("got %+v, want only the secret read from the file", cfg)
	}
	var out bytes.Buffer
	if err := printYAML(&out, &cfg); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, "(redacted)") {
		t.Errorf("printed %q", got)
	}
	err := setAll(&cfg, map[string]string{"STREAMGATE_PASSWORD_FILE": file, "STREAMGATE_PASSWORD": "x"})
	if err == nil || !strings.Contains(err.Error(), "keep one") {
		t.Errorf("both were accepted: %v", err)
	}
}

func TestUnknownEnv(t *testing.T) {
	got := UnknownEnv([]string{
		"STREAMGATE_TRANSCODER_WORKER_POL_SIZE=3", // a slip
		"STREAMGATE_SERVICE_HOST=10.0.0.1",        // Kubernetes'
		"STREAMGATE_API_GATEWAY_PORT=1", "PATH=/bin",
	})
	if len(got) != 1 || !strings.Contains(got[0], "STREAMGATE_TRANSCODER_WORKER_POOL_SIZE?") {
		t.Errorf("got %q", got)
	}
}

func TestDefaultDataDir(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"systemd", map[string]string{"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/h"}, "/var/lib/a"},
		{"XDG", map[string]string{"XDG_DATA_HOME": "/d", "HOME": "/h"}, "/d/streamgate"},
		{"home", map[string]string{"HOME": "/h"}, "/h/.local/share/streamgate"},
		{"nothing", nil, "/var/lib/streamgate"},
	} {
		if got := defaultDataDir(c.env, 1000); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestAdvertisedHostname: siblings of a container differ in nothing but that name.
func TestAdvertisedHostname(t *testing.T) {
	want, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	layers := Layers{env: map[string]string{"STREAMGATE_CLUSTER_ADVERTISE_HOST": "hostname"}}
	if cfg, err := layers.build(nil); err != nil || cfg.Cluster.AdvertiseHost != want {
		t.Errorf("got %+v, %v, want %s", cfg, err, want)
	}
}

func TestWorkers(t *testing.T) {
	for _, c := range []struct {
		name                      string
		pool, lo, hi, cores       int
		cap                       bool
		wantStart, wantLo, wantHi int
	}{
		{"two cores", 4, 2, 16, 2, true, 2, 2, 2},
		{"one core", 4, 2, 16, 1, true, 1, 1, 1},
		{"many cores", 4, 2, 16, 64, true, 4, 2, 16},
		{"uncapped", 4, 2, 16, 2, false, 4, 2, 16},
		{"below the minimum", 1, 3, 16, 8, true, 3, 3, 8},
	} {
		tr := Transcoder{WorkerPoolSize: c.pool, ScalingPolicy: ScalingPolicy{MinWorkers: c.lo, MaxWorkers: c.hi, CapToCores: c.cap}}
		start, lo, hi := tr.Workers(c.cores)
		if start != c.wantStart || lo != c.wantLo || hi != c.wantHi {
			t.Errorf("%s: got %d, %d, %d", c.name, start, lo, hi)
		}
	}
}

func TestPrintGolden(t *testing.T) {
	var out bytes.Buffer
	if err := Default().Print(&out); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/default.yaml"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("print differs from %s:\n%s", golden, out.Bytes())
	}
	again := &Config{}
	if err := decodeYAML(out.Bytes(), again); err != nil {
		t.Fatal(err)
	}
	again.APIGateway.TrustedProxies = nil // [] and nothing are the same
	if !reflect.DeepEqual(again, Default()) {
		t.Errorf("what was printed reads back as %+v", again)
	}
}

// TestShippedConfig holds that the example has every key, and each default.
func TestShippedConfig(t *testing.T) {
	data, err := os.ReadFile("../packaging/config/streamgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{}
	if err := decodeYAML(data, cfg); err != nil {
		t.Fatal(err)
	}
	cfg.APIGateway.TrustedProxies = nil
	if !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("the example is not the default:\n%+v\n%+v", cfg, Default())
	}
	var raw map[string]any
	if err := yaml.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	for _, l := range leaves(tree(Default()), "") {
		if !has(raw, strings.Split(l.key, ".")) {
			t.Errorf("the example lacks %s", l.key)
		}
	}
}

func has(m map[string]any, path []string) bool {
	v, ok := m[path[0]]
	if len(path) == 1 || !ok {
		return ok
	}
	sub, ok := v.(map[string]any)
	return ok && has(sub, path[1:])
}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		text string
		want Bytes
		back string
	}{
		{"0", 0, "0B"}, {"1", 1, "1B"}, {"10GiB", 10 << 30, "10GiB"}, {"10 gib", 10 << 30, "10GiB"},
		{"1.5MB", 1_500_000, "1500kB"}, {"1024", 1024, "1KiB"}, {"1000", 1000, "1kB"},
	} {
		got, err := ParseBytes(c.text)
		if err != nil || got != c.want || got.String() != c.back {
			t.Errorf("%q: got %d (%s), %v", c.text, got, got, err)
		}
	}
	for _, bad := range []string{"", "-1", "1XB", "GiB", "NaN", "1e30GiB", "inf", "8EiB"} {
		if got, err := ParseBytes(bad); err == nil {
			t.Errorf("%q was read as %d", bad, got)
		}
	}
}

// FuzzConfig: no input makes the parser panic, and what it accepts it can
// print and read again as the same.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("api_gateway: {port: 1}\n"))
	f.Add([]byte("transcoder: {profiles: {p: {rungs: [{name: a}]}}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("log: &l {level: debug}\nmonitor: *l"))
	f.Add([]byte("<<: {}"))
	f.Add([]byte("upload: {max_size: 9223372036854775807, expire_after: -1ns}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := Default()
		if decodeYAML(data, cfg) != nil || cfg.Validate() != nil {
			return
		}
		var out, again bytes.Buffer
		if err := cfg.Print(&out); err != nil {
			t.Fatal(err)
		}
		back := Default()
		if err := decodeYAML(out.Bytes(), back); err != nil {
			t.Fatalf("printed %q: %v", out.Bytes(), err)
		}
		if err := back.Print(&again); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Fatalf("printed %q, then %q (%v)", out.Bytes(), again.Bytes(), err)
		}
	})
}
