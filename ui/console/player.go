package console

import (
	"net/http"
	"net/url"

	"streamgate/app/rpc"
	"streamgate/ui"
)

// playerPolicy is the policy of the page of the DASH player, which stands in a
// frame of the console.
const playerPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// playerView is the player of a video's page: what is in its frame, and the page
// with the other player.
type playerView struct {
	Src, HLS, DASH string
	IsDASH         bool
}

// newPlayer follows the page's own address: player=dash chooses DASH.
func (v *visit) newPlayer(path string, seen seenView) playerView {
	asked := url.Values{}
	if seen.Asked {
		asked.Set("as", seen.Typed)
	}
	p := playerView{IsDASH: v.r.URL.Query().Get("player") == "dash"}
	p.HLS = withQuery(path, asked)
	frame := url.Values{}
	if seen.As != "" {
		frame.Set("as", seen.As)
	}
	if p.IsDASH {
		frame.Set("format", "dash")
	}
	p.Src = withQuery(path+"/player", frame)
	asked.Set("player", "dash")
	p.DASH = withQuery(path, asked)
	return p
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// dashView is a page with nothing but a player of DASH.
type dashView struct{ Title, Manifest, Poster string }

// player opens the watch page with a session of the person's own, or one that is
// as a wallet has it; or, where DASH is asked for, which the watch page does not
// play, a page that does.
func (v *visit) player() {
	id, q := v.r.PathValue("id"), v.r.URL.Query()
	session, err := v.Access.CreateSession(v.ctx, &rpc.CreateSessionRequest{VideoId: id, Wallet: q.Get("as")})
	if err != nil {
		v.fail(err)
		return
	}
	media := "/s/" + session.Token + "/"
	if q.Get("format") != "dash" {
		v.redirect(media)
		return
	}
	video, err := v.Library.GetVideo(v.ctx, &rpc.GetVideoRequest{Id: id})
	if err != nil {
		v.fail(err)
		return
	}
	view := dashView{Title: printable(video.Title), Manifest: media + "manifest.mpd"}
	if video.Poster {
		view.Poster = media + "poster.jpg"
	}
	v.w.Header().Set("Content-Security-Policy", playerPolicy)
	v.render(http.StatusOK, dashPage(v.Assets, view))
}

// seenView is the watch page as somebody sees it.
type seenView struct {
	Asked         bool
	Typed, Error  string
	Who           string
	Plays         bool
	As            string // the wallet that the player's session is for, "" for the person's own
	Title, Detail string // what the page says, if it does not play
	Admits        []string
	Parts         []tryRow
}

// seenBy finds out what the watch page says to the wallet that the page's own
// address names with as; to nobody who has signed in, if that is empty.
func (v *visit) seenBy(video *rpc.Video) (seenView, error) {
	q := v.r.URL.Query()
	if !q.Has("as") {
		return seenView{}, nil
	}
	typed := q.Get("as")
	seen := seenView{Asked: true, Typed: printable(typed), Who: "somebody who has not signed in"}
	if typed != "" {
		seen.Who = wallet(seen.Typed)
	}
	title, detail := ui.Unplayable(video)
	switch {
	case video.Public:
	case !video.Gated:
		title, detail = ui.PrivateTitle, ui.PrivateDetail
	default:
		decision, err := v.Access.CheckAccess(v.ctx, &rpc.CheckAccessRequest{VideoId: video.Id, Wallet: typed})
		if err != nil {
			text, expected := sentence(err)
			if !expected {
				return seen, err
			}
			return seenView{Typed: seen.Typed, Error: text}, nil
		}
		seen.Parts = tryRows(nil, decision.Tree)
		if seen.As = decision.Wallet; !decision.Admit {
			title, detail, seen.Admits = video.Title, decision.Sentence, decision.Admits
		}
	}
	seen.Title, seen.Detail, seen.Plays = printable(title), printable(detail), title == ""
	return seen, nil
}
