package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/app/transcode"
	"streamgate/store"
	"streamgate/store/files"
	"streamgate/store/memory"
)

const (
	deepJobs     = 100_000
	deepTasks    = 10_000
	shallow      = 100 // jobs, and tasks
	deepTimes    = 2.0 // at most, of what it takes with few waiting
	tasksAtOnce  = 1   // under way in the rows of admission
	submitsAbout = 256 // tasks handed in at the same time, to share commits
)

// benchDepth measures what a long queue costs: the latency of a lease, and the
// CPU time of letting a task in, each against the same with few waiting, in
// turns.
func benchDepth(ctx context.Context, b *bench) ([]result, error) {
	lease, err := b.leaseDepth(ctx)
	if err != nil {
		return nil, err
	}
	admission, err := b.admissionDepth(ctx)
	return []result{lease, admission}, err
}

// leaseDepth has 10,000 tasks of ten jobs each ready on one database, and ten
// tasks on another. The leased job is finished and another pushed, so that as
// many wait all the time.
func (b *bench) leaseDepth(ctx context.Context) (result, error) {
	took := map[int]series{}
	queues := map[int]*ownQueue{}
	for _, waiting := range []int{deepJobs, shallow} {
		q, err := b.openQueue(fmt.Sprintf("depth-%d", waiting))
		if err != nil {
			return result{}, err
		}
		defer q.close()
		if err := q.fill(ctx, waiting); err != nil {
			return result{}, err
		}
		queues[waiting] = q
	}
	for range b.runs(1000, 200) {
		for waiting, q := range queues {
			ms, err := q.leaseOne(ctx)
			if err != nil {
				return result{}, err
			}
			took[waiting] = append(took[waiting], ms)
		}
	}
	what := fmt.Sprintf("latency of a lease, %d jobs of %d tasks waiting, against %d jobs", deepJobs, deepJobs/jobsPerTask, shallow)
	return compareP99(what, "ms", deepTimes, took[deepJobs], took[shallow]), nil
}

// leaseOne returns how many milliseconds a lease took.
func (q *ownQueue) leaseOne(ctx context.Context) (float64, error) {
	began := time.Now()
	job, err := q.lease(ctx)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	return float64(took.Nanoseconds()) / 1e6, q.finish(ctx, job, q.next())
}

// compareP99 judges the quotient of two 99th percentiles by what it may be at
// most.
func compareP99(what, unit string, limit float64, long, short series) result {
	q := long.quantile(0.99) / short.quantile(0.99)
	return result{
		what: what + ", p99", target: fmt.Sprintf("≤ %.2f × few", limit), ratio: fmt.Sprintf("%.2f", q), met: q <= limit,
		measured: fmt.Sprintf("many: p50 %s, p99 %s, few: p50 %s, p99 %s %s; %d times each",
			number(long.median()), number(long.quantile(0.99)), number(short.median()), number(short.quantile(0.99)), unit, len(long)),
	}
}

// admissionDepth ends the one task that is under way, so that the transcoder
// lets the next in: once with 10,000 waiting and once with 100. The CPU time is
// that of both steps, with all that is announced and stored.
func (b *bench) admissionDepth(ctx context.Context) (result, error) {
	var lines [2]*taskLine
	for i, waiting := range []int{deepTasks, shallow} {
		l, err := b.newTaskLine(ctx, waiting)
		if err != nil {
			return result{}, err
		}
		defer l.close()
		lines[i] = l
	}
	var took [2]series
	for range b.runs(9, 3) {
		for i, l := range lines {
			ms, err := l.admissions(ctx, shallow/10)
			if err != nil {
				return result{}, err
			}
			took[i] = append(took[i], ms)
		}
	}
	c := comparison{
		what: fmt.Sprintf("CPU of an admission (the task before it is cancelled), %d tasks waiting, against %d", deepTasks, shallow),
		unit: "ms", peer: "few", ours: took[0], them: took[1],
	}
	r := c.atMost(deepTimes)
	r.measured = fmt.Sprintf("many %s, few %s ms", c.ours, c.them)
	return r, nil
}

// taskLine is a transcoder without workers, and its waiting tasks.
type taskLine struct {
	*transcode.Service
	*ownQueue
	catalog store.Catalog
	bus     *nats.Conn
	server  *server.Server
	videos  int
}

func (b *bench) newTaskLine(ctx context.Context, waiting int) (_ *taskLine, err error) {
	name := fmt.Sprintf("tasks-%d", waiting)
	objects, err := files.Open(filepath.Join(b.dir, name))
	if err != nil {
		return nil, err
	}
	l := &taskLine{}
	l.server, err = server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true, NoSystemAccount: true})
	if err != nil {
		return nil, err
	}
	l.server.Start()
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.bus, err = nats.Connect("", nats.InProcessServer(l.server)); err != nil {
		return nil, err
	}
	if l.ownQueue, err = b.openQueue(name); err != nil {
		return nil, err
	}
	l.catalog = l.db.Catalog()
	l.Service, err = transcode.New(transcode.Config{
		Queue: l.queue, Catalog: l.catalog, Objects: objects, Cache: memory.NewCache(memory.Options{}), Bus: l.bus, Log: slog.New(slog.DiscardHandler),
		Metrics: prometheus.NewRegistry(), Owner: store.Owner{Node: "bench", Boot: "1"},
		Profiles: map[string]media.Profile{rpc.DefaultProfile: media.DefaultProfile()},
		MaxTasks: tasksAtOnce, MaxQueue: 2 * deepTasks,
	})
	if err != nil {
		return nil, err
	}
	return l, l.submit(ctx, waiting+tasksAtOnce)
}

// submit makes videos and a task for each.
func (l *taskLine) submit(ctx context.Context, tasks int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(submitsAbout)
	for range tasks {
		l.videos++
		v := store.Video{
			ID: fmt.Sprintf("video-%06d", l.videos), State: store.VideoProcessing, Profile: rpc.DefaultProfile, Priority: 50,
			SizeBytes: 1, Created: time.Now().UTC(),
		}
		group.Go(func() error {
			if err := l.catalog.Videos.Create(ctx, v); err != nil {
				return err
			}
			_, err := l.CreateTask(rpc.System(ctx), &rpc.CreateTaskRequest{VideoId: v.ID})
			return err
		})
	}
	return group.Wait()
}

// admissions ends the task under way that many times, and returns how much CPU
// time each took, milliseconds. Afterwards as many tasks wait as before.
func (l *taskLine) admissions(ctx context.Context, times int) (float64, error) {
	var total time.Duration
	for range times {
		active, _, err := l.catalog.Tasks.List(ctx, store.Query{State: string(store.TaskProcessing)})
		if err != nil {
			return 0, err
		}
		if len(active) != tasksAtOnce {
			return 0, fmt.Errorf("%d tasks are under way: the row would measure something else", len(active))
		}
		before, err := ownCPU()
		if err != nil {
			return 0, err
		}
		if _, err := l.CancelTask(rpc.System(ctx), &rpc.CancelTaskRequest{Id: active[0].ID}); err != nil {
			return 0, err
		}
		after, err := ownCPU()
		if err != nil {
			return 0, err
		}
		total += after - before
	}
	return total.Seconds() * 1000 / float64(times), l.submit(ctx, times)
}

// ownCPU is the CPU time of this process so far.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func (l *taskLine) close() {
	if l.bus != nil {
		l.bus.Close()
	}
	l.server.Shutdown()
	l.server.WaitForShutdown()
	if l.ownQueue != nil {
		l.ownQueue.close()
	}
}
