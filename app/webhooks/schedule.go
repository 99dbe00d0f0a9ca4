package webhooks

import (
	"container/heap"
	"sync"
	"time"

	"streamgate/store"
)

// schedule is which deliveries wait, as far as this node knows: no more than
// their ids and times. The records decide; an entry that is out of date costs a
// look at one. It holds at most MaxWaiting entries of each webhook, give or take
// those that operators ask for and other nodes have made.
type schedule struct {
	mu     sync.Mutex
	lines  map[string]*line    // by webhook
	places map[string]*waiting // by delivery
	wake   chan struct{}       // something is due earlier than before
}

// line is the deliveries of one webhook.
type line struct {
	due  dueHeap
	busy int // deliveries that are being sent
}

// waiting is a delivery in its line.
type waiting struct {
	id, webhook string
	due         time.Time
	created     time.Time
	index       int // in the heap; -1 while it is sent
}

func newSchedule() *schedule {
	return &schedule{lines: map[string]*line{}, places: map[string]*waiting{}, wake: make(chan struct{}, 1)}
}

// put adds a delivery that waits, or moves it to its present time. One that is
// being sent stays: its sender puts it where it belongs.
func (s *schedule) put(d store.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.places[d.ID]
	switch {
	case x == nil:
		x = &waiting{id: d.ID, webhook: d.WebhookID, due: d.Next, created: d.Created}
		s.places[d.ID] = x
		heap.Push(&s.line(d.WebhookID).due, x)
	case x.index >= 0:
		x.due = d.Next
		heap.Fix(&s.line(x.webhook).due, x.index)
	}
	s.signal()
}

// take returns a delivery that is due, of a webhook to which fewer than most
// are being sent. If there is none, it tells how long until there may be.
func (s *schedule) take(now time.Time, most int) (x *waiting, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait = time.Hour
	for _, l := range s.lines {
		if len(l.due) == 0 || l.busy >= most {
			continue
		}
		until := l.due[0].due.Sub(now)
		if until <= 0 {
			l.busy++
			return heap.Pop(&l.due).(*waiting), 0
		}
		wait = min(wait, until)
	}
	return nil, wait
}

// done removes a delivery that was taken.
func (s *schedule) done(x *waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line(x.webhook)
	l.busy--
	delete(s.places, x.id)
	if l.busy == 0 && len(l.due) == 0 {
		delete(s.lines, x.webhook)
	}
	s.signal()
}

// again puts a delivery that was taken back.
func (s *schedule) again(x *waiting, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line(x.webhook)
	l.busy--
	x.due = due
	heap.Push(&l.due, x)
	s.signal()
}

// forget removes the deliveries of a webhook that are not being sent.
func (s *schedule) forget(webhook string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line(webhook)
	for _, x := range l.due {
		delete(s.places, x.id)
	}
	if l.due = nil; l.busy == 0 {
		delete(s.lines, webhook)
	}
}

// waiting counts the deliveries of a webhook, those that are being sent
// included.
func (s *schedule) waiting(webhook string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[webhook]
	if l == nil {
		return 0
	}
	return len(l.due) + l.busy
}

// state counts all deliveries that wait, and tells since when the oldest does.
func (s *schedule) state() (n int, oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.places {
		if oldest.IsZero() || x.created.Before(oldest) {
			oldest = x.created
		}
	}
	return len(s.places), oldest
}

func (s *schedule) line(webhook string) *line {
	l := s.lines[webhook]
	if l == nil {
		l = &line{}
		s.lines[webhook] = l
	}
	return l
}

func (s *schedule) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// dueHeap has what is due first at its top.
type dueHeap []*waiting

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	w := x.(*waiting)
	w.index = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	x.index = -1
	return x
}
