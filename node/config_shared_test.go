package node

import (
	"slices"
	"strings"
	"testing"
)

func TestShared(t *testing.T) {
	layers, err := LoadLayers(Sources{
		File: write(t, "log: {level: warn}\napi_gateway: {port: 1001, grpc_port: 1002}\ntranscoder: {scaling_policy: {min_workers: 3}}\n"),
		Env:  []string{"HOME=/home/x", "STREAMGATE_API_GATEWAY_GRPC_PORT=3002", "STREAMGATE_STREAMING_HOLD=3s"},
		Set:  []Setting{{"transcoder.grpc_port", "4003"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 100)
	for _, c := range []struct {
		name           string
		shared, before map[string]string
		want           map[string]string // of the configuration
		refused        map[string]string // key and what is said
	}{
		{name: "nothing", want: map[string]string{"log.level": "warn", "api_gateway.port": "1001", "api_gateway.grpc_port": "3002"}},
		{
			name: "file < shared < environment < command line",
			shared: map[string]string{
				"api_gateway.port": "2001", "api_gateway.grpc_port": "2002", "transcoder.grpc_port": "2003", "log.level": "debug",
			},
			want: map[string]string{"api_gateway.port": "2001", "api_gateway.grpc_port": "3002", "transcoder.grpc_port": "4003", "log.level": "debug"},
		},
		{
			name: "YAML",
			shared: map[string]string{
				"cors.allowed_origins": "[https://a.example, https://b.example]\n", "log.level": `"error" # quiet`, "upload.max_size": "3GiB",
			},
			want: map[string]string{"cors.allowed_origins": "['https://a.example', 'https://b.example']", "log.level": "error", "upload.max_size": "3GiB"},
		},
		{
			name:   "one is refused and the others are not",
			shared: map[string]string{"api_gateway.port": "many", "log.level": "debug"},
			want:   map[string]string{"api_gateway.port": "1001", "log.level": "debug"}, refused: map[string]string{"api_gateway.port": "whole number"},
		},
		{
			name: "what was good before stays", before: map[string]string{"log.level": "debug", "api_gateway.port": "2001"},
			shared: map[string]string{"log.level": "loud"},
			want:   map[string]string{"log.level": "debug", "api_gateway.port": "1001"}, refused: map[string]string{"log.level": "debug or info"},
		},
		{
			name:   "right only together",
			shared: map[string]string{"transcoder.scaling_policy.min_workers": "20", "transcoder.scaling_policy.max_workers": "30", "log.level": "x"},
			want:   map[string]string{"transcoder.scaling_policy.min_workers": "20", "transcoder.scaling_policy.max_workers": "30"}, refused: map[string]string{"log.level": "debug or info"},
		},
		{
			name:   "wrong only together",
			shared: map[string]string{"transcoder.scaling_policy.min_workers": "20"},
			want:   map[string]string{"transcoder.scaling_policy.min_workers": "3"}, refused: map[string]string{"transcoder.scaling_policy.min_workers": "max_workers, which is 16"},
		},
		{
			name: "no keys to share",
			shared: map[string]string{
				"data_dir": "/x", "cluster.listen": "127.0.0.1:1", "deployment.mode": "monolith", "monitor.listen": "127.0.0.1:1", "prot": "1", "log.format": "text",
				"api_gateway": "{port: 1}", "streaming.session_ttl": "", "access.login_ttl": "a: [",
			},
			refused: map[string]string{
				"data_dir": "is not shared", "cluster.listen": "is not shared", "deployment.mode": "is not shared", "monitor.listen": "is not shared", "log.format": "is not shared",
				"prot": "no configuration key", "api_gateway": "no configuration key", "streaming.session_ttl": "no value", "access.login_ttl": "is not YAML",
			},
		},
		{
			name: "a secret", shared: map[string]string{"records.url": long}, refused: map[string]string{"records.url": "is secret"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := layers.With(c.shared, c.before)
			if err != nil {
				t.Fatal(err)
			}
			printed := flat(got.Config)
			for key, want := range c.want {
				if printed[key] != want {
					t.Errorf("%s is %s, want %s", key, printed[key], want)
				}
			}
			for key, want := range c.refused {
				if err := got.Refused[key]; err == nil || !strings.Contains(reason(key, err).Error(), want) || strings.Contains(reason(key, err).Error(), long) {
					t.Errorf("%s: %v, want one with %q", key, err, want)
				}
			}
			if len(got.Refused) != len(c.refused) {
				t.Errorf("refused: %v", got.Refused)
			}
			if err := got.Validate(); err != nil {
				t.Errorf("what stands is wrong: %v", err)
			}
		})
	}
}

// What has changed is told by key; a secret is not told.
func TestDifferent(t *testing.T) {
	a, b := Default(), Default()
	b.APIGateway.RateLimit.Burst, b.CORS.AllowedOrigins = 7, []string{"*"}
	var keys []string
	for _, l := range different(a, b) {
		keys = append(keys, l.key+"="+l.text())
	}
	if want := []string{"api_gateway.rate_limit.burst=7", "cors.allowed_origins=['*']"}; !slices.Equal(keys, want) {
		t.Errorf("%q, want %q", keys, want)
	}
	b = Default()
	b.Alerts.NtfyToken = "hunter2"
	if all := different(a, b); len(all) != 1 || all[0].text() != "(redacted)" {
		t.Errorf("%v", all)
	}
}

func FuzzSharedValue(f *testing.F) {
	f.Add("api_gateway.rate_limit.burst", "50")
	f.Add("cors.allowed_origins", "[https://a.example]")
	f.Add("transcoder.profiles", "{p: {rungs: [{name: a, height: 100}]}}")
	f.Add("chains", "- {id: 1, urls: [x]}")
	f.Add("log.level", "*a")
	f.Fuzz(func(t *testing.T, key, text string) {
		if err := decodeKey(Default(), key, text); err != nil && err.Error() == "" {
			t.Error("no reason")
		}
	})
}
