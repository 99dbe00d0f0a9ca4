package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"
)

// benchCells compares gated cells of a megabyte with nginx.
func benchCells(ctx context.Context, b *bench) ([]result, error) {
	return b.gated(ctx, "gated cells", 1.0, func(ctx context.Context, p player) (string, error) {
		return p.nearest(ctx, 1_000_000)
	})
}

// benchPlaylists compares gated playlists of about 2 kB with nginx.
func benchPlaylists(ctx context.Context, b *bench) ([]result, error) {
	return b.gated(ctx, "gated playlists", 1.5, func(context.Context, player) (string, error) {
		return "source/index.m3u8", nil
	})
}

// gated loads the node and nginx in turns with one file that choose names. It
// is not public: each request carries a ticket, which both check.
func (b *bench) gated(ctx context.Context, what string, target float64, choose func(context.Context, player) (string, error)) ([]result, error) {
	n, s, err := b.gatedNode(ctx)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	name, err := choose(ctx, s)
	if err != nil {
		return nil, err
	}
	body, err := s.fetch(ctx, name)
	if err != nil {
		return nil, err
	}
	x, err := b.startNginx(ctx, map[string][]byte{name: body}, nil)
	if err != nil {
		return nil, err
	}
	defer x.stop()
	ours, them, err := b.rounds(ctx, side{s.base + name, []int{n.pid()}}, side{x.url + name, x.pids})
	if err != nil {
		return nil, err
	}
	what = fmt.Sprintf("%s of %s kB", what, number(float64(len(body))/1000))
	rate := comparison{what: what + ", requests/s", unit: "/s", peer: "nginx", ours: ours.rates, them: them.rates}
	cpu := comparison{what: what + ", CPU per request", unit: "µs", peer: "nginx", ours: ours.cpu, them: them.cpu}
	return []result{rate.atLeast(target), cpu.lower()}, nil
}

// gatedNode runs a node with a finished private video and opens a session.
func (b *bench) gatedNode(ctx context.Context) (*node, player, error) {
	file, err := b.sources.file(ctx, megabytes)
	if err != nil {
		return nil, player{}, err
	}
	n, err := b.startNode(ctx)
	if err != nil {
		return nil, player{}, err
	}
	s, err := n.openSession(ctx, file)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, n.said())
		n.kill()
		return nil, player{}, err
	}
	return n, s, nil
}

// openSession makes a private video and returns a player with a ticket for it.
func (n *node) openSession(ctx context.Context, file string) (player, error) {
	id, err := n.privateVideo(ctx, file)
	if err != nil {
		return player{}, err
	}
	admin, err := n.admin(ctx)
	if err != nil {
		return player{}, err
	}
	s, err := admin.session(ctx, id, "")
	return n.player(s), err
}

// privateVideo makes a video that is not public, and returns its id when all of
// it is made.
func (n *node) privateVideo(ctx context.Context, file string) (string, error) {
	v, _, err := n.upload(ctx, file, "copy-only", false)
	if err != nil {
		return "", err
	}
	return v.ID, n.awaitTask(ctx, v.ID)
}

// nearest names the cell of the copied source whose size, bytes, is nearest
// to size.
func (p player) nearest(ctx context.Context, size int64) (string, error) {
	playlist, err := p.fetch(ctx, "source/index.m3u8")
	if err != nil {
		return "", err
	}
	best, distance := "", int64(math.MaxInt64)
	for _, uri := range uris(playlist) {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, p.base+"source/"+uri, nil)
		if err != nil {
			return "", err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		if d := max(resp.ContentLength-size, size-resp.ContentLength); resp.StatusCode == http.StatusOK && d < distance {
			best, distance = "source/"+uri, d
		}
	}
	if distance > size/5 {
		return "", fmt.Errorf("no cell is near %d bytes", size)
	}
	return best, nil
}

// side is one of the two servers.
type side struct {
	url  string
	pids []int
}

// loads are the rounds of one side.
type loads struct {
	rates series // requests per second
	cpu   series // microseconds per request
}

func (l *loads) add(one load) {
	l.rates = append(l.rates, one.perSecond)
	l.cpu = append(l.cpu, one.cpuRequest*1e6)
}

// rounds loads both in turns, after a moment for each to warm up.
func (b *bench) rounds(ctx context.Context, a, z side) (ours, them loads, err error) {
	length := 5 * time.Second
	if b.quick {
		length = 2 * time.Second
	}
	sides := []struct {
		side
		to *loads
	}{{a, &ours}, {z, &them}}
	for round := -1; round < b.runs(7, 2); round++ {
		for _, s := range sides {
			d := length
			if round < 0 {
				d = time.Second
			}
			l, err := press(ctx, s.url, d, s.pids)
			if err != nil {
				return ours, them, err
			}
			if round < 0 {
				continue
			}
			s.to.add(l)
		}
		if round >= 0 {
			b.logf("   %.0f against %.0f requests/s, %.0f against %.0f µs", last(ours.rates), last(them.rates), last(ours.cpu), last(them.cpu))
		}
	}
	return ours, them, nil
}
