package console

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"streamgate/app/console"
	"streamgate/app/events"
)

// TestMetricsPage: what scripts draw and what the table says are the same values,
// with a gap where nothing was seen.
func TestMetricsPage(t *testing.T) {
	s := newSite(t)
	w := s.send(http.MethodGet, "/console/metrics?range=6h", nil, s.cookies[console.ReadOnly], nil)
	page := w.Body.String()
	found := regexp.MustCompile(`id="values-queue" data-points="([^"]*)"`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no points: %s", page)
	}
	var p points
	if err := json.Unmarshal([]byte(html.UnescapeString(found[1])), &p); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, series := range p.Series {
		for _, v := range series {
			if v == nil {
				got += " -"
			} else {
				got += " " + short(*v)
			}
		}
		got += ","
	}
	if got != " 1 - - 2, - 3 - -," || p.Step != 15 {
		t.Errorf("points %s, a step of %d", got, p.Step)
	}
	for _, want := range []string{`hx-get="/console/metrics?range=6h"`, `aria-current="page">6 h`, ">Copy</button>", "jobs that can begin", `<td class="num">3</td>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for query, want := range map[string]int{
		"?from=1700000000&to=1700003600": 200, "?from=5&to=4": 400, "?from=x&to=y": 400, "?from=1": 400, "?range=never": 200, "?from=1&to=99999999999999": 400,
	} {
		if w := s.send(http.MethodGet, "/console/metrics"+query, nil, s.cookies[console.ReadOnly], nil); w.Code != want {
			t.Errorf("%s: status %d", query, w.Code)
		}
	}
}

// TestChartsAreOfMetrics: every chart has a name, and no line more than the
// colours that there are.
func TestChartsAreOfMetrics(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range charts() {
		if seen[c.id] || len(c.lines) == 0 || len(c.lines) > 3 {
			t.Errorf("%+v", c)
		}
		seen[c.id] = true
	}
}

// TestWebhookForms: a key is shown once, what was typed stays, and no event is
// no choice.
func TestWebhookForms(t *testing.T) {
	s := newSite(t)
	all := events.ForWebhooks()
	const unix0 = "1970-01-01T00:00:00Z" // the fake's webhook never changed
	for _, c := range []struct {
		path   string
		form   url.Values
		status int
		want   string
	}{
		{"", url.Values{"url": {"https://a.example/"}, "event": all}, 200, "whsec_shown"},
		{"", url.Values{"url": {""}, "description": {"kept"}, "event": {"video.ready"}}, 422, `value="kept"`},
		{"", url.Values{"url": {"https://kept.example/"}}, 422, `value="https://kept.example/"`},
		{"/film", url.Values{"do": {"rotate"}}, 200, "whsec_rotated"},
		{"/film", url.Values{"do": {"save"}, "version": {unix0}}, 422, "Choose at least one event."},
		{"/film", url.Values{"do": {"save"}, "version": {unix0}, "event": {"video.ready"}}, 303, ""},
		{"/film", url.Values{"do": {"save"}, "event": {"video.ready"}}, 409, "Somebody has changed"},
		{"/film", url.Values{"do": {"test"}}, 303, ""},
		{"/film", url.Values{"do": {"pause"}}, 303, ""},
		{"/film", url.Values{"do": {"resume"}}, 303, ""},
		{"/film", url.Values{"do": {"delete"}}, 303, ""},
		{"/film", url.Values{"do": {"nothing"}}, 303, ""},
		{"/film/redeliver", url.Values{"delivery": {"d"}}, 303, ""},
	} {
		w := s.send(http.MethodPost, "/console/webhooks"+c.path, c.form, s.cookies[console.Operator], nil)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %v: status %d, %s", c.path, c.form, w.Code, w.Body)
		}
	}
	if got := picked(url.Values{"event": all}); len(got) != 1 || got[0] != "*" {
		t.Errorf("all events are %v", got)
	}
}

// TestSilenceForm: a reason that is missing is asked for where it is typed.
func TestSilenceForm(t *testing.T) {
	s := newSite(t)
	w := s.send(http.MethodPost, "/console/alerts/film/silence", url.Values{"seconds": {"3600"}}, s.cookies[console.Operator], nil)
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "Write why.") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	w = s.send(http.MethodPost, "/console/alerts/film/silence", url.Values{"seconds": {"3600"}, "reason": {"r"}}, s.cookies[console.Operator], nil)
	if w.Code != http.StatusSeeOther {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if page := s.send(http.MethodGet, "/console/alerts", nil, s.cookies[console.Operator], nil).Body.String(); strings.Contains(page, `href="//evil`) {
		t.Error("a link leads away")
	}
}
