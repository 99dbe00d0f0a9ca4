package alerts

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"streamgate/store"
)

var begin = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

// TestStep walks an alert through readings 15 s apart: y holds, n does not, ? is
// not seen.
func TestStep(t *testing.T) {
	for _, c := range []struct {
		name     string
		hold     time.Duration
		silent   [2]int // the reading before which a silence is laid, from 1 on, and until which it lasts
		readings string
		states   string // the first letter after each reading
		news     string
	}{
		{"at once", 0, [2]int{}, "nyyynnnn", "ifffffrr", "-f----r-"},
		{"after a minute", time.Minute, [2]int{}, "nyyyyyy", "ippppff", "-----f-"},
		{"not for long enough", time.Minute, [2]int{}, "yyynyyyyyn", "pppippppff", "--------f-"},
		{"comes and goes while firing", 0, [2]int{}, "ynynnynnn", "ffffffffr", "f-------r"},
		{"what is not seen changes nothing", time.Minute, [2]int{}, "yy??yy??nnn", "ppppffffffr", "----f-----r"},
		{"again after the end", 0, [2]int{}, "ynnnyn", "fffrff", "f--rf-"},
		{"pending after the end", time.Minute, [2]int{}, "yyyyynnnynn", "ppppfffrprr", "----f--r---"},
		{"silenced before it fires, and over while it does", 0, [2]int{1, 4}, "yyyyynnn", "fffffffr", "----f--r"},
		{"silenced before, and over after", 0, [2]int{1, 9}, "yynnnn", "ffffrr", "------"},
		{"silenced while it fires", 0, [2]int{2, 9}, "yynnnn", "ffffrr", "f-----"},
	} {
		if states, news := walk(c.hold, c.silent, c.readings); states != c.states || news != c.news {
			t.Errorf("%s: %s goes\n%s, want\n%s, with news\n%s, want\n%s", c.name, c.readings, states, c.states, news, c.news)
		}
	}
}

func walk(hold time.Duration, silent [2]int, readings string) (states, news string) {
	var a store.Alert
	for i, r := range readings {
		now := begin.Add(time.Duration(i) * 15 * time.Second)
		if silent[0] > 0 && i == silent[0]-1 {
			a.Silence = &store.Silence{Until: begin.Add(time.Duration(silent[1]) * 15 * time.Second)}
		}
		a = step(a, condition{rule: rule{name: "r", severity: Warning, hold: hold}, id: "r", known: r != '?', holds: r == 'y'}, now)
		states += string(a.State + "-")[:1]
		if a.Notice == nil {
			news += "-"
			continue
		}
		news += string(a.Notice.State[:1])
		a.Notice = nil
	}
	return states, news
}

// TestRules: what each rule says at, below and beyond its threshold.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		metric string
		value  float64
		want   string
	}{
		{"queue_length", 50, ""},
		{"queue_length", 51, "queue_length_warning"},
		{"queue_length", 100, "queue_length_warning"},
		{"queue_length", 101, "queue_length_critical queue_length_warning"},
		{"failure_rate", 5, ""},
		{"failure_rate", 5.1, "failure_rate_warning"},
		{"failure_rate", 11, "failure_rate_critical failure_rate_warning"},
		{"unhealthy_workers", 0, ""},
		{"unhealthy_workers", 1, "worker_unhealthy.n"},
		{"unhealthy_workers", 4, "workers_all_unhealthy.n worker_unhealthy.n"},
		{"total_workers", 0, ""}, // somebody has emptied the pool
		{"queue_age_seconds", 600, ""},
		{"queue_age_seconds", 601, "wait_time"},
		{"disk_free_bytes", 1000, ""},
		{"disk_free_bytes", 999, "disk_space.n"},
		{"disk_full_seconds", 86400, ""},
		{"disk_full_seconds", 86399, "disk_forecast.n"},
	} {
		values := map[string]float64{
			"queue_length": 0, "failure_rate": 0, "total_workers": 4, "unhealthy_workers": 0, "queue_age_seconds": 0,
			"disk_free_bytes": math.Pow(10, 12), "disk_full_seconds": 1e9,
		}
		values[c.metric] = c.value
		if got := holding(Reading{Node: "n", Values: values, Faults: map[string]string{"media": ""}}); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.metric, c.value, got, c.want)
		}
	}
	if got := holding(Reading{Node: "n", Faults: map[string]string{"media": "is gone", "records": ""}}); got != "service_unavailable.media.n" {
		t.Errorf("a part that fails: %s", got)
	}
	for _, c := range testLimits.conditions(Reading{Node: "n"}) {
		if c.known || c.holds || !strings.HasSuffix(c.summary, ".") || !strings.HasSuffix(c.mend, ".") || !strings.HasPrefix(c.page, "/console/") {
			t.Errorf("%+v", c)
		}
	}
}

var testLimits = Limits{
	QueueWarning: 50, QueueCritical: 100, QueueFor: 5 * time.Minute, FailureWarning: 5, FailureCritical: 10,
	MaxWait: 10 * time.Minute, MinFreeDisk: 1000, DiskFullWithin: 24 * time.Hour,
}

func holding(r Reading) string {
	var out []string
	for _, c := range testLimits.conditions(r) {
		if c.holds {
			out = append(out, c.id)
			if c.summary == c.about || c.summary == "" {
				out = append(out, fmt.Sprintf("(says %q)", c.summary))
			}
		}
	}
	return strings.Join(out, " ")
}
