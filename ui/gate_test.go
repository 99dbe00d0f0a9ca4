package ui

import (
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"streamgate/app/rpc"
)

const chain = "http://127.0.0.1:8545"

// gated is the film behind a rule.
func gated() *rpc.Video {
	return with(func(v *rpc.Video) { v.Public, v.Gated, v.PosterUrl = false, true, "" })
}

func TestGate(t *testing.T) {
	p := newSite(t, gated()).open(t, "/watch/film", http.StatusOK)
	gate := p.one(t, ".gate")
	if got := gate.attrs["data-video"]; got != "film" {
		t.Errorf("the gate is of %q", got)
	}
	if got := gate.one(t, "h1").text; got != "A film" {
		t.Errorf("the gate is headed %q", got)
	}
	if why := gate.one(t, ".why"); why.attrs["role"] != "status" || why.text == "" {
		t.Errorf("the line that tells is %q, with role %q", why.text, why.attrs["role"])
	}
	for _, media := range []string{"/v/film", "/s/", "10:34", "1080p"} {
		if strings.Contains(p.body, media) {
			t.Errorf("the gate tells %q of the video behind it", media)
		}
	}
	if len(p.all(".demo")) > 0 || strings.Contains(p.body, "demo.") {
		t.Error("without a development chain the gate has a demonstration")
	}
}

// TestGateHides: before anything was asked the gate offers nothing, so that
// nothing flickers.
func TestGateHides(t *testing.T) {
	gate := newSite(t, gated()).open(t, "/watch/film", http.StatusOK).one(t, ".gate")
	for _, e := range shown(gate) {
		if e.name != "h1" && e.name != "noscript" && e.attrs["class"] != "why" {
			t.Errorf("<%s class=%q> is shown at once", e.name, e.attrs["class"])
		}
	}
}

// shown are the elements of a part that are not hidden and can be seen or
// used: all but those that only hold others.
func shown(part *element) (found []*element) {
	for _, e := range part.inside {
		_, hidden := e.attrs["hidden"]
		switch {
		case hidden:
		case e.name == "div":
			found = append(found, shown(e)...)
		default:
			found = append(found, e)
		}
	}
	return found
}

// TestGateOrder: who may pass is asked before anything is told of the state of
// the video, and a public video has no gate.
func TestGateOrder(t *testing.T) {
	for _, change := range []func(*rpc.Video){
		func(v *rpc.Video) { v.State, v.Error = "failed", &rpc.Failure{Message: "Not for you."} },
		func(v *rpc.Video) { v.State, v.DurationSeconds = "processing", 0 },
		func(v *rpc.Video) { v.State, v.DurationSeconds = "uploading", 0 },
	} {
		v := gated()
		change(v)
		p := newSite(t, v).open(t, "/watch/film", http.StatusOK)
		p.one(t, ".gate")
		if strings.Contains(p.body, "Not for you.") || p.header.Get("Refresh") != "" {
			t.Errorf("the gate of a %s video tells of it", v.State)
		}
	}
	v := gated()
	v.Public = true
	newSite(t, v).open(t, "/watch/film", http.StatusOK).one(t, ".player")
}

func TestGateDemo(t *testing.T) {
	s := newSite(t, gated(), with(func(v *rpc.Video) { v.Id = "open" }))
	s.ui.DemoChain = chain + "/rpc?x=1"
	p := s.openUnder(t, "/watch/film", http.StatusOK, withChain(policy, chain))
	if got := p.one(t, ".demo").attrs["data-chain"]; got != s.ui.DemoChain {
		t.Errorf("the demonstration asks %q", got)
	}
	var scripts []string
	for _, e := range p.all("script") {
		name, _, _ := strings.Cut(path.Base(e.attrs["src"]), ".")
		scripts = append(scripts, name)
	}
	if want := []string{"hls", "api", "session", "memory", "mediakeys", "share", "watch", "wallet", "demo", "gate"}; !slices.Equal(scripts, want) {
		t.Errorf("the gate loads %v, want %v", scripts, want)
	}
	s.open(t, "/watch/open", http.StatusOK) // under the usual policy
	s.open(t, "/", http.StatusOK)
}

func TestGatePolicy(t *testing.T) {
	for chain, origin := range map[string]string{
		"": "", "not a url": "", "/path": "", "http://": "", "http://a b/": "",
		chain:                              " " + chain,
		"https://chain.example/v1/rpc?k=v": " https://chain.example",
	} {
		want := strings.Replace(policy, "connect-src 'self';", "connect-src 'self'"+origin+";", 1)
		if got := withChain(policy, chain); got != want {
			t.Errorf("with the chain %q the policy is %q, want %q", chain, got, want)
		}
	}
}

// TestGateScripts: what the scripts look for is on the page.
func TestGateScripts(t *testing.T) {
	s := newSite(t, gated())
	s.ui.DemoChain = chain
	p := s.openUnder(t, "/watch/film", http.StatusOK, withChain(policy, chain))
	for script, least := range map[string]int{"gate.js": 20, "demo.js": 3} {
		source, err := os.ReadFile("../assets/src/" + script)
		if err != nil {
			t.Fatal(err)
		}
		looks := regexp.MustCompile("(?:\\$|show|submit|querySelector)\\(['`](\\.[a-z-]+(?: [a-z]+)?)['`]").FindAllSubmatch(source, -1)
		if len(looks) < least {
			t.Fatalf("%s looks for %d things: the search is wrong", script, len(looks))
		}
		for _, look := range looks {
			name := string(look[1])
			if ofSession := name == ".player" || name == ".notice p"; !ofSession && len(within(p.element, name)) == 0 {
				t.Errorf("%s looks for %q, which the gate lacks", script, name)
			}
		}
	}
	for _, name := range []string{".password input", ".code input"} { // the names that gate.js puts together
		if len(within(p.element, name)) != 1 {
			t.Errorf("the gate has no %s", name)
		}
	}
}

// within returns the elements of ".outer inner" or ".outer".
func within(e *element, selector string) []*element {
	outer, inner, nested := strings.Cut(selector, " ")
	found := e.all(outer)
	if !nested {
		return found
	}
	var deep []*element
	for _, one := range found {
		deep = append(deep, one.all(inner)...)
	}
	return deep
}
