package console

import (
	"fmt"
	"strconv"
	"strings"

	"streamgate/app/rpc"
)

// The states of a cell, the one that is shown first.
const (
	cellReady    = "ready"
	cellDemanded = "demanded"
	cellEncoding = "encoding"
	cellFailed   = "failed"
	cellPaused   = "paused"
	cellQueued   = "queued"
	cellEmpty    = "empty"
)

// cellWords are the states as the legend calls them.
var cellWords = []struct{ state, word string }{
	{cellReady, "ready"}, {cellEncoding, "being made"}, {cellDemanded, "demanded by a viewer"},
	{cellQueued, "waiting"}, {cellPaused, "paused"}, {cellFailed, "failed"}, {cellEmpty, "not begun"},
}

// mapView is the chunk map: renditions down, segments across.
type mapView struct {
	Rows     []mapRow
	Segments int
	Ticks    []mapTick
	Length   string
}

// mapRow is one rendition.
type mapRow struct {
	Name, Note, Share, Bytes string
	Cells                    []mapCell
	Text                     []string // "0:00–0:04 ready"
}

// mapCell is a run of cells in one state, in thousandths of the video's length.
type mapCell struct {
	X, Y, Width, Height, State, Label string
}

type mapTick struct{ X, Word string }

const (
	mapWidth  = 1000.0
	mapHeight = 20.0
	// eachCell is up to how many segments a map shows each on its own; a longer
	// one shows runs.
	eachCell = 200
)

// heights tell the states apart without colour.
var heights = map[string]float64{
	cellReady: 20, cellDemanded: 20, cellEncoding: 14, cellFailed: 20, cellPaused: 9, cellQueued: 6, cellEmpty: 2,
}

func newMap(cells *rpc.Cells, jobs []*rpc.Job) mapView {
	n := max(0, len(cells.Bounds)-1)
	view := mapView{Segments: n}
	if n == 0 {
		return view
	}
	length := cells.Bounds[n]
	view.Length = clock(length)
	view.Ticks = ticksOf(length)
	for _, r := range cells.Renditions {
		states := statesOf(r, jobs, n)
		row := mapRow{Name: r.Name, Bytes: size(r.SizeBytes).Short}
		if r.Copy {
			row.Note = "copied"
		}
		ready := 0
		for i := 0; i < n; {
			end := i + 1
			for end < n && states[end] == states[i] {
				end++
			}
			if states[i] == cellReady {
				ready += end - i
			}
			row.Text = append(row.Text, fmt.Sprintf("%s to %s: %s", clock(cells.Bounds[i]), clock(cells.Bounds[end]), wordOf(states[i])))
			row.Cells = append(row.Cells, drawn(cells.Bounds, i, end, n, length, states[i])...)
			i = end
		}
		row.Share = strconv.Itoa(100 * ready / n)
		view.Rows = append(view.Rows, row)
	}
	return view
}

// drawn are the shapes of segments [from, to), which are in one state.
func drawn(bounds []float64, from, to, n int, length float64, state string) []mapCell {
	step := to - from
	if n <= eachCell {
		step = 1
	}
	var out []mapCell
	for i := from; i < to; i += step {
		x, end := mapWidth*bounds[i]/length, mapWidth*bounds[i+step]/length
		gap := min(1.5, (end-x)/4)
		h := heights[state]
		label := fmt.Sprintf("segment %d, %s to %s: %s", i, clock(bounds[i]), clock(bounds[i+step]), wordOf(state))
		if step > 1 {
			label = fmt.Sprintf("segments %d to %d, %s to %s: %s", i, i+step-1, clock(bounds[i]), clock(bounds[i+step]), wordOf(state))
		}
		out = append(out, mapCell{
			X: decimal(x), Width: decimal(max(.5, end-x-gap)), Y: decimal(mapHeight - h), Height: decimal(h), State: state, Label: label,
		})
	}
	return out
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// statesOf tells the state of each segment of a rendition.
func statesOf(r *rpc.RenditionCells, jobs []*rpc.Job, n int) []string {
	states := make([]string, n)
	for i := range states {
		states[i] = cellEmpty
	}
	for _, j := range jobs {
		state := stateOf(j)
		if state == "" || !makes(j, r) {
			continue
		}
		for i := max(0, int(j.FromSegment)); i < min(n, int(j.ToSegment)); i++ {
			if urgency(state) < urgency(states[i]) {
				states[i] = state
			}
		}
	}
	for _, run := range r.Ready {
		for i := max(0, int(run.From)); i < min(n, int(run.To)); i++ {
			states[i] = cellReady
		}
	}
	return states
}

func urgency(state string) int {
	for i, s := range []string{cellReady, cellDemanded, cellEncoding, cellFailed, cellPaused, cellQueued} {
		if s == state {
			return i
		}
	}
	return len(cellWords)
}

// makes tells whether a job makes cells of a rendition.
func makes(j *rpc.Job, r *rpc.RenditionCells) bool {
	if j.Rendition != "" && j.Rendition != r.Name {
		return false
	}
	switch j.Kind {
	case "copy":
		return r.Copy
	case "chunk":
		return r.Kind == "video" && !r.Copy
	case "audio":
		return r.Kind == "audio" && !r.Copy
	}
	return false
}

// stateOf is what a job makes of its cells that do not exist.
func stateOf(j *rpc.Job) string {
	demanded := strings.Contains(j.Id, "/demand/")
	switch {
	case j.State == "done" && j.Error != nil:
		return cellFailed
	case j.State == "done":
		return ""
	case demanded:
		return cellDemanded
	case j.State == "leased":
		return cellEncoding
	case j.State == "paused":
		return cellPaused
	}
	return cellQueued
}

func wordOf(state string) string {
	for _, w := range cellWords {
		if w.state == state {
			return w.word
		}
	}
	return state
}

// ticksOf are the times above the map, four to eight of them.
func ticksOf(length float64) []mapTick {
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200} {
		if step = s; length/s <= 8 {
			break
		}
	}
	var out []mapTick
	for at := 0.0; at < length-step/3; at += step {
		out = append(out, mapTick{decimal(mapWidth * at / length), clock(at)})
	}
	return out
}
