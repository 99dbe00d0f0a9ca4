package node

import (
	"runtime"
	"time"

	"streamgate/app/media"
	"streamgate/app/rpc"
)

// Config is the reference of the configuration: every key, what it does, its
// default and its unit.
//
// A key is written in YAML under its sections; as an environment variable in
// capitals with underscores (transcoder.worker_pool_size is
// STREAMGATE_TRANSCODER_WORKER_POOL_SIZE; an empty variable counts as unset);
// or on the command line as --set key=value. Command line beats environment,
// environment beats file. A secret may also be read from a file: NAME_FILE
// names it. Durations need a unit (30s, 5m, 1h30m); sizes may have one (10GiB).
//
// The nodes of a cluster share what is in Consul under PREFIX/config/KEY, in YAML:
// consul kv put streamgate/config/api_gateway.rate_limit.burst 50. That beats the
// file, which says what is usual on a machine, and is beaten by the environment and
// the command line, which are said to one node. Running nodes take in what they
// can: api_gateway.rate_limit, log.level, and of alerts the limits but
// failure_window and failure_tasks. Of any other change the log says that it waits
// for the next start; a value that cannot be used is refused there, and the one
// before it stays. Not shared are deployment, cluster, data_dir, monitor.listen and
// log.format, which are in use before Consul can be asked.
type Config struct {
	Deployment Deployment `yaml:"deployment"`
	Records    Records    `yaml:"records"`
	Media      Media      `yaml:"media"`
	Cache      Cache      `yaml:"cache"`
	Bus        Bus        `yaml:"bus"`
	Cluster    Cluster    `yaml:"cluster"`
	APIGateway APIGateway `yaml:"api_gateway"`
	CORS       CORS       `yaml:"cors"`
	Transcoder Transcoder `yaml:"transcoder"`
	Upload     Upload     `yaml:"upload"`
	Streaming  Streaming  `yaml:"streaming"`
	Access     Access     `yaml:"access"`
	Embed      Embed      `yaml:"embed"`
	Console    Console    `yaml:"console"`
	// Chains are the blockchains (EVM) that rules may name. Default: none;
	// wallets can then not sign in. As a variable or on the command line: YAML
	// on one line.
	Chains   []Chain  `yaml:"chains" secret:"true"`
	Webhooks Webhooks `yaml:"webhooks"`
	Monitor  Monitor  `yaml:"monitor"`
	Alerts   Alerts   `yaml:"alerts"`
	Log      Log      `yaml:"log"`

	// DataDir holds everything the node keeps: records (unless records.url names
	// a database), media, uploads, the admin socket. One node has it to itself. Default: $STATE_DIRECTORY (systemd), else
	// /var/lib/streamgate if run by root and present, else
	// $XDG_DATA_HOME/streamgate (~/.local/share/streamgate).
	DataDir string `yaml:"data_dir"`
}

// Deployment says how the node relates to others.
type Deployment struct {
	// Mode is monolith (one node runs everything) or cluster (alias microservice:
	// nodes of some roles each, --role, on records, media and a cache that they
	// share). Default: monolith.
	Mode string `yaml:"mode"`
}

// Records are what the node remembers (videos, tasks, keys, rules, sessions …)
// and its queue of jobs.
type Records struct {
	// URL is the PostgreSQL database that keeps them, version 14 or newer, as
	// libpq takes it: postgres://streamgate@db.example/streamgate?sslmode=verify-full,
	// or key=value words. It is the program's alone, which makes its tables at
	// the first start; it serves one node, or one cluster. Default: empty, a file in
	// data_dir.
	URL string `yaml:"url" secret:"true"`
	// MaxConnections is how many connections to it the node opens at most.
	// Default: 8.
	MaxConnections int `yaml:"max_connections"`
}

// Bus carries events, which are hints: what is lost is found out later.
type Bus struct {
	// URL is a NATS server that the nodes share, or several of one cluster with
	// commas between them: nats://nats.example:4222, tls:// for TLS. An account of
	// the deployment's own is best: whoever publishes there can have the nodes look for
	// work in vain. Every node names the same, or none does. Default: empty, the
	// nodes' own servers, which find each other.
	URL string `yaml:"url" secret:"true"`
	// CredentialsFile is what "nsc generate creds" makes. Default: empty, who the node
	// is stands in the URL, if anywhere.
	CredentialsFile string `yaml:"credentials_file"`
	// CAFile is the CA of the server's certificate (PEM). Default: empty, those that
	// the machine trusts.
	CAFile string `yaml:"ca_file"`
}

// Media are the sources and all that is made of them.
type Media struct {
	// URL is the bucket that keeps them, of S3, MinIO or another server of that
	// protocol which honours If-None-Match: https://ACCESS_KEY:SECRET_KEY@HOST:9000/BUCKET,
	// http:// without TLS, with ?region=NAME where it is not us-east-1. The bucket
	// exists, is the program's alone, and serves one node, or one cluster. Default: empty,
	// files in data_dir.
	URL string `yaml:"url" secret:"true"`
	// CacheSize bounds what was read of the bucket and is kept in data_dir; it
	// begins empty at each start. Default: 4GiB.
	CacheSize Bytes `yaml:"cache_size"`
}

// Cache is what may be forgotten: limits of requests, nonces of sign-ins, answers
// to repeated requests.
type Cache struct {
	// URL is the Redis server that keeps it: redis://HOST:6379/0, rediss:// with
	// TLS, or unix:///SOCKET, with user and password if it has any. Its
	// maxmemory-policy must be noeviction. Default: empty, the node's memory.
	URL string `yaml:"url" secret:"true"`
}

// Cluster is how the nodes of a deployment find, trust and call each other. Only
// with deployment.mode: cluster.
type Cluster struct {
	// Registry is the Consul agent that the nodes find each other by:
	// consul://127.0.0.1:8500, or consul://:TOKEN@HOST:8500/PREFIX, with
	// ?tls=true for https (its CA by Consul's own variable CONSUL_CACERT); PREFIX
	// (default streamgate) names the deployment. Best is an agent on the node's own
	// machine: while it is away, the others do not see the nodes that it has.
	Registry string `yaml:"registry" secret:"true"`
	// Listen is the address of calls from other nodes, by mutual TLS. Port 0
	// picks a free one. Default: 127.0.0.1:7070.
	Listen string `yaml:"listen"`
	// Events is the address of the routes of the event bus to other nodes, by
	// mutual TLS too; with it goes a port of 127.0.0.1 that is free, where only
	// the deployment's certificates get in. Port 0 picks a free one. Default:
	// 127.0.0.1:6222.
	Events string `yaml:"events"`
	// AdvertiseHost is the name or address under which the other nodes reach
	// this one. Default: empty, the host of listen; needed where that is 0.0.0.0 or ::.
	// "hostname" stands for the machine's own name.
	AdvertiseHost string `yaml:"advertise_host"`
	// JoinToken lets a node that has no certificate yet ask for one: what
	// streamgate ca token prints. Default: empty.
	JoinToken string `yaml:"join_token" secret:"true"`
	// CAFile, CertFile and KeyFile are the node's own certificate and that of the
	// CA which signs all of the deployment's (PEM). Default: empty, they are in
	// data_dir/tls, from the built-in CA, and renewed.
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// APIGateway is the public edge.
type APIGateway struct {
	// Host is the address to listen on; 0.0.0.0 or :: for every network of the
	// machine. Default: 127.0.0.1, so that nothing is public by accident.
	Host string `yaml:"host"`
	// Port serves API, uploads, media and pages. Default: 8080. 0 picks a free one.
	Port int `yaml:"port"`
	// GRPCPort serves all services over gRPC. Default: 9090. 0 picks a free one.
	GRPCPort  int       `yaml:"grpc_port"`
	RateLimit RateLimit `yaml:"rate_limit"`
	// Timeout bounds one API request; not uploads, events and media.
	// Default: 30s.
	Timeout time.Duration `yaml:"timeout"`
	// PublicURL is the address under which clients reach the node when a proxy
	// stands before it, for example https://video.example.org, or with a path
	// https://example.org/videos: the proxy may take the path off or leave it.
	// Default: empty, links then follow the address of each request.
	PublicURL string `yaml:"public_url"`
	// TrustedProxies are the networks (10.0.0.0/8) or addresses whose
	// X-Forwarded-* headers are believed. Default: none.
	TrustedProxies []string `yaml:"trusted_proxies"`
}

// Embed is the player in pages of other sites: /embed/{id}.
type Embed struct {
	// AllowedOrigins are the sites that may show the player in a frame, like
	// https://blog.example.org or https://*.example.org; "*" is every site.
	// Default: none, browsers then refuse.
	AllowedOrigins []string `yaml:"allowed_origins"`
}

// CORS says which other sites' pages may call the API.
type CORS struct {
	// AllowedOrigins are their origins, for example https://app.example.org, or
	// "*" for all: for the API, uploads, events and RPC, with a key. A login's
	// cookie never counts there. Default: none.
	AllowedOrigins []string `yaml:"allowed_origins"`
}

// RateLimit bounds the API requests of one client.
type RateLimit struct {
	// RequestsPerSecond is the lasting rate. Default: 1000.
	RequestsPerSecond float64 `yaml:"requests_per_second"`
	// Burst is how many may come at once. Default: 100.
	Burst int `yaml:"burst"`
}

// Transcoder turns sources into cells.
type Transcoder struct {
	// WorkerPoolSize is the number of workers at start. Default: 4.
	WorkerPoolSize int `yaml:"worker_pool_size"`
	// MaxConcurrentTasks is how many tasks may be in progress at once; others
	// wait. Default: 16.
	MaxConcurrentTasks int `yaml:"max_concurrent_tasks"`
	// MaxQueueSize is how many tasks may wait; a further one is refused.
	// Default: 1000.
	MaxQueueSize int `yaml:"max_queue_size"`
	// TaskTimeout bounds one job (a piece of a task), not a long film.
	// Default: 1h.
	TaskTimeout time.Duration `yaml:"task_timeout"`
	// HealthCheckInterval is for how long a worker that had to be replaced is
	// still counted and shown as unhealthy. Default: 30s.
	HealthCheckInterval time.Duration `yaml:"health_check_interval"`
	// KeepTasks is how long tasks that are over, and the attempts of their jobs,
	// are remembered; the newest task of a video stays. Default: 720h.
	KeepTasks time.Duration `yaml:"keep_tasks"`
	// GRPCPort serves the transcoder over gRPC. Default: 9092. 0 picks a free one.
	GRPCPort      int           `yaml:"grpc_port"`
	ScalingPolicy ScalingPolicy `yaml:"scaling_policy"`
	// Profiles are the ladders by name. A video names one; "default" is built
	// in (1080p, 720p, 480p and 360p H.264 with AAC) and may be replaced. Keys
	// that a profile leaves out are as in the built-in one.
	Profiles map[string]media.Profile `yaml:"profiles"`
	// FFmpeg is the path of ffmpeg; ffprobe is taken from beside it, else from
	// the PATH. Default: empty, found in the PATH.
	FFmpeg string `yaml:"ffmpeg"`
	// MaxMemory is the resident memory that one ffmpeg may use; one that uses
	// more is ended, and its job tried again. Default: 2GiB.
	MaxMemory Bytes `yaml:"max_memory"`
	// Confine shuts ffmpeg off from files and network, as far as the kernel can
	// (streamgate doctor says how far). Only an ffmpeg that is a script needs it
	// to be false. Default: true.
	Confine bool `yaml:"confine"`
}

// ScalingPolicy moves the number of workers with the load. Ratio is runnable
// jobs by workers.
type ScalingPolicy struct {
	// MinWorkers and MaxWorkers are the bounds. Defaults: 2 and 16.
	MinWorkers int `yaml:"min_workers"`
	MaxWorkers int `yaml:"max_workers"`
	// TargetQueueLen is the number of waiting tasks for each of which a worker
	// is wanted at least. Default: 10.
	TargetQueueLen int `yaml:"target_queue_len"`
	// ScaleUpThreshold is the ratio above which a worker is added. Default: 2.5.
	ScaleUpThreshold float64 `yaml:"scale_up_threshold"`
	// ScaleDownThreshold is the ratio below which one is ended when nothing
	// waits. Default: 0.5.
	ScaleDownThreshold float64 `yaml:"scale_down_threshold"`
	// CheckInterval is how often the ratio is looked at. Default: 10s.
	CheckInterval time.Duration `yaml:"check_interval"`
	// CapToCores caps all three numbers of workers at the machine's cores: more
	// encoders than cores only make each other late. Default: true.
	CapToCores bool `yaml:"cap_to_cores"`
}

// Workers returns how many workers to start with, and their bounds, on a
// machine with that many cores.
func (t *Transcoder) Workers(cores int) (start, lo, hi int) {
	lo, hi = t.ScalingPolicy.MinWorkers, t.ScalingPolicy.MaxWorkers
	if t.ScalingPolicy.CapToCores {
		lo, hi = min(lo, cores), min(hi, cores)
	}
	return max(lo, min(t.WorkerPoolSize, hi)), lo, hi
}

// Upload receives sources.
type Upload struct {
	// MaxSize is the largest source accepted. Default: 50GiB.
	MaxSize Bytes `yaml:"max_size"`
	// ExpireAfter is how long an abandoned upload is kept. Default: 24h.
	ExpireAfter time.Duration `yaml:"expire_after"`
	// MinFreeDisk is what must stay free on the disk after an upload; what
	// does not fit is refused beforehand. Cells that are being made stop at
	// half of it. Default: 1GiB.
	MinFreeDisk Bytes `yaml:"min_free_disk"`
	// Fetch brings sources from other servers.
	Fetch Fetch `yaml:"fetch"`
}

// Fetch brings sources from other servers, at the word of whoever has a key with
// scope uploader.
type Fetch struct {
	// AllowedNetworks are those that are not public and that sources may be
	// fetched from all the same, like 10.1.0.0/16 or 192.168.0.7. Default: none.
	AllowedNetworks []string `yaml:"allowed_networks"`
	// Timeout bounds one fetch, all tries together. Default: 6h.
	Timeout time.Duration `yaml:"timeout"`
}

// Streaming serves media to players.
type Streaming struct {
	// SessionTTL is how long a playback session lasts, whatever is renewed.
	// Default: 4h.
	SessionTTL time.Duration `yaml:"session_ttl"`
	// Hold is how long a request waits for a cell that is being made before
	// 503. At most 9.5s: players give up after 10 s. Default: 9s.
	Hold time.Duration `yaml:"hold"`
}

// Access says who may watch.
type Access struct {
	// TicketTTL is how long a viewer's player may go on without renewing its
	// ticket. Links made by a key last for streaming.session_ttl. Default: 2m.
	TicketTTL time.Duration `yaml:"ticket_ttl"`
	// LoginTTL is how long a wallet stays signed in. Default: 24h.
	LoginTTL time.Duration `yaml:"login_ttl"`
	// MaxStreamsPerWallet is how many videos one wallet may play at the same
	// time; 0 for no limit. Default: 3.
	MaxStreamsPerWallet int `yaml:"max_streams_per_wallet"`
	// MaxViewersPerVideo is how many may play one video at the same time; 0
	// for no limit. Default: 0.
	MaxViewersPerVideo int `yaml:"max_viewers_per_video"`
	// RecheckInterval is the longest that a session goes on without its rule
	// being asked again, for what no log announces. Default: 1m.
	RecheckInterval time.Duration `yaml:"recheck_interval"`
	// DemoChain is the JSON-RPC of a development chain (cmd/devchain) whose
	// known accounts the watch page offers as wallets. Never on a node that
	// strangers reach. Default: empty.
	DemoChain string `yaml:"demo_chain"`
}

// Console is the operator's pages, under /console/.
type Console struct {
	// Enabled serves them. Default: true.
	Enabled bool `yaml:"enabled"`
	// Listen is an address of its own, host:port; the public port then answers
	// 404 for it. Default: empty, the public port.
	Listen string `yaml:"listen"`
	// PublicURL is its base URL behind a proxy, with the path of
	// api_gateway.public_url, if it has one; only with Listen. Default: empty,
	// http and Listen.
	PublicURL string `yaml:"public_url"`
	// SessionTTL is how long a person stays signed in without using the console.
	// Default: 12h.
	SessionTTL time.Duration `yaml:"session_ttl"`
}

// Chain is a blockchain that rules may name.
type Chain struct {
	// ID is its chain id (EIP-155), for example 1.
	ID int `yaml:"id"`
	// Name is how sentences name it. Default: "chain" and the id.
	Name string `yaml:"name"`
	// URLs are its JSON-RPC endpoints. Those that have the newest block are
	// asked first, in this order. They may hold keys and are never shown.
	URLs []string `yaml:"urls" secret:"true"`
	// Confirmations is how many blocks must be upon a block before it is
	// believed. Default: 0, the newest is.
	Confirmations int `yaml:"confirmations"`
	// PollInterval is how often its head is looked at: about the time of a
	// block. Default: 12s.
	PollInterval time.Duration `yaml:"poll_interval"`
	// MaxBlockAge is how old an endpoint's newest block may be, by this
	// machine's clock, 10 s to 7 days; an endpoint whose is older no longer
	// follows the chain and is not believed. A chain that halts cannot be
	// reached, then. Default: 0, any age, as chains that make blocks on demand
	// need it.
	MaxBlockAge time.Duration `yaml:"max_block_age"`
	// Quorum is how many endpoints must say the same. Default: 1.
	Quorum int `yaml:"quorum"`
	// Unreachable says what happens to those already watching while the chain
	// cannot be reached: deny ends them, grace lets them go on for Grace.
	// Nobody new is admitted either way. Default: deny.
	Unreachable string `yaml:"unreachable"`
	// Grace is for how long after it was read what a wallet has stands.
	// Default: 10m, with unreachable: grace.
	Grace time.Duration `yaml:"grace"`
	// Timeout bounds one request. Default: 3s.
	Timeout time.Duration `yaml:"timeout"`
	// RequestsPerSecond is the budget of each endpoint, in calls; 0 for no
	// limit. Default: 0.
	RequestsPerSecond float64 `yaml:"requests_per_second"`
	// Multicall is the address of Multicall3 (its usual one if empty); where it
	// is not deployed, calls are sent in batches.
	Multicall string `yaml:"multicall"`
	// DelegateRegistry is the address of the delegate registry, version 2 (its
	// usual one if empty).
	DelegateRegistry string `yaml:"delegate_registry"`
}

// Webhooks tell other servers of events.
type Webhooks struct {
	// AllowPrivate lets webhooks go to http URLs, and to loopback, private and
	// link-local addresses: whoever has a key with scope operator can then have
	// the node send requests within its own network. Default: false, https to
	// public addresses only.
	AllowPrivate bool `yaml:"allow_private"`
}

// Monitor is the operator's listener (health, metrics, pprof), and where traces go.
type Monitor struct {
	// Listen is its address; keep it off public networks. Default:
	// 127.0.0.1:6060. Port 0 picks a free one.
	Listen string `yaml:"listen"`
	// OTLPEndpoint is the collector that the spans of uploads and transcodes are
	// sent to, over gRPC: http://127.0.0.1:4317 for a Jaeger beside the node,
	// https for one that speaks TLS. A trace leads from an upload's last byte to
	// its video's last cell; spans carry ids and numbers only. Default: empty,
	// nothing is traced.
	OTLPEndpoint string `yaml:"otlp_endpoint"`
}

// Alerts say when the node tells of what wants an operator: to webhooks that
// have chosen alert.firing and alert.resolved, and by ntfy.
type Alerts struct {
	// QueueWarning and QueueCritical are how many tasks may wait: more than the
	// first for QueueFor are a warning, more than the second are critical at
	// once. Defaults: 50, 5m and 100.
	QueueWarning  int           `yaml:"queue_warning"`
	QueueFor      time.Duration `yaml:"queue_for"`
	QueueCritical int           `yaml:"queue_critical"`
	// FailureWarning and FailureCritical are how many percent of the tasks may
	// fail, of those that ended within FailureWindow if they were at least
	// FailureTasks. Defaults: 5, 10, 1h and 5.
	FailureWarning  float64       `yaml:"failure_warning"`
	FailureCritical float64       `yaml:"failure_critical"`
	FailureWindow   time.Duration `yaml:"failure_window"`
	FailureTasks    int           `yaml:"failure_tasks"`
	// MaxWait is how long the oldest task may wait. Default: 10m.
	MaxWait time.Duration `yaml:"max_wait"`
	// DiskFullWithin warns of a disk that will be down to upload.min_free_disk
	// within that time; being there is critical. Default: 24h.
	DiskFullWithin time.Duration `yaml:"disk_full_within"`
	// NtfyURL is a topic of ntfy (https://ntfy.sh/your-topic) that is told; who
	// knows it can read it. Default: empty, nobody is told.
	NtfyURL string `yaml:"ntfy_url" secret:"true"`
	// NtfyToken is the topic's access token. Default: empty, none is sent.
	NtfyToken string `yaml:"ntfy_token" secret:"true"`
}

// Log is the node's log, on standard error.
type Log struct {
	// Level is debug, info, warn or error. Default: info.
	Level string `yaml:"level"`
	// Format is text, json, or auto: text on a terminal, else JSON.
	// Default: auto.
	Format string `yaml:"format"`
}

// The modes of deployment.
const (
	ModeMonolith = "monolith"
	ModeCluster  = "cluster"
)

// Default returns the configuration of a node that is told nothing. DataDir is
// empty: Load finds it.
func Default() *Config {
	return &Config{
		Deployment: Deployment{Mode: ModeMonolith},
		Records:    Records{MaxConnections: 8},
		Media:      Media{CacheSize: 4 << 30},
		Cluster:    Cluster{Listen: "127.0.0.1:7070", Events: "127.0.0.1:6222"},
		APIGateway: APIGateway{
			Host: "127.0.0.1", Port: 8080, GRPCPort: 9090, Timeout: 30 * time.Second,
			RateLimit: RateLimit{RequestsPerSecond: 1000, Burst: 100},
		},
		Transcoder: Transcoder{
			WorkerPoolSize: 4, MaxConcurrentTasks: 16, MaxQueueSize: 1000,
			TaskTimeout: time.Hour, HealthCheckInterval: 30 * time.Second, GRPCPort: 9092,
			KeepTasks: 720 * time.Hour, MaxMemory: 2 << 30, Confine: true,
			ScalingPolicy: ScalingPolicy{
				MinWorkers: 2, MaxWorkers: 16, TargetQueueLen: 10,
				ScaleUpThreshold: 2.5, ScaleDownThreshold: 0.5,
				CheckInterval: 10 * time.Second, CapToCores: true,
			},
			Profiles: map[string]media.Profile{rpc.DefaultProfile: media.DefaultProfile()},
		},
		CORS:      CORS{AllowedOrigins: []string{}},
		Upload:    Upload{MaxSize: 50 << 30, ExpireAfter: 24 * time.Hour, MinFreeDisk: 1 << 30, Fetch: Fetch{AllowedNetworks: []string{}, Timeout: 6 * time.Hour}},
		Streaming: Streaming{SessionTTL: 4 * time.Hour, Hold: 9 * time.Second},
		Access: Access{
			TicketTTL: 2 * time.Minute, LoginTTL: 24 * time.Hour,
			MaxStreamsPerWallet: 3, RecheckInterval: time.Minute,
		},
		Embed:   Embed{AllowedOrigins: []string{}},
		Console: Console{Enabled: true, SessionTTL: 12 * time.Hour},
		Chains:  []Chain{},
		Monitor: Monitor{Listen: "127.0.0.1:6060"},
		Alerts: Alerts{
			QueueWarning: 50, QueueFor: 5 * time.Minute, QueueCritical: 100,
			FailureWarning: 5, FailureCritical: 10, FailureWindow: time.Hour, FailureTasks: 5,
			MaxWait: 10 * time.Minute, DiskFullWithin: 24 * time.Hour,
		},
		Log: Log{Level: "info", Format: "auto"},
	}
}

// cores is what the scheduler may use, which in a container is less than the
// machine has.
func cores() int { return runtime.GOMAXPROCS(0) }
