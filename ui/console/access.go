package console

import (
	"fmt"
	"net/http"
	"strings"

	"streamgate/app/rpc"
)

const (
	accessPath = "/console/access"
	rulesPath  = accessPath + "/rules"
	codesPath  = accessPath + "/codes"
)

// accessPages are the tabs of the access page.
var accessPages = []filterTab{{Href: accessPath, Name: "Sessions"}, {Href: rulesPath, Name: "Named rules"}, {Href: codesPath, Name: "Ticket codes"}}

// accessView is who watches, who was ended and why, and the chains.
type accessView struct {
	Live, Ended []sessionRow
	Decisions   decisionsView
	More        bool
	Chains      []chainRow
}

// sessionRow is one playback session.
type sessionRow struct {
	ID, VideoID, Title, Who, Wallet, State, Why, Code string
	Began, Until                                      stamp
}

// chainRow is one endpoint.
type chainRow struct{ Chain, Endpoint, State, Requests, Mean, Errors string }

func (v *visit) access() {
	view := accessView{}
	videos, err := v.titles(v.ctx)
	if err != nil {
		v.fail(err)
		return
	}
	for _, list := range []struct {
		state string
		into  *[]sessionRow
	}{{"live", &view.Live}, {"ended", &view.Ended}} {
		out, err := v.Access.ListSessions(v.ctx, &rpc.ListSessionsRequest{State: list.state, Limit: pageSize})
		if err != nil {
			v.fail(err)
			return
		}
		view.More = view.More || out.NextCursor != ""
		for _, s := range out.Sessions {
			*list.into = append(*list.into, newSessionRow(s, videos))
		}
	}
	if view.Decisions, err = v.decisions(videos); err != nil {
		v.fail(err)
		return
	}
	for _, c := range v.Chains() {
		row := chainRow{c.Chain, c.Endpoint, "up", fmt.Sprint(c.Requests), fmt.Sprintf("%.0f ms", 1000*c.MeanSeconds), fmt.Sprintf("%.0f", c.Errors)}
		if !c.Up {
			row.State = "down"
		}
		view.Chains = append(view.Chains, row)
	}
	v.page(http.StatusOK, "Access: "+many(len(view.Live), "session", "sessions"), accessPath, accessPage(view))
}

func newSessionRow(s *rpc.Session, videos map[string]*rpc.Video) sessionRow {
	row := sessionRow{
		ID: s.Id, VideoID: s.VideoId, Title: shortID(s.VideoId), State: s.State, Wallet: s.Wallet,
		Began: agoOf(s.CreatedAt), Until: agoOf(s.EndsAt), Why: printable(s.GetError().GetMessage()), Code: s.GetError().GetCode(),
	}
	if video := videos[s.VideoId]; video != nil {
		row.Title = printable(video.Title)
	}
	switch {
	case s.Wallet != "":
		row.Who = wallet(s.Wallet)
	case s.Preview:
		row.Who = "preview"
	default:
		row.Who = "no wallet"
	}
	return row
}

// endSessions ends one session, or all of a wallet.
func (v *visit) endSessions() {
	const to = accessPath
	if id := v.r.PostFormValue("id"); id != "" {
		_, err := v.Access.EndSession(v.ctx, &rpc.EndSessionRequest{Id: id})
		v.back(to, "The session is ended; its player stops with the next segment.", err)
		return
	}
	address := v.r.PostFormValue("wallet")
	if address == "" {
		v.back(to, "", rpc.Invalid("none_chosen", "No session was chosen."))
		return
	}
	n, err := v.endWallet(address)
	v.back(to, fmt.Sprintf("%s of %s ended.", many(n, "session", "sessions"), wallet(address)), err)
}

func (v *visit) endWallet(address string) (n int, err error) {
	var ids []string
	cursor := ""
	for {
		list, err := v.Access.ListSessions(v.ctx, &rpc.ListSessionsRequest{State: "live", Limit: 200, Cursor: cursor})
		if err != nil {
			return 0, err
		}
		for _, s := range list.Sessions {
			if strings.EqualFold(s.Wallet, address) {
				ids = append(ids, s.Id)
			}
		}
		if cursor = list.NextCursor; cursor == "" {
			break
		}
	}
	for _, id := range ids {
		if _, err := v.Access.EndSession(v.ctx, &rpc.EndSessionRequest{Id: id}); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
