package node

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"streamgate/app/alerts"
	"streamgate/app/media/confine"
	"streamgate/app/monitor"
	"streamgate/app/rpc"
	"streamgate/app/transcode"
)

// monitoring tells how the node is and was, and of what wants an operator. Every
// node does so for itself; callers see all of them: see monitors.
type monitoring struct{}

func (monitoring) Name() string { return "monitor" }

func (monitoring) Start(_ context.Context, k *Kernel) error {
	told := alerts.New(alerts.Config{
		Alerts: k.Stores.Catalog.Alerts, Bus: k.Bus, Limits: k.Config.limits(), PublicURL: k.PublicURL,
		Ntfy:    alerts.Ntfy{URL: k.Config.Alerts.NtfyURL, Token: k.Config.Alerts.NtfyToken},
		Version: k.Version, Log: k.Log.With("service", "alerts"),
	})
	var workers rpc.TranscoderClient // of this node
	if k.has(RoleTranscoder) {
		workers = k.Peers.Transcoder
	}
	service, err := monitor.New(monitor.Config{
		NodeID: k.NodeID, Version: k.Version, Roles: k.roleNames(), Started: k.Started, Space: k.Stores.Objects.Space,
		Busy: k.busy, Drain: k.setDrained, Address: func() string { return k.advertised(k.state.addr(clusterServer)) },
		State: k.parts, Listeners: k.state.listeners, Checks: k.checks,
		Dir: filepath.Join(k.DataDir, "metrics"), Gatherer: k.Metrics, Registerer: k.Metrics,
		Transcoder: workers, Tasks: k.Stores.Catalog.Tasks, Log: k.Log.With("service", "monitor"),
		Sampled: func(ctx context.Context, s monitor.Sample) {
			_, faults := k.parts(ctx)
			told.Observe(ctx, alerts.Reading{At: s.At, Node: k.NodeID, Values: s.Values, Faults: faults})
		},
		FailureWindow: k.Config.Alerts.FailureWindow, FailureTasks: k.Config.Alerts.FailureTasks,
		MinFreeDisk: int64(k.Config.Upload.MinFreeDisk),
	})
	if err != nil {
		return err
	}
	if k.has(RoleMonitor) {
		transcode.ShowQueue(k.Metrics, k.Stores.Queue, k.Log.With("service", "monitor"))
	}
	if k.Peers.Monitor, k.Peers.Alerts = service, told; k.load == nil {
		k.load = service.Load
	}
	k.Live(func(c *Config) { told.SetLimits(c.limits()) }, liveAlerts...)
	k.Go("alerts", told.Run)
	k.Go("metrics", func(ctx context.Context) error {
		defer service.Close() //nolint:errcheck // every sample is written already
		return service.Run(ctx)
	})
	return nil
}

func (monitoring) Stop(context.Context) error { return nil }

// liveAlerts are the keys of limits.
var liveAlerts = []string{
	"alerts.queue_warning", "alerts.queue_critical", "alerts.queue_for", "alerts.failure_warning", "alerts.failure_critical",
	"alerts.max_wait", "alerts.disk_full_within",
}

func (c *Config) limits() alerts.Limits {
	a := c.Alerts
	return alerts.Limits{
		QueueWarning: a.QueueWarning, QueueCritical: a.QueueCritical, QueueFor: a.QueueFor,
		FailureWarning: a.FailureWarning, FailureCritical: a.FailureCritical, MaxWait: a.MaxWait,
		MinFreeDisk: int64(c.Upload.MinFreeDisk), DiskFullWithin: a.DiskFullWithin,
	}
}

// parts is the node's state and what is wrong with its parts, "" for those that
// are well.
func (k *Kernel) parts(ctx context.Context) (state string, faults map[string]string) {
	ready := k.state.readiness(ctx)
	for part, said := range ready.Checks {
		if said == "ok" {
			ready.Checks[part] = ""
		}
	}
	return k.withDrain(ready).Status, ready.Checks
}

// checks are what a running node knows of what streamgate doctor looks at.
func (k *Kernel) checks() []*rpc.NodeCheck {
	out := []*rpc.NodeCheck{{Name: "data directory", Found: k.DataDir}}
	if k.has(RoleTranscoder) {
		out = append(k.encoderChecks(), out...)
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		files := &rpc.NodeCheck{Name: "open files", Found: fmt.Sprintf("at most %d", limit.Max)}
		if limit.Max < lowFiles {
			files.Mend = "set LimitNOFILE=65536 in the service, or ulimit -Hn 65536 as root"
		}
		out = append(out, files)
	}
	return out
}

// encoderChecks are those of a transcoder.
func (k *Kernel) encoderChecks() []*rpc.NodeCheck {
	ffmpeg := &rpc.NodeCheck{Name: "ffmpeg", Found: k.Tools.FFmpeg}
	version, err := k.ffmpeg()
	switch {
	case err != nil:
		ffmpeg.Found, ffmpeg.Mend = err.Error(), "sudo apt-get install ffmpeg, then restart the node"
	case version != "":
		ffmpeg.Found = fmt.Sprintf("%s, version %s, with libx264 and aac", k.Tools.FFmpeg, version)
		if encoder := k.knownEncoder(); encoder != "" {
			ffmpeg.Found += ", encoder " + encoder
		}
	}
	confinement := &rpc.NodeCheck{Name: "confinement", Found: "ffmpeg may read every file and reach every address", Mend: "set transcoder.confine to true"}
	if k.Config.Transcoder.Confine {
		confinement.Found, confinement.Mend = confine.Check().Sentence(), ""
	}
	return []*rpc.NodeCheck{ffmpeg, confinement}
}

// lowFiles is the number of open files that a busy node needs.
const lowFiles = 4096
