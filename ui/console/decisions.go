package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/store"
)

// decisionsView is a page of the decisions about viewers.
type decisionsView struct {
	Path                   string // of this very page
	Video, Wallet, Outcome string // what they are narrowed by
	Title                  string // of the video, if it is one
	Choices                []videoChoice
	Rows                   []decisionRow
	Next                   string
	First                  string // "" on the first page
}

// videoChoice is one of the videos that somebody may have meant.
type videoChoice struct{ id, Href, Title string }

// decisionRow is one decision.
type decisionRow struct {
	At                                                          stamp
	VideoID, Title, Who, Wallet, Client, State, Word, Why, Code string
	Times, Since                                                string // "" for one
}

// decisionOutcomes are what decisions can be narrowed by.
var decisionOutcomes = []struct{ value, word string }{
	{"", "every outcome"}, {string(store.DecisionAdmitted), "admitted"}, {string(store.DecisionRefused), "refused"}, {string(store.DecisionLeftOut), "left out"},
}

const (
	decisionsPage = 50
	mostChoices   = 10
)

// decisions reads the page that the request names.
func (v *visit) decisions(videos map[string]*rpc.Video) (decisionsView, error) {
	q := v.r.URL.Query()
	view := decisionsView{
		Video: strings.TrimSpace(q.Get("video")), Wallet: strings.TrimSpace(q.Get("wallet")), Outcome: q.Get("outcome"),
	}
	if !slices.ContainsFunc(decisionOutcomes, func(o struct{ value, word string }) bool { return o.value == view.Outcome }) {
		view.Outcome = ""
	}
	cursor := q.Get("cursor")
	one := view.findVideo(videos)
	view.Path = view.link(view.Video, cursor)
	if !one {
		return view, nil
	}
	if cursor != "" {
		view.First = view.link(view.Video, "")
	}
	list, next, err := v.Decisions.List(v.ctx, console.DecisionQuery{
		VideoID: view.Video, Wallet: view.Wallet, Outcome: store.DecisionOutcome(view.Outcome), Cursor: cursor, Limit: decisionsPage,
	})
	if err != nil {
		return view, err
	}
	for _, d := range list {
		view.Rows = append(view.Rows, newDecisionRow(d, videos))
	}
	if next != "" {
		view.Next = view.link(view.Video, next)
	}
	return view, nil
}

// link is the address of a page of these decisions.
func (d *decisionsView) link(video, cursor string) string {
	q := url.Values{}
	for key, value := range map[string]string{"video": video, "wallet": d.Wallet, "outcome": d.Outcome, "cursor": cursor} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if len(q) == 0 {
		return "/console/access"
	}
	return "/console/access?" + q.Encode()
}

// findVideo turns what was typed, an id or a part of a title, into a video's id; false
// if it may be several. What is neither may be the id of one that was deleted.
func (d *decisionsView) findVideo(videos map[string]*rpc.Video) bool {
	if d.Video == "" {
		return true
	}
	if videos[d.Video] == nil {
		for id, video := range videos {
			if matches(strings.ToLower(d.Video), video.Title) {
				d.Choices = append(d.Choices, videoChoice{id, d.link(id, ""), printable(video.Title)})
			}
		}
		if len(d.Choices) == 1 {
			d.Video, d.Choices = d.Choices[0].id, nil
		}
	}
	if video := videos[d.Video]; video != nil {
		d.Title = printable(video.Title)
	}
	slices.SortFunc(d.Choices, func(a, b videoChoice) int { return strings.Compare(a.Title+a.id, b.Title+b.id) })
	d.Choices = d.Choices[:min(mostChoices, len(d.Choices))]
	return len(d.Choices) == 0
}

func newDecisionRow(d store.Decision, videos map[string]*rpc.Video) decisionRow {
	row := decisionRow{
		At: ago(d.Last), VideoID: d.VideoID, Title: shortID(d.VideoID), Wallet: printable(d.Wallet), Client: printable(d.Client),
		State: string(d.Outcome), Word: string(d.Outcome), Why: printable(d.Why), Code: d.Reason, Who: "no wallet",
	}
	if video := videos[d.VideoID]; video != nil {
		row.Title = printable(video.Title)
	}
	switch {
	case d.Outcome == store.DecisionLeftOut:
		row.State, row.Word, row.Who = "warn", "left out", "several"
	case d.Wallet != "":
		row.Who = wallet(d.Wallet)
	case d.Preview:
		row.Who = "preview"
	}
	if d.Count > 1 {
		row.Times, row.Since = strconv.Itoa(d.Count)+"×", "since "+ago(d.First).Exact
	}
	return row
}
