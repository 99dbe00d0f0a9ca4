package main

import (
	"context"
	"time"
)

// settle is how long a node is left alone before it counts as idle.
const settle = 5 * time.Second

// benchMemory measures the resident memory of a node that does nothing.
func benchMemory(ctx context.Context, b *bench) ([]result, error) {
	var resident series
	for range b.runs(3, 1) {
		size, err := b.idleMiB(ctx)
		if err != nil {
			return nil, err
		}
		resident = append(resident, size)
	}
	return []result{atMost("resident memory when idle", 64, "MiB", resident)}, nil
}

func (b *bench) idleMiB(ctx context.Context) (float64, error) {
	n, err := b.startNode(ctx)
	if err != nil {
		return 0, err
	}
	defer n.kill()
	if err := sleep(ctx, settle); err != nil {
		return 0, err
	}
	return residentMiB(n.pid())
}
