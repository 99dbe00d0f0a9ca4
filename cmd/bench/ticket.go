package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/app/access/sessions"
	"streamgate/store"
	"streamgate/store/bolt"
)

const (
	ticketNanoseconds = 5000 // at most
	ticketAllocations = 5    // at most: what it says must be somewhere
	endedSessions     = 10_000
	liveTickets       = 1000
)

// benchTicket measures what a streaming node asks before each cell: whose the
// ticket is, and whether its session has ended; of many sessions, in turn. The
// row is met only if there was no input or output: the kernel counts it.
func benchTicket(ctx context.Context, b *bench) ([]result, error) {
	db, err := bolt.Open(filepath.Join(b.dir, "tickets.db"), bolt.Options{})
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // it is removed with all that is in it
	tickets, err := sessions.NewTickets(ctx, secrets{})
	if err != nil {
		return nil, err
	}
	ended, err := endSessions(ctx, db.Catalog().Sessions)
	if err != nil {
		return nil, err
	}
	tokens := make([]string, liveTickets)
	for i := range tokens {
		tokens[i] = tickets.Sign(sessions.Ticket{SessionID: store.NewID(), VideoID: store.NewID(), Expires: time.Now().Add(time.Hour)})
	}
	var took series
	var most testing.BenchmarkResult // of allocations
	calls, checks := 0, 0
	own, err := ownCalls()
	if err != nil {
		return nil, err
	}
	for range b.runs(3, 1) {
		before, err := ioCalls()
		if err != nil {
			return nil, err
		}
		r := testing.Benchmark(func(t *testing.B) { checkTickets(t, tickets, ended, tokens) })
		after, err := ioCalls()
		if err != nil {
			return nil, err
		}
		if r.N == 0 {
			return nil, errors.New("a good ticket was refused")
		}
		took = append(took, float64(r.T.Nanoseconds())/float64(r.N))
		calls += after - before - own
		checks += r.N
		if r.AllocsPerOp() >= most.AllocsPerOp() {
			most = r
		}
	}
	return []result{{
		what:     fmt.Sprintf("ticket check per cell, %d sessions ended", endedSessions),
		target:   fmt.Sprintf("≤ %d µs, ≤ %d allocations, no I/O", ticketNanoseconds/1000, ticketAllocations),
		measured: fmt.Sprintf("%s ns, %d allocations of %d bytes, %d reads and writes in %d checks", took, most.AllocsPerOp(), most.AllocedBytesPerOp(), calls, checks),
		// The runtime wakes its own poller now and then, which is a write.
		met: took.median() <= ticketNanoseconds && most.AllocsPerOp() <= ticketAllocations && calls < checks/100_000,
	}}, nil
}

func checkTickets(t *testing.B, tickets *sessions.Tickets, ended *sessions.Ended, tokens []string) {
	t.ReportAllocs()
	for i := 0; t.Loop(); i++ {
		ticket, err := tickets.Verify(tokens[i%len(tokens)], time.Now())
		if err != nil || ended.Why(ticket.SessionID) != nil {
			t.FailNow()
		}
	}
}

// endSessions stores sessions that have ended, and returns what a streaming
// node knows of them.
func endSessions(ctx context.Context, table store.Table[store.Session]) (*sessions.Ended, error) {
	good := time.Now().Add(time.Hour)
	why := &store.Failure{Code: "not_a_holder", Message: "Your access has ended."}
	var last string
	var group errgroup.Group
	group.SetLimit(256) // the store commits what comes at the same time together
	for range endedSessions {
		last = store.NewID()
		rec := store.Session{ID: last, VideoID: "film", State: store.SessionEnded, Ticket: good, Expires: good, Failure: why}
		group.Go(func() error { return table.Create(ctx, rec) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	ended, err := sessions.NewEnded(ctx, table, nil, nil)
	if err == nil && ended.Why(last) == nil {
		err = errors.New("a session that has ended is not known to have")
	}
	return ended, err
}

// ioCalls is how often this process has read or written so far (proc_pid_io(5)).
func ioCalls() (int, error) {
	counts, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	read, err := strconv.Atoi(field(counts, "syscr"))
	if err != nil {
		return 0, err
	}
	written, err := strconv.Atoi(field(counts, "syscw"))
	return read + written, err
}

// ownCalls is how often ioCalls itself does.
func ownCalls() (int, error) {
	first, err := ioCalls()
	if err != nil {
		return 0, err
	}
	second, err := ioCalls()
	return second - first, err
}
