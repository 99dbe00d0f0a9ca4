// Peers measures the queues that people would use instead of the node's own,
// for the rows queue and cluster-queue of the bench.
//
// # What
//
// River on PostgreSQL, asynq on Redis and NATS JetStream, each as durable as
// the node's queue: a job that was acknowledged has been synced to the disk.
// PostgreSQL and Redis are processes of their own, reached over Unix sockets;
// the JetStream server runs in this process. Each setting is the one that was
// fastest here; about says which.
//
// # Usage
//
//	peers -dir SCRATCH [-only NAME]
//
// It is a module of its own, so that the product's go.mod knows nothing of the
// peers, and a child of the bench. It prints one line when everything runs,
//
//	{"peers":[{"name":"River","about":"…","postgres":"host=…"},…]}
//
// then answers each line of its standard input with one of its own:
//
//	{"peer":"River","what":"push","parallel":16,"seconds":1,"payload":{…}}
//	{"per_second":1594.2}
//
// It ends when its standard input does. What listened is then gone; the
// scratch directory is the bench's to remove.
//
// # Testing
//
// The protocol is tested on a fake peer, the peers themselves by running the
// rows.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	dir := flag.String("dir", "", "scratch `directory`, on the disk that is measured")
	only := flag.String("only", "", "start no other peer than the one of this `name`")
	flag.Parse()
	if err := run(context.Background(), *dir, *only, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// peer is a queue under measurement. Both measurements last for at most the
// load's time; what they return is a rate per second.
type peer interface {
	// about tells versions and settings, for a reader of the results.
	about() string
	// push is how many jobs are enqueued by producers that each wait for the
	// acknowledgement of one before they send the next.
	push(ctx context.Context, l load) (float64, error)
	// work is how many jobs workers take and finish that do nothing. It sees
	// to it beforehand that jobs are waiting.
	work(ctx context.Context, l load) (float64, error)
	// close ends everything the peer has started.
	close() error
}

// load is what is asked of a peer.
type load struct {
	Parallel int             `json:"parallel"` // producers or workers, of each node
	Nodes    int             `json:"nodes"`    // of workers; River's alone can be more than one
	Seconds  float64         `json:"seconds"`
	Waiting  int             `json:"waiting"` // jobs at the start: work ends early without any, for push River alone sees to them
	Payload  json.RawMessage `json:"payload"`
}

func (l load) duration() time.Duration { return time.Duration(l.Seconds * float64(time.Second)) }

type request struct {
	Peer string `json:"peer"`
	What string `json:"what"` // push or work
	load
}

type answer struct {
	PerSecond float64 `json:"per_second"`
	Error     string  `json:"error,omitempty"`
}

type introduction struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Postgres is the address of the peer's server, for another queue to run on.
	Postgres string `json:"postgres,omitempty"`
}

// onPostgres is a peer whose server others may use.
type onPostgres interface{ address() string }

// named is a peer with its name, in the order of the table.
type named struct {
	name string
	peer
}

func run(ctx context.Context, dir, only string, in io.Reader, out io.Writer) (err error) {
	var peers []named
	defer func() {
		for _, p := range peers {
			err = errors.Join(err, p.close())
		}
	}()
	for _, start := range []struct {
		name string
		peer func(ctx context.Context, dir string) (peer, error)
	}{{"River", startRiver}, {"asynq", startAsynq}, {"JetStream", startJetStream}} {
		if only != "" && only != start.name {
			continue
		}
		p, err := start.peer(ctx, dir)
		if err != nil {
			return fmt.Errorf("start %s: %w", start.name, err)
		}
		peers = append(peers, named{start.name, p})
	}
	return serve(ctx, peers, in, out)
}

// serve introduces the peers and answers requests until there are no more.
func serve(ctx context.Context, peers []named, in io.Reader, out io.Writer) error {
	w := json.NewEncoder(out)
	var hello struct {
		Peers []introduction `json:"peers"`
	}
	for _, p := range peers {
		about := introduction{Name: p.name, About: p.about()}
		if pg, ok := p.peer.(onPostgres); ok {
			about.Postgres = pg.address()
		}
		hello.Peers = append(hello.Peers, about)
	}
	if err := w.Encode(hello); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var a answer
		rate, err := measure(ctx, peers, lines.Bytes())
		if err != nil {
			a.Error = err.Error()
		}
		a.PerSecond = rate
		if err := w.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func measure(ctx context.Context, peers []named, line []byte) (float64, error) {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return 0, fmt.Errorf("read the request: %w", err)
	}
	for _, p := range peers {
		if p.name != r.Peer {
			continue
		}
		switch r.What {
		case "push":
			return p.push(ctx, r.load)
		case "work":
			return p.work(ctx, r.load)
		}
	}
	return 0, fmt.Errorf("no peer %q can %q", r.Peer, r.What)
}
