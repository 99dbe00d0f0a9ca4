package console

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"streamgate/app/console"
	"streamgate/store"
)

// TestDecisionsPage: decisions are narrowed by video, wallet and outcome, page by
// page, and a link leads to every one of them.
func TestDecisionsPage(t *testing.T) {
	s := newSite(t)
	const wallets = 3
	for i := range 4 * decisionsPage {
		d := store.Decision{
			ID: fmt.Sprintf("a%03d", i), VideoID: "film", Outcome: store.DecisionAdmitted, Wallet: fmt.Sprintf("0xAb%d", i%wallets), Count: 1,
			First: time.Now(), Last: time.Now(),
		}
		if i%2 == 1 {
			d.Outcome, d.VideoID, d.Reason, d.Why = store.DecisionRefused, "other", "not_a_holder", "It has none."
		}
		if err := s.catalog.Decisions.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		query string
		rows  int // in all pages
		has   string
	}{
		"everything":          {"", 4*decisionsPage + 1, "not_a_holder"},
		"of a video":          {"video=film", 2*decisionsPage + 1, "/console/videos/film"},
		"of a part of title":  {"video=ALERT", 2*decisionsPage + 1, "/console/videos/film"},
		"of one that is gone": {"video=other", 2 * decisionsPage, "It has none."},
		"of a wallet":         {"wallet=0xab1", (4*decisionsPage + 1) / wallets, "0xAb1"},
		"admitted":            {"outcome=admitted", 2 * decisionsPage, "admitted"},
		"of no such outcome":  {"outcome=nonsense", 4*decisionsPage + 1, "every outcome"},
		"of all three":        {"video=other&wallet=0xAB1&outcome=refused", 2*decisionsPage/wallets + 1, "refused"},
		"nothing matches":     {"video=nothing", 0, "No decision matches"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, path := 0, "/console/access?"+c.query
			for path != "" {
				w := s.send(http.MethodGet, path, nil, s.cookies[console.Operator], nil)
				page := w.Body.String()
				if w.Code != http.StatusOK || rows == 0 && !strings.Contains(page, c.has) {
					t.Fatalf("%s: status %d, without %q", path, w.Code, c.has)
				}
				_, part, _ := strings.Cut(page, `id="decisions"`)
				part, _, _ = strings.Cut(part, "Ended lately")
				rows += strings.Count(part, "<tr>") - strings.Count(part, "<thead>")
				path = older(part)
			}
			if rows != c.rows {
				t.Errorf("%d rows, want %d", rows, c.rows)
			}
		})
	}
	w := s.send(http.MethodGet, "/console/access?cursor=nonsense", nil, s.cookies[console.Operator], nil)
	if w.Code != http.StatusBadRequest {
		t.Errorf("a cursor of nobody: status %d", w.Code)
	}
}

var nextLink = regexp.MustCompile(`<a href="([^"]*)" rel="next"`)

// older is where the next page is.
func older(page string) string {
	m := nextLink.FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	to, err := url.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
	if err != nil {
		return ""
	}
	to.Fragment = ""
	return to.String()
}
