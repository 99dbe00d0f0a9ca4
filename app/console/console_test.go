package console

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/memory"
)

func open(t *testing.T) (*Service, store.Catalog) {
	t.Helper()
	db, err := bolt.Open(t.TempDir()+"/db", bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c := db.Catalog()
	return New(Config{Catalog: c, Cache: memory.NewCache(memory.Options{}), Audit: NewLog(c), Log: slog.New(slog.DiscardHandler), Site: func() string { return "https://site.example" }}), c
}

func want(t *testing.T, err error, reason string) {
	t.Helper()
	if got, _ := rpc.Reason(err); got != reason || (reason == "") != (err == nil) {
		t.Errorf("%v, want %q", err, reason)
	}
}

const goodPassword = "a few good words"

// TestSetup: a link makes one admin, once; one that is replaced or spoilt does not.
func TestSetup(t *testing.T) {
	s, _ := open(t)
	ctx := rpc.System(t.Context())
	old, err := s.SetupToken(ctx, false)
	want(t, err, "")
	token, err := s.SetupToken(ctx, false)
	want(t, err, "")
	want(t, s.Setup(t.Context(), old, "ada", goodPassword), "setup_link_over")
	want(t, s.Setup(t.Context(), "", "ada", goodPassword), "setup_link_over")
	want(t, s.Setup(t.Context(), token, "Ada!", goodPassword), "invalid_name")
	want(t, s.Setup(t.Context(), token, "ada", "short"), "invalid_password")
	empty, err := s.Empty(ctx)
	want(t, err, "")
	if !empty {
		t.Error("what was refused made somebody")
	}
	made := 0
	var mu sync.Mutex
	var both sync.WaitGroup
	for _, name := range []string{"ada", "bob"} {
		both.Go(func() {
			if s.Setup(t.Context(), token, name, goodPassword) == nil {
				mu.Lock()
				made++
				mu.Unlock()
			}
		})
	}
	both.Wait()
	if made != 1 {
		t.Errorf("one link made %d admins", made)
	}
	_, err = s.SetupToken(rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeOperator}), true)
	want(t, err, "permission_denied")
	_, err = s.SetupToken(ctx, false)
	want(t, err, "admin_exists")
}

// TestReset: a link of a reset gives a person the password that is typed, and
// ends what was begun with the old one.
func TestReset(t *testing.T) {
	s, _ := open(t)
	ctx := rpc.System(t.Context())
	want(t, s.Add(ctx, NewPerson{"ada", ReadOnly, goodPassword}), "")
	session, _, err := s.SignIn(t.Context(), "ada", goodPassword, From{})
	want(t, err, "")
	plain, err := s.SetupToken(ctx, false) // there is no admin yet
	want(t, err, "")
	want(t, s.Setup(t.Context(), plain, "ada", "another good one"), "name_taken")
	token, err := s.SetupToken(ctx, true)
	want(t, err, "")
	want(t, s.Setup(t.Context(), token, "ada", "another good one"), "")
	want(t, s.Setup(t.Context(), token, "ada", "another good one"), "setup_link_over")
	_, _, err = s.Visit(t.Context(), session)
	want(t, err, "session_over")
	_, _, err = s.SignIn(t.Context(), "ada", goodPassword, From{})
	want(t, err, "wrong_password")
	session, _, err = s.SignIn(t.Context(), "ada", "another good one", From{})
	want(t, err, "")
	if ada, _, err := s.Visit(t.Context(), session); err != nil || ada.Role != string(Admin) {
		t.Errorf("%+v, %v", ada, err)
	}
}

// TestPeople: there is always an admin, and who is removed is signed out.
func TestPeople(t *testing.T) {
	s, _ := open(t)
	ctx := rpc.System(t.Context())
	for _, p := range []NewPerson{{"ada", Admin, goodPassword}, {"bob", ReadOnly, goodPassword}} {
		want(t, s.Add(ctx, p), "")
	}
	want(t, s.Add(ctx, NewPerson{"ada", Admin, goodPassword}), "name_taken")
	want(t, s.Add(ctx, NewPerson{"eve", "root", goodPassword}), "invalid_role")
	want(t, s.Remove(ctx, "ada"), "last_admin")
	want(t, s.SetRole(ctx, "ada", Operator), "last_admin")
	token, _, err := s.SignIn(t.Context(), "bob", goodPassword, From{Client: "::1"})
	want(t, err, "")
	bob, _, err := s.Visit(t.Context(), token)
	want(t, err, "")
	as := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: Role(bob.Role).Scope(), Person: "bob"})
	want(t, s.Add(as, NewPerson{"eve", Admin, goodPassword}), "permission_denied")
	want(t, s.SetPassword(as, "ada", goodPassword), "permission_denied")
	want(t, s.SetRole(ctx, "bob", Admin), "")
	want(t, s.Remove(ctx, "ada"), "")
	want(t, s.SetPassword(as, "bob", "another good one"), "")
	_, _, err = s.Visit(t.Context(), token)
	want(t, err, "session_over")
	_, _, err = s.SignIn(t.Context(), "bob", goodPassword, From{})
	want(t, err, "wrong_password")
	_, _, err = s.SignIn(t.Context(), "nobody", goodPassword, From{})
	want(t, err, "wrong_password")
	_, _, err = s.Visit(t.Context(), "FORGED")
	want(t, err, "session_over")
}

// TestSessionEnds: a session that is not used is over, and is forgotten.
func TestSessionEnds(t *testing.T) {
	s, c := open(t)
	want(t, s.Add(rpc.System(t.Context()), NewPerson{"ada", Admin, goodPassword}), "")
	token, session, err := s.SignIn(t.Context(), "ada", goodPassword, From{})
	want(t, err, "")
	_, err = c.ConsoleSessions.Update(t.Context(), session.ID, func(r *store.ConsoleSession) error {
		r.Expires = time.Now().Add(-time.Second)
		return nil
	})
	want(t, err, "")
	_, _, err = s.Visit(t.Context(), token)
	want(t, err, "session_over")
	want(t, s.bury(t.Context(), time.Now()), "")
	if list, _, err := c.ConsoleSessions.List(t.Context(), store.Query{}); err != nil || len(list) != 0 {
		t.Errorf("%d are kept: %v", len(list), err)
	}
}

// TestAudit: whoever changes, takes out or cuts off entries is found out.
func TestAudit(t *testing.T) {
	const entries = 6
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, c store.Catalog, ids []string)
		fault  string
	}{
		{"whole", func(*testing.T, store.Catalog, []string) {}, ""},
		{"changed", func(t *testing.T, c store.Catalog, ids []string) {
			alter(t, c, ids[2], func(e *store.AuditEntry) { e.Who = "person eve" })
		}, "was changed"},
		{"changed with its hash", func(t *testing.T, c store.Catalog, ids []string) {
			alter(t, c, ids[2], func(e *store.AuditEntry) { e.Object = "other"; e.Hash = hashOf(*e) })
		}, "does not follow"},
		{"the last changed with its hash", func(t *testing.T, c store.Catalog, ids []string) {
			alter(t, c, ids[entries-1], func(e *store.AuditEntry) { e.Object = "other"; e.Hash = hashOf(*e) })
		}, "not the one that was written"},
		{"taken out", func(t *testing.T, c store.Catalog, ids []string) { want(t, c.Audit.Delete(t.Context(), ids[2]), "") }, "missing"},
		{"the first taken out", func(t *testing.T, c store.Catalog, ids []string) { want(t, c.Audit.Delete(t.Context(), ids[0]), "") }, "before this entry"},
		{"cut off", func(t *testing.T, c store.Catalog, ids []string) {
			for _, id := range ids[4:] {
				want(t, c.Audit.Delete(t.Context(), id), "")
			}
		}, "cut off"},
		{"all gone", func(t *testing.T, c store.Catalog, ids []string) {
			for _, id := range ids {
				want(t, c.Audit.Delete(t.Context(), id), "")
			}
		}, "whole log is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, catalog := open(t)
			ctx := rpc.System(t.Context())
			for i := range entries {
				want(t, s.Audit.Append(ctx, Change{Action: "video.update", Object: "film", Before: map[string]any{"title": "<a>"}, After: map[string]any{"title": i}}), "")
			}
			var ids []string
			for e, err := range store.All(ctx, catalog.Audit, store.Query{}) {
				want(t, err, "")
				ids = append([]string{e.ID}, ids...)
			}
			c.damage(t, catalog, ids)
			got, err := s.Audit.Verify(ctx)
			want(t, err, "")
			if (c.fault == "") != (got.Fault == "") || !strings.Contains(got.Fault, c.fault) {
				t.Errorf("found %+v", got)
			}
		})
	}
}

func alter(t *testing.T, c store.Catalog, id string, fn func(*store.AuditEntry)) {
	t.Helper()
	_, err := c.Audit.Update(t.Context(), id, func(e *store.AuditEntry) error { fn(e); return nil })
	want(t, err, "")
}

// TestAuditTogether: many at once, on two nodes, make one chain.
func TestAuditTogether(t *testing.T) {
	_, c := open(t)
	ctx := rpc.System(t.Context())
	var all sync.WaitGroup
	for range 2 {
		log := NewLog(c)
		for range 10 {
			all.Go(func() { want(t, log.Append(ctx, Change{Action: "queue.pause"}), "") })
		}
	}
	all.Wait()
	if got, err := NewLog(c).Verify(ctx); err != nil || got.Fault != "" || got.Entries != 20 {
		t.Errorf("%+v: %v", got, err)
	}
	if _, err := NewLog(c).Verify(rpc.WithIdentity(ctx, rpc.Identity{Scope: rpc.ScopeRead})); err == nil {
		t.Error("a reader may verify")
	}
}

// lost is a table whose database is lost while it creates: some records are there
// all the same.
type lost struct {
	store.Table[store.AuditEntry]
	faults []bool // of the next creations: whether the record is there
}

func (l *lost) Create(ctx context.Context, e store.AuditEntry) error {
	if len(l.faults) == 0 {
		return l.Table.Create(ctx, e)
	}
	there := l.faults[0]
	l.faults = l.faults[1:]
	if there {
		if err := l.Table.Create(ctx, e); err != nil {
			return err
		}
	}
	return store.ErrUnavailable
}

// TestAuditOutage: a change is recorded once, however often the database is lost
// while it is; and is said not to be if it does not come back.
func TestAuditOutage(t *testing.T) {
	for name, faults := range map[string][]bool{
		"nothing written": {false, false}, "written": {true}, "written later": {false, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, c := open(t)
			log := NewLog(c)
			log.entries = &lost{c.Audit, faults}
			want(t, log.Append(rpc.System(t.Context()), Change{Action: "queue.pause"}), "")
			want(t, log.Append(rpc.System(t.Context()), Change{Action: "queue.resume"}), "")
			if got, err := log.Verify(rpc.System(t.Context())); err != nil || got.Fault != "" || got.Entries != 2 {
				t.Errorf("%s: %+v: %v", name, got, err)
			}
			log.entries = &lost{c.Audit, make([]bool, 1000)}
			want(t, unrecorded(t.Context(), log.Append(rpc.System(t.Context()), Change{Action: "queue.pause"})), "not_recorded")
		})
	}
}

// film is a library of one video.
type film struct {
	rpc.LibraryClient
	title string
}

func (f *film) GetVideo(context.Context, *rpc.GetVideoRequest) (*rpc.Video, error) {
	return &rpc.Video{Id: "film", Title: f.title, Profile: "default"}, nil
}

func (f *film) UpdateVideo(_ context.Context, req *rpc.UpdateVideoRequest) (*rpc.Video, error) {
	if req.GetTitle() == "" {
		return nil, rpc.Invalid("invalid_title", "A title is not empty.")
	}
	f.title = req.GetTitle()
	return f.GetVideo(context.Background(), nil)
}

// TestRecorded: what changed is in the log, by whom, and no more than that; what
// was refused is not.
func TestRecorded(t *testing.T) {
	s, _ := open(t)
	library := s.Audit.Library(&film{title: "Old"})
	ctx := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeOperator, KeyID: "k1", Client: "10.0.0.1"})
	title, none := "New", ""
	_, err := library.UpdateVideo(ctx, &rpc.UpdateVideoRequest{Id: "film", Title: &title})
	want(t, err, "")
	_, err = library.UpdateVideo(ctx, &rpc.UpdateVideoRequest{Id: "film", Title: &none})
	want(t, err, "invalid_title")
	list, _, err := s.Audit.List(ctx, store.Query{})
	want(t, err, "")
	if len(list) != 1 {
		t.Fatalf("%d entries", len(list))
	}
	e := list[0]
	if e.Who != "key k1" || e.Action != "video.update" || e.Object != "film" || string(e.Before) != `{"title":"Old"}` || string(e.After) != `{"title":"New"}` {
		t.Errorf("%+v: before %s, after %s", e, e.Before, e.After)
	}
	data, err := marshal(&rpc.Key{Id: "k", Secret: "sg_secret"})
	want(t, err, "")
	if strings.Contains(string(data), "sg_") {
		t.Errorf("a secret is kept: %s", data)
	}
}
