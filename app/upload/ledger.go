package upload

import (
	"context"
	"sync"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// ledger knows what the open uploads of this node were promised. An upload is
// accepted only if the disk has room for it beside all that is still to come of
// the others: two uploads of 6 GB do not both start on a disk with 10 GB. How many
// are open, on all nodes, is counted in the store.
type ledger struct {
	max     int   // open uploads
	minFree int64 // bytes that stay free
	free    func(context.Context) (int64, error)
	known   func(context.Context) ([]string, error) // the ids of the open uploads in the store

	mu   sync.Mutex
	open map[string]claim
}

// claim is one upload's part of the disk, bytes.
type claim struct {
	size, have int64
	recorded   bool // the store has the upload
}

func (c claim) rest() int64 { return max(0, c.size-c.have) }

// add opens a claim; the errors say too_many_uploads or no_space.
func (l *ledger) add(ctx context.Context, id string, size int64) error {
	return l.set(ctx, id, size, true)
}

// grow raises an open claim to size; no_space.
func (l *ledger) grow(ctx context.Context, id string, size int64) error {
	return l.set(ctx, id, size, false)
}

func (l *ledger) set(ctx context.Context, id string, size int64, isNew bool) error {
	free, err := l.free(ctx) // before the lock: what is written meanwhile is in have
	if err != nil {
		return err
	}
	var known []string
	if isNew {
		if known, err = l.known(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.count(known); isNew && n >= l.max {
		return rpc.Errorf(connect.CodeResourceExhausted, "too_many_uploads",
			"%d uploads are unfinished, which is the limit; finish or delete some.", n)
	}
	mine := l.open[id]
	mine.size = max(mine.size, size)
	var others int64
	for other, c := range l.open {
		if other != id {
			others += c.rest()
		}
	}
	if need := mine.rest() + others + l.minFree; mine.rest() > 0 && need > free {
		return noSpace("The disk has %d bytes free and %d are needed: %d for this upload, %d for others on their way, %d kept free. Free %d bytes and try again.",
			free, need, mine.rest(), others, l.minFree, need-free)
	}
	l.open[id] = mine
	return nil
}

// count is how many uploads are open: those that the store knows, and those of
// ours that it does not know yet.
func (l *ledger) count(known []string) int {
	n := len(l.open)
	for _, id := range known {
		if _, ours := l.open[id]; !ours {
			n++
		}
	}
	return n
}

// load opens a claim that was granted before, by another process maybe.
func (l *ledger) load(id string, size, have int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[id] = claim{size: size, have: have, recorded: true}
}

// recorded notes that the store has the upload.
func (l *ledger) recorded(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.open[id]; ok {
		c.recorded = true
		l.open[id] = c
	}
}

// inStore lists the claims of uploads that the store had once.
func (l *ledger) inStore() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for id, c := range l.open {
		if c.recorded {
			ids = append(ids, id)
		}
	}
	return ids
}

// wrote notes that the upload has that many bytes on the disk now.
func (l *ledger) wrote(id string, have int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.open[id]; ok {
		c.have = have
		l.open[id] = c
	}
}

// size is what the upload was promised.
func (l *ledger) size(id string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[id].size
}

// has tells whether the upload has a claim.
func (l *ledger) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.open[id]
	return ok
}

// close ends a claim; harmless if there is none.
func (l *ledger) close(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, id)
}
