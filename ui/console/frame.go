package console

import (
	"context"
	"fmt"
	"strconv"

	"github.com/a-h/templ"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/assets"
)

// frameView is what stands around every page.
type frameView struct {
	Assets  *assets.Set
	Title   string
	Person  string
	Role    string
	Nav     []navItem
	Said    said
	Version string
	Node    string
	Uptime  text
	Disk    string   // percent used
	Uploads bool     // the page takes files
	Extras  []string // scripts and style sheets of this page alone
	Healthy string   // what is wrong, or "all well"
	State   string   // ready, warn or failed
}

// navItem is one entry of the navigation.
type navItem struct {
	Href, Name, Icon, Count string
	Current, Main           bool
}

func (v *visit) newFrame(title, active string) frameView {
	f := frameView{
		Assets: v.Assets, Title: title, Person: v.person.Name, Role: v.person.Role, Said: v.takeFlash(),
		Healthy: "all well", State: "ready", Uploads: active == "/console/videos" && v.may(console.Operator),
	}
	queue, err := v.Transcoder.GetQueue(v.ctx, &rpc.GetQueueRequest{})
	if err != nil {
		queue = &rpc.QueueState{}
	}
	workers, err := v.Transcoder.ListWorkers(v.ctx, &rpc.ListWorkersRequest{})
	if err != nil {
		workers = &rpc.ListWorkersResponse{}
	}
	if node, err := v.Monitor.GetNode(v.ctx, &rpc.GetNodeRequest{}); err == nil && node.DiskTotalBytes > 0 {
		f.Version, f.Node, f.Uptime = node.Version, node.Id, uptime(node.StartedAt.AsTime())
		used := 100 * (1 - node.DiskFreeBytes/node.DiskTotalBytes)
		f.Disk = strconv.Itoa(int(used))
		if used > 95 {
			f.Healthy, f.State = "disk almost full", "warn"
		}
	}
	busy := 0
	for _, w := range workers.Workers {
		if w.TaskId != "" {
			busy++
		}
		if w.State == "unhealthy" {
			f.Healthy, f.State = "a worker is unhealthy", "warn"
		}
	}
	if queue.Paused {
		f.Healthy, f.State = "queue is paused", "paused"
	}
	items := []navItem{
		{Href: "/console/", Name: "Overview", Icon: "home", Main: true},
		{Href: "/console/videos", Name: "Videos", Icon: "film", Main: true},
		{Href: "/console/queue", Name: "Queue", Icon: "list", Main: true, Count: zeroless(int(queue.TasksWaiting))},
		{Href: "/console/workers", Name: "Workers", Icon: "cpu", Main: true, Count: fmt.Sprintf("%d/%d", busy, len(workers.Workers))},
		{Href: "/console/access", Name: "Access", Icon: "door", Main: true},
	}
	firing := v.firing()
	if n := len(firing); n > 0 && f.State != "failed" {
		f.Healthy, f.State = many(n, "alert fires", "alerts fire"), firing[0].State
	}
	items = append(items,
		navItem{Href: "/console/metrics", Name: "Metrics", Icon: "chart"},
		navItem{Href: "/console/alerts", Name: "Alerts", Icon: "bell", Count: zeroless(len(firing))},
		navItem{Href: "/console/nodes", Name: "Nodes", Icon: "server"})
	if v.may(console.Operator) {
		items = append(items, navItem{Href: "/console/webhooks", Name: "Webhooks", Icon: "hook"})
	}
	if v.may(console.Admin) {
		items = append(items, navItem{Href: "/console/keys", Name: "Keys", Icon: "key"}, navItem{Href: "/console/people", Name: "People", Icon: "people"})
	}
	if v.may(console.Operator) {
		items = append(items, navItem{Href: "/console/settings", Name: "Settings", Icon: "dial"}, navItem{Href: "/console/audit", Name: "Audit", Icon: "book"})
	}
	for i := range items {
		items[i].Current = items[i].Href == active
	}
	f.Nav = items
	return f
}

func zeroless(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// live are the attributes of a part that asks for its own page again when a
// hint comes, and takes itself and the frame's figures out of it.
func live(ctx context.Context, path, id, trigger string) templ.Attributes {
	return templ.Attributes{
		"id": id, "hx-get": at(ctx, path), "hx-trigger": trigger, "hx-select": "#" + id, "hx-target": "this",
		"hx-swap": "outerMorph", "hx-select-oob": "#nav:outerMorph,#foot:outerMorph", "hx-sync": "this:drop",
	}
}

// on is a trigger for hints, and at the latest every so often: what no event
// tells of (time passing, a lost hint) is seen too.
func on(every string, hints ...string) string {
	out := "every " + every
	for _, h := range hints {
		out += ", " + h + " from:body"
	}
	return out
}

// wrong are the attributes of a field with which something is wrong, which
// fieldError says.
func wrong(field, text string) templ.Attributes {
	if text == "" {
		return nil
	}
	return templ.Attributes{"aria-invalid": "true", "aria-describedby": field + "-error"}
}
