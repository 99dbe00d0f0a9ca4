package console

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
)

// chart is what one chart of the page of metrics shows.
type chart struct {
	id, title, kind string // kind says how its values are written
	lines           []chartLine
}

type chartLine struct{ metric, label string }

// charts are in the order of the page.
func charts() []chart {
	const bytes, bytesPerSecond, percent, seconds, speed, count = "bytes", "bytes a second", "percent", "seconds", "×", "number"
	return []chart{
		{"queue", "Queue", count, []chartLine{{"queue_length", "tasks that wait"}, {"jobs_ready", "jobs that can begin"}}},
		{"wait", "Oldest wait", seconds, []chartLine{{"queue_age_seconds", "of a task"}}},
		{"tasks", "Tasks a minute", count, []chartLine{{"tasks_completed", "succeeded"}, {"tasks_failed", "failed"}}},
		{"states", "Tasks at work", count, []chartLine{{"tasks_processing", "processing"}, {"tasks_paused", "paused"}}},
		{"failures", "Failure rate", percent, []chartLine{{"failure_rate", "of tasks"}}},
		{"workers", "Workers", count, []chartLine{{"total_workers", "in the pool"}, {"active_workers", "busy"}, {"unhealthy_workers", "unhealthy"}}},
		{"throughput", "Throughput", speed, []chartLine{{"throughput", "all workers"}, {"real_time_ratio", "each chunk"}}},
		{"egress", "Egress", bytesPerSecond, []chartLine{{"egress_bytes", "sent to players"}}},
		{"cells", "Cells a minute", count, []chartLine{{"cells_served", "served"}, {"cells_held", "requests held"}}},
		{"sessions", "Sessions", count, []chartLine{{"sessions", "live"}}},
		{"decisions", "Decisions a minute", count, []chartLine{{"decisions_admitted", "admitted"}, {"decisions_refused", "refused"}}},
		{"sign-ins", "Sign-ins a minute", count, []chartLine{{"sign_ins", "admitted"}, {"sign_ins_refused", "refused"}}},
		{"disk", "Disk", bytes, []chartLine{{"disk_free_bytes", "free"}, {"disk_used_bytes", "used"}}},
		{"cpu", "Processor", percent, []chartLine{{"cpu_percent", "all programs"}, {"own_cpu_percent", "the node alone"}}},
		{"memory", "Memory", bytes, []chartLine{{"memory_bytes", "the node"}, {"memory_available_bytes", "available"}}},
		{"webhooks", "Webhooks", count, []chartLine{{"webhooks_waiting", "deliveries that wait"}}},
	}
}

// ranges are the lengths of time that the page offers.
var ranges = []struct {
	name, title string
	length      time.Duration
}{
	{"15m", "15 min", 15 * time.Minute}, {"1h", "1 h", time.Hour}, {"6h", "6 h", 6 * time.Hour},
	{"24h", "24 h", 24 * time.Hour}, {"7d", "7 d", 7 * 24 * time.Hour},
}

type metricsView struct {
	Ranges []rangeTab
	Charts []chartView
	Node   string
	Step   string
	Live   string // the page's own address, "" if it shows a time that is over
	Parts  string // what of the page is swapped besides
	Begin  stamp
	End    stamp
	Zoomed bool
	Empty  bool
}

type rangeTab struct {
	Name, Title string
	Current     bool
}

type chartView struct {
	ID, Title, Kind string
	Lines           []lineView
	Points          string // JSON: begin, step, series
	From, To        string // seconds since 1970
	Rows            []chartRow
}

type lineView struct{ Label, Class, Last, PromQL, Help string }

type chartRow struct {
	At    stamp
	Cells []string
}

func (v *visit) metrics() {
	view, from, to, err := metricsRange(v.r.URL.Query(), time.Now())
	if err != nil {
		v.fail(err)
		return
	}
	history, err := v.Monitor.GetMetricsHistory(v.ctx, &rpc.GetMetricsHistoryRequest{From: timestamppb.New(from), To: timestamppb.New(to)})
	if err != nil {
		v.fail(err)
		return
	}
	series := map[string]*rpc.MetricSeries{}
	for _, s := range history.Series {
		series[s.Name], view.Node = s, s.NodeId
	}
	view.Step, view.Empty = span(time.Duration(history.Step)*time.Second), true
	for _, c := range charts() {
		one := newChartView(c, series, int64(history.Step))
		one.From, one.To = strconv.FormatInt(from.Unix(), 10), strconv.FormatInt(to.Unix(), 10)
		view.Charts = append(view.Charts, one)
		view.Empty = view.Empty && len(one.Rows) == 0
		view.Parts += ",#values-" + c.id + ":outerMorph,#legend-" + c.id + ":outerMorph"
	}
	v.page(http.StatusOK, "Metrics", "/console/metrics", metricsPage(view), "uPlot.min.css", "uPlot.iife.min.js", "charts.js")
}

// metricsLive has the page asked for again at each sample; what is drawn stays,
// and is drawn anew from what was swapped.
func metricsLive(ctx context.Context, v metricsView) templ.Attributes {
	out := live(ctx, v.Live, "metrics-live", on("15s"))
	out["hx-select-oob"] = "#nav:outerMorph,#foot:outerMorph" + v.Parts
	return out
}

// metricsRange is what time a query asks for: the last while, or a part of the
// past that was drawn with the mouse.
func metricsRange(q url.Values, now time.Time) (view metricsView, from, to time.Time, err error) {
	length := time.Hour
	name := "1h"
	for _, r := range ranges {
		if r.name == q.Get("range") {
			name, length = r.name, r.length
		}
	}
	from, to = now.Add(-length), now
	if q.Has("from") {
		begin, ferr := strconv.ParseInt(q.Get("from"), 10, 64)
		end, terr := strconv.ParseInt(q.Get("to"), 10, 64)
		if ferr != nil || terr != nil || begin < 0 || end <= begin || end > 1<<33 {
			return view, from, to, rpc.Invalid("invalid_time", "from and to must be seconds since 1970, from before to.")
		}
		view.Zoomed, name = true, ""
		from, to = time.Unix(begin, 0), time.Unix(end, 0)
	} else {
		view.Live = "/console/metrics?range=" + name
	}
	for _, r := range ranges {
		view.Ranges = append(view.Ranges, rangeTab{r.name, r.title, r.name == name})
	}
	view.Begin, view.End = ago(from), ago(to)
	return view, from, to, nil
}

// points is what scripts draw: the values of each line from begin on, one a
// step; null where nothing was seen.
type points struct {
	Begin  int64        `json:"begin"`
	Step   int64        `json:"step"`
	Series [][]*float64 `json:"series"`
}

func newChartView(c chart, series map[string]*rpc.MetricSeries, step int64) chartView {
	view := chartView{ID: c.id, Title: c.title, Kind: c.kind}
	p := points{Step: max(step, 1), Series: [][]*float64{}}
	last := int64(-1)
	for _, line := range c.lines {
		for _, point := range series[line.metric].GetPoints() {
			at := int64(point.At)
			if last < 0 || at < p.Begin {
				p.Begin = at
			}
			last = max(last, at)
		}
	}
	for i, line := range c.lines {
		s := series[line.metric]
		values := make([]*float64, (last-p.Begin)/p.Step+1)
		if last < 0 {
			values = nil
		}
		newest := "–"
		for _, point := range s.GetPoints() {
			value := significant(point.Value)
			values[(int64(point.At)-p.Begin)/p.Step] = &value
			newest = written(point.Value, c.kind)
		}
		p.Series = append(p.Series, values)
		view.Lines = append(view.Lines, lineView{line.label, "line-" + strconv.Itoa(i+1), newest, s.GetPromql(), s.GetHelp()})
	}
	view.Rows = p.rows(c.kind)
	data, err := json.Marshal(p)
	if err == nil { // numbers always encode
		view.Points = string(data)
	}
	return view
}

// significant drops digits that no chart shows.
func significant(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	if err != nil {
		return v
	}
	return short
}

const chartRows = 24 // of a table, at most

// rows are the means of the points that a row of the table stands for, the
// newest first.
func (p points) rows(kind string) []chartRow {
	count := 0
	for _, s := range p.Series {
		count = max(count, len(s))
	}
	each := (count + chartRows - 1) / chartRows
	var out []chartRow
	for first := (count - 1) / max(each, 1) * max(each, 1); first >= 0 && count > 0; first -= each {
		at := time.Unix(p.Begin+int64(first)*p.Step, 0)
		row := chartRow{At: stamp{at.UTC().Format("Jan 2, 15:04:05") + " UTC", at.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339)}}
		for _, s := range p.Series {
			row.Cells = append(row.Cells, mean(s[min(first, len(s)):min(first+each, len(s))], kind))
		}
		out = append(out, row)
	}
	return out
}

func mean(values []*float64, kind string) string {
	sum, n := 0.0, 0
	for _, v := range values {
		if v != nil {
			sum, n = sum+*v, n+1
		}
	}
	if n == 0 {
		return "–"
	}
	return written(sum/float64(n), kind)
}

// written is a value for people.
func written(v float64, kind string) string {
	switch kind {
	case "bytes", "bytes a second":
		text := size(math.Abs(v)).Short
		if v == 0 {
			text = "0 B"
		}
		if kind == "bytes a second" {
			text += "/s"
		}
		return text
	case "percent":
		return short(v) + " %"
	case "seconds":
		return span(time.Duration(v * float64(time.Second)))
	case "×":
		return short(v) + "×"
	}
	return short(v)
}

// short is a number with three digits or so.
func short(v float64) string {
	if math.Abs(v) >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.3g", v), ".0")
}
