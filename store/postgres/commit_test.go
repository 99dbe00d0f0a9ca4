package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
	"streamgate/store/postgres"
)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between looks at another process
	}
}

// Leases are measured by the database's clock.
func TestDatabaseClock(t *testing.T) {
	address := database(t, migrated)
	q, conn := open(t, address, postgres.Options{}).Queue(), connect(t, address)
	clock := func() (now time.Time) {
		t.Helper()
		check(t, conn.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now))
		return now
	}
	check(t, q.Push(t.Context(), store.Job{ID: "a", TaskID: "t"}, store.Job{ID: "later", TaskID: "t", Delay: time.Hour}))
	before := clock()
	lease := leaseOne(t, q).Lease
	after := clock()
	if lease.Started.Before(before) || lease.Started.After(after) || lease.Expires.Sub(lease.Started) != time.Minute {
		t.Errorf("leased from %v to %v, between %v and %v", lease.Started, lease.Expires, before, after)
	}
	reaped, err := q.Reap(t.Context(), store.ReapRequest{})
	check(t, err)
	if len(reaped) > 0 {
		t.Errorf("reaped %+v", reaped)
	}
	check(t, q.Renew(t.Context(), "a", lease.Token, 0, 0.5))
	if reaped, err = q.Reap(t.Context(), store.ReapRequest{}); err != nil || len(reaped) != 1 {
		t.Errorf("reaped %+v, %v", reaped, err)
	}
	stats, err := q.Stats(t.Context())
	check(t, err)
	if stats.Later != 1 || stats.Ready != 1 {
		t.Errorf("stats %+v", stats)
	}
}

// What was acknowledged is on the disk, whatever shares its commit.
func TestDurable(t *testing.T) {
	db := open(t, database(t, migrated), postgres.Options{})
	if !db.Relaxed(postgres.Lease) || !db.Relaxed(postgres.Renew, postgres.Lease) {
		t.Error("leases that are only given and renewed wait for the disk")
	}
	if db.Relaxed(postgres.Push) || db.Relaxed(postgres.Finish) || db.Relaxed(postgres.Lease, postgres.Finish, postgres.Renew) {
		t.Error("a job that is pushed or finished does not wait for the disk")
	}
}

// A caller that is refused takes no other of its commit with it.
func TestRefusedAlone(t *testing.T) {
	address := database(t, migrated)
	q, conn := open(t, address, postgres.Options{}).Queue(), connect(t, address)
	check(t, q.Push(t.Context(), store.Job{ID: "taken", TaskID: "t"}))
	unlock := lockJobs(t, address)
	long := "long" // beyond what an index takes, and not to be compressed
	for len(long) < 100_000 {
		long += rand.Text()
	}
	want := map[string]error{"a": nil, "taken": store.ErrExists, long: errAny, "b": nil}
	results := make(chan error, len(want)+2)
	push := func(id string) {
		err := q.Push(t.Context(), store.Job{ID: id, TaskID: "t"})
		if expected := want[id]; (err == nil) != (expected == nil) || expected == store.ErrExists && !errors.Is(err, expected) { //nolint:errorlint // identity is meant
			results <- fmt.Errorf("push %.10s: %w", id, errors.Join(errAny, err))
			return
		}
		results <- nil
	}
	go func() { // its commit waits; the others gather behind it
		results <- q.Push(t.Context(), store.Job{ID: "first", TaskID: "t"})
	}()
	waitFor(t, "a commit waits", func() bool { return waiting(t, conn) == 1 })
	for id := range want {
		go push(id)
	}
	unlock()
	for range len(want) + 1 {
		check(t, <-results)
	}
	jobs, err := q.Jobs(t.Context(), "t")
	check(t, err)
	if len(jobs) != 4 {
		t.Errorf("%d jobs are there, want 4", len(jobs))
	}
}

var errAny = errors.New("an error")

// lockJobs keeps everybody else from writing jobs.
func lockJobs(t *testing.T, address string) (unlock func()) {
	t.Helper()
	conn := connect(t, address)
	exec1(t, conn, `BEGIN`)
	exec1(t, conn, `LOCK TABLE jobs IN SHARE MODE`)
	return func() { t.Helper(); exec1(t, conn, `COMMIT`) }
}

// waiting counts who waits for a lock in the database.
func waiting(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	check(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
	return n
}

// A worker that has gone before it had its lease does not keep the job from the
// others until the lease expires.
func TestAbandonedLeaseIsGivenBack(t *testing.T) {
	address := database(t, migrated)
	q, conn := open(t, address, postgres.Options{}).Queue(), connect(t, address)
	check(t, q.Push(t.Context(), store.Job{ID: "a", TaskID: "t"}))
	unlock := lockJobs(t, address)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := q.Lease(ctx, store.LeaseRequest{Owner: store.Owner{Node: "n1"}, MaxRank: store.RankOrdinary, TTL: time.Hour})
		ended <- err
	}()
	waitFor(t, "the lease waits", func() bool { return waiting(t, conn) == 1 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("lease: %v", err)
	}
	unlock()
	waitFor(t, "the job is leased and ready again", func() bool {
		job, err := q.Job(t.Context(), "a")
		check(t, err)
		return job.Leases == 1 && job.State == store.JobReady
	})
	if job := leaseOne(t, q); job.Failures != 0 || len(job.Attempts) != 0 {
		t.Errorf("it counts as an attempt: %+v", job)
	}
}

// Cancel takes what a Finish adds that it had to wait for, and what a Finish of
// that adds.
func TestCancelTakesWhatIsBeingAdded(t *testing.T) {
	address := database(t, migrated)
	q, conn := open(t, address, postgres.Options{}).Queue(), connect(t, address)
	check(t, q.Push(t.Context(), store.Job{ID: "a", TaskID: "t"}, store.Job{ID: "z", TaskID: "t"}))
	// What a Finish does, in slow motion.
	finish := func(id string) (add func(next string), commit func()) {
		node := connect(t, address)
		exec1(t, node, `BEGIN`)
		exec1(t, node, `UPDATE jobs SET state = 'done' WHERE id = $1`, id)
		add = func(next string) {
			exec1(t, node, `INSERT INTO jobs (id, task, state, ord, rank, priority, backlog, run_at, doc)
				SELECT $1, task, 'ready', ord, rank, priority, backlog, run_at, doc FROM jobs WHERE id = 'a'`, next)
		}
		return add, func() { exec1(t, node, `COMMIT`) }
	}
	wait := func() {
		waitFor(t, "the cancel waits", func() bool {
			var blocked int
			check(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
				WHERE cardinality(pg_blocking_pids(pid)) > 0 AND datname = current_database()`).Scan(&blocked))
			return blocked == 1
		})
	}
	addB, commitA := finish("a")
	_, commitZ := finish("z")
	ended := make(chan outcome)
	go func() {
		n, err := q.Cancel(t.Context(), "t")
		ended <- outcome{n, err}
	}()
	wait() // for a
	addB("b")
	commitA()
	addC, commitB := finish("b")
	commitZ()
	wait() // for b
	addC("c")
	commitB()
	if got := <-ended; got != (outcome{1, nil}) {
		t.Errorf("cancelled %+v, want 1", got)
	}
	stats, err := q.Stats(t.Context())
	check(t, err)
	if stats != (store.QueueStats{}) {
		t.Errorf("left: %+v", stats)
	}
}

// outcome is what a call of the queue returned.
type outcome struct {
	n   int
	err error
}

// The locks of a node that has gone silent within a transaction end with its
// session.
func TestSilentNode(t *testing.T) {
	db := open(t, database(t, migrated), postgres.Options{MaxConns: 1})
	limit := func(tx pgx.Tx) (limit string) {
		check(t, tx.QueryRow(t.Context(), `SELECT current_setting('idle_in_transaction_session_timeout')`).Scan(&limit))
		return limit
	}
	err := db.Transaction(t.Context(), func(tx pgx.Tx) error {
		if got := limit(tx); got != "30s" {
			t.Errorf("the limit is %s", got)
		}
		_, err := tx.Exec(t.Context(), `SET LOCAL idle_in_transaction_session_timeout = '1ms'`)
		check(t, err)
		waitFor(t, "the server ends the session", func() bool {
			_, err = tx.Exec(t.Context(), `SELECT 1`)
			return err != nil
		})
		return err
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

// Whatever happens to connections, what was acknowledged is there, and an error
// says that the database could not be reached.
func TestCutConnections(t *testing.T) {
	address := database(t, migrated)
	db, conn := open(t, address, postgres.Options{}), connect(t, address)
	q, videos := db.Queue(), db.Catalog().Videos
	var mu sync.Mutex
	var jobs, records []string
	broken := 0
	note := func(list *[]string, id string, err error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			*list = append(*list, id)
		case errors.Is(err, store.ErrUnavailable):
			broken++
		default:
			t.Errorf("%s: %v", id, err)
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", i, n)
				note(&jobs, id, q.Push(t.Context(), store.Job{ID: id, TaskID: "t"}))
				note(&records, id, videos.Create(t.Context(), store.Video{ID: id}))
			}
		})
	}
	for cut := range 20 {
		waitFor(t, "work goes on", func() bool { mu.Lock(); defer mu.Unlock(); return len(jobs) > 20*cut && len(records) > 20*cut })
		exec1(t, conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	close(stop)
	wg.Wait()
	t.Logf("%d jobs, %d records, %d calls broken", len(jobs), len(records), broken)
	if broken == 0 {
		t.Error("no call was broken: nothing was tested")
	}
	for _, id := range jobs {
		if _, err := q.Job(t.Context(), id); err != nil {
			t.Errorf("an acknowledged job: %v", err)
		}
	}
	for _, id := range records {
		if _, err := videos.Get(t.Context(), id); err != nil {
			t.Errorf("an acknowledged record: %v", err)
		}
	}
}

// Calls that lock the same jobs in another order end all the same.
func TestNoDeadlock(t *testing.T) {
	address := database(t, migrated)
	nodes := [2]store.Queue{open(t, address, postgres.Options{}).Queue(), open(t, address, postgres.Options{}).Queue()}
	var jobs []store.Job
	var ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprintf("j%02d", (i*37)%50))
		jobs = append(jobs, store.Job{ID: ids[i], TaskID: "t", Rank: store.RankOrdinary})
	}
	check(t, nodes[0].Push(t.Context(), jobs...))
	var wg sync.WaitGroup
	for i, q := range nodes {
		req := store.LeaseRequest{Owner: store.Owner{Node: fmt.Sprint("n", i)}, MaxRank: store.RankOrdinary, TTL: time.Minute, Max: 10}
		for range 2 {
			wg.Go(func() {
				for n := range 20 {
					_, err1 := q.Reprioritise(t.Context(), "t", n%3)
					_, err2 := q.Boost(t.Context(), store.RankOrdinary-store.Rank(n), ids...)
					_, err3 := q.PauseTask(t.Context(), "t")
					_, err4 := q.ResumeTask(t.Context(), "t")
					if err := errors.Join(err1, err2, err3, err4); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() {
				for n := range 20 {
					leased, err := q.Lease(t.Context(), req)
					if err != nil && !errors.Is(err, store.ErrEmpty) {
						t.Error(err)
					}
					for _, job := range leased {
						err := q.Finish(t.Context(), job.ID, job.Lease.Token, store.Outcome{Retry: n%4 > 0})
						if err != nil && !errors.Is(err, store.ErrLeaseLost) {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	wg.Wait()
}

// A leased job that this program cannot read is its caller's alone to hear of: what
// shares the commit stands.
func TestUnreadableJob(t *testing.T) {
	address := database(t, migrated)
	db := open(t, address, postgres.Options{})
	q, conn := db.Queue(), connect(t, address)
	check(t, q.Push(t.Context(), store.Job{ID: "a", TaskID: "t"}, store.Job{ID: "b", TaskID: "t"}))
	job := leaseOne(t, q)
	exec1(t, conn, `UPDATE jobs SET doc = '"not a job"' WHERE state = 'ready'`)

	unlock := lockJobs(t, address)
	first, lease, finish := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { // its commit waits; the others gather behind it
		_, err := q.Lease(t.Context(), store.LeaseRequest{Suspects: true, Max: 1, TTL: time.Minute})
		first <- err
	}()
	waitFor(t, "a commit waits", func() bool { return waiting(t, conn) == 1 })
	go func() { finish <- q.Finish(t.Context(), job.ID, job.Lease.Token, store.Outcome{}) }()
	go func() {
		_, err := q.Lease(t.Context(), store.LeaseRequest{MaxRank: store.RankOrdinary, Max: 1, TTL: time.Minute})
		lease <- err
	}()
	waitFor(t, "the others gather", func() bool { return db.Waiting() == 2 })
	unlock()
	if err := <-first; !errors.Is(err, store.ErrEmpty) {
		t.Error(err)
	}
	check(t, <-finish)
	if err := <-lease; err == nil || !contains(err, "read a job") {
		t.Errorf("leased what cannot be read: %v", err)
	}
	if done, err := q.Job(t.Context(), job.ID); err != nil || done.State != store.JobDone {
		t.Errorf("%+v, %v", done, err)
	}
}

// A program of before version 5 leases by the same name with other types.
func TestLeaseOfBefore(t *testing.T) {
	address := database(t, migrated)
	q, conn := open(t, address, postgres.Options{}).Queue(), connect(t, address)
	check(t, q.Push(t.Context(), store.Job{ID: "a", TaskID: "t"}))
	var id string
	check(t, conn.QueryRow(t.Context(), `SELECT j.id FROM lease_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9) l, LATERAL (SELECT (l.job).*) j`,
		nil, "ready", []byte{255, 255}, []byte{255}, []string{"n"}, []string{"b"}, []string{"w"}, []int64{int64(time.Minute)}, "").Scan(&id))
	if id != "a" {
		t.Errorf("leased %q", id)
	}
}
