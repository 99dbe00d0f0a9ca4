package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"streamgate/store/postgres"
	"streamgate/store/redis"
	"streamgate/store/s3"
)

// ServerFinding is what was found about one thing that a server must have.
type ServerFinding struct {
	What  string
	State string
	Mend  string // "" if all is well
}

// lookLimit bounds a look at one server.
const lookLimit = 10 * time.Second

// CheckServers looks at the servers that a checked configuration names, and changes
// nothing there.
func CheckServers(ctx context.Context, cfg *Config) []ServerFinding {
	var found []ServerFinding
	if cfg.Records.URL != "" {
		found = append(found, checkPostgres(ctx, cfg.Records.URL)...)
	}
	if cfg.Media.URL != "" {
		found = append(found, checkBucket(ctx, cfg.Media.URL))
	}
	if cfg.Cache.URL != "" {
		found = append(found, checkRedis(ctx, cfg.Cache.URL)...)
	}
	if cfg.Deployment.Mode == ModeCluster {
		found = append(found, checkConsul(ctx, cfg)...)
	}
	return found
}

func checkConsul(ctx context.Context, cfg *Config) []ServerFinding {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	consul, err := lookForConsul(ctx, cfg)
	if err == nil {
		err = consul.Ping(ctx)
	}
	if err != nil {
		return []ServerFinding{{"Consul", oneLine(err), "see that it runs and lets this machine in with cluster.registry: consul members with the same address says more"}}
	}
	return []ServerFinding{{What: "Consul", State: fmt.Sprintf("it has a leader, and healthy nodes of this deployment: %d", len(consul.Instances()))}}
}

func checkPostgres(ctx context.Context, address string) []ServerFinding {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	r, err := postgres.Look(ctx, address)
	if err != nil {
		return []ServerFinding{{"PostgreSQL", oneLine(err), "see that it runs and lets this machine in with records.url: psql with the same address says more"}}
	}
	server := ServerFinding{What: "PostgreSQL", State: fmt.Sprintf("version %s, a database in %s", r.Server, r.Encoding)}
	switch {
	case r.Number < postgres.OldestServer:
		server.Mend = fmt.Sprintf("upgrade it to version %d or newer", postgres.OldestServer/10000)
	case r.Encoding != "UTF8":
		server.Mend = "make the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
	}
	tables := ServerFinding{What: "its tables", State: fmt.Sprintf("version %d, which is this program's", r.Schema)}
	switch {
	case r.Schema == 0:
		tables.State = "none yet: the node makes them at its first start"
	case r.Schema < r.Known:
		tables.State = fmt.Sprintf("version %d: the node brings them to %d at its start", r.Schema, r.Known)
	case r.Usable != nil:
		tables.State = fmt.Sprintf("version %d, and this program knows none after %d", r.Schema, r.Known)
		tables.Mend = "run the program that has migrated them, or a newer one"
	case r.Schema > r.Known:
		tables.State = fmt.Sprintf("version %d: this program knows none after %d, and can use them", r.Schema, r.Known)
	}
	clock := ServerFinding{What: "its clock", State: fmt.Sprintf("%v off this machine's", r.Ahead.Abs().Round(time.Millisecond))}
	if skewed(r.Ahead) != nil {
		clock.Mend = "set both clocks by NTP: timedatectl set-ntp true"
	}
	return []ServerFinding{server, tables, clock}
}

// maxSkew is how far this machine's clock may be from the database's: what
// expires is compared with either.
const maxSkew = 30 * time.Second

// skewed is the fault of a clock that is ahead of this machine's, or behind, by too
// much.
func skewed(by time.Duration) error {
	if by.Abs() <= maxSkew {
		return nil
	}
	return fmt.Errorf("the clock of PostgreSQL's machine is %v off this one's; set both by NTP", by.Abs().Round(time.Second))
}

func checkBucket(ctx context.Context, address string) ServerFinding {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	bucket, err := s3.Look(ctx, address)
	if err != nil {
		return ServerFinding{"S3", oneLine(err), "see that the server runs, that the bucket exists, and that the keys of media.url may read, write and delete there"}
	}
	return ServerFinding{What: "S3", State: "the bucket " + bucket + " is there, and honours If-None-Match"}
}

func checkRedis(ctx context.Context, url string) []ServerFinding {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	r, err := redis.Look(ctx, url)
	if err != nil {
		return []ServerFinding{{"Redis", oneLine(err), "see that it runs and lets this machine in with cache.url: redis-cli -u with the same address says more"}}
	}
	policy := ServerFinding{What: "its eviction", State: "maxmemory-policy " + r.Policy}
	if r.Policy != "noeviction" {
		policy.Mend = "redis-cli config set maxmemory-policy noeviction, and the same in redis.conf: what it evicts happens twice"
	}
	return []ServerFinding{{What: "Redis", State: "version " + r.Server}, policy}
}

// oneLine is an error without line ends, which those of connections have.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
