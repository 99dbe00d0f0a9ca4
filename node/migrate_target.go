package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"streamgate/app/migrate"
	"streamgate/node/cluster"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/postgres"
	"streamgate/store/s3"
)

// target is the stores that another configuration names.
type target struct {
	cfg        *Config
	db         store.Database
	objects    store.Objects
	deployment string
	state      string            // empty, begun or left
	own        map[string][]byte // secrets that belong to the database
	owner      string
	closers    []func() error
}

func (t *target) close() {
	for _, c := range t.closers {
		_ = c() // all that counts was written before
	}
}

// deploymentName is the secret, and the object of a bucket, that tells a deployment's
// stores from others', wherever they are.
const deploymentName = "deployment-id"

// openTarget reads the other configuration, looks at its servers, and opens its
// stores. It changes nothing there but that an empty database gets its tables; that of a
// dry run stays without, and db nil.
func (k *Kernel) openTarget(ctx context.Context, req MigrateRequest) (_ *target, err error) {
	cfg, err := k.targetConfig(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", req.File, err)
	}
	if cfg.Records.URL == k.Config.Records.URL {
		return nil, fmt.Errorf("%s: records.url is that of this node: its records would stay where they are; name the place to move them to", req.File)
	}
	for _, f := range CheckServers(ctx, cfg) {
		if f.Mend != "" {
			return nil, fmt.Errorf("%s: %s: %s; %s", req.File, f.What, f.State, f.Mend)
		}
	}
	t := &target{cfg: cfg, owner: owner(cfg, k.NodeID)}
	if cfg.Deployment.Mode == ModeCluster {
		if err := k.trusted(cfg); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	id, err := k.Stores.Catalog.Secrets.Secret(ctx, deploymentName, func() []byte { return []byte(store.NewID()) })
	if err != nil {
		return nil, err
	}
	t.deployment = string(id)
	if t.state = "empty"; req.DryRun && t.hasNoTables(ctx) {
		return t, t.openMedia(ctx, k, req.File)
	}
	if err := t.openRecords(ctx, k); err != nil {
		return nil, err
	}
	if err := migrate.CheckTarget(ctx, t.db, t.deployment, t.own); err != nil {
		return nil, fmt.Errorf("%s: records.url: %w", req.File, err)
	}
	standing, err := t.db.Standing(ctx)
	if err != nil {
		return nil, err
	}
	switch standing.State {
	case store.StandingInUse:
	case store.StandingMoved:
		t.state = "left"
	default:
		t.state = "begun"
	}
	return t, t.openMedia(ctx, k, req.File)
}

// hasNoTables tells whether nothing was ever kept where the records are to be.
func (t *target) hasNoTables(ctx context.Context) bool {
	if t.cfg.Records.URL == "" {
		_, err := os.Stat(filepath.Join(t.cfg.DataDir, recordsName))
		return errors.Is(err, fs.ErrNotExist)
	}
	r, err := postgres.Look(ctx, t.cfg.Records.URL)
	return err == nil && r.Schema == 0
}

// targetConfig is the other configuration on this node's data directory.
func (k *Kernel) targetConfig(req MigrateRequest) (*Config, error) {
	layers, err := LoadLayers(Sources{File: req.File, Env: req.Env, Set: append(req.Set, Setting{"data_dir", k.DataDir})})
	if err != nil {
		return nil, err
	}
	return layers.Config()
}

// trusted tells whether the node can be one of a cluster.
func (k *Kernel) trusted(cfg *Config) error {
	if cfg.Cluster.CertFile != "" || cfg.Cluster.JoinToken != "" || k.identity != nil {
		return nil
	}
	if _, err := cluster.LoadCA(CADir(k.DataDir)); err != nil {
		return fmt.Errorf("%w; make it before the move: streamgate ca init --data %s", err, k.DataDir)
	}
	return nil
}

func (t *target) openRecords(ctx context.Context, k *Kernel) error {
	if t.cfg.Records.URL == "" {
		db, err := bolt.Open(filepath.Join(k.DataDir, recordsName), bolt.Options{NotInUse: true})
		if err != nil {
			return err
		}
		t.closers = append(t.closers, db.Close)
		t.db = db
		return nil
	}
	db, err := postgres.Open(ctx, t.cfg.Records.URL, postgres.Options{MaxConns: t.cfg.Records.MaxConnections, NotInUse: true})
	if err != nil {
		return fmt.Errorf("records.url: %w", err)
	}
	t.closers = append(t.closers, func() error { db.Close(); return nil })
	t.db, t.own = db, map[string][]byte{claimName: []byte(t.owner)}
	return nil
}

func (t *target) openMedia(ctx context.Context, k *Kernel, file string) error {
	if t.keepsMedia(k) {
		t.objects = k.Stores.Objects
		return nil
	}
	if t.cfg.Media.URL == "" {
		disk, err := files.Open(filepath.Join(k.DataDir, "media"))
		if err != nil {
			return err
		}
		disk.Reserve = int64(t.cfg.Upload.MinFreeDisk) / 2
		t.objects = disk
		return nil
	}
	options, err := s3.ParseAddress(t.cfg.Media.URL)
	if err != nil {
		return fmt.Errorf("%s: media.url: %w", file, err)
	}
	options.CacheDir, options.CacheBytes = filepath.Join(migrationDir(k.DataDir), "cache"), 64<<20
	bucket, err := s3.Open(ctx, options)
	if err != nil {
		return fmt.Errorf("%s: media.url: %w", file, err)
	}
	t.closers = append(t.closers, bucket.Close)
	t.objects = bucket
	if err := t.checkBucket(ctx); err != nil {
		return fmt.Errorf("%s: media.url: %w", file, err)
	}
	return nil
}

// checkBucket refuses a bucket that has something of another deployment.
func (t *target) checkBucket(ctx context.Context) error {
	id, err := readObject(ctx, t.objects, deploymentName)
	if err == nil && id == t.deployment {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%w: its bucket is that of another deployment, %s", migrate.ErrTarget, id)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for o, err := range t.objects.List(ctx, "") {
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: its bucket is in use (it has %s); name an empty one", migrate.ErrTarget, o.Key)
	}
	return nil
}

// claimBucket makes the bucket the deployment's, and its nodes'.
func (t *target) claimBucket(ctx context.Context) error {
	if t.cfg.Media.URL == "" {
		return nil
	}
	_, err := store.PutBytes(ctx, t.objects, deploymentName, []byte(t.deployment), store.Replace)
	if err == nil {
		_, err = store.PutBytes(ctx, t.objects, claimName, []byte(t.owner), store.Replace)
	}
	return err
}

// markBucket lets a later move find the bucket that this one leaves.
func (k *Kernel) markBucket(ctx context.Context, deployment string) error {
	if k.Config.Media.URL == "" {
		return nil
	}
	_, err := store.PutBytes(ctx, k.Stores.Objects, deploymentName, []byte(deployment), store.IfAbsent)
	return err
}

func readObject(ctx context.Context, objects store.Objects, key string) (string, error) {
	r, _, err := objects.Get(ctx, key)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, 1<<10))
	return string(data), err
}

// mediaPlace names where media are, without secrets.
func mediaPlace(cfg *Config) string {
	o, err := s3.ParseAddress(cfg.Media.URL)
	if cfg.Media.URL == "" || err != nil {
		return "files"
	}
	return o.Endpoint + "/" + o.Bucket
}

// storesOf names a configuration's stores for people, without secrets.
func storesOf(cfg *Config) string {
	records := "a file"
	if cfg.Records.URL != "" {
		records = postgres.Place(cfg.Records.URL)
	}
	media := "in files"
	if cfg.Media.URL != "" {
		media = "in " + mediaPlace(cfg)
	}
	return fmt.Sprintf("%s: records in %s, media %s", cfg.Deployment.Mode, records, media)
}

// migrationDir is what a node keeps of a move.
func migrationDir(dataDir string) string { return filepath.Join(dataDir, "migration") }

// move is what was last begun, for a start that finds its records moved.
type move struct {
	Deployment string         `json:"deployment"`
	Media      string         `json:"media"` // place
	Request    MigrateRequest `json:"request"`
}

func moveFile(dataDir string) string { return filepath.Join(migrationDir(dataDir), "move.json") }

// saveMove keeps the move, which has secrets, durable and for this user.
func (k *Kernel) saveMove(m move) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	temp := moveFile(k.DataDir) + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("keep what is being moved: %w", store.Full(err))
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, moveFile(k.DataDir))
	}
	return store.Full(err)
}

func readMove(dataDir string) (m move, err error) {
	data, err := os.ReadFile(moveFile(dataDir))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(data, &m)
}

// settle ends a move of which this node's start finds that its records were left. The
// process may have ended before it could say so to the target.
func (k *Kernel) settle(ctx context.Context) error {
	m, err := readMove(k.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another node moved the deployment
	}
	if err != nil {
		return err
	}
	cfg, err := k.targetConfig(m.Request)
	if err != nil {
		return err
	}
	t := &target{cfg: cfg, owner: owner(cfg, k.NodeID), deployment: m.Deployment, objects: k.Stores.Objects}
	if err := t.openRecords(ctx, k); err != nil {
		return err
	}
	defer t.close()
	return t.settle(ctx, k)
}

// settle puts the target in use whose source was left. A bucket that stays is given to
// its new owner only now: until the source was left, it starts by the old one's name.
func (t *target) settle(ctx context.Context, k *Kernel) error {
	if t.keepsMedia(k) {
		if err := t.claimBucket(ctx); err != nil {
			return err
		}
	}
	return migrate.Settle(ctx, t.db, t.deployment)
}

// keepsMedia tells whether the media stay where they are.
func (t *target) keepsMedia(k *Kernel) bool { return mediaPlace(t.cfg) == mediaPlace(k.Config) }

// leftover tells whether media on the disk are those that a move to the bucket has
// left there.
func (k *Kernel) leftover() bool {
	m, err := readMove(k.DataDir)
	return err == nil && m.Media == mediaPlace(k.Config) && !strings.HasPrefix(m.Media, "files")
}
