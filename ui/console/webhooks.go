package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"streamgate/app/events"
	"streamgate/app/rpc"
)

// webhooksView is the endpoints. Made is a key that is shown this once.
type webhooksView struct {
	Webhooks   []webhookRow
	Made       string
	Error      string
	URL, About string
	Chosen     []eventChoice
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
	Chosen     []eventChoice
	Made       string
	Error      string
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

func (v *visit) webhooks() {
	v.showWebhooks(http.StatusOK, webhooksView{Chosen: choices([]string{"*"})})
}

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
	names := picked(v.r.PostForm)
	view := webhooksView{URL: printable(address), About: printable(about), Chosen: choices(names)}
	if len(names) == 0 {
		view.Error = "Choose at least one event."
		v.showWebhooks(http.StatusUnprocessableEntity, view)
		return
	}
	w, err := v.Webhooks.CreateWebhook(v.ctx, &rpc.CreateWebhookRequest{Url: strings.TrimSpace(address), Description: about, Events: names})
	if err != nil {
		view.Error, _ = sentence(err)
		v.showWebhooks(http.StatusUnprocessableEntity, view)
		return
	}
	v.showWebhooks(http.StatusOK, webhooksView{Made: w.Secret, Chosen: choices([]string{"*"})})
}

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
	view.webhookRow, view.Created, view.Chosen = newWebhookRow(w), agoOf(w.CreatedAt), choices(w.Events)
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
	case "events":
		names := picked(v.r.PostForm)
		if len(names) == 0 {
			v.showWebhook(http.StatusUnprocessableEntity, webhookView{Error: "Choose at least one event."})
			return
		}
		_, err := v.Webhooks.UpdateWebhook(v.ctx, &rpc.UpdateWebhookRequest{Id: id, Events: names})
		v.back(home, "It is told of these events from now on.", err)
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
