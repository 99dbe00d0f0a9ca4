package console

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/store"
)

// What a dry run asks at most.
const (
	dryWallets = 200
	dryAtOnce  = 8
	dryTime    = 20 * time.Second
	// dryLooked is how many sessions, and how many decisions, it looks through for
	// wallets.
	dryLooked = 10_000
	dryWeek   = 7 * 24 * time.Hour
)

// dryView is whom a rule that is not saved would let in or keep out, of those who
// came in the last week.
type dryView struct {
	Sentence string // whom it was about; "" without a dry run
	Groups   []dryGroup
	Same     []string // how many nothing changes for
}

// dryGroup is those for whom the rule changes the same.
type dryGroup struct {
	State, Title string
	Rows         []dryRow
}

// dryRow is one wallet.
type dryRow struct {
	Who, Wallet, Why string
	Seen             stamp
}

// answered is what a rule says of somebody.
type answered string

// The answers of a rule.
const (
	admits  answered = "admits"
	refuses answered = "refuses"
	asks    answered = "asks" // for a password or a code
	unknown answered = "unknown"
)

// dryViewer is somebody who came in the last week, and what both rules say now.
type dryViewer struct {
	wallet   string // "" for all who have none
	vaults   []string
	seen     time.Time
	now, new answered
	why      string // the new one says so
}

// dryRun asks the rule in force and a rule that is not saved about those who came
// in the last week, the newest first. The error is about the rule.
func (v *visit) dryRun(videoID string, rule *structpb.Struct) (dryView, error) {
	if _, err := v.Access.SimulateRule(v.ctx, &rpc.SimulateRuleRequest{Rule: rule}); err != nil {
		return dryView{}, err
	}
	viewers, more, err := v.lately(videoID)
	if err != nil {
		return dryView{}, err
	}
	ctx, cancel := context.WithTimeout(v.ctx, dryTime)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(dryAtOnce)
	for i := range viewers {
		group.Go(func() error {
			viewers[i].ask(ctx, v.Access, videoID, rule)
			return nil
		})
	}
	_ = group.Wait() // what cannot be asked is unknown
	return newDryView(viewers, more), nil
}

// lately are the wallets of the video's sessions and decisions of the last week;
// more tells that there may be others.
func (v *visit) lately(videoID string) (viewers []dryViewer, more bool, err error) {
	came := arrivals{since: time.Now().Add(-dryWeek), by: map[string]*dryViewer{}}
	if err := v.sessionsLately(videoID, &came); err != nil {
		return nil, false, err
	}
	if err := v.decisionsLately(videoID, &came); err != nil {
		return nil, false, err
	}
	for _, w := range came.by {
		viewers = append(viewers, *w)
	}
	slices.SortFunc(viewers, func(a, b dryViewer) int { return cmp.Or(b.seen.Compare(a.seen), strings.Compare(a.wallet, b.wallet)) })
	if len(viewers) > dryWallets {
		return viewers[:dryWallets], true, nil
	}
	return viewers, came.more, nil
}

// arrivals are those who came, by wallet in lower case.
type arrivals struct {
	since time.Time
	by    map[string]*dryViewer
	more  bool // not all were looked through
}

// add notes that somebody came.
func (a *arrivals) add(wallet string, vaults []string, at time.Time) {
	if at.Before(a.since) {
		return
	}
	key := strings.ToLower(wallet)
	if a.by[key] == nil {
		a.by[key] = &dryViewer{wallet: wallet}
	}
	if w := a.by[key]; at.After(w.seen) {
		w.seen = at
	}
	if w := a.by[key]; w.vaults == nil {
		w.vaults = vaults
	}
}

func (v *visit) sessionsLately(videoID string, to *arrivals) error {
	cursor := ""
	for looked := 0; looked < dryLooked; looked += store.MaxLimit {
		list, err := v.Access.ListSessions(v.ctx, &rpc.ListSessionsRequest{VideoId: videoID, Limit: store.MaxLimit, Cursor: cursor})
		if err != nil {
			return err
		}
		for _, s := range list.Sessions {
			if !s.Preview {
				to.add(s.Wallet, nil, s.CreatedAt.AsTime())
			}
		}
		if cursor = list.NextCursor; cursor == "" {
			return nil
		}
	}
	to.more = true
	return nil
}

func (v *visit) decisionsLately(videoID string, to *arrivals) error {
	cursor := ""
	for looked := 0; looked < dryLooked; looked += store.MaxLimit {
		list, next, err := v.Decisions.List(v.ctx, console.DecisionQuery{VideoID: videoID, Limit: store.MaxLimit, Cursor: cursor})
		if err != nil {
			return err
		}
		for _, d := range list {
			if d.Wallet != "" || !d.Preview {
				to.add(d.Wallet, d.Vaults, d.Last)
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
	to.more = true
	return nil
}

// ask asks both rules.
func (w *dryViewer) ask(ctx context.Context, access rpc.AccessClient, videoID string, rule *structpb.Struct) {
	w.new, w.why = answerOf(access.SimulateRule(ctx, &rpc.SimulateRuleRequest{Rule: rule, Wallet: w.wallet, Vaults: w.vaults}))
	w.now, _ = answerOf(access.CheckAccess(ctx, &rpc.CheckAccessRequest{VideoId: videoID, Wallet: w.wallet, Vaults: w.vaults}))
}

// answerOf is what a rule says, and why.
func answerOf(d *rpc.Decision, err error) (answered, string) {
	if err != nil {
		text, _ := sentence(err)
		if reason, _ := rpc.Reason(err); reason == "private" {
			return refuses, text
		}
		return unknown, text
	}
	switch {
	case d.Admit:
		return admits, ""
	case d.Reason == "chain_unreachable":
		return unknown, d.Sentence
	case d.Reason == "password_required", d.Reason == "ticket_required":
		return asks, d.Sentence
	}
	return refuses, d.Sentence
}

// newDryView groups viewers by what changes for them.
func newDryView(viewers []dryViewer, more bool) dryView {
	var view dryView
	groups := []dryGroup{
		{State: "refused", Title: "would fall out"}, {State: "admitted", Title: "would come in"},
		{State: "paused", Title: "would have to show a password or a code"}, {State: "warn", Title: "not known: a chain cannot be reached"},
	}
	same := map[answered]int{}
	for _, w := range viewers {
		i := 0
		switch {
		case w.new == unknown, w.now == unknown:
			i = 3
		case w.new == w.now:
			same[w.now]++
			continue
		case w.new == admits:
			i = 1
		case w.new == asks:
			i = 2
		}
		groups[i].Rows = append(groups[i].Rows, newDryRow(w))
	}
	for _, g := range groups {
		if len(g.Rows) > 0 {
			g.Title = many(len(g.Rows), "viewer", "viewers") + " " + g.Title
			view.Groups = append(view.Groups, g)
		}
	}
	for _, s := range []struct {
		answer answered
		then   string
	}{{admits, "admitted"}, {refuses, "refused"}, {asks, "asked for a password or a code"}} {
		if n := same[s.answer]; n > 0 {
			view.Same = append(view.Same, many(n, "viewer stays ", "viewers stay ")+s.then)
		}
	}
	view.Sentence = drySentence(len(viewers), more, len(view.Groups) > 0)
	return view
}

func drySentence(asked int, more, changes bool) string {
	if asked == 0 {
		return "Nobody has asked for this video in the last week: there is nobody to try the rule on."
	}
	which := "all of them"
	if more {
		which = "the newest; there are more"
	}
	text := fmt.Sprintf("Asked just now about %s of the last week: %s.", many(asked, "viewer", "viewers"), which)
	if !changes {
		text += " Nothing would change."
	}
	return text
}

func newDryRow(w dryViewer) dryRow {
	row := dryRow{Who: wallet(w.wallet), Wallet: w.wallet, Why: printable(w.why), Seen: ago(w.seen)}
	if w.wallet == "" {
		row.Who = "whoever has no wallet"
	}
	if w.new != unknown && w.now == unknown {
		row.Why = "What the rule in force says is not known."
	}
	return row
}
