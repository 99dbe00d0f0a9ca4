package console

import (
	"net/http"
	"strconv"
	"strings"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// nodesView is the nodes, and what who looks may do to them.
type nodesView struct {
	Nodes               []nodeView
	MayDrain, MayRemove bool
}

type nodeView struct {
	ID, Host, Version, Roles, State, Sign string
	Up                                    text
	Parts                                 []partRow
	Listeners                             []listenerRow
	Checks                                []checkRow
	CPU, OwnCPU, Cores                    string
	Memory, Available                     text
	DiskFree                              text
	DiskUsed                              string // percent
	Disk                                  string
	Load, Address                         string
	Drained, Gone                         bool   // or about to be drained; does not answer
	Left                                  string // what a draining node still has to end
}

type partRow struct{ Name, Sign, Word, Problem string }

type listenerRow struct{ Name, Address string }

type checkRow struct{ Name, Sign, Found, Mend string }

func (v *visit) nodes() {
	list, err := v.Monitor.ListNodes(v.ctx, &rpc.ListNodesRequest{})
	if err != nil {
		v.fail(err)
		return
	}
	view := nodesView{MayDrain: v.may(console.Operator), MayRemove: v.may(console.Admin)}
	for _, n := range list.Nodes {
		view.Nodes = append(view.Nodes, newNodeView(n))
	}
	v.page(http.StatusOK, "Nodes", "/console/nodes", nodesPage(view))
}

func (v *visit) changeNode() {
	const to = "/console/nodes"
	id := v.r.PostFormValue("id")
	switch v.r.PostFormValue("do") {
	case "drain":
		_, err := v.Monitor.DrainNode(v.ctx, &rpc.DrainNodeRequest{Id: id})
		v.back(to, "Node "+shortID(id)+" is given nothing new, and ends what it has. Once it is drained it may be stopped.", err)
	case "resume":
		_, err := v.Monitor.ResumeNode(v.ctx, &rpc.ResumeNodeRequest{Id: id})
		v.back(to, "Node "+shortID(id)+" is in service again.", err)
	default:
		v.back(to, "", rpc.Invalid("unknown_action", "There is no such action."))
	}
}

func (v *visit) removeNode() {
	id := v.r.PostFormValue("id")
	_, err := v.Monitor.RemoveNode(v.ctx, &rpc.RemoveNodeRequest{Id: id})
	v.back("/console/nodes", "Node "+shortID(id)+" is removed; its jobs are taken up by others.", err)
}

func newNodeView(n *rpc.Node) nodeView {
	out := nodeView{
		ID: n.Id, Host: printable(n.Host), Version: n.Version, Roles: strings.Join(n.Roles, ", "), State: n.State, Sign: "ready",
		Up: uptime(n.StartedAt.AsTime()), CPU: share(n.CpuPercent), OwnCPU: share(n.OwnCpuPercent), Cores: many(int(n.Cores), "core", "cores"),
		Memory: size(n.MemoryBytes), Available: size(n.MemoryAvailableBytes), DiskFree: size(n.DiskFreeBytes),
		DiskUsed: strconv.Itoa(int(diskUsed(n))), Disk: size(n.DiskTotalBytes).Short,
		Load: short(100*n.Load) + " %", Address: n.Address,
		Drained: n.State == "draining" || n.State == "drained", Gone: n.State == "unreachable",
	}
	if n.State == "draining" {
		out.Left = many(int(n.Jobs), "job", "jobs") + " and " + many(int(n.Requests), "request", "requests") + " left"
	}
	if n.StartedAt == nil { // it has not said
		out.Up = text{"–", ""}
	}
	if out.Host == "" {
		out.Host = shortID(n.Id)
	}
	if n.State != "ready" {
		out.Sign = "warn"
	}
	for _, p := range n.Parts {
		row := partRow{p.Name, "ready", "works", ""}
		if !p.Healthy {
			row.Sign, row.Word, row.Problem = "failed", "does not work", printable(p.Problem)
		}
		out.Parts = append(out.Parts, row)
	}
	for _, l := range n.Listeners {
		out.Listeners = append(out.Listeners, listenerRow{l.Name, l.Address})
	}
	for _, c := range n.Checks {
		row := checkRow{c.Name, "ready", printable(c.Found), printable(c.Mend)}
		if c.Mend != "" {
			row.Sign = "warn"
		}
		out.Checks = append(out.Checks, row)
	}
	return out
}

// share is a percentage that may not be known yet.
func share(p *float64) string {
	if p == nil {
		return "–"
	}
	return short(*p) + " %"
}
