package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/ui"
)

// gatedFilm is a video, which wallet "holder" may watch if a rule guards it.
type gatedFilm struct {
	services
	video *rpc.Video
	as    string // for whom the last session was made
}

func (g *gatedFilm) GetVideo(context.Context, *rpc.GetVideoRequest) (*rpc.Video, error) {
	return g.video, nil
}

func (g *gatedFilm) GetVideoRule(context.Context, *rpc.GetVideoRuleRequest) (*rpc.VideoRule, error) {
	return &rpc.VideoRule{Rule: &structpb.Struct{}}, nil
}

func (g *gatedFilm) CheckAccess(_ context.Context, req *rpc.CheckAccessRequest) (*rpc.Decision, error) {
	if req.Wallet == "nonsense" {
		return nil, rpc.Invalid("invalid_wallet", "The wallet is no address.")
	}
	d := &rpc.Decision{Admit: req.Wallet == "holder", Wallet: req.Wallet, Tree: &rpc.RuleResult{Kind: "erc721", Wants: "a token", Result: "fail"}}
	if !d.Admit {
		d.Sentence, d.Admits = "You do not hold it. "+hostile, []string{"Hold a token of A."}
	}
	return d, nil
}

func (g *gatedFilm) CreateSession(_ context.Context, req *rpc.CreateSessionRequest) (*rpc.Session, error) {
	g.as = req.Wallet
	return &rpc.Session{Id: "s", Token: "ticket"}, nil
}

func newFilmSite(t *testing.T, video *rpc.Video) (*site, *gatedFilm) {
	t.Helper()
	s := newSite(t)
	film := &gatedFilm{video: video}
	s.Library, s.Access = film, film
	return s, film
}

func (s *site) look(path string) (int, string) {
	w := s.send(http.MethodGet, path, nil, s.cookies[console.ReadOnly], nil)
	return w.Code, w.Body.String()
}

// TestPlayers: HLS plays in the watch page, DASH in a page of its own, which only
// the console may frame.
func TestPlayers(t *testing.T) {
	s, film := newFilmSite(t, &rpc.Video{Id: "film", Title: hostile, State: "ready", DurationSeconds: 12})
	for path, want := range map[string][]string{
		"/console/videos/film":             {`src="/console/videos/film/player"`, `href="/console/videos/film" aria-current="page"`},
		"/console/videos/film?player=dash": {`src="/console/videos/film/player?format=dash"`, `href="/console/videos/film?player=dash" aria-current="page"`},
	} {
		code, page := s.look(path)
		for _, text := range want {
			if code != http.StatusOK || !strings.Contains(page, text) {
				t.Errorf("%s: status %d; it lacks %s", path, code, text)
			}
		}
	}
	w := s.send(http.MethodGet, "/console/videos/film/player?as=holder", nil, s.cookies[console.ReadOnly], nil)
	if to := w.Header().Get("Location"); to != "/s/ticket/" || film.as != "holder" {
		t.Errorf("HLS leads to %s, as %q", to, film.as)
	}
	w = s.send(http.MethodGet, "/console/videos/film/player?format=dash", nil, s.cookies[console.ReadOnly], nil)
	if page := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(page, `data-url="/s/ticket/manifest.mpd"`) || film.as != "" {
		t.Errorf("DASH: status %d, as %q, %s", w.Code, film.as, page)
	}
	if got := w.Header().Get("Content-Security-Policy"); got != playerPolicy || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("its policy is %s", got)
	}
	checkHostile(t, w)
}

// TestSeenAs: what the watch page says to a wallet.
func TestSeenAs(t *testing.T) {
	gated := &rpc.Video{Id: "film", Title: "Film", State: "ready", DurationSeconds: 12, Gated: true}
	for _, c := range []struct {
		name, as    string
		video       *rpc.Video
		status      int
		want, lacks []string
	}{
		{"admitted", "holder", gated, 200, []string{"plays the video", `src="/console/videos/film/player?as=holder"`, "As yourself", "How this was decided"}, []string{"would let you in"}},
		{"refused", "0x1", gated, 200, []string{"You do not hold it.", "What would let you in", "Hold a token of A.", `value="0x1"`}, []string{"<iframe", "<script>alert"}},
		{"a stranger", "", gated, 200, []string{"somebody who has not signed in", "You do not hold it."}, []string{"<iframe"}},
		{"no wallet", "nonsense", gated, 422, []string{"The wallet is no address.", `value="nonsense"`, `id="seen-as-error"`, `src="/console/videos/film/player"`}, nil},
		{"public", "0x1", &rpc.Video{Id: "film", State: "ready", DurationSeconds: 12, Public: true}, 200, []string{"plays the video", `src="/console/videos/film/player"`}, nil},
		{"private", "0x1", &rpc.Video{Id: "film", State: "ready", DurationSeconds: 12}, 200, []string{ui.PrivateTitle, ui.PrivateDetail}, []string{"<iframe"}},
		{"failed", "0x1", &rpc.Video{Id: "film", State: "failed", Public: true, Error: &rpc.Failure{Message: "No video."}}, 200, []string{"cannot be played", "No video."}, []string{"<iframe"}},
		{"admitted to what is not there yet", "holder", &rpc.Video{Id: "film", State: "uploading", Gated: true}, 200, []string{"is not here yet"}, []string{"<iframe"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newFilmSite(t, c.video)
			code, page := s.look("/console/videos/film?" + url.Values{"as": {c.as}}.Encode())
			if code != c.status {
				t.Errorf("status %d", code)
			}
			for _, want := range c.want {
				if !strings.Contains(strings.Join(strings.Fields(page), " "), want) {
					t.Errorf("it lacks %q: %s", want, page)
				}
			}
			for _, bad := range c.lacks {
				if strings.Contains(page, bad) {
					t.Errorf("it has %q", bad)
				}
			}
		})
	}
}
