package ui

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// element is one element of a page.
type element struct {
	name   string
	attrs  map[string]string
	text   string // all text inside, however deep
	inside []*element
}

// parse reads a page. Its elements must be closed in order: the parser of XML
// is stricter than a browser.
func parse(t *testing.T, body string) *element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	root := &element{}
	around := []*element{root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v\n%s", err, body)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				if _, twice := e.attrs[a.Name.Local]; twice {
					t.Errorf("<%s> has two %s", e.name, a.Name.Local)
				}
				e.attrs[a.Name.Local] = a.Value
			}
			last := around[len(around)-1]
			last.inside = append(last.inside, e)
			around = append(around, e)
		case xml.EndElement:
			around = around[:len(around)-1]
		case xml.CharData:
			for _, e := range around {
				e.text += string(token)
			}
		}
	}
}

// all returns the elements inside that a simple selector means: "video" or
// ".making"; "" is every one.
func (e *element) all(selector string) []*element {
	var found []*element
	for _, in := range e.inside {
		class, isClass := strings.CutPrefix(selector, ".")
		if selector == "" || in.name == selector || isClass && slices.Contains(strings.Fields(in.attrs["class"]), class) {
			found = append(found, in)
		}
		found = append(found, in.all(selector)...)
	}
	return found
}

// one is the only element of a selector.
func (e *element) one(t *testing.T, selector string) *element {
	t.Helper()
	found := e.all(selector)
	if len(found) != 1 {
		t.Fatalf("the page has %d of %q, not one", len(found), selector)
	}
	return found[0]
}

// checkHeaders: what every answer with a page carries.
func checkHeaders(t *testing.T, h http.Header, policy string) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type":            "text/html; charset=utf-8",
		"Content-Security-Policy": policy,
		"Referrer-Policy":         "no-referrer",
		"X-Content-Type-Options":  "nosniff",
		"Cache-Control":           "private, no-cache",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// checkPolicy: a page has nothing that its Content-Security-Policy forbids,
// which a browser would drop without a word.
func checkPolicy(t *testing.T, p page) {
	t.Helper()
	for _, e := range p.all("") {
		for name := range e.attrs {
			if name == "style" || strings.HasPrefix(name, "on") {
				t.Errorf("<%s> has the inline %s", e.name, name)
			}
		}
		if e.name == "style" || e.name == "script" && (e.text != "" || e.attrs["src"] == "") {
			t.Errorf("an inline <%s>: %q", e.name, e.text)
		}
	}
}

// checkAccess: what assistive tools need.
func checkAccess(t *testing.T, p page) {
	t.Helper()
	if lang := p.one(t, "html").attrs["lang"]; lang != "en" {
		t.Errorf("the page's language is %q", lang)
	}
	if p.one(t, "h1").text == "" || p.one(t, "title").text == "" {
		t.Error("a heading or title is empty")
	}
	p.one(t, "main")
	if !slices.ContainsFunc(p.all("meta"), func(m *element) bool {
		return m.attrs["name"] == "viewport" && strings.Contains(m.attrs["content"], "width=device-width")
	}) {
		t.Error("the page has no viewport")
	}
	for _, e := range p.all("") {
		checkName(t, e)
	}
}

// checkName: what can be used, or stands for something, says what it is.
func checkName(t *testing.T, e *element) {
	t.Helper()
	label := strings.TrimSpace(e.attrs["aria-label"])
	switch e.name {
	case "button", "a", "summary":
		if label == "" && strings.TrimSpace(e.text) == "" {
			t.Errorf("<%s class=%q> has no name", e.name, e.attrs["class"])
		}
	case "input", "select", "progress":
		if label == "" {
			t.Errorf("<%s class=%q> has no name", e.name, e.attrs["class"])
		}
	case "img":
		if _, ok := e.attrs["alt"]; !ok {
			t.Errorf("<img src=%q> has no alt", e.attrs["src"])
		}
	case "svg":
		if label == "" && e.attrs["aria-hidden"] != "true" {
			t.Error("a drawing has neither a name nor is it hidden")
		}
	case "div", "span": // these have no role of their own, and a name needs one
		if label != "" && e.attrs["role"] == "" || e.attrs["tabindex"] != "" && label == "" {
			t.Errorf("<%s class=%q> has name %q and role %q", e.name, e.attrs["class"], label, e.attrs["role"])
		}
	}
}

// checkAssets: a page refers to this node only, by paths, and every asset that
// it names exists.
func checkAssets(t *testing.T, s *site, p page) {
	t.Helper()
	scripts := 0
	for _, e := range p.all("") {
		for _, name := range []string{"src", "href", "poster", "data-hls", "data-storyboard"} {
			ref, ok := e.attrs[name]
			if !ok || ref == "" && name == "data-storyboard" {
				continue
			}
			if rel := e.attrs["rel"]; rel == "canonical" || rel == "alternate" { // for those who read the page elsewhere
				ref, ok = strings.CutPrefix(ref, nodeURL)
				if w := s.ask(http.MethodGet, ref); !ok || w.Code != http.StatusOK {
					t.Errorf("the %s address is %q: status %d", rel, e.attrs["href"], w.Code)
				}
				continue
			}
			if u, err := url.Parse(ref); err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
				t.Errorf("<%s> refers to %q", e.name, ref)
			}
			if e.name == "link" || e.name == "script" {
				scripts++
				if w := s.ask(http.MethodGet, ref); w.Code != http.StatusOK || w.Body.Len() == 0 {
					t.Errorf("the page needs %s: status %d", ref, w.Code)
				}
			}
		}
	}
	if scripts < 2 {
		t.Errorf("the page has %d assets: the walk is wrong", scripts)
	}
}
