package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"streamgate/app/events"
	"streamgate/app/rpc"
)

// webhooksView is the endpoints. Made is a key that is shown this once.
type webhooksView struct {
	Webhooks []webhookRow
	Made     string
	Form     webhookForm // of another one
}

// webhookForm is what somebody types about a webhook, and what is wrong with it.
type webhookForm struct {
	URL, About string
	Chosen     []eventChoice
	Version    string // of the webhook that the form was filled from

	URLError, AboutError, EventsError, Error string
}

// Wrong tells whether something is.
func (f *webhookForm) Wrong() bool { return f.URLError+f.AboutError+f.EventsError+f.Error != "" }

// blame writes an error where it belongs; it tells whether that is a mistake of
// who typed.
func (f *webhookForm) blame(err error) bool {
	text, expected := sentence(err)
	switch reason, _ := rpc.Reason(err); reason {
	case "invalid_url", "private_address":
		f.URLError = text
	case "invalid_description":
		f.AboutError = text
	case "unknown_event", "no_event":
		f.EventsError = text
	default:
		f.Error = text
	}
	return expected
}

type webhookRow struct {
	ID, URL, About, State, Why string
	Events                     string
	Failing                    stamp
	Fails                      bool
}

type eventChoice struct {
	Name   string
	Chosen bool
}

// webhookView is one endpoint and its deliveries.
type webhookView struct {
	webhookRow
	Created    stamp
	Form       webhookForm
	Made       string
	Filters    []filterTab
	Deliveries []deliveryRow
	More       string // the next page's address
}

type filterTab struct {
	Href, Name string
	Current    bool
}

type deliveryRow struct {
	ID, Event, State, Status, Error, Answer, Payload, Attempts string
	Created, Next                                              stamp
	Waits                                                      bool
}

// choices are the events that a webhook may choose; none chosen, or a star, is
// all of them.
func choices(chosen []string) (out []eventChoice) {
	has := map[string]bool{}
	for _, name := range chosen {
		has[name] = true
	}
	for _, name := range events.ForWebhooks() {
		out = append(out, eventChoice{name, has[name] || has["*"]})
	}
	return out
}

// picked are the events of a form: all of them is a star, which has those of
// later versions as well.
func picked(form url.Values) []string {
	names := form["event"]
	if len(names) == len(events.ForWebhooks()) {
		return []string{"*"}
	}
	return names
}

// typedWebhook is a form as it was sent, and the events that it names.
func (v *visit) typedWebhook() (form webhookForm, names []string, err error) {
	names = picked(v.r.PostForm)
	if len(names) == 0 {
		err = rpc.Invalid("no_event", "Choose at least one event.")
	}
	return webhookForm{
		URL: printable(strings.TrimSpace(v.r.PostFormValue("url"))), About: printable(v.r.PostFormValue("description")),
		Chosen: choices(names), Version: v.r.PostFormValue("version"),
	}, names, err
}

func (v *visit) webhooks() {
	v.showWebhooks(http.StatusOK, webhooksView{Form: newWebhookForm()})
}

func newWebhookForm() webhookForm { return webhookForm{Chosen: choices([]string{"*"})} }

func (v *visit) showWebhooks(status int, view webhooksView) {
	list, err := v.Webhooks.ListWebhooks(v.ctx, &rpc.ListWebhooksRequest{})
	if err != nil {
		v.fail(err)
		return
	}
	for _, w := range list.Webhooks {
		view.Webhooks = append(view.Webhooks, newWebhookRow(w))
	}
	v.page(status, "Webhooks", "/console/webhooks", webhooksPage(view))
}

func newWebhookRow(w *rpc.Webhook) webhookRow {
	row := webhookRow{
		ID: w.Id, URL: printable(w.Url), About: printable(w.Description), State: "enabled", Events: strings.Join(w.Events, ", "),
		Failing: agoOf(w.FailingSince), Fails: w.FailingSince != nil,
	}
	if row.Events == "*" {
		row.Events = "all events"
	}
	if !w.Enabled {
		row.State = "disabled"
	}
	if w.Failure != nil {
		row.Why = printable(w.Failure.Message)
	}
	return row
}

// addWebhook answers with the page itself: the key is shown once.
func (v *visit) addWebhook() {
	address, about := v.r.PostFormValue("url"), v.r.PostFormValue("description")
	form, names, err := v.typedWebhook()
	var made *rpc.Webhook
	if err == nil {
		made, err = v.Webhooks.CreateWebhook(v.ctx, &rpc.CreateWebhookRequest{Url: strings.TrimSpace(address), Description: about, Events: names})
	}
	if err != nil {
		if !form.blame(err) {
			v.fail(err)
			return
		}
		v.showWebhooks(http.StatusUnprocessableEntity, webhooksView{Form: form})
		return
	}
	v.showWebhooks(http.StatusOK, webhooksView{Made: made.Secret, Form: newWebhookForm()})
}

// saveWebhook replaces what a form was filled with, unless that is not there any
// more. The forms of this node are saved one at a time, so that no other comes
// between the look and the change.
func (v *visit) saveWebhook(id string) {
	address, about := strings.TrimSpace(v.r.PostFormValue("url")), v.r.PostFormValue("description")
	form, names, err := v.typedWebhook()
	v.saving.Lock()
	defer v.saving.Unlock()
	now, gone := v.Webhooks.GetWebhook(v.ctx, &rpc.GetWebhookRequest{Id: id})
	switch {
	case gone != nil:
		v.fail(gone)
		return
	case form.Version != versionOf(now):
		form.Version = versionOf(now)
		form.Error = "Somebody has changed this webhook since you opened the form; what it has now stands above. Save again to replace that, or open the page anew."
		v.showWebhook(http.StatusConflict, webhookView{Form: form})
		return
	case err == nil:
		_, err = v.Webhooks.UpdateWebhook(v.ctx, &rpc.UpdateWebhookRequest{Id: id, Url: &address, Description: &about, Events: names})
	}
	if err == nil {
		v.back(webhookPath(id), "The changes are saved: they count for what is delivered from now on.", nil)
		return
	}
	if !form.blame(err) {
		v.fail(err)
		return
	}
	v.showWebhook(http.StatusUnprocessableEntity, webhookView{Form: form})
}

// versionOf tells one state of a webhook from another.
func versionOf(w *rpc.Webhook) string { return w.UpdatedAt.AsTime().Format(time.RFC3339Nano) }

func (v *visit) webhook() { v.showWebhook(http.StatusOK, webhookView{}) }

func (v *visit) showWebhook(status int, view webhookView) {
	id, q := v.r.PathValue("id"), v.r.URL.Query()
	w, err := v.Webhooks.GetWebhook(v.ctx, &rpc.GetWebhookRequest{Id: id})
	if err != nil {
		v.fail(err)
		return
	}
	list, err := v.Webhooks.ListDeliveries(v.ctx, &rpc.ListDeliveriesRequest{WebhookId: id, State: q.Get("state"), Cursor: q.Get("cursor"), Limit: 50})
	if err != nil {
		v.fail(err)
		return
	}
	view.webhookRow, view.Created = newWebhookRow(w), agoOf(w.CreatedAt)
	if view.Form.Version == "" { // nothing was typed
		view.Form = webhookForm{URL: printable(w.Url), About: printable(w.Description), Chosen: choices(w.Events), Version: versionOf(w)}
	}
	home := webhookPath(w.Id)
	for _, state := range []string{"", "waiting", "delivered", "failed"} {
		name, href := state, home+"?state="+state
		if state == "" {
			name, href = "all", home
		}
		view.Filters = append(view.Filters, filterTab{href, name, state == q.Get("state")})
	}
	for _, d := range list.Deliveries {
		view.Deliveries = append(view.Deliveries, newDeliveryRow(d))
	}
	if list.NextCursor != "" {
		view.More = home + "?" + url.Values{"state": {q.Get("state")}, "cursor": {list.NextCursor}}.Encode()
	}
	v.page(status, "Webhook", "/console/webhooks", webhookPage(view))
}

func webhookPath(id string) string { return "/console/webhooks/" + url.PathEscape(id) }

func newDeliveryRow(d *rpc.Delivery) deliveryRow {
	row := deliveryRow{
		ID: d.Id, Event: d.Event, State: d.State, Error: printable(d.LastError), Answer: printable(d.Answer),
		Attempts: many(int(d.Attempts), "attempt", "attempts"), Created: agoOf(d.CreatedAt), Next: agoOf(d.NextAttemptAt), Waits: d.State == "waiting",
	}
	if d.LastStatus != 0 {
		row.Status = strconv.Itoa(int(d.LastStatus))
	}
	if data, err := json.MarshalIndent(d.Payload.AsMap(), "", "  "); err == nil {
		row.Payload = printable(string(data))
	}
	return row
}

// changeWebhook does what the pressed button says.
func (v *visit) changeWebhook() {
	id := v.r.PathValue("id")
	home := webhookPath(id)
	switch do := v.r.PostFormValue("do"); do {
	case "rotate": // the answer is the page itself: the key is shown once
		w, err := v.Webhooks.RotateWebhook(v.ctx, &rpc.RotateWebhookRequest{Id: id})
		if err != nil {
			v.back(home, "", err)
			return
		}
		v.showWebhook(http.StatusOK, webhookView{Made: w.Secret})
	case "test":
		_, err := v.Webhooks.TestWebhook(v.ctx, &rpc.TestWebhookRequest{Id: id})
		v.back(home, "A test event is on its way.", err)
	case "pause", "resume":
		enabled := do == "resume"
		_, err := v.Webhooks.UpdateWebhook(v.ctx, &rpc.UpdateWebhookRequest{Id: id, Enabled: &enabled})
		said := "The webhook is disabled: nothing is delivered to it."
		if enabled {
			said = "The webhook is enabled: it is told of what happens from now on."
		}
		v.back(home, said, err)
	case "save":
		v.saveWebhook(id)
	case "delete":
		_, err := v.Webhooks.DeleteWebhook(v.ctx, &rpc.DeleteWebhookRequest{Id: id})
		v.back("/console/webhooks", "The webhook is deleted, and its deliveries with it.", err)
	default:
		v.back(home, "", rpc.Invalid("invalid_action", "There is no action %q.", do))
	}
}

func (v *visit) redeliver() {
	id := v.r.PathValue("id")
	_, err := v.Webhooks.Redeliver(v.ctx, &rpc.RedeliverRequest{WebhookId: id, Id: v.r.PostFormValue("delivery")})
	v.back(webhookPath(id), "It is delivered again, with all attempts anew.", err)
}
