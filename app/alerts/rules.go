package alerts

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// The severities.
const (
	Critical = "critical"
	Warning  = "warning"
)

// Limits are beyond what there is an alert.
type Limits struct {
	QueueWarning, QueueCritical     int           // tasks that wait
	QueueFor                        time.Duration // of QueueWarning
	FailureWarning, FailureCritical float64       // percent of tasks
	MaxWait                         time.Duration // of the oldest task
	MinFreeDisk                     int64         // bytes
	DiskFullWithin                  time.Duration
}

// Reading is what there is to judge.
type Reading struct {
	At     time.Time
	Node   string
	Values map[string]float64 // by the names of metrics; what was not seen is not there
	Faults map[string]string  // what is wrong with the node's parts, "" for those that are well
}

// rule is one thing to look for.
type rule struct {
	name      string
	severity  string
	about     string  // what it says, in a sentence
	metric    string  // that it looks at
	below     bool    // holds if the value is below, not above
	threshold float64 // the value beyond which it holds
	unit      string
	hold      time.Duration // for how long before it fires
	perNode   bool          // else it is about all nodes together
	page      string        // of the console
	mend      string
	say       func(value float64) string // what is the matter
}

// condition is what a rule says of a reading.
type condition struct {
	rule
	id, node string
	known    bool // whether anything was seen
	holds    bool
	value    float64
	summary  string // what is the matter, or about if nothing is
}

// rules are all but those of the node's parts.
func (l Limits) rules() []rule {
	queue := func(name, severity string, most int, hold time.Duration) rule {
		return rule{
			name: name, severity: severity, metric: "queue_length", threshold: float64(most), unit: "tasks", hold: hold,
			about: fmt.Sprintf("More than %d tasks wait%s.", most, forSpan(hold)), page: "/console/queue?state=queued",
			mend: "Let more workers run (transcoder.worker_pool_size), or add a machine; see whether the queue is paused.",
			say:  func(v float64) string { return fmt.Sprintf("%s tasks wait.", number(v)) },
		}
	}
	failures := func(name, severity string, most float64) rule {
		return rule{
			name: name, severity: severity, metric: "failure_rate", threshold: most, unit: "percent",
			about: fmt.Sprintf("More than %s %% of the tasks fail.", number(most)), page: "/console/queue?state=failed",
			mend: "Open a failed task: its attempts say why. What failed for a passing reason can be retried.",
			say: func(v float64) string {
				return fmt.Sprintf("%s %% of the tasks that ended lately have failed.", number(v))
			},
		}
	}
	return []rule{
		queue("queue_length_critical", Critical, l.QueueCritical, 0),
		queue("queue_length_warning", Warning, l.QueueWarning, l.QueueFor),
		failures("failure_rate_critical", Critical, l.FailureCritical),
		failures("failure_rate_warning", Warning, l.FailureWarning),
		{
			name: "workers_all_unhealthy", severity: Critical, metric: healthyWorkers, below: true, threshold: 1, unit: "workers", perNode: true,
			about: "No worker of the node is healthy.", page: "/console/workers",
			mend: "Look at the workers' last words and the node's log; ffmpeg may be missing or the machine out of memory.",
			say:  func(float64) string { return "No worker is healthy: nothing is transcoded." },
		},
		{
			name: "worker_unhealthy", severity: Warning, metric: "unhealthy_workers", threshold: 0, unit: "workers", perNode: true,
			about: "A worker was unhealthy and had to be replaced.", page: "/console/workers",
			mend: "Look at the worker's reason; if it comes back, retry its task with another profile.",
			say:  func(v float64) string { return number(v) + " of the workers had to be replaced lately." },
		},
		{
			name: "wait_time", severity: Warning, metric: "queue_age_seconds", threshold: l.MaxWait.Seconds(), unit: "seconds",
			about: fmt.Sprintf("The oldest task has waited for more than %s.", span(l.MaxWait)), page: "/console/queue?state=queued",
			mend: "Let more workers run, lower the priority of what can wait, or resume the queue if it is paused.",
			say: func(v float64) string {
				return "The oldest task has waited for " + span(time.Duration(v)*time.Second) + "."
			},
		},
		{
			name: "disk_space", severity: Critical, metric: "disk_free_bytes", below: true, threshold: float64(l.MinFreeDisk), unit: "bytes", perNode: true,
			about: fmt.Sprintf("Less than %s are free: uploads are refused.", bytes(float64(l.MinFreeDisk))), page: "/console/videos",
			mend: "Delete videos, enlarge the disk, or lower upload.min_free_disk.",
			say: func(v float64) string {
				return "Only " + bytes(v) + " are free on the disk: uploads are refused."
			},
		},
		{
			name: "disk_forecast", severity: Warning, metric: "disk_full_seconds", below: true, threshold: l.DiskFullWithin.Seconds(), unit: "seconds", perNode: true,
			about: fmt.Sprintf("The disk is full within %s, if it goes on as in the last six hours.", span(l.DiskFullWithin)), page: "/console/metrics?range=24h#disk",
			mend: "Delete videos, or enlarge the disk, before uploads are refused.",
			say: func(v float64) string {
				return "The disk is full in " + span(time.Duration(v)*time.Second) + ", if it goes on as in the last six hours."
			},
		},
	}
}

// healthyWorkers is what two metrics tell together.
const healthyWorkers = "healthy_workers"

// Values with those that are made of them.
func (r Reading) value(metric string) (float64, bool) {
	if metric != healthyWorkers {
		v, ok := r.Values[metric]
		return v, ok
	}
	total, ok := r.Values["total_workers"]
	unhealthy, too := r.Values["unhealthy_workers"]
	// A pool without any worker is one that somebody has emptied.
	return total - unhealthy, ok && too && total > 0
}

// conditions judges a reading by every rule.
func (l Limits) conditions(r Reading) []condition {
	var out []condition
	for _, rule := range l.rules() {
		c := condition{rule: rule, id: rule.name, summary: rule.about}
		if rule.perNode {
			c.id, c.node = rule.name+"."+r.Node, r.Node
		}
		c.value, c.known = r.value(rule.metric)
		c.holds = c.known && (rule.below && c.value < rule.threshold || !rule.below && c.value > rule.threshold)
		if c.holds {
			c.summary = rule.say(c.value)
		}
		out = append(out, c)
	}
	for _, part := range slices.Sorted(maps.Keys(r.Faults)) {
		out = append(out, partCondition(r.Node, part, r.Faults[part]))
	}
	return out
}

// partCondition: a part of a node works, or it does not.
func partCondition(node, part, fault string) condition {
	c := condition{
		rule: rule{
			name: "service_unavailable", severity: Critical, unit: "parts", perNode: true, page: "/console/nodes",
			about: fmt.Sprintf("The node's part %q does not work.", part),
			mend:  "The node's log says more; streamgate doctor looks at everything that a node needs of its machine.",
		},
		id: "service_unavailable." + part + "." + node, node: node, known: true, holds: fault != "",
	}
	c.summary = c.about
	if c.holds {
		c.value, c.summary = 1, fmt.Sprintf("%s does not work: %s", part, fault)
	}
	return c
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func forSpan(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return " for " + span(d)
}

// span is a length of time for people.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return fmt.Sprintf("%d hours", int(d.Hours()))
}

func bytes(v float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for v >= 999.5 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}
