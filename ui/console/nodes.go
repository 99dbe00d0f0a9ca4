package console

import (
	"net/http"
	"strconv"
	"strings"

	"streamgate/app/rpc"
)

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
	var nodes []nodeView
	for _, n := range list.Nodes {
		nodes = append(nodes, newNodeView(n))
	}
	v.page(http.StatusOK, "Nodes", "/console/nodes", nodesPage(nodes))
}

func newNodeView(n *rpc.Node) nodeView {
	out := nodeView{
		ID: n.Id, Host: printable(n.Host), Version: n.Version, Roles: strings.Join(n.Roles, ", "), State: n.State, Sign: "ready",
		Up: uptime(n.StartedAt.AsTime()), CPU: share(n.CpuPercent), OwnCPU: share(n.OwnCpuPercent), Cores: many(int(n.Cores), "core", "cores"),
		Memory: size(n.MemoryBytes), Available: size(n.MemoryAvailableBytes), DiskFree: size(n.DiskFreeBytes),
		DiskUsed: strconv.Itoa(int(diskUsed(n))), Disk: size(n.DiskTotalBytes).Short,
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
