package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/memory"
	"streamgate/store/postgres"
	"streamgate/store/redis"
	"streamgate/store/s3"
)

// stores opens the backends that the configuration names: records and queue in
// streamgate.db of the data directory (bbolt) or in PostgreSQL, media in files or
// in a bucket, the cache in memory or in Redis.
type stores struct {
	closers []func() error // in the order of opening
	bucket  atomic.Pointer[s3.Store]
	counted sync.Once // reads of the bucket have metrics
}

func (s *stores) Name() string { return "stores" }

func (s *stores) Start(ctx context.Context, k *Kernel) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.openMedia(ctx, k); err != nil {
		return err
	}
	if err := s.openCache(k); err != nil {
		return err
	}
	if k.Config.Records.URL == "" {
		err = s.openBolt(k)
	} else {
		err = s.openPostgres(ctx, k)
	}
	if errors.Is(err, store.ErrMoved) {
		err = errors.Join(err, k.settle(ctx))
	}
	return err
}

// Stop closes the stores; writes under way end first.
func (s *stores) Stop(context.Context) error { return s.close() }

func (s *stores) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *stores) openMedia(ctx context.Context, k *Kernel) error {
	disk, err := files.Open(filepath.Join(k.DataDir, "media"))
	if err != nil {
		return fmt.Errorf("data_dir %s: %w", k.DataDir, err)
	}
	// Uploads leave min_free_disk; cells may use half of that, no more, so
	// that records can still be written when the disk fills up.
	disk.Reserve = int64(k.Config.Upload.MinFreeDisk) / 2
	if k.Config.Media.URL != "" {
		return s.openBucket(ctx, k, disk)
	}
	k.Stores.Objects = disk
	k.Check("media", disk.Ping) // a full disk still plays: not unready
	return nil
}

// bucket is media in S3. What may become full is this machine's disk, on which
// uploads arrive and encoders work.
type bucket struct {
	*s3.Store
	disk *files.Store
}

// Space implements store.Objects.
func (b bucket) Space(ctx context.Context) (free, total int64, err error) { return b.disk.Space(ctx) }

func (s *stores) openBucket(ctx context.Context, k *Kernel, disk *files.Store) error {
	for o, err := range disk.List(ctx, store.VideosPrefix) {
		if err == nil && k.leftover() {
			break
		}
		if err != nil {
			return fmt.Errorf("data_dir %s: %w", k.DataDir, err)
		}
		return fmt.Errorf("media.url: %s already holds media (%s …), which the bucket would not have: leave media.url empty, or begin with an empty data_dir",
			filepath.Join(k.DataDir, "media"), o.Key)
	}
	options, err := s3.ParseAddress(k.Config.Media.URL)
	if err != nil {
		return fmt.Errorf("media.url: %w", err)
	}
	options.CacheDir, options.CacheBytes = filepath.Join(k.DataDir, "media-cache"), int64(k.Config.Media.CacheSize)
	options.Listens = func(addr string) { k.state.setAddr("media for ffmpeg", addr) }
	if k.clustered() && k.has(RoleTranscoder) {
		options.Peer = k.askPiece
	}
	objects, err := s3.Open(ctx, options)
	if err != nil {
		return fmt.Errorf("media.url: %w", err)
	}
	s.closers = append(s.closers, objects.Close)
	if err := claimBucket(ctx, objects, k.owner()); err != nil {
		return fmt.Errorf("media.url: %w", err)
	}
	k.Stores.Objects, k.pieces = bucket{objects, disk}, objects
	s.bucket.Store(objects)
	s.counted.Do(func() { s.countReads(k.Metrics) })
	k.watch(&backend{
		check: "media", name: "S3", key: "media.url", ready: always,
		without: "nothing can be uploaded or encoded, and only what is in the cache plays",
		ask:     objects.Ping,
	})
	return nil
}

// countReads shows how many bytes of media were read, and from where. A start that is
// tried again opens the bucket anew.
func (s *stores) countReads(reg prometheus.Registerer) {
	read := func(from string, value func(fromServer, fromPeers int64) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "streamgate", Subsystem: "store", Name: "read_bytes_total", ConstLabels: prometheus.Labels{"from": from},
			Help: "Bytes of media that were not in the cache: read from S3, or from the node that keeps them.",
		}, func() float64 { return float64(value(s.bucket.Load().ReadBytes())) })
	}
	reg.MustRegister(
		read("s3", func(server, _ int64) int64 { return server }),
		read("node", func(_, peers int64) int64 { return peers }),
	)
}

// theCluster owns the database and the bucket of a cluster.
const theCluster = "cluster"

// owner is whose the database and the bucket are: this node's, or the cluster's.
func (k *Kernel) owner() string { return owner(k.Config, k.NodeID) }

func owner(cfg *Config, nodeID string) string {
	if cfg.Deployment.Mode == ModeCluster {
		return theCluster
	}
	return nodeID
}

// claimBucket makes a bucket an owner's, for good.
func claimBucket(ctx context.Context, objects store.Objects, nodeID string) error {
	if _, err := store.PutBytes(ctx, objects, claimName, []byte(nodeID), store.IfAbsent); err != nil {
		return err
	}
	r, _, err := objects.Get(ctx, claimName)
	if err != nil {
		return err
	}
	owner, err := io.ReadAll(r)
	return cmp.Or(errors.Join(err, r.Close()), mine("bucket", string(owner), nodeID))
}

// recordsName is the file of records and queue in the data directory.
const recordsName = "streamgate.db"

func (s *stores) openBolt(k *Kernel) error {
	db, err := bolt.Open(filepath.Join(k.DataDir, recordsName), bolt.Options{})
	if err != nil {
		return fmt.Errorf("data_dir %s: %w", k.DataDir, err)
	}
	s.closers = append(s.closers, db.Close)
	k.database, k.Stores.Queue, k.Stores.Catalog = db, db.Queue(), db.Catalog()
	k.Check("records", func(ctx context.Context) error {
		_, _, err := k.Stores.Catalog.Keys.List(ctx, store.Query{Limit: 1})
		return err
	})
	return nil
}

// playsWithoutRecords is for how long what plays goes on while the records cannot
// be read: app/stream and app/access/sessions keep to the same.
const playsWithoutRecords = time.Minute

func (s *stores) openPostgres(ctx context.Context, k *Kernel) error {
	db, err := postgres.Open(ctx, k.Config.Records.URL, postgres.Options{MaxConns: k.Config.Records.MaxConnections, Others: k.othersCanUse})
	if err != nil {
		return fmt.Errorf("records.url: %w", err)
	}
	k.schema = db.Known()
	s.closers = append(s.closers, func() error { db.Close(); return nil })
	if err := claim(ctx, db.Catalog().Secrets, k.owner()); err != nil {
		return fmt.Errorf("records.url: %w", err)
	}
	k.database, k.Stores.Queue, k.Stores.Catalog = db, db.Queue(), db.Catalog()
	k.watch(&backend{
		check: "records", name: "PostgreSQL", key: "records.url", ready: playsWithoutRecords,
		without: "nothing can be changed, and what plays goes on for a minute from what is known",
		ask: func(ctx context.Context) error {
			by, err := db.Ahead(ctx)
			if err != nil {
				return err
			}
			k.ahead.Store(int64(by))
			if err := db.Usable(ctx); err != nil {
				return err
			}
			standing, err := db.Standing(ctx)
			switch {
			case err != nil:
				return err
			case standing.State != store.StandingInUse:
				return degraded{standing.Refusal()} // what plays goes on
			}
			return skewed(by)
		},
	})
	return nil
}

// untoldSchema is the version of the tables that a node knows which tells of none:
// that of the program before nodes told it.
const untoldSchema = 3

// othersCanUse tells whether the tables may become such that only programs can use
// them that know a version of them: not while nodes run that do not.
func (k *Kernel) othersCanUse(compatible int) error {
	for _, i := range k.Registry.Instances() {
		if known := cmp.Or(i.Schema, untoldSchema); i.ID != k.NodeID && known < compatible {
			return fmt.Errorf("node %s runs version %s, which knows the tables up to version %d and could not use the new ones; they need version %d: "+
				"stop it, and all others that streamgate nodes list shows with that version, then start this node again", i.ID, i.Version, known, compatible)
		}
	}
	if compatible > untoldSchema && !k.Registry.Current() {
		return errors.New("the registry does not say which nodes run now, and one of an older version could not use the new tables; start this node again when the registry is back")
	}
	return nil
}

// claimName is the secret that says whose a database is.
const claimName = "node-id"

// claim makes a database an owner's, for good. A node that takes itself to be alone
// on another's database would expire its uploads and have half of the media.
func claim(ctx context.Context, secrets store.Secrets, nodeID string) error {
	owner, err := secrets.Secret(ctx, claimName, func() []byte { return []byte(nodeID) })
	if err != nil {
		return err
	}
	return mine("database", string(owner), nodeID)
}

// mine refuses what belongs to another.
func mine(what, owner, self string) error {
	switch {
	case owner == self:
		return nil
	case owner == theCluster:
		return fmt.Errorf("the %s is that of a cluster, and this node is alone; name another one, or set deployment.mode to cluster", what)
	case self == theCluster:
		return fmt.Errorf("the %s is that of node %s, which is alone, and this node is of a cluster; name another one, or run that node", what, owner)
	}
	return fmt.Errorf("the %[1]s is that of node %[2]s, and this is node %[3]s; a %[1]s serves one node: "+
		"name another one, or run the node on the data directory whose file node-id says so", what, owner, self)
}

func (s *stores) openCache(k *Kernel) error {
	local := memory.NewCache(memory.Options{})
	if k.Config.Cache.URL == "" {
		k.Stores.Cache = local
		return nil
	}
	cache, err := redis.NewCache(redis.Options{URL: k.Config.Cache.URL, Local: local})
	if err != nil {
		return fmt.Errorf("cache.url: %w", err)
	}
	s.closers = append(s.closers, cache.Close)
	k.Stores.Cache = cache
	k.watch(&backend{
		check: "cache", name: "Redis", key: "cache.url", ready: always,
		without: "limits are counted by this node alone, and nobody can sign in with a wallet",
		ask:     cache.Ping,
	})
	return nil
}
