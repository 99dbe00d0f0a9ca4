package node

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"streamgate/app/media"
	"streamgate/node/cluster"
	"streamgate/store/postgres"
	"streamgate/store/redis"
	"streamgate/store/s3"
)

// Validate checks every value and what values exclude each other. The error
// has one line per fault: the key, its value, and how to mend it.
func (c *Config) Validate() error {
	v := &checker{}
	v.oneOf("deployment.mode", c.Deployment.Mode, ModeMonolith, ModeCluster)
	c.Records.check(v)
	c.Media.check(v)
	c.Bus.check(v)
	c.Cache.check(v)
	c.checkCluster(v)
	c.APIGateway.check(v)
	for _, o := range c.CORS.AllowedOrigins {
		v.origin("cors.allowed_origins", o)
	}
	c.Transcoder.check(v)
	v.atLeast("upload.max_size", c.Upload.MaxSize, 1)
	v.between("upload.expire_after", c.Upload.ExpireAfter, time.Minute, 365*24*time.Hour)
	v.atLeast("upload.min_free_disk", c.Upload.MinFreeDisk, 0)
	v.networks("upload.fetch.allowed_networks", c.Upload.Fetch.AllowedNetworks)
	v.between("upload.fetch.timeout", c.Upload.Fetch.Timeout, time.Minute, 7*24*time.Hour)
	v.between("streaming.session_ttl", c.Streaming.SessionTTL, time.Minute, 30*24*time.Hour)
	v.between("streaming.hold", c.Streaming.Hold, 0, 9500*time.Millisecond)
	c.Access.check(v)
	c.Embed.check(v)
	c.checkConsole(v)
	if len(c.Chains) > 0 && len(c.APIGateway.TrustedProxies) > 0 && c.APIGateway.PublicURL == "" {
		v.fault("api_gateway.public_url", "", "behind a proxy, wallets sign in for the site of that name: write its whole URL")
	}
	checkChains(v, c.Chains)
	v.address("monitor.listen", c.Monitor.Listen)
	v.collector("monitor.otlp_endpoint", c.Monitor.OTLPEndpoint)
	c.Alerts.check(v)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	c.checkPorts(v)
	return errors.Join(v.faults...)
}

func (r *Records) check(v *checker) {
	if r.URL != "" && !postgres.ValidAddress(r.URL) {
		v.fault("records.url", "(secret)", "write the address of a PostgreSQL database, like postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, or leave it empty")
	}
	v.count("records.max_connections", r.MaxConnections, 4, 1000)
}

func (m *Media) check(v *checker) {
	if m.URL != "" {
		if _, err := s3.ParseAddress(m.URL); err != nil {
			v.fault("media.url", "(secret)", err.Error()+"; or leave it empty")
		}
	}
	v.atLeast("media.cache_size", m.CacheSize, 64<<20)
}

func (b *Bus) check(v *checker) {
	if b.URL != "" && !validBus(b.URL) {
		v.fault("bus.url", "(secret)", "write the address of a NATS server, like nats://HOST:4222 or tls://HOST:4222, more with commas between them, or leave it empty")
	}
	for key, file := range map[string]string{"bus.credentials_file": b.CredentialsFile, "bus.ca_file": b.CAFile} {
		if file != "" && b.URL == "" {
			v.fault(key, file, "is for a NATS server, which bus.url names")
		}
	}
}

func (c *Cache) check(v *checker) {
	if c.URL != "" && !redis.ValidURL(c.URL) {
		v.fault("cache.url", "(secret)", "write the address of a Redis server, like redis://USER:PASSWORD@HOST:6379/0 or rediss:// for TLS, or leave it empty")
	}
}

// checkCluster refuses what would make a node that no other finds or reaches, and
// backends that it would have to itself.
func (c *Config) checkCluster(v *checker) {
	n := &c.Cluster
	if n.Registry != "" {
		if _, err := cluster.ParseAddress(n.Registry); err != nil {
			v.fault("cluster.registry", "(secret)", err.Error())
		}
	}
	v.address("cluster.listen", n.Listen)
	v.address("cluster.events", n.Events)
	if _, err := netip.ParseAddr(n.AdvertiseHost); n.AdvertiseHost != "" && err != nil && !hostName.MatchString(n.AdvertiseHost) {
		v.fault("cluster.advertise_host", n.AdvertiseHost, "write a name or an address of this machine, without a port")
	}
	if own := []string{n.CAFile, n.CertFile, n.KeyFile}; slices.Contains(own, "") && !slices.Equal(own, make([]string, len(own))) {
		v.fault("cluster.cert_file", n.CertFile, "name all of cluster.ca_file, cluster.cert_file and cluster.key_file, or none")
	}
	if c.Deployment.Mode != ModeCluster {
		return
	}
	for _, need := range []struct{ key, value, mend string }{
		{"cluster.registry", n.Registry, "deployment.mode cluster needs a Consul agent, by which the nodes find each other: write its address, like consul://127.0.0.1:8500"},
		{"records.url", c.Records.URL, "deployment.mode cluster needs a PostgreSQL database, which the nodes share: write its address"},
		{"media.url", c.Media.URL, "deployment.mode cluster needs a bucket of S3, which the nodes share: write its address"},
		{"cache.url", c.Cache.URL, "deployment.mode cluster needs a Redis server, which the nodes share: write its address"},
		{"api_gateway.public_url", c.APIGateway.PublicURL, "links and sign-ins are for one address, whichever node makes them: write that of the gateways, like https://video.example.org"},
	} {
		if need.value == "" {
			v.fault(need.key, "", need.mend)
		}
	}
	for key, addr := range map[string]string{"cluster.listen": n.Listen, "cluster.events": n.Events} {
		if everywhere(addr) && n.AdvertiseHost == "" {
			v.fault("cluster.advertise_host", "", key+" is every address of this machine: write the one by which the other nodes reach it")
			break
		}
	}
}

// everywhere tells whether an address is that of all networks of the machine.
func everywhere(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, perr := netip.ParseAddr(host)
	return err == nil && (host == "" || perr == nil && ip.IsUnspecified())
}

func (g *APIGateway) check(v *checker) {
	if _, err := netip.ParseAddr(g.Host); err != nil && !hostName.MatchString(g.Host) {
		v.fault("api_gateway.host", g.Host, "write an address of this machine, 127.0.0.1 or 0.0.0.0, without a port")
	}
	v.port("api_gateway.port", g.Port)
	v.port("api_gateway.grpc_port", g.GRPCPort)
	v.positive("api_gateway.rate_limit.requests_per_second", g.RateLimit.RequestsPerSecond)
	v.count("api_gateway.rate_limit.burst", g.RateLimit.Burst, 1, 1_000_000)
	v.between("api_gateway.timeout", g.Timeout, time.Second, time.Hour)
	if g.PublicURL != "" {
		u, err := url.Parse(g.PublicURL)
		switch {
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
			v.fault("api_gateway.public_url", g.PublicURL, "write a whole URL like https://video.example.org, or leave it empty")
		case !plainPath.MatchString(u.EscapedPath()):
			v.fault("api_gateway.public_url", g.PublicURL, "write a path of letters, digits, -, _, ~ and dots within, like https://example.org/videos, or none")
		case slices.Contains(ownPaths, strings.Split(u.Path+"/", "/")[1]):
			v.fault("api_gateway.public_url", g.PublicURL, "its path begins like one of the node's own; choose another, like https://example.org/videos")
		}
	}
	v.networks("api_gateway.trusted_proxies", g.TrustedProxies)
}

func (v *checker) networks(key string, texts []string) {
	for _, text := range texts {
		if _, err := prefixes([]string{text}); err != nil {
			v.fault(key, text, "write networks like 10.0.0.0/8 or addresses like 10.0.0.1")
		}
	}
}

func (a *Alerts) check(v *checker) {
	const manyTasks = 10_000_000
	v.count("alerts.queue_warning", a.QueueWarning, 0, manyTasks)
	v.count("alerts.queue_critical", a.QueueCritical, 0, manyTasks)
	v.between("alerts.queue_for", a.QueueFor, 0, 24*time.Hour)
	for key, percent := range map[string]float64{"alerts.failure_warning": a.FailureWarning, "alerts.failure_critical": a.FailureCritical} {
		if !(percent >= 0 && percent <= 100) {
			v.fault(key, percent, "write a percentage, 0 to 100")
		}
	}
	v.between("alerts.failure_window", a.FailureWindow, time.Minute, 24*time.Hour)
	v.count("alerts.failure_tasks", a.FailureTasks, 1, manyTasks)
	v.between("alerts.max_wait", a.MaxWait, time.Second, 30*24*time.Hour)
	v.between("alerts.disk_full_within", a.DiskFullWithin, 0, 30*24*time.Hour)
	if u, err := url.Parse(a.NtfyURL); a.NtfyURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(u.Path) < 2) {
		v.fault("alerts.ntfy_url", "(secret)", "write the whole URL of a topic, like https://ntfy.sh/your-topic, or leave it empty")
	}
}

func (c *Config) checkConsole(v *checker) {
	console := &c.Console
	v.between("console.session_ttl", console.SessionTTL, time.Minute, 90*24*time.Hour)
	if console.Listen != "" {
		v.address("console.listen", console.Listen)
	}
	if console.PublicURL == "" {
		return
	}
	u, err := url.Parse(console.PublicURL)
	root := c.APIGateway.root()
	switch {
	case console.Listen == "":
		v.fault("console.public_url", console.PublicURL, "the console is at api_gateway.public_url unless console.listen gives it an address of its own; leave it empty")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.TrimRight(u.Path, "/") != root:
		v.fault("console.public_url", console.PublicURL, "write a whole URL like https://console.example.org"+root+", with the path of api_gateway.public_url")
	}
}

// check refuses what would not stand in a Content-Security-Policy as one source.
func (e *Embed) check(v *checker) {
	for _, origin := range e.AllowedOrigins {
		if !framer.MatchString(origin) {
			v.fault("embed.allowed_origins", origin, "write origins like https://blog.example.org or https://*.example.org, without a path, or *")
		}
	}
}

func (t *Transcoder) check(v *checker) {
	const manyWorkers = 1024
	v.count("transcoder.worker_pool_size", t.WorkerPoolSize, 1, manyWorkers)
	v.count("transcoder.max_concurrent_tasks", t.MaxConcurrentTasks, 1, 1_000_000)
	v.count("transcoder.max_queue_size", t.MaxQueueSize, 1, 10_000_000)
	v.between("transcoder.task_timeout", t.TaskTimeout, time.Second, 7*24*time.Hour)
	v.between("transcoder.health_check_interval", t.HealthCheckInterval, time.Second, time.Hour)
	v.between("transcoder.keep_tasks", t.KeepTasks, time.Minute, 100*365*24*time.Hour)
	v.atLeast("transcoder.max_memory", t.MaxMemory, 64<<20)
	v.port("transcoder.grpc_port", t.GRPCPort)
	p := &t.ScalingPolicy
	v.count("transcoder.scaling_policy.min_workers", p.MinWorkers, 1, manyWorkers)
	v.count("transcoder.scaling_policy.max_workers", p.MaxWorkers, 1, manyWorkers)
	if p.MinWorkers > p.MaxWorkers {
		v.fault("transcoder.scaling_policy.min_workers", p.MinWorkers,
			fmt.Sprintf("it must not exceed max_workers, which is %d", p.MaxWorkers))
	}
	v.count("transcoder.scaling_policy.target_queue_len", p.TargetQueueLen, 1, 1_000_000)
	v.positive("transcoder.scaling_policy.scale_up_threshold", p.ScaleUpThreshold)
	if p.ScaleDownThreshold < 0 || p.ScaleDownThreshold >= p.ScaleUpThreshold {
		v.fault("transcoder.scaling_policy.scale_down_threshold", p.ScaleDownThreshold,
			"it must be at least 0 and less than scale_up_threshold, or the pool would swing")
	}
	v.between("transcoder.scaling_policy.check_interval", p.CheckInterval, 100*time.Millisecond, time.Hour)
	for _, name := range slices.Sorted(maps.Keys(t.Profiles)) {
		v.name("transcoder.profiles", name)
		checkProfile(v, "transcoder.profiles."+name, t.Profiles[name])
	}
}

// checkProfile refuses what ffmpeg or a player would refuse later.
func checkProfile(v *checker, key string, p media.Profile) {
	if len(p.Rungs) == 0 {
		v.fault(key+".rungs", "", "list at least one rung")
	}
	var names []string
	for i, r := range p.Rungs {
		rung := fmt.Sprintf("%s.rungs[%d]", key, i)
		v.name(rung+".name", r.Name)
		if slices.Contains(names, r.Name) {
			v.fault(rung+".name", r.Name, "another rung has that name; choose another")
		}
		names = append(names, r.Name)
		v.count(rung+".height", r.Height, 16, 8640)
		v.count(rung+".crf", r.CRF, 0, 51)
		v.count(rung+".max_rate", r.MaxRate, 10_000, 1_000_000_000)
		v.count(rung+".buf_size", r.BufSize, 10_000, 2_000_000_000)
	}
	v.oneOf(key+".preset", p.Preset, "ultrafast", "superfast", "veryfast", "faster", "fast",
		"medium", "slow", "slower", "veryslow")
	v.seconds(key+".segment_seconds", p.SegmentSeconds, 0.5, 30)
	v.seconds(key+".first_segment_seconds", p.FirstSegmentSeconds, 0.5, 30)
	v.seconds(key+".copy_group_seconds", p.CopyGroupSeconds, 1, media.MaxCopyGroup)
	v.count(key+".audio_bit_rate", p.AudioBitRate, 16_000, 512_000)
}

// ownPaths are what the paths of the node itself begin with. Under one of them
// it could not tell whether a proxy has taken the path of public_url off.
var ownPaths = []string{"api", "assets", "console", "docs", "embed", "s", "v", "watch"}

var (
	hostName  = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$`)
	plainPath = regexp.MustCompile(`^(/[a-zA-Z0-9_~-][a-zA-Z0-9._~-]*)*/?$`)
	framer    = regexp.MustCompile(`^(\*|https?://(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?)$`)
	shortName = regexp.MustCompile(`^[a-z0-9_-]{1,40}$`)
)

// checkPorts refuses one port for two servers, which would fail at start with
// a less helpful message.
func (c *Config) checkPorts(v *checker) {
	used := map[int]string{}
	for _, p := range []struct {
		key  string
		port int
	}{
		{"api_gateway.port", c.APIGateway.Port},
		{"api_gateway.grpc_port", c.APIGateway.GRPCPort},
		{"transcoder.grpc_port", c.Transcoder.GRPCPort},
	} {
		if other := used[p.port]; p.port != 0 && other != "" {
			v.fault(p.key, p.port, other+" has that port; choose another")
		}
		used[p.port] = p.key
	}
}

// checker gathers faults.
type checker struct{ faults []error }

func (v *checker) fault(key string, value any, mend string) {
	v.faults = append(v.faults, fmt.Errorf("%s is %q: %s", key, fmt.Sprint(value), mend))
}

func (v *checker) oneOf(key, value string, words ...string) {
	if !slices.Contains(words, value) {
		v.fault(key, value, "write "+strings.Join(words, " or "))
	}
}

func (v *checker) count(key string, n, lo, hi int) {
	if n < lo || n > hi {
		v.fault(key, n, fmt.Sprintf("write a number from %d to %d", lo, hi))
	}
}

func (v *checker) name(key, value string) {
	if !shortName.MatchString(value) {
		v.fault(key, value, "write 1 to 40 lower-case letters, digits, - or _")
	}
}

func (v *checker) seconds(key string, s, least, most float64) {
	if !(s >= least && s <= most) { // so that NaN fails too
		v.fault(key, s, fmt.Sprintf("write a number of seconds from %g to %g", least, most))
	}
}

func (v *checker) port(key string, n int) { v.count(key, n, 0, 65535) }

func (v *checker) positive(key string, f float64) {
	if !(f > 0 && f <= 1e9) { // so that NaN fails too
		v.fault(key, f, "write a number greater than 0")
	}
}

func (v *checker) between(key string, d, lo, hi time.Duration) {
	if d < lo || d > hi {
		v.fault(key, durationText(d), fmt.Sprintf("write a duration from %s to %s", durationText(lo), durationText(hi)))
	}
}

func (v *checker) atLeast(key string, b, lo Bytes) {
	if b < lo {
		v.fault(key, b, fmt.Sprintf("write a size of at least %s", lo))
	}
}

func (v *checker) address(key, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		v.fault(key, addr, "write an address and a port, like 127.0.0.1:6060")
	}
}

// origin is a site as browsers name it: scheme, host and, if it is not the
// scheme's own, port. "*" is all of them.
func (v *checker) origin(key, text string) {
	u, err := url.Parse(text)
	if text != "*" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" ||
		u.Scheme+"://"+u.Host != text || strings.Contains(text, "*") || strings.ToLower(text) != text) {
		v.fault(key, text, "write origins like https://app.example.org, without a path, or * for all")
	}
}

// collector is the URL of an OTLP collector, or empty. Its port must be there:
// gRPC's own default would be 443.
func (v *checker) collector(key, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Port() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		v.fault(key, text, "write scheme, host and port of the collector's gRPC, like http://127.0.0.1:4317, or leave it empty")
	}
}
