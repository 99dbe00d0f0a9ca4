package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// crashSeconds is the most from a kill to encoding again.
const crashSeconds = 1

// crashLimit is when encoding is no longer waited for.
const crashLimit = 30 * time.Second

// benchCrash kills a node that encodes (SIGKILL, the process alone) and starts
// it again at once, as systemd with RestartSec=0 would: the time from the kill
// to the first ffmpeg of the new process that encodes a chunk. The plan is
// done by then, so that every encoder is a chunk's.
func benchCrash(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.sources.file(ctx, foreign10min)
	if err != nil {
		return nil, err
	}
	n, err := b.startNode(ctx)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	took, err := b.crashes(ctx, n, file)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, n.said())
	}
	return []result{atMost("kill -9 to encoding again after the restart", crashSeconds, "s", took)}, nil
}

func (b *bench) crashes(ctx context.Context, n *node, file string) (took series, err error) {
	v, _, err := n.upload(ctx, file, "", true)
	if err != nil {
		return nil, err
	}
	if _, err := (player{n.url + "/v/" + v.ID + "/"}).firstPicture(ctx); err != nil {
		return nil, err
	}
	for range b.runs(5, 2) {
		if _, err := n.awaitEncoder(ctx); err != nil {
			return nil, err
		}
		// Well into a chunk, or the node would take the job for one that kills.
		if err := sleep(ctx, 2*time.Second); err != nil {
			return nil, err
		}
		killed := time.Now()
		if err := n.end(syscall.SIGKILL); err != nil {
			return nil, err
		}
		if err := n.exec(ctx); err != nil {
			return nil, err
		}
		seen, err := n.awaitEncoder(ctx)
		if err != nil {
			return nil, err
		}
		took = append(took, seen.Sub(killed).Seconds())
		b.logf("   encoding after %.2f s", last(took))
		if err := n.awaitReady(ctx); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// awaitEncoder returns when one of the node's children was seen to encode.
func (n *node) awaitEncoder(ctx context.Context) (time.Time, error) {
	limit := time.Now().Add(crashLimit)
	for {
		if len(n.encoders()) > 0 {
			return time.Now(), nil
		}
		if time.Now().After(limit) {
			return time.Time{}, errors.New("nothing is encoded")
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
}

// encoders are the node's children that encode.
func (n *node) encoders() (pids []int) {
	for _, pid := range withChildren(n.pid()) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && encodes(string(line)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// encodes tells whether a command line, as in /proc, is of an ffmpeg that
// encodes pictures: of ffmpeg itself, not of the helper that becomes it.
func encodes(cmdline string) bool {
	program, args, _ := strings.Cut(cmdline, "\x00")
	return strings.HasSuffix(program, "ffmpeg") && strings.Contains(args, "\x00libx264\x00")
}
