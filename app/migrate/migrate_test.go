package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"streamgate/app/migrate"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/postgres"
	"streamgate/store/servertest"
	"streamgate/store/storetest"
)

// side is a deployment's stores.
type side struct {
	db      storetest.Kept
	objects store.Objects
	name    string
}

func onBolt(t *testing.T, name string) *side {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{NotInUse: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &side{db, onDisk(t), name}
}

func onPostgres(t *testing.T, name string) *side {
	t.Helper()
	pg := servertest.NeedPostgres(t, servertest.PostgresOptions{})
	db, err := postgres.Open(t.Context(), pg.Address("postgres"), postgres.Options{NotInUse: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return &side{db, onDisk(t), name}
}

func onDisk(t *testing.T) store.Objects {
	t.Helper()
	objects, err := files.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// fill stores a few things of many kinds.
func (s *side) fill(t *testing.T) {
	t.Helper()
	ctx, c := t.Context(), s.db.Catalog()
	for i := range 30 {
		id := fmt.Sprintf("v%02d", i)
		err := errors.Join(
			c.Videos.Create(ctx, store.Video{ID: id, Title: "Title", State: store.VideoReady}),
			c.Plans.SavePlan(ctx, id, store.Plan{Timeline: store.Timeline{Timescale: 25, Bounds: []int64{0, 100}}}),
			c.Plans.MarkCells(ctx, id, store.Cell{Rendition: "720p", Segment: i, Bytes: int64(i)}),
			s.db.Queue().Push(ctx, store.Job{ID: id, TaskID: id, VideoID: id, Kind: store.JobChunk}))
		for _, key := range []string{store.SourceKey(id), store.CellKey(id, "720p", i)} {
			_, perr := store.PutBytes(ctx, s.objects, key, []byte(key), store.IfAbsent)
			err = errors.Join(err, perr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Secrets.Secret(ctx, "tickets", func() []byte { return []byte("key") }); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Secrets.Secret(ctx, "owner", func() []byte { return []byte("one") }); err != nil {
		t.Fatal(err)
	}
}

// contents are all objects and entries, without what belongs to a place.
func (s *side) contents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for e, err := range s.db.Dump(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Table != store.TableSecrets || e.ID != "owner" {
			all[e.Table+" "+e.ID] = string(e.Data)
		}
	}
	for o, err := range s.objects.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := s.objects.Get(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		all["object "+o.Key] = string(data)
	}
	return all
}

// migration is one between the sides. db and objects stand for the target's.
func migration(t *testing.T, dir string, from, to *side, db store.Database, source store.Database) *migrate.Migration {
	t.Helper()
	m, err := migrate.New(migrate.Config{
		From:       migrate.Side{DB: source, Objects: from.objects, Name: from.name, File: from.name + ".yaml"},
		To:         migrate.Side{DB: db, Objects: to.objects, Name: to.name, File: to.name + ".yaml"},
		Deployment: "d", Dir: dir, Own: []string{"owner"}, TargetOwn: map[string][]byte{"owner": []byte("all")},
		Uploads: from.db.Catalog().Uploads,
		Upload:  func(_ context.Context, u store.Upload) (store.Upload, error) { return u, nil },
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func run(t *testing.T, m *migrate.Migration, to store.Database) error {
	t.Helper()
	if err := migrate.CheckTarget(t.Context(), to, "d", map[string][]byte{"owner": nil}); err != nil {
		return err
	}
	if err := m.Prepare(t.Context()); err != nil {
		return err
	}
	if err := m.Move(t.Context()); err != nil {
		return err
	}
	return migrate.Settle(t.Context(), to, "d")
}

func wantSame(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s: %.80q, want %.80q", name, got[name], data)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is too much", name)
		}
	}
}

func state(t *testing.T, db store.Database) string {
	t.Helper()
	s, err := db.Standing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.State
}

// There, and after some changes back: everything is the same, and what both sides have
// is not copied again.
func TestThereAndBack(t *testing.T) {
	one, many := onBolt(t, "one"), onPostgres(t, "many")
	dir := t.TempDir()
	one.fill(t)
	want := one.contents(t)
	if err := run(t, migration(t, dir, one, many, many.db, one.db), many.db); err != nil {
		t.Fatal(err)
	}
	wantSame(t, many.contents(t), want)
	if a, b := state(t, one.db), state(t, many.db); a != store.StandingMoved || b != store.StandingInUse {
		t.Errorf("the source is %q, the target %q", a, b)
	}
	owner, err := many.db.Catalog().Secrets.Secret(t.Context(), "owner", nil)
	if err != nil || string(owner) != "all" {
		t.Errorf("owner %q, %v", owner, err)
	}

	if err := errors.Join(many.objects.Delete(t.Context(), store.VideoPrefix("v00")), many.db.Catalog().Videos.Delete(t.Context(), "v00")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutBytes(t.Context(), many.objects, store.SourceKey("v01"), []byte("changed"), store.Replace); err != nil {
		t.Fatal(err)
	}
	want = many.contents(t)
	back := migration(t, dir, many, one, one.db, many.db)
	inventory, err := back.Look(t.Context())
	if err != nil || inventory.Objects != 58 || inventory.Copied != 57 {
		t.Errorf("%+v, %v", inventory, err)
	}
	if err := run(t, back, one.db); err != nil {
		t.Fatal(err)
	}
	wantSame(t, one.contents(t), want)
	if a, b := state(t, many.db), state(t, one.db); a != store.StandingMoved || b != store.StandingInUse {
		t.Errorf("the source is %q, the target %q", a, b)
	}
}

// broken is a database at one of whose calls the process ends.
type broken struct {
	store.Database
	at    string
	after bool // the call takes effect
}

var errKilled = errors.New("killed")

func (b *broken) end(call string, do func() error) error {
	if b.at != call {
		return do()
	}
	if b.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errKilled
}

func (b *broken) SetStanding(ctx context.Context, s store.Standing) error {
	return b.end("standing "+s.State, func() error { return b.Database.SetStanding(ctx, s) })
}

func (b *broken) Hold(ctx context.Context, ttl time.Duration) error {
	return b.end("hold", func() error { return b.Database.Hold(ctx, ttl) })
}

func (b *broken) Restore(ctx context.Context, entries iter.Seq2[store.Entry, error]) error {
	return b.end("restore", func() error { return b.Database.Restore(ctx, entries) })
}

// Wherever a run ends, the source is in use until it was left, the target is whole
// from then on, and a second run goes on.
func TestInterrupted(t *testing.T) {
	for _, row := range []struct {
		at       string
		ofSource bool
	}{
		{"standing arriving", false}, {"hold", true}, {"restore", false}, {"standing complete", false}, {"standing moved", true}, {"standing ", false},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after it %v", row.at, after), func(t *testing.T) {
				one, other := onBolt(t, "one"), onBolt(t, "other")
				dir := t.TempDir()
				one.fill(t)
				want := one.contents(t)
				from, to := store.Database(one.db), store.Database(other.db)
				if row.ofSource {
					from = &broken{from, row.at, after}
				} else {
					to = &broken{to, row.at, after}
				}
				err := run(t, migration(t, dir, one, other, to, from), to)
				if lost := row.at == "standing moved" && after; lost && err != nil || !lost && !errors.Is(err, errKilled) {
					t.Fatalf("it ended with %v", err)
				}
				if err := one.db.Release(t.Context()); err != nil { // as the end of the process does
					t.Fatal(err)
				}
				if state(t, one.db) == store.StandingMoved {
					if err := migrate.Settle(t.Context(), other.db, "d"); err != nil {
						t.Fatal(err)
					}
				} else {
					if err := one.db.Catalog().Keys.Create(t.Context(), store.Key{ID: "later"}); err != nil {
						t.Fatalf("the source is not in use: %v", err)
					}
					want = one.contents(t)
					if err := run(t, migration(t, dir, one, other, other.db, one.db), other.db); err != nil {
						t.Fatal(err)
					}
				}
				wantSame(t, other.contents(t), want)
				if a, b := state(t, one.db), state(t, other.db); a != store.StandingMoved || b != store.StandingInUse {
					t.Errorf("the source is %q, the target %q", a, b)
				}
			})
		}
	}
}

// What is not the deployment's, or in use, is refused.
func TestTargets(t *testing.T) {
	used, other := onBolt(t, "used"), onBolt(t, "other")
	used.fill(t)
	if err := migrate.CheckTarget(t.Context(), used.db, "d", nil); !errors.Is(err, migrate.ErrTarget) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("in use: %v", err)
	}
	if err := other.db.SetStanding(t.Context(), store.Standing{State: store.StandingArriving, Deployment: "another"}); err != nil {
		t.Fatal(err)
	}
	if err := migrate.CheckTarget(t.Context(), other.db, "d", nil); !errors.Is(err, migrate.ErrTarget) {
		t.Errorf("another's: %v", err)
	}
	if err := migrate.Settle(t.Context(), other.db, "another"); !errors.Is(err, migrate.ErrTarget) {
		t.Errorf("settle what is not complete: %v", err)
	}
}

// lossy is a database that loses a record.
type lossy struct{ store.Database }

func (l lossy) Restore(ctx context.Context, entries iter.Seq2[store.Entry, error]) error {
	return l.Database.Restore(ctx, func(yield func(store.Entry, error) bool) {
		for e, err := range entries {
			if e.Table == "videos" && e.ID == "v07" {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	})
}

// A target that does not have what was written is not moved to.
func TestVerify(t *testing.T) {
	one, other := onBolt(t, "one"), onBolt(t, "other")
	one.fill(t)
	err := run(t, migration(t, t.TempDir(), one, other, lossy{other.db}, one.db), other.db)
	if err == nil || !strings.Contains(err.Error(), "table videos") {
		t.Errorf("%v", err)
	}
	if err := one.db.Catalog().Keys.Create(t.Context(), store.Key{ID: "later"}); err != nil {
		t.Errorf("the source is not in use: %v", err)
	}
}
