package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"streamgate/store"
)

func (v *visit) settings() {
	v.page(http.StatusOK, "Settings", "/console/settings", settingsPage(v.Settings()))
}

// auditView is a page of the audit log.
type auditView struct {
	Entries []auditRow
	Next    string
	Kind    string
	Object  string
	Verdict string
	Whole   bool
}

// auditRow is one change.
type auditRow struct {
	Number, Who, Client, Action, Object, Href, Hash string
	At                                              stamp
	Lines, More                                     []string // "title: a → b"
}

// shownLines is how many lines of a change are shown at once.
const shownLines = 4

// auditKinds are what the log can be narrowed by.
var auditKinds = []string{
	"video", "task", "tasks", "queue", "worker", "transcoder", "rule", "session", "codes", "key", "webhook", "person", "console_session", "upload",
}

func (v *visit) audit() { v.showAudit("", true) }

func (v *visit) showAudit(verdict string, whole bool) {
	q := v.r.URL.Query()
	view := auditView{Kind: q.Get("kind"), Object: strings.TrimSpace(q.Get("object")), Verdict: verdict, Whole: whole}
	entries, next, err := v.Audit.List(v.ctx, store.Query{State: view.Kind, Parent: view.Object, Cursor: q.Get("cursor"), Limit: pageSize})
	if err != nil {
		v.fail(err)
		return
	}
	for _, e := range entries {
		view.Entries = append(view.Entries, newAuditRow(e))
	}
	if next != "" {
		view.Next = "/console/audit?" + url.Values{"kind": {view.Kind}, "object": {view.Object}, "cursor": {next}}.Encode()
	}
	v.page(http.StatusOK, "Audit", "/console/audit", auditPage(view))
}

func newAuditRow(e store.AuditEntry) auditRow {
	row := auditRow{
		Number: strings.TrimLeft(e.ID, "0"), Who: e.Who, Client: e.Client, Action: e.Action, Object: printable(e.Object),
		Hash: e.Hash[:min(len(e.Hash), 12)], At: ago(e.At), Lines: lines(e.Before, e.After),
	}
	if len(row.Lines) > shownLines {
		row.Lines, row.More = row.Lines[:shownLines], row.Lines[shownLines:]
	}
	switch e.Kind {
	case "video":
		row.Href = "/console/videos/" + url.PathEscape(e.Object)
	case "task":
		row.Href = "/console/tasks/" + url.PathEscape(e.Object)
	}
	return row
}

// lines write what changed, a field a line.
func lines(before, after json.RawMessage) (out []string) {
	old, now := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	_ = json.Unmarshal(before, &old) // nothing is no object
	_ = json.Unmarshal(after, &now)
	for _, key := range keysOf(old, now) {
		was, is := shortValue(old[key]), shortValue(now[key])
		switch {
		case was == "":
			out = append(out, fmt.Sprintf("%s: %s", key, is))
		case is == "":
			out = append(out, fmt.Sprintf("%s: %s (before)", key, was))
		default:
			out = append(out, fmt.Sprintf("%s: %s → %s", key, was, is))
		}
	}
	return out
}

func shortValue(raw json.RawMessage) string {
	text := string(raw)
	var s string
	if json.Unmarshal(raw, &s) == nil {
		text = s
	}
	if r := []rune(text); len(r) > 120 {
		text = string(r[:120]) + "…"
	}
	return printable(text)
}

func (v *visit) verifyAudit() {
	verdict, err := v.Audit.Verify(v.ctx)
	switch {
	case err != nil:
		v.back("/console/audit", "", err)
	case verdict.Fault != "":
		v.showAudit(fmt.Sprintf("%s Entry %s.", verdict.Fault, strings.TrimLeft(verdict.At, "0")), false)
	default:
		v.showAudit(fmt.Sprintf("The chain is whole: %s.", many(verdict.Entries, "entry", "entries")), true)
	}
}

// keysOf are the keys of two objects, in order.
func keysOf(a, b map[string]json.RawMessage) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
