package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// benchClusterCells compares gated cells of a megabyte that come through the gateway
// from a streaming node, which has them from S3 in its cache, with those that come
// through an nginx from one that asks an upstream for each request. Between the nodes
// there is mutual TLS, so there is between the nginxs, with the very certificates of
// the nodes. What nginx makes without it is shown as well.
func benchClusterCells(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.sources.file(ctx, megabytes)
	if err != nil {
		return nil, err
	}
	c, err := b.startCluster(ctx, unlimitedYAML, roleMetadata, roleTranscoder, roleUpload, roleStreaming)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	s, err := c.front.openSession(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.said())
	}
	name, err := s.nearest(ctx, 1_000_000)
	if err != nil {
		return nil, err
	}
	body, err := s.fetch(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.againstNginx(ctx, s.base+name, name, body)
}

func (c *cluster) againstNginx(ctx context.Context, url, name string, body []byte) ([]result, error) {
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	streaming := c.of(roleStreaming)[0]
	mutual := &mutualTLS{
		Listen: addrs[0], Front: filepath.Join(tlsDir(c.front), "node.pem"), Back: filepath.Join(tlsDir(streaming), "node.pem"),
		Roots: filepath.Join(tlsDir(c.front), "ca.crt"), Name: roleStreaming + ".streamgate",
	}
	files := map[string][]byte{name: body}
	back, err := c.startNginx(ctx, files, mutual)
	if err != nil {
		return nil, err
	}
	defer back.stop()
	var results []result
	for _, between := range []struct {
		how    string
		mutual *mutualTLS
	}{{"mutual TLS between the two", mutual}, {"none between the nginxs", nil}} {
		front, err := back.before(ctx, c.bench, files, between.mutual)
		if err != nil {
			return nil, err
		}
		ours, them, err := c.rounds(ctx, side{url, []int{c.front.pid(), streaming.pid()}}, side{front.url + name, front.pids})
		front.stop()
		if err != nil {
			return nil, err
		}
		what := fmt.Sprintf("gated cells of %s kB through gateway and streaming node, %s", number(float64(len(body))/1000), between.how)
		rate := comparison{what: what + ", requests/s", unit: "/s", peer: "two nginxs", ours: ours.rates, them: them.rates}
		cpu := comparison{what: what + ", CPU per request", unit: "µs", peer: "two nginxs", ours: ours.cpu, them: them.cpu}
		if between.mutual == nil {
			results = append(results, rate.shown(), cpu.shown())
		} else {
			results = append(results, rate.atLeast(1), cpu.lower())
		}
	}
	return results, nil
}
