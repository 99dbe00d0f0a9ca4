package console

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/console"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// keptHook is one webhook that can be changed.
type keptHook struct {
	services
	has *rpc.Webhook
}

func (k *keptHook) GetWebhook(context.Context, *rpc.GetWebhookRequest) (*rpc.Webhook, error) {
	return &rpc.Webhook{Id: k.has.Id, Url: k.has.Url, Description: k.has.Description, Events: k.has.Events, UpdatedAt: k.has.UpdatedAt}, nil
}

func (k *keptHook) UpdateWebhook(ctx context.Context, req *rpc.UpdateWebhookRequest) (*rpc.Webhook, error) {
	switch {
	case !strings.HasPrefix(req.GetUrl(), "https://"):
		return nil, rpc.Invalid("invalid_url", "Write https://.")
	case strings.Contains(req.GetDescription(), "!"):
		return nil, rpc.Invalid("invalid_description", "Write it calmly.")
	}
	k.has = &rpc.Webhook{Id: req.Id, Url: req.GetUrl(), Description: req.GetDescription(), Events: req.Events, UpdatedAt: timestamppb.Now()}
	return k.GetWebhook(ctx, nil)
}

// versionIn is what the form of a page was filled from.
func versionIn(t *testing.T, page string) string {
	t.Helper()
	m := regexp.MustCompile(`name="version" value="([^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the form has no version: %s", page)
	}
	return m[1]
}

// TestChangeWebhook: URL, description and events are changed and audited; what is
// wrong stands beside its field, what was typed stays, and a form that is out of
// date replaces nothing until it is sent again.
func TestChangeWebhook(t *testing.T) {
	s := newSite(t)
	kept := &keptHook{has: &rpc.Webhook{
		Id: "film", Url: "https://a.example/", Description: "pager", Events: []string{"*"}, UpdatedAt: timestamppb.New(time.Unix(1, 5)),
	}}
	s.Webhooks = s.Audit.Webhooks(kept)
	operator := s.cookies[console.Operator]
	save := func(version, address, about string, names ...string) (int, string) {
		t.Helper()
		w := s.send(http.MethodPost, "/console/webhooks/film", url.Values{
			"do": {"save"}, "version": {version}, "url": {address}, "description": {about}, "event": names,
		}, operator, nil)
		return w.Code, w.Body.String()
	}
	first := versionIn(t, s.send(http.MethodGet, "/console/webhooks/film", nil, operator, nil).Body.String())
	for _, c := range []struct{ name, address, about, event, field, want string }{
		{"a wrong URL", "http://b.example/", "pager 2", "video.ready", "hook-url", "Write https://."},
		{"a wrong description", "https://b.example/", "pager!", "video.ready", "hook-about", "Write it calmly."},
		{"no event", "https://b.example/", "pager 2", "", "hook-events", "Choose at least one event."},
	} {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			if c.event != "" {
				names = []string{c.event}
			}
			code, page := save(first, c.address, c.about, names...)
			plain := strings.Join(strings.Fields(page), " ")
			beside := regexp.MustCompile(`id="` + c.field + `-error"[^>]*>\s*<svg.*?</svg>\s*` + regexp.QuoteMeta(c.want))
			if code != http.StatusUnprocessableEntity || !beside.MatchString(plain) || !strings.Contains(page, `aria-describedby="`+c.field+`-error"`) {
				t.Errorf("status %d: %s", code, page)
			}
			if !strings.Contains(page, `value="`+c.address+`"`) || !strings.Contains(page, `value="`+c.about+`"`) || !strings.Contains(page, "<details open>") {
				t.Errorf("what was typed does not stay: %s", page)
			}
			if c.event != "" && !strings.Contains(page, `value="video.ready" checked`) {
				t.Error("the chosen event does not stay")
			}
		})
	}
	if code, page := save(first, " https://b.example/ ", "the night's", "video.ready", "video.failed"); code != http.StatusSeeOther {
		t.Fatalf("status %d: %s", code, page)
	}
	if got := kept.has; got.Url != "https://b.example/" || got.Description != "the night's" || strings.Join(got.Events, " ") != "video.ready video.failed" {
		t.Errorf("saved %v", got)
	}
	code, page := save(first, "https://c.example/", "late", events.ForWebhooks()...)
	if code != http.StatusConflict || kept.has.Url != "https://b.example/" || !strings.Contains(page, "Somebody has changed") {
		t.Errorf("a form that is out of date: status %d, %s", code, page)
	}
	if !strings.Contains(page, "<h1>https://b.example/</h1>") || !strings.Contains(page, `value="https://c.example/"`) {
		t.Errorf("it shows not both what stands there and what was typed: %s", page)
	}
	if code, page = save(versionIn(t, page), "https://c.example/", "late", events.ForWebhooks()...); code != http.StatusSeeOther || kept.has.Url != "https://c.example/" {
		t.Errorf("sent again: status %d, %s", code, page)
	}
	if strings.Join(kept.has.Events, " ") != "*" {
		t.Errorf("all events are %v", kept.has.Events)
	}
	list, _, err := s.Audit.List(rpc.System(t.Context()), store.Query{Parent: "film"})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d entries: %v", len(list), err)
	}
	want := `{"description":"pager","events":["*"],"url":"https://a.example/"} {"description":"the night's","events":["video.ready","video.failed"],"url":"https://b.example/"}`
	if got := string(list[1].Before) + " " + string(list[1].After); got != want || list[1].Action != "webhook.update" || list[1].Who != "person operator" {
		t.Errorf("the audit log tells %s by %s: %s, want %s", list[1].Action, list[1].Who, got, want)
	}
}
