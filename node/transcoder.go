package node

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"streamgate/app/gateway"
	"streamgate/app/rpc"
	"streamgate/app/transcode"
	"streamgate/store"
)

// transcoder runs the tasks and their workers, and serves the transcoder's own
// gRPC port.
type transcoder struct {
	k       *Kernel
	service *transcode.Service
	stop    context.CancelFunc
	done    chan struct{}
}

func (t *transcoder) Name() string { return "transcoder" }

func (t *transcoder) Start(ctx context.Context, k *Kernel) error {
	cfg := &k.Config.Transcoder
	workers, least, most := cfg.Workers(cores())
	service, err := transcode.New(transcode.Config{
		Queue: k.Stores.Queue, Catalog: k.Stores.Catalog, Objects: k.Stores.Objects, Cache: k.Stores.Cache, Bus: k.Bus,
		Tools: k.Tools, Log: k.Log.With("service", "transcoder"), Metrics: k.Metrics, Tracer: k.Tracer,
		Owner:    store.Owner{Node: k.NodeID, Boot: k.BootID},
		Alive:    k.living(),
		Encoder:  k.encoder,
		Encoders: k.encoders, EncoderPatience: k.encoderPatience(),
		Scratch:  filepath.Join(k.DataDir, "scratch"),
		Profiles: cfg.Profiles, Workers: workers,
		Scaling: transcode.Scaling{
			Min: least, Max: most, TargetQueueLen: cfg.ScalingPolicy.TargetQueueLen, Up: cfg.ScalingPolicy.ScaleUpThreshold,
			Down: cfg.ScalingPolicy.ScaleDownThreshold, Interval: cfg.ScalingPolicy.CheckInterval,
		},
		HealthInterval: cfg.HealthCheckInterval, KeepTasks: cfg.KeepTasks,
		KeepRetired: max(24*time.Hour, k.Config.Streaming.SessionTTL),
		DiskFloor:   int64(k.Config.Upload.MinFreeDisk) * 3 / 4, // above what the store keeps free for records
		MaxTasks:    cfg.MaxConcurrentTasks, MaxQueue: cfg.MaxQueueSize, JobTimeout: cfg.TaskTimeout,
	})
	if err != nil {
		return err
	}
	t.k, t.service, k.Peers.Transcoder = k, service, service
	k.drain.workers, k.drain.load = append(k.drain.workers, service), service.Load
	err = k.Serve(ctx, Server{
		Name: "transcoder grpc", Key: "transcoder.grpc_port", Addr: k.Config.APIGateway.addr(cfg.GRPCPort),
		Handler: gateway.NewRPC(gateway.RPCConfig{
			Services: []gateway.Service{gateway.Transcoder(k.audit.Transcoder(service))},
			Auth:     lateAuth{k},
			Open:     []string{rpc.TranscoderGetMetricsProcedure},
			Log:      k.Log,
		}),
	})
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stop, t.done = stop, make(chan struct{})
	k.Go("workers", func(loop context.Context) error {
		defer close(t.done)
		defer context.AfterFunc(loop, stop)()
		return service.Run(run)
	})
	return nil
}

// encoderPatience is how long a task waits for a node that has its encoder: in a
// cluster one may be away for a restart, alone there is none to wait for.
func (k *Kernel) encoderPatience() time.Duration {
	if k.clustered() {
		return encoderPatience
	}
	return 0
}

const encoderPatience = 2 * time.Minute

// encoders are those of the nodes that are there.
func (k *Kernel) encoders() (names []string) {
	for _, i := range k.Registry.Instances() {
		if i.Encoder != "" && i.Has(string(RoleTranscoder)) {
			names = append(names, i.Encoder)
		}
	}
	return names
}

// Stop takes no more jobs and lets the running ones finish for a minute; what
// is left goes back to the queue; where that was moved it is given back already.
func (t *transcoder) Stop(ctx context.Context) error {
	if t.k.moved.Load() {
		t.service.Leave()
	}
	t.stop()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("jobs are still running: %w", ctx.Err())
	}
}

// profileNames are the names of the ladders that a video may ask for.
func (t *Transcoder) profileNames() []string { return slices.Sorted(maps.Keys(t.Profiles)) }
