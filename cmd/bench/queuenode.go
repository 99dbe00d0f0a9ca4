package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// queueCommand makes the bench be the queue of a cluster's node, with producers or
// workers that do nothing else.
const queueCommand = "queue-node"

// queueAsk is what such a node is asked for.
type queueAsk struct {
	Address  string  `json:"address"` // of the database
	Number   int64   `json:"number"`  // of the node
	What     string  `json:"what"`    // push or work
	Parallel int     `json:"parallel"`
	Seconds  float64 `json:"seconds"`
}

// queueTold is its answer.
type queueTold struct {
	PerSecond float64 `json:"per_second"`
	Leases    series  `json:"leases"` // milliseconds that each of them took
	Error     string  `json:"error"`
}

// jobsOfNode is far more than a node pushes: its jobs have numbers of their own.
const jobsOfNode = 100_000_000

// serveQueue answers until stdin ends. The database is opened at the first question,
// and stays open as a node's does.
func serveQueue(stdin io.Reader, stdout io.Writer) error {
	fmt.Fprintln(stdout, "ready")
	asked, answers := json.NewDecoder(stdin), json.NewEncoder(stdout)
	var q *ownQueue
	for {
		var ask queueAsk
		if err := asked.Decode(&ask); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if q == nil {
			var err error
			if q, err = openPostgres(context.Background(), ask.Address, ask.Number*jobsOfNode); err != nil {
				return err
			}
			defer q.close()
		}
		if err := answers.Encode(q.answer(context.Background(), ask)); err != nil {
			return err
		}
	}
}

func (q *ownQueue) answer(ctx context.Context, ask queueAsk) (told queueTold) {
	var mu sync.Mutex
	call := q.push
	if ask.What == "work" {
		call = func(ctx context.Context) error {
			began := time.Now()
			job, err := q.lease(ctx)
			took := time.Since(began)
			if err != nil {
				return err
			}
			mu.Lock()
			told.Leases = append(told.Leases, float64(took.Microseconds())/1000)
			mu.Unlock()
			return q.finish(ctx, job)
		}
	}
	rate, err := perSecond(ctx, ask.Parallel, time.Duration(ask.Seconds*float64(time.Second)), call)
	if err != nil {
		told.Error = err.Error()
	}
	told.PerSecond = rate
	return told
}
