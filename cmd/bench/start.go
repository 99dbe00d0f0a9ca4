package main

import "context"

// benchStart measures exec to /readyz 200 with an empty data directory.
func benchStart(ctx context.Context, b *bench) ([]result, error) {
	var took series
	for range b.runs(10, 3) {
		n, err := b.startNode(ctx)
		if err != nil {
			return nil, err
		}
		took = append(took, n.took.Seconds()*1000)
		if err := n.stop(); err != nil {
			return nil, err
		}
	}
	return []result{atMost("exec to `/readyz` 200, empty data directory", 300, "ms", took)}, nil
}
