package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// demandedRung is the rendition that is asked for: a middle one.
const demandedRung = "720p"

// benchDemand measures how long a viewer who jumps far ahead waits for a cell
// that is not made yet, while the node encodes two other videos and the film
// itself.
func benchDemand(ctx context.Context, b *bench) ([]result, error) {
	film, other := foreign60min, foreign10min
	if b.quick {
		film = foreign10min
	}
	filmFile, err := b.sources.file(ctx, film)
	if err != nil {
		return nil, err
	}
	otherFile, err := b.sources.file(ctx, other)
	if err != nil {
		return nil, err
	}
	n, err := b.startNode(ctx)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	took, err := b.demands(ctx, n, filmFile, otherFile)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, n.said())
	}
	median := atMost("demanded cell in a part not yet made, 1080p, two other encodes running", 6, "s", took)
	worst := atMost("the same, the worst of them", 6, "s", series{slices.Max(took)})
	return []result{median, worst}, nil
}

func (b *bench) demands(ctx context.Context, n *node, film, other string) (series, error) {
	var id string
	for _, file := range []string{other, other, film} {
		v, _, err := n.upload(ctx, file, "", true)
		if err != nil {
			return nil, err
		}
		if _, err := (player{n.url + "/v/" + v.ID + "/"}).firstPicture(ctx); err != nil {
			return nil, err
		}
		id = v.ID
	}
	p := player{n.url + "/v/" + id + "/"}
	playlist, err := p.fetch(ctx, demandedRung+"/index.m3u8")
	if err != nil {
		return nil, err
	}
	var took series
	for _, segment := range farSegments(len(uris(playlist)), b.runs(9, 3)) {
		active, err := n.busy(ctx)
		if err != nil {
			return nil, err
		}
		if active < 2 {
			return nil, fmt.Errorf("only %d encodes are running: the row would measure an idle node", active)
		}
		began := time.Now()
		if _, err := p.fetch(ctx, fmt.Sprintf("%s/%d.m4s", demandedRung, segment)); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds())
		b.logf("   segment %d after %.2f s", segment, last(took))
	}
	return took, nil
}

// farSegments are distinct segments of the later part of a video, the same in
// every run of the bench.
func farSegments(segments, n int) []int {
	first := segments / 5
	order := rand.New(rand.NewPCG(1, 2)).Perm(segments - first)
	for i := range order {
		order[i] += first
	}
	return order[:min(n, len(order))]
}
