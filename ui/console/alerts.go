package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// alertsView is every alert there can be, those that want somebody first.
type alertsView struct {
	Firing, Pending, Resolved, Inactive []alertRow
	May                                 bool
	ID, Reason, Error                   string // what was typed, and is wrong
}

type alertRow struct {
	ID, Rule, Severity, State string
	Sign                      string // the class that shows how bad it is
	Summary, Mend, Href       string
	Value, Threshold          string
	Node                      string
	Since                     stamp
	Silence                   string
	Until                     stamp
	NotifyError               string
	Wrong, Reason             string // of a silence that was refused
}

// silences are the lengths that a form offers.
var silences = []struct {
	Seconds, Title string
}{{"3600", "1 hour"}, {"14400", "4 hours"}, {"86400", "1 day"}, {"604800", "7 days"}}

func (v *visit) alerts() { v.showAlerts(http.StatusOK, alertsView{}) }

func (v *visit) showAlerts(status int, view alertsView) {
	list, err := v.Alerts.ListAlerts(v.ctx, &rpc.ListAlertsRequest{})
	if err != nil {
		v.fail(err)
		return
	}
	view.May = v.may(console.Operator)
	into := map[string]*[]alertRow{"firing": &view.Firing, "pending": &view.Pending, "resolved": &view.Resolved, "inactive": &view.Inactive}
	for _, a := range list.Alerts {
		row := newAlertRow(a)
		if a.Id == view.ID {
			row.Wrong, row.Reason = view.Error, view.Reason
		}
		if rows := into[a.State]; rows != nil {
			*rows = append(*rows, row)
		}
	}
	title := "Alerts"
	if n := len(view.Firing); n > 0 {
		title = many(n, "alert fires", "alerts fire")
	}
	v.page(status, title, "/console/alerts", alertsPage(view))
}

func newAlertRow(a *rpc.Alert) alertRow {
	row := alertRow{
		ID: a.Id, Rule: strings.ReplaceAll(a.Rule, "_", " "), Severity: a.Severity, State: a.State, Sign: alertSign(a),
		Summary: printable(a.Summary), Mend: printable(a.Mend), Href: local(a.Page), Node: a.NodeId, NotifyError: a.NotifyError,
		Threshold: measured(a.Threshold, a.Unit),
	}
	if a.Value != nil {
		row.Value = measured(*a.Value, a.Unit)
	}
	switch a.State {
	case "firing":
		row.Since = agoOf(a.FiredAt)
	case "pending":
		row.Since = agoOf(a.PendingSince)
	case "resolved":
		row.Since = agoOf(a.ResolvedAt)
	}
	if q := a.Silence; q != nil {
		row.Silence, row.Until = fmt.Sprintf("silenced by %s: %s", printable(q.By), printable(q.Reason)), agoOf(q.Until)
	}
	return row
}

// alertSign is the class of how bad an alert is.
func alertSign(a *rpc.Alert) string {
	switch {
	case a.State != "firing":
		return a.State
	case a.Silence != nil:
		return "silenced"
	case a.Severity == "critical":
		return "critical"
	}
	return "warning"
}

// measured is a value in its unit.
func measured(v float64, unit string) string {
	switch unit {
	case "bytes", "percent", "seconds":
		return written(v, unit)
	}
	return short(v) + " " + unit
}

// firing are the alerts that fire and are not silenced, as the overview and the
// frame show them.
func (v *visit) firing() (out []alert) {
	list, err := v.Alerts.ListAlerts(v.ctx, &rpc.ListAlertsRequest{State: "firing"})
	if err != nil {
		return nil // the page says what it can
	}
	for _, a := range list.Alerts {
		if a.Silence == nil {
			out = append(out, alert{printable(a.Summary) + " " + printable(a.Mend), local(a.Page), alertSign(a)})
		}
	}
	return out
}

// silenceAlert answers with the page itself if it is refused: what was typed
// stays.
func (v *visit) silenceAlert() {
	id, reason := v.r.PathValue("id"), v.r.PostFormValue("reason")
	seconds, err := strconv.ParseInt(v.r.PostFormValue("seconds"), 10, 32)
	if err != nil {
		seconds = 0
	}
	a, err := v.Alerts.SilenceAlert(v.ctx, &rpc.SilenceAlertRequest{Id: id, Seconds: int32(seconds), Reason: reason})
	if word, _ := rpc.Reason(err); word == "invalid_reason" || word == "invalid_seconds" {
		text, _ := sentence(err)
		v.showAlerts(http.StatusUnprocessableEntity, alertsView{ID: id, Reason: printable(reason), Error: text})
		return
	}
	v.back("/console/alerts", fmt.Sprintf("Nobody is told of “%s” for %s.", a.GetRule(), span(time.Duration(seconds)*time.Second)), err)
}

func (v *visit) unsilenceAlert() {
	_, err := v.Alerts.UnsilenceAlert(v.ctx, &rpc.UnsilenceAlertRequest{Id: v.r.PathValue("id")})
	v.back("/console/alerts", "The silence is over: one is told of this alert again.", err)
}
