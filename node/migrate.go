package node

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/console"
	"streamgate/app/migrate"
	"streamgate/app/rpc"
	"streamgate/app/upload"
	"streamgate/store"
)

// MigratePath is where the admin socket moves the deployment to another
// configuration: POST of a MigrateRequest, answered by a MigrateEvent on each line.
const MigratePath = "/migrate"

// MigrateRequest names the other configuration, as the command found it.
type MigrateRequest struct {
	File   string    `json:"file"` // absolute
	Set    []Setting `json:"set,omitempty"`
	Env    []string  `json:"env,omitempty"` // STREAMGATE_NAME=value
	DryRun bool      `json:"dry_run,omitempty"`
}

// MigrateEvent is what is told of a migration. The last has Done or Problem.
type MigrateEvent struct {
	migrate.Progress
	Plan    *MigratePlan `json:"plan,omitempty"` // the first, of what there is to move
	Done    bool         `json:"done,omitempty"`
	Problem string       `json:"problem,omitempty"`
}

// MigratePlan is what a migration is about to do.
type MigratePlan struct {
	From  string   `json:"from"`
	To    string   `json:"to"`
	State string   `json:"target"` // empty, begun, or left
	Boot  string   `json:"boot"`   // of the node that moves
	Next  []string `json:"next"`   // the command line of the node afterwards
	migrate.Inventory
}

// migrating allows one migration at a time.
var errMigrating = rpc.Errorf(connect.CodeAlreadyExists, "migration_running", "A migration is running already; end its command first.")

// serveMigrate answers MigratePath. The migration ends with the request, unless the
// source was left by then.
func (k *Kernel) serveMigrate(w http.ResponseWriter, r *http.Request) {
	var req MigrateRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&req); err != nil {
		rpc.WriteProblem(w, r, rpc.Errorf(connect.CodeInvalidArgument, "invalid_argument", "The request is not what streamgate migrate sends: %s.", err))
		return
	}
	if !k.moving.TryLock() {
		rpc.WriteProblem(w, r, errMigrating)
		return
	}
	ended := sync.OnceFunc(k.moving.Unlock)
	defer ended()
	w.Header().Set("Content-Type", "application/x-ndjson")
	var mu sync.Mutex
	tell := func(e MigrateEvent) {
		mu.Lock()
		defer mu.Unlock()
		_ = json.NewEncoder(w).Encode(e) // the command is gone if it fails
		_ = http.NewResponseController(w).Flush()
	}
	next, err := k.migrate(rpc.System(r.Context()), req, tell)
	if next == nil {
		ended() // before it is told: the command may be run again at once
	}
	switch {
	case err != nil:
		k.Log.Warn("the migration has ended before its end; the node goes on as before", "to", req.File, "err", err)
		tell(MigrateEvent{Problem: oneLine(err)})
	default:
		tell(MigrateEvent{Done: true})
	}
	if next != nil {
		k.fail(next)
	}
}

// migrate moves the deployment, or says what that would be. It returns how the node
// goes on then.
func (k *Kernel) migrate(ctx context.Context, req MigrateRequest, tell func(MigrateEvent)) (*Switch, error) {
	to, err := k.openTarget(ctx, req)
	if err != nil {
		return nil, err
	}
	defer to.close()
	carry := to.carrier(k)
	m, err := migrate.New(migrate.Config{
		From:       migrate.Side{DB: k.database, Objects: k.Stores.Objects, Name: mediaPlace(k.Config), File: k.source()},
		To:         migrate.Side{DB: to.db, Objects: to.objects, Name: mediaPlace(to.cfg), File: req.File},
		Deployment: to.deployment, Dir: migrationDir(k.DataDir),
		Own: []string{claimName}, TargetOwn: to.own, OwnObjects: []string{claimName, deploymentName},
		Uploads: k.Stores.Catalog.Uploads, Upload: carry, PartsMove: to.sharedBoth(k),
		Log: k.Log.With("service", "migrate"), Report: func(p migrate.Progress) { tell(MigrateEvent{Progress: p}) },
	})
	if err != nil {
		return nil, err
	}
	defer m.Close() //nolint:errcheck // what is not in the log is copied once more
	inventory, err := m.Look(ctx)
	if err != nil {
		return nil, err
	}
	next := k.next(req)
	tell(MigrateEvent{Plan: &MigratePlan{
		From: storesOf(k.Config), To: storesOf(to.cfg), State: to.state, Boot: k.BootID, Next: next.Args, Inventory: inventory,
	}})
	if req.DryRun {
		return nil, nil
	}
	k.Log.Info("the deployment is being moved", "to", req.File, "objects", inventory.Objects, "bytes", inventory.Bytes)
	if err := k.saveMove(move{Deployment: to.deployment, Media: mediaPlace(to.cfg), Request: req}); err != nil {
		return nil, err
	}
	err = k.markBucket(ctx, to.deployment)
	if err == nil && !to.keepsMedia(k) {
		err = to.claimBucket(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := m.Prepare(ctx); err != nil {
		return nil, err
	}
	if err := k.recordMove(ctx, to.cfg); err != nil {
		return nil, err
	}
	resume := k.pauseChanges(ctx)
	err = m.Move(ctx)
	k.readOnly.leaves.Store(err == nil)
	resume() // other nodes now say by themselves that it was moved
	if err != nil {
		return nil, err
	}
	k.Log.Info("the deployment was moved; the node goes on with the other configuration", "to", req.File, "writes_refused_for", m.Pause().Round(time.Millisecond))
	// From here on the target is the deployment, whoever has gone away.
	if err := to.settle(context.WithoutCancel(ctx), k); err != nil {
		k.Log.Error("put the records' new place in use; the next start of this node does it", "err", err)
	}
	k.moved.Store(true)
	next.Files = k.inheritance()
	return next, nil
}

// recordMove notes in the audit log that the records are about to be moved, which is
// the last that is written to them here.
func (k *Kernel) recordMove(ctx context.Context, to *Config) error {
	if k.audit == nil { // no console, and no log of changes
		return nil
	}
	return k.audit.Append(rpc.WithIdentity(ctx, rpc.Identity{Scope: rpc.ScopeAdmin}), console.Change{
		Action: "deployment.migrate",
		Before: map[string]any{"stores": storesOf(k.Config)}, After: map[string]any{"stores": storesOf(to)},
	})
}

// sharedBoth tells whether unfinished uploads are objects before and after.
func (t *target) sharedBoth(k *Kernel) bool {
	return k.Config.Media.URL != "" && t.cfg.Media.URL != ""
}

// carrier moves the bytes of unfinished uploads to where the target has them.
func (t *target) carrier(k *Kernel) func(context.Context, store.Upload) (store.Upload, error) {
	c := &upload.Carrier{Dir: filepath.Join(k.DataDir, "uploads"), Objects: t.objects, Sources: k.Stores.Objects, MaxSize: int64(t.cfg.Upload.MaxSize)}
	was, is := k.Config.Media.URL != "", t.cfg.Media.URL != ""
	switch {
	case !was && is:
		return c.Share
	case was && !is:
		c.Objects = k.Stores.Objects
		return c.Unshare
	}
	return func(_ context.Context, rec store.Upload) (store.Upload, error) { return rec, nil }
}

// source is the file of the node's own configuration, as messages name it.
func (k *Kernel) source() string {
	if k.layers == nil || k.layers.name == "" {
		return "the one of before"
	}
	path, err := filepath.Abs(k.layers.name)
	if err != nil {
		return k.layers.name
	}
	return path
}

// Switch ends a node that is to go on with another configuration: see Exec.
type Switch struct {
	Args  []string // without the program
	Env   []string // STREAMGATE_NAME=value: all of that prefix
	Files []inherited
}

func (*Switch) Error() string { return "the node goes on with another configuration" }

// next is how a node goes on on the other configuration, with every role.
func (k *Kernel) next(req MigrateRequest) *Switch {
	s := &Switch{Args: []string{"serve", "--config", req.File, "--data", k.DataDir, "--role", string(RoleMonolith)}, Env: slices.Clone(req.Env)}
	for _, one := range req.Set {
		s.Args = append(s.Args, "--set", one.Key+"="+one.Value)
	}
	return s
}
