package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"
)

// farSeconds is what a cell from a source in S3 may take longer than from a file.
const farSeconds = 2

// benchClusterFarCell measures how long a viewer waits for a cell far into a large
// source, of which nothing is made: in a cluster, whose only transcoder is a new node
// that has nothing of the source, and on a node that has it in a file, in turns. The
// queue is paused on both, so that cells which viewers ask for are all that is made.
func benchClusterFarCell(ctx context.Context, b *bench) ([]result, error) {
	src := large2GB
	if b.quick {
		src = large2min
	}
	file, err := b.sources.file(ctx, src)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	c, err := b.startCluster(ctx, "", roleMetadata, roleUpload, roleStreaming)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	alone, err := b.startNode(ctx)
	if err != nil {
		return nil, err
	}
	defer alone.kill()
	remote, local, err := c.farCells(ctx, alone, file)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.said())
	}
	more := remote.median() - local.median()
	return []result{{
		what:   fmt.Sprintf("demanded cell far into a source of %.1f GB in S3, on a transcoder that has nothing of it", float64(info.Size())/1e9),
		target: fmt.Sprintf("≤ a file + %d s", farSeconds), measured: fmt.Sprintf("S3 %s, file %s s", remote, local),
		ratio: fmt.Sprintf("%+.2f s", more), met: more <= farSeconds,
	}}, nil
}

// farCells are the seconds that a cell took in the cluster and on a node alone.
func (c *cluster) farCells(ctx context.Context, alone *node, file string) (remote, local series, err error) {
	planner, err := c.start(ctx, roleTranscoder)
	if err != nil {
		return nil, nil, err
	}
	inCluster, segments, err := c.front.planned(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	inFile, _, err := alone.planned(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	last := planner
	for _, segment := range farSegments(segments, c.runs(7, 2)) {
		if err := c.remove(last); err != nil {
			return nil, nil, err
		}
		if last, err = c.start(ctx, roleTranscoder); err != nil {
			return nil, nil, err
		}
		if err := sleep(ctx, time.Second); err != nil { // until all know it
			return nil, nil, err
		}
		for p, took := range map[player]*series{inCluster: &remote, inFile: &local} {
			began := time.Now()
			if _, err := p.fetch(ctx, fmt.Sprintf("%s/%d.m4s", demandedRung, segment)); err != nil {
				return nil, nil, err
			}
			*took = append(*took, time.Since(began).Seconds())
		}
		c.logf("   segment %d: %.2f s, from the file %.2f s", segment, remote[len(remote)-1], local[len(local)-1])
	}
	return remote, local, nil
}

// planned uploads a file, pauses the queue as soon as there is a plan, and returns a
// player of the video and how many segments it has, when nothing is being made.
func (n *node) planned(ctx context.Context, file string) (p player, segments int, err error) {
	v, _, err := n.upload(ctx, file, "no-copy", true)
	if err != nil {
		return p, 0, err
	}
	p = player{n.url + "/v/" + v.ID + "/"}
	playlist, err := p.fetch(ctx, demandedRung+"/index.m3u8")
	if err != nil {
		return p, 0, err
	}
	if err := n.call(ctx, http.MethodPost, "/api/v1/queue:pause", map[string]any{}, nil); err != nil {
		return p, 0, err
	}
	return p, len(uris(playlist)), n.awaitIdle(ctx)
}
