package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"
)

const (
	idealShare = 0.9 // at least, of the time of one transcoder shared by all
	// transcoderCores is the CPU quota of each transcoder.
	transcoderCores = 0.5
	// othersCores is the share of the machine's cores that the transcoders leave to the
	// other nodes and the servers: else these would be what is measured.
	othersCores = 0.2
)

// spreads are the numbers of transcoders.
var spreads = []int{1, 2, 4}

// benchClusterTranscoders measures how long one video takes on one, two and four
// transcoders, each of which has a CPU quota and one worker: from the acknowledged
// upload to the end of the task, with the plan, which one node makes while the others
// wait. Each time is a new upload, of which no node has anything.
func benchClusterTranscoders(ctx context.Context, b *bench) ([]result, error) {
	file, length, err := b.foreignFilm(ctx)
	if err != nil {
		return nil, err
	}
	c, err := b.startCluster(ctx, "", roleMetadata, roleUpload, roleStreaming)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	cores := min(transcoderCores, (1-othersCores)*float64(runtime.NumCPU())/float64(slices.Max(spreads)))
	took := map[int]series{}
	if err := c.spread(ctx, file, cores, took); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.said())
	}
	var results []result
	for _, n := range spreads[1:] {
		share := took[1].median() / took[n].median() / float64(n)
		results = append(results, result{
			what:   fmt.Sprintf("a 1080p video of %s on %d transcoders, each with a CPU quota of %.2g cores", length, n, cores),
			target: fmt.Sprintf("≥ %.2f of ideal", idealShare), measured: fmt.Sprintf("1: %s, %d: %s s", took[1], n, took[n]),
			ratio: fmt.Sprintf("%.2f", share), met: share >= idealShare,
		})
	}
	return results, nil
}

// spread transcodes a file on each number of transcoders, the fewest first, and adds
// the seconds.
func (c *cluster) spread(ctx context.Context, file string, cores float64, took map[int]series) error {
	for _, n := range spreads {
		for i := len(c.of(roleTranscoder)); i < n; i++ {
			q, err := newQuota(strconv.Itoa(i), cores)
			if err != nil {
				return err
			}
			defer q.remove()
			t, err := c.startLimited(ctx, q)
			if err != nil {
				return err
			}
			defer t.kill() // before its quota goes
		}
		seconds, err := c.transcode(ctx, file)
		if err != nil {
			return err
		}
		c.logf("   %d: %.1f s", n, seconds)
		took[n] = append(took[n], seconds)
	}
	return nil
}

// startLimited runs a transcoder with one worker under a CPU quota.
func (c *cluster) startLimited(ctx context.Context, q *quota) (*node, error) {
	n, err := c.newNode(roleTranscoder, "--set", "transcoder.worker_pool_size=1",
		"--set", "transcoder.scaling_policy.min_workers=1", "--set", "transcoder.scaling_policy.max_workers=1")
	if err != nil {
		return nil, err
	}
	n.quota = q
	return n, c.run(ctx, n)
}

// transcode makes a video of a file and returns how many seconds after the upload all
// of it was made. The video is removed again.
func (c *cluster) transcode(ctx context.Context, file string) (float64, error) {
	v, acknowledged, err := c.front.upload(ctx, file, "fast", true)
	if err != nil {
		return 0, err
	}
	if err := c.front.awaitTask(ctx, v.ID); err != nil {
		return 0, err
	}
	return time.Since(acknowledged).Seconds(), c.front.discard(ctx, v.ID)
}
