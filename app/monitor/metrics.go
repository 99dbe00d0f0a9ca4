package monitor

import (
	"strconv"
	"strings"
)

// Metric is one number that the node keeps the history of.
type Metric struct {
	Name string
	Unit string // tasks, workers, percent, seconds, bytes, …; per minute or second if it says so
	Help string
	// PromQL is the same as a query to Prometheus.
	PromQL string

	own bool                 // shown to Prometheus by this part
	see func(*sight) float64 // NaN: not seen
}

// Metrics is every metric of the history. Those that no part shows Prometheus
// are shown by this one, as of the last sample.
func Metrics() []Metric {
	const (
		transcoder = "streamgate_transcoder_"
		stream     = "streamgate_stream_"
		access     = "streamgate_access_"
	)
	return []Metric{
		gauge("queue_length", "tasks", "Tasks that wait.", transcoder+"queue_length"),
		gauge("queue_age_seconds", "seconds", "Age of the oldest task that waits.", transcoder+"queue_age_seconds"),
		gauge("jobs_ready", "jobs", "Jobs that can be leased now.", transcoder+"jobs_ready"),
		own("tasks_processing", "tasks", "Tasks that are being worked on; 200 stands for more.", (*sight).processing),
		own("tasks_paused", "tasks", "Tasks that are paused; 200 stands for more.", (*sight).paused),
		perMinute("tasks_completed", "tasks a minute", "Tasks that succeeded.", transcoder+"tasks_completed", ""),
		perMinute("tasks_failed", "tasks a minute", "Tasks that failed.", transcoder+"tasks_failed", ""),
		own("failure_rate", "percent", "Share of the tasks that failed, of those that ended within the window of the alert; 0 while too few did.", (*sight).failureRate),
		perMinute("job_failures", "attempts a minute", "Attempts at jobs that failed.", transcoder+"job_failures", ""),
		gauge("total_workers", "workers", "Workers in the pool.", transcoder+"total_workers"),
		gauge("active_workers", "workers", "Workers that have a job.", transcoder+"active_workers"),
		gauge("unhealthy_workers", "workers", "Workers that were replaced lately.", transcoder+"unhealthy_workers"),
		own("throughput", "seconds of video a second", "What all workers make together.", (*sight).throughput),
		own("real_time_ratio", "seconds of video a second", "What a worker made, of the chunks that were finished.", (*sight).realTimeRatio),
		perSecond("egress_bytes", "bytes a second", "What players were sent.", stream+"bytes_total", ""),
		perMinute("cells_served", "cells a minute", "Cells that players were sent.", stream+"requests_total", `kind="cell",code="2xx"`),
		perMinute("cells_held", "requests a minute", "Requests that waited for what was being made.", stream+"hold_seconds_count", ""),
		gauge("waiters", "requests", "Requests that wait now for what is being made.", stream+"waiters"),
		gauge("sessions", "sessions", "Playback sessions that are live.", access+"sessions"),
		perMinute("decisions_admitted", "decisions a minute", "Decisions that admit a viewer.", access+"decisions_total", `reason="admitted"`),
		perMinute("decisions_refused", "decisions a minute", "Decisions that refuse a viewer.", access+"decisions_total", `reason!="admitted"`),
		perMinute("sign_ins", "sign-ins a minute", "Wallets that signed in.", signInsFamily, `result="admitted"`),
		perMinute("sign_ins_refused", "sign-ins a minute", "Sign-ins of wallets that were refused.", signInsFamily, `result="refused"`),
		gauge("webhooks_waiting", "deliveries", "Webhook deliveries that wait for an attempt.", "streamgate_webhooks_waiting"),
		own("disk_free_bytes", "bytes", "Free on the data directory's disk.", func(s *sight) float64 { return s.diskFree }),
		own("disk_used_bytes", "bytes", "Used on the data directory's disk.", func(s *sight) float64 { return s.diskTotal - s.diskFree }),
		own("disk_full_seconds", "seconds", "Until no more is free than must stay free, if it goes on as in the last six hours; 30 days at most.", (*sight).diskFull),
		gauge("memory_bytes", "bytes", "Resident memory of the node, without ffmpeg.", "process_resident_memory_bytes"),
		own("memory_available_bytes", "bytes", "Memory that the machine could give.", func(s *sight) float64 { return s.machine.available }),
		own("cpu_percent", "percent", "Share of the machine's time that all programs use.", (*sight).cpu),
		perSecond("own_cpu_percent", "percent", "Share of the machine's time that the node uses, without ffmpeg.", "process_cpu_seconds_total", "").times(100 / cores()),
		gauge("goroutines", "goroutines", "Goroutines of the node.", "go_goroutines"),
		gauge("open_files", "files", "Files and connections that the node has open.", "process_open_fds"),
	}
}

// names of the metrics, in their order.
func names(list []Metric) []string {
	out := make([]string, len(list))
	for i, m := range list {
		out[i] = m.Name
	}
	return out
}

// ownPrefix begins the names of what this part shows Prometheus.
const ownPrefix = "streamgate_node_"

// own is a metric that this part finds out.
func own(name, unit, help string, see func(*sight) float64) Metric {
	return Metric{Name: name, Unit: unit, Help: help, PromQL: ownPrefix + name, own: true, see: see}
}

// gauge is a metric that another part shows Prometheus.
func gauge(name, unit, help, family string) Metric {
	return Metric{Name: name, Unit: unit, Help: help, PromQL: family, see: func(s *sight) float64 { return s.sum(family, nil) }}
}

// perSecond is how fast a counter of another part counts.
func perSecond(name, unit, help, family, labels string) Metric {
	match := parseLabels(labels)
	query := family
	if labels != "" {
		query += "{" + labels + "}"
	}
	return Metric{
		Name: name, Unit: unit, Help: help, PromQL: "sum(rate(" + query + "[1m]))",
		see: func(s *sight) float64 { return s.rate(name, s.sum(family, match)) },
	}
}

// perMinute is how often something happens.
func perMinute(name, unit, help, family, labels string) Metric {
	return perSecond(name, unit, help, family, labels).times(60)
}

// times is a metric in another unit.
func (m Metric) times(factor float64) Metric {
	see := m.see
	m.see = func(s *sight) float64 { return factor * see(s) }
	m.PromQL = strconv.FormatFloat(factor, 'f', -1, 64) + " * " + m.PromQL
	return m
}

// label is one condition on a label.
type label struct {
	name, value string
	not         bool
}

// parseLabels reads conditions as PromQL has them: a="b",c!="d".
func parseLabels(text string) []label {
	var out []label
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			continue
		}
		bare, not := strings.CutSuffix(name, "!")
		out = append(out, label{bare, strings.Trim(value, `"`), not})
	}
	return out
}
