// Package history keeps what metrics were, in files of a fixed size.
//
// # What
//
// A Log has two rings: what was seen every 15 s for a day, and the mean and the
// most of every 5 min for 7 days (ring.go). A ring is a file of slots; the slot
// of a moment is found by its time, so that nothing is ever searched or moved.
//
// # Usage
//
//	log, err := history.Open(dir, []string{"queue_length", "disk_free_bytes"})
//	err = log.Append(time.Now(), []float64{3, 1e9})
//	points, err := log.Read(history.Query{From: …, To: …, Step: time.Minute}, time.Now(), "queue_length")
//
// # Guarantees
//
// A sample is two writes of some hundred bytes and no sync: what was written
// outlives the process, kill -9 included; a machine that loses power loses what
// the kernel had not written back, about half a minute. A slot that was cut or
// damaged is as if nothing had been seen. Both files together take 7,776 slots
// of 12 bytes and 8 for each metric: 2.3 MB for 36 metrics, and at most 16 MiB,
// for the number of metrics is bounded. Metrics may come and go between starts;
// the others keep what they have.
//
// # Testing
//
// Against a plain list of samples; files that are cut, damaged or of another
// set of metrics; and as a fuzz target.
package history

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The rings: for how long what is kept, and how finely.
const (
	FineStep   = 15 * time.Second
	FineSpan   = 24 * time.Hour
	CoarseStep = 5 * time.Minute
	CoarseSpan = 7 * 24 * time.Hour
)

// Log is the history of one node. Its methods are safe for concurrent use.
type Log struct {
	mu           sync.Mutex
	columns      map[string]int
	fine, coarse *ring
}

// Open opens the history in a folder, making what is missing.
func Open(dir string, metrics []string) (*Log, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open the history of metrics: %w", err)
	}
	l := &Log{columns: make(map[string]int, len(metrics))}
	for i, name := range metrics {
		l.columns[name] = i
	}
	var ferr, cerr error
	l.fine, ferr = openRing(filepath.Join(dir, "fine"), FineStep, FineSpan, metrics)
	l.coarse, cerr = openRing(filepath.Join(dir, "coarse"), CoarseStep, CoarseSpan, metrics)
	if err := errors.Join(ferr, cerr); err != nil {
		return nil, errors.Join(fmt.Errorf("open the history of metrics: %w", err), l.Close())
	}
	return l, nil
}

// Close closes the files.
func (l *Log) Close() error {
	var errs []error
	for _, r := range []*ring{l.fine, l.coarse} {
		if r != nil {
			errs = append(errs, r.file.Close())
		}
	}
	return errors.Join(errs...)
}

// Append notes what was seen: a value for each metric that Open was told, NaN
// for what was not seen.
func (l *Log) Append(at time.Time, values []float64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fine.write(at, values, values); err != nil {
		return fmt.Errorf("append to the history of metrics: %w", err)
	}
	// The coarse slot is made anew of all fine ones that it covers: nothing
	// has to be remembered over a restart.
	begin := at.Truncate(CoarseStep)
	slots, err := l.fine.read(begin, begin.Add(CoarseStep))
	if err != nil {
		return fmt.Errorf("append to the history of metrics: %w", err)
	}
	mean, most := make([]float64, len(values)), make([]float64, len(values))
	for i := range values {
		var sum summary
		for _, s := range slots {
			sum.add(s.mean(i), s.most(i))
		}
		mean[i], most[i] = sum.values()
	}
	if err := l.coarse.write(at, mean, most); err != nil {
		return fmt.Errorf("append to the history of metrics: %w", err)
	}
	return nil
}

// Query is what of the history is asked for.
type Query struct {
	From, To time.Time     // To itself is not included
	Step     time.Duration // distance of points; at least FineStep
}

// Point is what was seen from At on, for the length of the step.
type Point struct {
	At        time.Time
	Mean, Max float64
}

// Read returns the points of metrics, the oldest first; nothing where nothing
// was seen, or for an unknown metric. What is older than the fine ring goes, or a
// step that is as long, is read from the coarse one.
func (l *Log) Read(q Query, now time.Time, metrics ...string) ([][]Point, error) {
	q.Step = max(q.Step, FineStep)
	r := l.fine
	if q.From.Before(now.Add(-FineSpan)) || q.Step >= CoarseStep {
		r, q.Step = l.coarse, max(q.Step, CoarseStep)
	}
	l.mu.Lock()
	slots, err := r.read(q.From, q.To)
	l.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("read the history of metrics: %w", err)
	}
	out := make([][]Point, len(metrics))
	for i, name := range metrics {
		if column, ok := l.columns[name]; ok {
			out[i] = gather(slots, column, q.Step)
		}
	}
	return out, nil
}

// gather joins the slots of each step.
func gather(slots []slot, column int, step time.Duration) []Point {
	var out []Point
	var sum summary
	var begin time.Time
	flush := func() {
		if sum.n > 0 {
			mean, most := sum.values()
			out = append(out, Point{begin, mean, most})
		}
		sum = summary{}
	}
	for _, s := range slots {
		if at := s.at().Truncate(step); !at.Equal(begin) {
			flush()
			begin = at
		}
		sum.add(s.mean(column), s.most(column))
	}
	flush()
	return out
}

// summary is the mean and the most of values; NaN does not count.
type summary struct {
	n         int
	sum, most float64
}

func (s *summary) add(mean, most float64) {
	if math.IsNaN(mean) {
		return
	}
	if s.n == 0 || most > s.most {
		s.most = most
	}
	s.n++
	s.sum += mean
}

func (s *summary) values() (mean, most float64) {
	if s.n == 0 {
		return math.NaN(), math.NaN()
	}
	return s.sum / float64(s.n), s.most
}
