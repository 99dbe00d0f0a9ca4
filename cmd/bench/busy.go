package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
)

const (
	busyMiB      = 128 // at most
	busyEncoders = 2
	busyFor      = 20 * time.Second
	busyLook     = 500 * time.Millisecond
)

// twoTasks goes on with the section of configYAML: as many tasks under way as
// there are films, so that the others wait.
const twoTasks = "  max_concurrent_tasks: 2\n"

// benchBusyMemory measures the resident memory of a node (without its ffmpegs)
// that encodes two films while 10,000 tasks wait with ten jobs each. These are
// written into its database while it is down, after a kill. From
// the restart on it is looked at twice a second, and the most is judged: pages
// of the database that it has touched are in it.
func benchBusyMemory(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.sources.file(ctx, foreign10min)
	if err != nil {
		return nil, err
	}
	n, err := b.startNode(ctx, twoTasks)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	resident, err := b.busyMemory(ctx, n, file)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, n.said())
	}
	what := fmt.Sprintf("resident memory, %d jobs of %d tasks waiting, %d films being encoded (ffmpeg not counted)", deepJobs, deepJobs/jobsPerTask, busyEncoders)
	r := atMost(what, busyMiB, "MiB", resident)
	r.met = slices.Max(resident) <= busyMiB
	return []result{r}, nil
}

func (b *bench) busyMemory(ctx context.Context, n *node, file string) (resident series, err error) {
	for range busyEncoders {
		v, _, err := n.upload(ctx, file, "", true)
		if err != nil {
			return nil, err
		}
		if _, err := (player{n.url + "/v/" + v.ID + "/"}).firstPicture(ctx); err != nil {
			return nil, err
		}
	}
	if err := n.end(syscall.SIGKILL); err != nil {
		return nil, err
	}
	if err := n.addWaiting(ctx); err != nil {
		return nil, err
	}
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	for range busyFor / busyLook {
		if err := sleep(ctx, busyLook); err != nil {
			return nil, err
		}
		size, err := residentMiB(n.pid())
		if err != nil {
			return nil, err
		}
		resident = append(resident, size)
	}
	if encoders := len(n.encoders()); encoders < busyEncoders {
		return nil, fmt.Errorf("%d films are being encoded: the row would measure something else", encoders)
	}
	var queue struct {
		Waiting int `json:"tasks_waiting"` // it counts the jobs that wait for admission
	}
	if err := n.call(ctx, http.MethodGet, "/api/v1/queue", nil, &queue); err != nil {
		return nil, err
	}
	if queue.Waiting != deepJobs {
		return nil, fmt.Errorf("%d jobs wait: the row would measure something else", queue.Waiting)
	}
	anonymous, _ := statusMiB(n.pid(), "RssAnon") // old kernels do not tell
	b.logf("   %s MiB, at the end %.0f MiB of it not of files", resident, anonymous)
	return resident, nil
}

// addWaiting gives a node that is down videos with a task each. Only few may
// be under way, so that they wait.
func (n *node) addWaiting(ctx context.Context) error {
	db, err := bolt.Open(filepath.Join(n.data(), "streamgate.db"), bolt.Options{})
	if err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(submitsAbout)
	for task := range int64(deepJobs / jobsPerTask) {
		group.Go(func() error {
			var jobs []store.Job
			for i := range int64(jobsPerTask) {
				job := queueJob(task*jobsPerTask + i)
				job.Backlog, job.Priority = true, 0
				jobs = append(jobs, job)
			}
			// The first is the job that a waiting task has.
			jobs[0].ID, jobs[0].Kind = fmt.Sprintf("%s/%s/%06d", jobs[0].TaskID, store.JobPlan, 0), store.JobPlan
			return errors.Join(
				db.Catalog().Videos.Create(gctx, store.Video{
					ID: jobs[0].VideoID, Title: "waiting", State: store.VideoProcessing, Profile: rpc.DefaultProfile,
					TaskID: jobs[0].TaskID, SizeBytes: 1, Created: jobs[0].Created, Updated: jobs[0].Created,
				}),
				db.Catalog().Tasks.Create(gctx, store.Task{
					ID: jobs[0].TaskID, VideoID: jobs[0].VideoID, Profile: rpc.DefaultProfile, State: store.TaskQueued, Created: jobs[0].Created,
				}),
				db.Queue().Push(gctx, jobs...),
			)
		})
	}
	return errors.Join(group.Wait(), db.Close())
}
