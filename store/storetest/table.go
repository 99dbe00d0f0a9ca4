package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"streamgate/store"
)

// TestTable checks a store.Table with uploads, which have a parent, a state
// and fields that are no plain values. open returns an empty table that is
// closed by the test's cleanup.
func TestTable(t *testing.T, open func(t *testing.T) store.Table[store.Upload]) {
	for _, test := range []struct {
		name string
		run  func(*tableTest)
	}{
		{"create and get", (*tableTest).create},
		{"update stores what the function leaves", (*tableTest).update},
		{"a failed update stores nothing", (*tableTest).updateFails},
		{"an update cannot change the id", (*tableTest).updateID},
		{"delete", (*tableTest).delete},
		{"unknown ids", (*tableTest).unknown},
		{"records are copies", (*tableTest).copies},
		{"list is newest first", (*tableTest).order},
		{"list narrows by parent and state", (*tableTest).narrow},
		{"list follows changes", (*tableTest).follow},
		{"list pages", (*tableTest).pages},
		{"pages stand while records come and go", (*tableTest).pagesStand},
		{"page sizes", (*tableTest).sizes},
		{"foreign cursors", (*tableTest).cursors},
		{"a cancelled context changes nothing", (*tableTest).cancelledContext},
		{"of many creates of an id one is kept", (*tableTest).manyCreate},
		{"no update is lost among many", (*tableTest).manyUpdate},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&tableTest{t, open(t)}) })
	}
}

// tableTest is one subtest with its table.
type tableTest struct {
	*testing.T
	table store.Table[store.Upload]
}

func upload(id, video string, state store.UploadState) store.Upload {
	return store.Upload{
		ID: id, VideoID: video, State: state, SizeBytes: -1,
		Metadata: map[string]string{"filename": "a \"b\" – ç.mp4"}, Parts: []string{"p1", "p2"},
		Created: NewClock().Now(),
	}
}

func (t *tableTest) add(recs ...store.Upload) {
	t.Helper()
	for _, rec := range recs {
		check(t.T, t.table.Create(t.Context(), rec))
	}
}

// addMany adds n records of video v1: u000, u001, …
func (t *tableTest) addMany(n int) {
	t.Helper()
	together(4, func(part int) {
		for i := part; i < n; i += 4 {
			if err := t.table.Create(t.Context(), upload(fmt.Sprintf("u%03d", i), "v1", store.UploadReceiving)); err != nil {
				t.Errorf("create: %v", err)
			}
		}
	})
}

func (t *tableTest) get(id string) store.Upload {
	t.Helper()
	rec, err := t.table.Get(t.Context(), id)
	check(t.T, err)
	return rec
}

// list returns the ids of a page.
func (t *tableTest) list(q store.Query) (ids []string, next string) {
	t.Helper()
	recs, next, err := t.table.List(t.Context(), q)
	check(t.T, err)
	for _, rec := range recs {
		ids = append(ids, rec.ID)
	}
	return ids, next
}

// wantList checks a list that fits one page.
func (t *tableTest) wantList(q store.Query, want ...string) {
	t.Helper()
	ids, next := t.list(q)
	same(t.T, fmt.Sprintf("list %+v", q), ids, want)
	same(t.T, "next", next, "")
}

func (t *tableTest) create() {
	want := upload("a", "v1", store.UploadReceiving)
	t.add(want)
	same(t.T, "record", t.get("a"), want)
	err := t.table.Create(t.Context(), upload("a", "v2", store.UploadComplete))
	wantErr(t.T, "create again", err, store.ErrExists)
	same(t.T, "record", t.get("a"), want)
	t.wantList(store.Query{Parent: "v2"})
}

func (t *tableTest) update() {
	want := upload("a", "v1", store.UploadReceiving)
	t.add(want)
	var given int64
	got, err := t.table.Update(t.Context(), "a", func(u *store.Upload) error {
		given = u.SizeBytes
		u.SizeBytes = 7
		u.Metadata["more"] = "x"
		return nil
	})
	check(t.T, err)
	same(t.T, "size given", given, want.SizeBytes)
	want.SizeBytes = 7
	want.Metadata = map[string]string{"filename": want.Metadata["filename"], "more": "x"}
	same(t.T, "returned", got, want)
	same(t.T, "stored", t.get("a"), want)
}

func (t *tableTest) updateFails() {
	want := upload("a", "v1", store.UploadReceiving)
	t.add(want)
	refusal := errors.New("refused")
	_, err := t.table.Update(t.Context(), "a", func(u *store.Upload) error {
		u.State = store.UploadExpired
		return refusal
	})
	if err != refusal { //nolint:errorlint // as it is, says the contract
		t.Errorf("got error %v, want the function's as it is", err)
	}
	same(t.T, "record", t.get("a"), want)
	t.wantList(store.Query{State: string(store.UploadExpired)})
}

func (t *tableTest) updateID() {
	t.add(upload("a", "v1", store.UploadReceiving))
	_, err := t.table.Update(t.Context(), "a", func(u *store.Upload) error {
		u.ID = "b"
		return nil
	})
	if err == nil {
		t.Error("an update changed the id")
	}
	t.wantList(store.Query{}, "a")
}

func (t *tableTest) delete() {
	t.add(upload("a", "v1", store.UploadReceiving), upload("b", "v1", store.UploadReceiving))
	check(t.T, t.table.Delete(t.Context(), "a"))
	wantErr(t.T, "delete again", t.table.Delete(t.Context(), "a"), store.ErrNotFound)
	_, err := t.table.Get(t.Context(), "a")
	wantErr(t.T, "get", err, store.ErrNotFound)
	t.wantList(store.Query{}, "b")
	t.wantList(store.Query{Parent: "v1"}, "b")
	t.wantList(store.Query{State: "receiving"}, "b")
	t.add(upload("a", "v2", store.UploadReceiving))
}

func (t *tableTest) unknown() {
	for _, id := range []string{"nobody", "", strings.Repeat("x", 100_000)} {
		_, err := t.table.Get(t.Context(), id)
		wantErr(t.T, "get", err, store.ErrNotFound)
		_, err = t.table.Update(t.Context(), id, func(*store.Upload) error {
			t.Error("the function was called")
			return nil
		})
		wantErr(t.T, "update", err, store.ErrNotFound)
		wantErr(t.T, "delete", t.table.Delete(t.Context(), id), store.ErrNotFound)
	}
	if t.table.Create(t.Context(), store.Upload{}) == nil {
		t.Error("a record without id was created")
	}
	t.wantList(store.Query{})
	t.wantList(store.Query{Parent: "nobody"})
	t.wantList(store.Query{State: "nothing"})
}

func (t *tableTest) copies() {
	given := upload("a", "v1", store.UploadReceiving)
	t.add(given)
	given.Metadata["filename"] = "changed by the giver"
	t.get("a").Parts[0] = "changed by a reader"
	rec, err := t.table.Update(t.Context(), "a", func(*store.Upload) error { return nil })
	check(t.T, err)
	rec.Parts[1] = "changed by an updater"
	same(t.T, "record", t.get("a"), upload("a", "v1", store.UploadReceiving))
}

func (t *tableTest) order() {
	t.wantList(store.Query{})
	t.add(
		upload("b", "v1", store.UploadReceiving), upload("a", "v1", store.UploadReceiving),
		upload("a1", "v1", store.UploadReceiving), upload("c", "v1", store.UploadReceiving))
	t.wantList(store.Query{}, "c", "b", "a1", "a")
	t.wantList(store.Query{Parent: "v1"}, "c", "b", "a1", "a")
	t.wantList(store.Query{State: "receiving"}, "c", "b", "a1", "a")
}

func (t *tableTest) narrow() {
	t.add(
		upload("a", "v1", store.UploadReceiving),
		upload("b", "v1", store.UploadComplete),
		upload("c", "v10", store.UploadComplete), // a name that begins as another
		upload("d", "v", store.UploadComplete),
		upload("e", "", ""),
		upload("f", "receiving", "v1")) // the same words the other way round
	t.wantList(store.Query{Parent: "v1"}, "b", "a")
	t.wantList(store.Query{Parent: "v"}, "d")
	t.wantList(store.Query{State: "complete"}, "d", "c", "b")
	t.wantList(store.Query{State: "receiving"}, "a")
	t.wantList(store.Query{Parent: "v1", State: "complete"}, "b")
	t.wantList(store.Query{Parent: "v10", State: "receiving"})
	t.wantList(store.Query{}, "f", "e", "d", "c", "b", "a")
}

func (t *tableTest) follow() {
	t.add(upload("a", "v1", store.UploadReceiving))
	_, err := t.table.Update(t.Context(), "a", func(u *store.Upload) error {
		u.State = store.UploadComplete
		u.VideoID = "v2"
		return nil
	})
	check(t.T, err)
	t.wantList(store.Query{State: "receiving"})
	t.wantList(store.Query{Parent: "v1"})
	t.wantList(store.Query{State: "complete"}, "a")
	t.wantList(store.Query{Parent: "v2"}, "a")
	t.wantList(store.Query{Parent: "v2", State: "complete"}, "a")
}

func (t *tableTest) pages() {
	t.addMany(10)
	for i := range 10 {
		if i%2 == 0 {
			t.add(upload(fmt.Sprintf("u%03d-other", i), "v2", store.UploadComplete))
		}
	}
	for _, q := range []store.Query{
		{Parent: "v1"}, {State: "receiving"}, {Parent: "v1", State: "receiving"},
	} {
		for _, limit := range []int{1, 3, 5, 10, 11} {
			q.Limit, q.Cursor = limit, ""
			t.wantPages(q, 10)
		}
	}
	t.wantPages(store.Query{Limit: 4}, 15)
}

// wantPages walks the pages of a query: total records, falling, no empty page.
func (t *tableTest) wantPages(q store.Query, total int) {
	t.Helper()
	var all []string
	for {
		ids, next := t.list(q)
		if len(ids) == 0 || len(ids) > q.Limit || next != "" && len(ids) < q.Limit {
			t.Fatalf("a page of %d ids, limit %d, next %q", len(ids), q.Limit, next)
		}
		all = append(all, ids...)
		if next == "" {
			break
		}
		q.Cursor = next
	}
	same(t.T, "records in all pages", len(all), total)
	for i := 1; i < len(all); i++ {
		if all[i] >= all[i-1] {
			t.Fatalf("%s comes after %s", all[i], all[i-1])
		}
	}
}

func (t *tableTest) pagesStand() {
	t.addMany(6)
	ids, next := t.list(store.Query{Limit: 2})
	same(t.T, "first page", ids, []string{"u005", "u004"})
	t.add(upload("u999", "v1", store.UploadReceiving))
	check(t.T, t.table.Delete(t.Context(), "u004")) // the one the cursor stands on
	check(t.T, t.table.Delete(t.Context(), "u003"))
	ids, _ = t.list(store.Query{Limit: 2, Cursor: next})
	same(t.T, "second page", ids, []string{"u002", "u001"})
}

func (t *tableTest) sizes() {
	t.addMany(store.MaxLimit + 1)
	for limit, want := range map[int]int{
		0: store.DefaultLimit, -1: store.DefaultLimit, 7: 7,
		store.MaxLimit: store.MaxLimit, 100_000: store.MaxLimit,
	} {
		ids, next := t.list(store.Query{Limit: limit})
		same(t.T, fmt.Sprintf("page of limit %d", limit), len(ids), want)
		if next == "" {
			t.Errorf("limit %d: there is a next page, but no cursor", limit)
		}
	}
}

func (t *tableTest) cursors() {
	t.add(upload("a", "v1", store.UploadReceiving))
	for _, cursor := range []string{"a", "x", "!", "\x00", "YQ", "%2F", strings.Repeat("A", 5000)} {
		_, _, err := t.table.List(t.Context(), store.Query{Cursor: cursor})
		wantErr(t.T, fmt.Sprintf("cursor %.20q", cursor), err, store.ErrCursor)
	}
}

func (t *tableTest) cancelledContext() {
	want := upload("a", "v1", store.UploadReceiving)
	t.add(want)
	ctx := cancelled(t.T)
	for name, call := range map[string]func() error{
		"create": func() error { return t.table.Create(ctx, upload("b", "v1", store.UploadReceiving)) },
		"get":    func() error { _, err := t.table.Get(ctx, "a"); return err },
		"update": func() error {
			_, err := t.table.Update(ctx, "a", func(u *store.Upload) error { u.SizeBytes = 1; return nil })
			return err
		},
		"delete": func() error { return t.table.Delete(ctx, "a") },
		"list":   func() error { _, _, err := t.table.List(ctx, store.Query{}); return err },
	} {
		wantErr(t.T, name, call(), context.Canceled)
	}
	same(t.T, "record", t.get("a"), want)
	t.wantList(store.Query{}, "a")
}

func (t *tableTest) manyCreate() {
	const callers = 16
	errs := make([]error, callers)
	together(callers, func(i int) {
		errs[i] = t.table.Create(t.Context(), upload("same", fmt.Sprintf("v%d", i), store.UploadReceiving))
	})
	winner := ""
	for i, err := range errs {
		if err != nil {
			wantErr(t.T, "a loser", err, store.ErrExists)
			continue
		}
		if winner != "" {
			t.Fatal("two creates of one id succeeded")
		}
		winner = fmt.Sprintf("v%d", i)
	}
	same(t.T, "the kept one is the winner's", t.get("same").VideoID, winner)
}

func (t *tableTest) manyUpdate() {
	t.add(upload("a", "v1", store.UploadReceiving))
	const callers, times = 16, 5
	refusal := errors.New("refused")
	together(callers, func(i int) {
		for range times {
			_, err := t.table.Update(t.Context(), "a", func(u *store.Upload) error {
				u.SizeBytes++
				if i%4 == 0 {
					return refusal // must not spoil the others
				}
				return nil
			})
			if err != nil && i%4 != 0 {
				t.Errorf("update: %v", err)
			}
		}
	})
	same(t.T, "sum", t.get("a").SizeBytes, int64(-1+callers*times*3/4))
}
