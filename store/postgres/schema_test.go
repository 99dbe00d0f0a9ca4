package postgres_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/postgres"
)

// Nodes that start together on an empty database make its tables once.
func TestOpenTogether(t *testing.T) {
	address := database(t, "template0")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			db, err := postgres.Open(t.Context(), address, postgres.Options{MaxConns: 2})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer db.Close()
			if _, err := db.Queue().Stats(t.Context()); err != nil {
				t.Errorf("stats: %v", err)
			}
		})
	}
	wg.Wait()
	var versions, last int
	conn := connect(t, address)
	if err := conn.QueryRow(t.Context(), `SELECT count(*), max(version) FROM schema_versions`).Scan(&versions, &last); err != nil {
		t.Fatal(err)
	}
	if versions != last || versions == 0 {
		t.Errorf("%d versions, the last is %d", versions, last)
	}
}

// A database that a newer program has migrated is used if that leaves this one what
// it needs, and refused otherwise, by a program that runs too.
func TestOpenNewerSchema(t *testing.T) {
	for _, tt := range []struct {
		compatible string
		refused    bool
	}{
		{"1", false},
		{"4", false},
		{"99", true},
		{"NULL", true},
	} {
		t.Run(tt.compatible, func(t *testing.T) {
			address := database(t, migrated)
			before := open(t, address, postgres.Options{})
			exec1(t, connect(t, address), `INSERT INTO schema_versions (version, compatible) VALUES (99, `+tt.compatible+`)`)
			db, err := postgres.Open(t.Context(), address, postgres.Options{})
			if err == nil {
				db.Close()
			}
			look, lookErr := postgres.Look(t.Context(), address)
			check(t, lookErr)
			for what, err := range map[string]error{"open": err, "a program that runs": before.Usable(t.Context()), "look": look.Usable} {
				if errors.Is(err, postgres.ErrSchema) != tt.refused || err != nil && !strings.Contains(err.Error(), "99") {
					t.Errorf("%s: %v, refused should be %v", what, err, tt.refused)
				}
			}
		})
	}
}

// Before tables that are there are changed, it is asked whether those who use them
// can do so afterwards; if not, they stay as they are.
func TestMigrateAsks(t *testing.T) {
	address := database(t, migrated)
	known := open(t, address, postgres.Options{Others: func(int) error { return errors.New("asked for nothing") }}).Known()
	postgres.LaterSteps(t, map[string]string{
		"1_more.sql":  "-- compatible 2\nCREATE TABLE more (one text)",
		"2_other.sql": fmt.Sprintf("-- compatible %d\nALTER TABLE videos RENAME TO films", known+2),
	})
	var asked []int
	_, err := postgres.Open(t.Context(), address, postgres.Options{Others: func(compatible int) error {
		asked = append(asked, compatible)
		return errors.New("one could not")
	}})
	if err == nil || !strings.Contains(err.Error(), "one could not") || !slices.Equal(asked, []int{known + 2}) {
		t.Errorf("asked %v, got %v", asked, err)
	}
	if look, err := postgres.Look(t.Context(), address); err != nil || look.Schema != known || look.Known != known+2 {
		t.Errorf("after a refusal: %+v, %v", look, err)
	}
	db, err := postgres.Open(t.Context(), address, postgres.Options{Others: func(int) error { return nil }})
	check(t, err)
	db.Close()
	if look, err := postgres.Look(t.Context(), address); err != nil || look.Schema != known+2 {
		t.Errorf("after it: %+v, %v", look, err)
	}
	postgres.LaterSteps(t, nil)
	if _, err := postgres.Open(t.Context(), address, postgres.Options{}); !errors.Is(err, postgres.ErrSchema) {
		t.Errorf("the program before: %v", err)
	}
}

// Each step says what it is compatible with, in a line that is read.
func TestStepsSayWhatTheyFit(t *testing.T) {
	names, err := filepath.Glob("schema/*.sql")
	check(t, err)
	for i, name := range names[3:] {
		data, err := os.ReadFile(name)
		check(t, err)
		var compatible int
		if _, err := fmt.Sscanf(string(data), "-- compatible %d\n", &compatible); err != nil || compatible < 1 || compatible > i+4 {
			t.Errorf("%s begins with %.40q: %v", name, data, err)
		}
	}
	postgres.LaterSteps(t, map[string]string{"1.sql": "-- compatible with all\n"})
	if _, err := postgres.Open(t.Context(), database(t, "template0"), postgres.Options{}); err == nil || !strings.Contains(err.Error(), "1.sql") {
		t.Errorf("a line that names no version: %v", err)
	}
}

// What a newer version has written of a record, plan or job is there after this
// one has changed it.
func TestUnknownMembersStay(t *testing.T) {
	address := database(t, migrated)
	db, conn := open(t, address, postgres.Options{}), connect(t, address)
	catalog, q := db.Catalog(), db.Queue()
	check(t, catalog.Videos.Create(t.Context(), store.Video{ID: "v", Title: "A", Failure: &store.Failure{Code: "c"}}))
	check(t, catalog.Plans.SavePlan(t.Context(), "v", store.Plan{Renditions: []store.Rendition{{Name: "720p"}}}))
	check(t, q.Push(t.Context(), store.Job{ID: "j", TaskID: "t", Rank: store.RankOrdinary}))
	for table, member := range map[string]string{
		"videos": `'{"later":1,"failure":{"code":"c","message":"","later":2}}'`,
		"plans":  `'{"later":1}'`,
		"jobs":   `'{"later":1}'`,
	} {
		exec1(t, conn, `UPDATE `+table+` SET doc = (doc::jsonb || `+member+`::jsonb)::json`)
	}

	_, err := catalog.Videos.Update(t.Context(), "v", func(v *store.Video) error {
		v.Title, v.State, v.Failure.Message = "B", store.VideoReady, "M"
		return nil
	})
	check(t, err)
	_, err = catalog.Plans.UpdatePlan(t.Context(), "v", func(p *store.Plan) error { p.Profile = "small"; return nil })
	check(t, err)
	_, err = q.Boost(t.Context(), store.RankFirst, "j")
	check(t, err)
	_, err = q.Reprioritise(t.Context(), "t", 7)
	check(t, err)
	check(t, q.Finish(t.Context(), "j", leaseOne(t, q).Lease.Token, store.Outcome{Failure: &store.Failure{Code: "x"}}))

	type later struct {
		Later   int    `json:"later"`
		Title   string `json:"title"`
		Failure struct {
			Message string `json:"message"`
			Later   int    `json:"later"`
		} `json:"failure"`
	}
	for _, table := range []string{"videos", "plans", "jobs"} {
		var doc []byte
		check(t, conn.QueryRow(t.Context(), `SELECT doc FROM `+table).Scan(&doc))
		var got later
		check(t, json.Unmarshal(doc, &got))
		if got.Later != 1 || table == "videos" && (got.Title != "B" || got.Failure.Message != "M" || got.Failure.Later != 2) {
			t.Errorf("%s: %s", table, doc)
		}
	}
}

// A record that is deleted and made again is not taken for the one it was.
func TestUpdateOfOneMadeAgain(t *testing.T) {
	videos := open(t, database(t, migrated), postgres.Options{}).Catalog().Videos
	check(t, videos.Create(t.Context(), store.Video{ID: "v", Title: "first"}))
	var seen []string
	_, err := videos.Update(t.Context(), "v", func(v *store.Video) error {
		if seen = append(seen, v.Title); len(seen) == 1 {
			check(t, videos.Delete(t.Context(), "v"))
			check(t, videos.Create(t.Context(), store.Video{ID: "v", Title: "second"}))
		}
		v.Public = true
		return nil
	})
	check(t, err)
	if strings.Join(seen, " ") != "first second" {
		t.Errorf("the function saw %q", seen)
	}
}

// Names that PostgreSQL's text cannot hold are names all the same.
func TestOddNames(t *testing.T) {
	catalog := open(t, database(t, migrated), postgres.Options{}).Catalog()
	for _, name := range []string{"a\x00b", "\xff", "a' OR '1'='1"} {
		upload := store.Upload{ID: "id", VideoID: name, State: store.UploadReceiving, Metadata: map[string]string{"filename": "a\x00b"}}
		check(t, catalog.Uploads.Create(t.Context(), upload))
		got, _, err := catalog.Uploads.List(t.Context(), store.Query{Parent: name})
		check(t, err)
		if len(got) != 1 || got[0].Metadata["filename"] != "a\x00b" {
			t.Errorf("%q: %+v", name, got)
		}
		check(t, catalog.Uploads.Delete(t.Context(), "id"))
		if _, err := catalog.Uploads.Get(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get %q: %v", name, err)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func leaseOne(t testing.TB, q store.Queue) store.Job {
	t.Helper()
	jobs, err := q.Lease(t.Context(), store.LeaseRequest{Owner: store.Owner{Node: "n1"}, MaxRank: store.RankOrdinary, TTL: time.Minute})
	check(t, err)
	return jobs[0]
}
