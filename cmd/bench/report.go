package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// result is one line of the table.
type result struct {
	what     string
	target   string
	measured string
	ratio    string // empty where nothing is compared
	met      bool
	notes    []string // what a reader must know of it; each is written once
}

func (r result) verdict() string {
	switch {
	case r.target == "":
		return ""
	case r.met:
		return "met"
	default:
		return "missed"
	}
}

// atMost judges a median by what it may be at most.
func atMost(what string, limit float64, unit string, s series) result {
	return result{
		what: what, target: fmt.Sprintf("≤ %g %s", limit, unit),
		measured: s.String() + " " + unit, met: len(s) > 0 && s.median() <= limit,
	}
}

// atLeast judges a median by what it must be at least.
func atLeast(what string, limit float64, unit string, s series) result {
	r := atMost(what, limit, unit, s)
	r.target = fmt.Sprintf("≥ %g %s", limit, unit)
	r.met = len(s) > 0 && s.median() >= limit
	return r
}

// atMostP99 judges the 99th percentile of many measurements by what it may be
// at most.
func atMostP99(what string, limit float64, unit string, s series) result {
	p99 := s.quantile(0.99)
	r := atMost(what+", p99", limit, unit, s)
	r.measured = fmt.Sprintf("p50 %s, p99 %s, most %s %s; %d times",
		number(s.quantile(0.5)), number(p99), number(s.quantile(1)), unit, len(s))
	r.met = len(s) > 0 && p99 <= limit
	return r
}

// comparison is a measurement of the node and one of its peer.
type comparison struct {
	what       string
	unit       string
	peer       string
	ours, them series
}

func (c comparison) quotient() float64 { return c.ours.median() / c.them.median() }

func (c comparison) result(target string, met func(quotient float64) bool) result {
	q := c.quotient()
	return result{
		what: c.what, target: target, ratio: fmt.Sprintf("%.2f", q), met: met(q),
		measured: fmt.Sprintf("node %s, %s %s %s", c.ours, c.peer, c.them, c.unit),
	}
}

// atLeast judges the ratio by what it must be at least.
func (c comparison) atLeast(limit float64) result {
	return c.result(fmt.Sprintf("≥ %.2f × %s", limit, c.peer), func(q float64) bool { return q >= limit })
}

// atMost judges the ratio by what it may be at most.
func (c comparison) atMost(limit float64) result {
	return c.result(fmt.Sprintf("≤ %.2f × %s", limit, c.peer), func(q float64) bool { return q <= limit })
}

// lower wants the ratio below one.
func (c comparison) lower() result {
	return c.result("< "+c.peer, func(q float64) bool { return q < 1 })
}

// shown has no target.
func (c comparison) shown() result {
	return c.result("", func(float64) bool { return true })
}

// rival is the same measurement of one peer.
type rival struct {
	name string
	series
}

// contest is a measurement of the node and the same of several peers.
type contest struct {
	what, unit string
	ours       series
	peers      []rival
	notes      []string
}

// best is the peer that the node must beat.
func (c contest) best() rival {
	return slices.MaxFunc(c.peers, func(a, b rival) int { return cmp.Compare(a.median(), b.median()) })
}

func (c contest) result(target string, met func(quotient float64) bool) result {
	best := c.best()
	q := comparison{ours: c.ours, them: best.series}.quotient()
	measured := "node " + c.ours.String()
	for _, p := range c.peers {
		measured += ", " + p.name + " " + p.String()
	}
	return result{
		what: c.what, target: target, measured: measured + " " + c.unit, notes: c.notes,
		ratio: fmt.Sprintf("%.2f", q), met: met(q),
	}
}

// first wants the node to be faster than each peer.
func (c contest) first() result {
	return c.result("first", func(q float64) bool { return q > 1 })
}

// atLeast judges the ratio to the best peer by what it must be at least.
func (c contest) atLeast(limit float64) result {
	return c.result(fmt.Sprintf("≥ %.2f × the best peer", limit), func(q float64) bool { return q >= limit })
}

// shown has no target.
func (c contest) shown() result {
	return c.result("", func(float64) bool { return true })
}

// report is the outcome of a run.
type report struct {
	machine machine
	quick   bool
	results []result
	failed  []string // rows that could not be measured
}

// markdown writes the report as a page.
func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	b.WriteString("Written by `make bench`; what each row means is in the comments of this folder's programs.\n")
	b.WriteString("Numbers are medians (least–most); what is compared was measured in the same run, in turns.\n")
	if r.quick {
		b.WriteString("\nThis was a quick run: too few measurements to judge by.\n")
	}
	b.WriteString("\n")
	for _, line := range r.machine.lines() {
		b.WriteString("* " + line + "\n")
	}
	b.WriteString("\n")
	b.WriteString(table([]string{"what", "target", "measured", "ratio", ""}, r.rows()))
	for i, note := range r.notes() {
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString("* " + note + "\n")
	}
	return b.String()
}

// notes are those of all results, each once.
func (r *report) notes() (all []string) {
	for _, res := range r.results {
		for _, note := range res.notes {
			if !slices.Contains(all, note) {
				all = append(all, note)
			}
		}
	}
	return all
}

func (r *report) rows() [][]string {
	var rows [][]string
	for _, res := range r.results {
		rows = append(rows, []string{res.what, res.target, res.measured, res.ratio, res.verdict()})
	}
	return rows
}

// table writes a Markdown table with columns as wide as their content, so
// that it reads as well on a terminal.
func table(head []string, rows [][]string) string {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = strings.Repeat("-", max(3, width[i]))
	}
	var b strings.Builder
	for _, row := range append([][]string{head, rule}, rows...) {
		for i, cell := range row {
			fmt.Fprintf(&b, "| %-*s ", max(3, width[i]), cell)
		}
		b.WriteString("|\n")
	}
	return b.String()
}
