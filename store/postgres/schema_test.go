package postgres_test

import (
	"encoding/json"
	"errors"
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

func TestOpenRefusesNewerSchema(t *testing.T) {
	address := database(t, migrated)
	exec1(t, connect(t, address), `INSERT INTO schema_versions (version) VALUES (99)`)
	_, err := postgres.Open(t.Context(), address, postgres.Options{})
	if !errors.Is(err, postgres.ErrSchema) || !strings.Contains(err.Error(), "99") {
		t.Errorf("got %v, want ErrSchema with the version", err)
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
