package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// queue implements store.Queue. What workers call often goes through the
// committer (commit.go, batch.go); what happens seldom is a transaction that
// reads jobs under a lock, changes them as every backend does, and stores them (row.go).
//
// Lease tokens are the database's time, told apart by a number (the schema's
// next_token). A token of a cancelled job therefore fits no later job, not even
// one of the same id.
type queue struct{ db *DB }

// Push implements store.Queue.
func (q *queue) Push(ctx context.Context, jobs ...store.Job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	rows, twice, err := newRows(jobs)
	switch {
	case err != nil:
		return err
	case twice != "":
		return fmt.Errorf("push job %s: %w", twice, store.ErrExists)
	case len(rows) == 0:
		return nil
	}
	err = q.db.pushes.do(ctx, &call{kind: push, rows: rows})
	if code(err) == codeUnique {
		return fmt.Errorf("push jobs: %w: somebody has added one just now", store.ErrExists)
	}
	if err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("push jobs: %w", err)
	}
	return err
}

// Lease implements store.Queue.
func (q *queue) Lease(ctx context.Context, req store.LeaseRequest) ([]store.Job, error) {
	mine := &call{kind: lease, lease: req}
	if err := q.db.leases.do(ctx, mine); err != nil {
		return nil, fmt.Errorf("lease jobs: %w", err)
	}
	switch {
	case len(mine.leased) > 0:
	case mine.unread != nil:
		return nil, fmt.Errorf("lease jobs: %w", mine.unread)
	default:
		return nil, store.ErrEmpty
	}
	jobs := make([]store.Job, len(mine.leased))
	for i, l := range mine.leased {
		jobs[i] = l.job
	}
	return jobs, nil
}

// Renew implements store.Queue.
func (q *queue) Renew(ctx context.Context, id string, token uint64, ttl time.Duration, progress float64) error {
	err := q.db.renewals.do(ctx, &call{kind: renew, id: id, token: token, ttl: ttl, progress: backend.Fraction(progress)})
	if err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	return nil
}

// Finish implements store.Queue.
func (q *queue) Finish(ctx context.Context, id string, token uint64, out store.Outcome) error {
	rows, _, err := newRows(out.Push)
	switch {
	case err != nil:
		return err
	case out.Retry || out.Failure != nil:
		err = q.endBadly(ctx, id, token, out, rows)
	default:
		err = q.db.leases.do(ctx, &call{kind: finish, id: id, token: token, rows: rows})
	}
	if err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	return nil
}

// endBadly finishes a lease that failed or is given back.
func (q *queue) endBadly(ctx context.Context, id string, token uint64, out store.Outcome, rows []newRow) error {
	return q.db.transaction(ctx, func(tx pgx.Tx) error {
		jobs, now, err := q.db.readJobs(ctx, tx, `id = $2 AND token = $3 AND state = 'leased' FOR UPDATE`, text(id), int64(token))
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			return fmt.Errorf("job %s: %w", id, store.ErrLeaseLost)
		}
		out.After = time.Duration(nanos(out.After))
		backend.End(&jobs[0], out, now)
		return save(ctx, tx, []change{{job: &jobs[0]}}, rows, q.db.clock())
	})
}

// Job implements store.Queue.
func (q *queue) Job(ctx context.Context, id string) (store.Job, error) {
	jobs, err := q.jobs(ctx, `id = $2`, text(id))
	if err == nil && len(jobs) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Job{}, fmt.Errorf("job %.100s: %w", id, err)
	}
	return jobs[0], nil
}

// Jobs implements store.Queue.
func (q *queue) Jobs(ctx context.Context, taskID string) ([]store.Job, error) {
	jobs, err := q.jobs(ctx, `task = $2`, text(taskID))
	if err != nil {
		return nil, fmt.Errorf("jobs of task %.100s: %w", taskID, err)
	}
	slices.SortFunc(jobs, func(a, b store.Job) int { return bytes.Compare(backend.KeyOrder(&a), backend.KeyOrder(&b)) })
	return jobs, nil
}

// jobs reads jobs as they are by the clock.
func (q *queue) jobs(ctx context.Context, condition string, arg string) (jobs []store.Job, err error) {
	var now time.Time
	err = q.db.read(ctx, func() error {
		jobs, now, err = q.db.readJobs(ctx, q.db.pool, condition, arg)
		return err
	})
	for i := range jobs {
		jobs[i] = backend.AsOf(jobs[i], now)
	}
	return jobs, err
}

// Holders implements store.Queue.
func (q *queue) Holders(ctx context.Context) (holders []store.Owner, err error) {
	err = q.db.read(ctx, func() error {
		held, err := leasesByBoot(ctx, q.db.pool)
		holders = backend.Holders(maps.Keys(held))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list who holds leases: %w", err)
	}
	return holders, nil
}

// Open implements store.Queue.
func (q *queue) Open(ctx context.Context, taskID string) (n int, err error) {
	err = q.db.read(ctx, func() error {
		return q.db.pool.QueryRow(ctx, `SELECT count(*) FROM jobs WHERE task = $1 AND state <> 'done'`, text(taskID)).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count the open jobs of task %.100s: %w", taskID, err)
	}
	return n, nil
}

// statsSQL counts by state. The jobs that have come due since the last Lease are
// counted a second time, apart. Done jobs are those of tasks under way, so that
// there are not many.
const statsSQL = `
	SELECT state, count(*), ` + sqlOldest + ` FROM jobs WHERE state <> 'done' GROUP BY state
	UNION ALL
	SELECT CASE WHEN suspect THEN 'due suspect' ELSE 'due' END, count(*), ` + sqlOldest + `
		FROM jobs WHERE state = 'later' AND run_at <= ` + sqlNow + ` GROUP BY suspect
	UNION ALL
	SELECT 'done', count(*), NULL FROM jobs WHERE state = 'done'
	UNION ALL
	SELECT 'queue paused', 1, NULL FROM queue WHERE paused`

// sqlOldest is the earliest time of creation (see backend.KeyOrder); there is no min of
// bytea before version 18.
const sqlOldest = `decode(min(encode(substring(ord FROM 17 FOR 12), 'hex') COLLATE "C"), 'hex')`

// Stats implements store.Queue.
func (q *queue) Stats(ctx context.Context) (s store.QueueStats, err error) {
	err = q.db.read(ctx, func() error {
		s = store.QueueStats{}
		rows, err := q.db.pool.Query(ctx, statsSQL, q.db.clock())
		if err != nil {
			return err
		}
		var state string
		var n int
		var oldest []byte
		_, err = pgx.ForEachRow(rows, []any{&state, &n, &oldest}, func() error {
			count(&s, state, n, backend.ReadTime(oldest))
			return nil
		})
		return err
	})
	if err != nil {
		return store.QueueStats{}, fmt.Errorf("count the jobs: %w", err)
	}
	return s, nil
}

// count adds a row of statsSQL.
func count(s *store.QueueStats, state string, n int, oldest time.Time) {
	switch state {
	case string(store.JobBacklog):
		s.Backlog, s.OldestBacklog = n, oldest
	case string(store.JobLater):
		s.Later += n
	case string(store.JobReady):
		s.Ready += n
		s.OldestReady = earlier(s.OldestReady, oldest)
	case string(store.JobSuspect):
		s.Suspect += n
	case string(store.JobLeased):
		s.Leased = n
	case string(store.JobPaused):
		s.Paused = n
	case string(store.JobDone):
		s.Done = n
	case "due":
		s.Later, s.Ready = s.Later-n, s.Ready+n
		s.OldestReady = earlier(s.OldestReady, oldest)
	case "due suspect":
		s.Later, s.Suspect = s.Later-n, s.Suspect+n
	case "queue paused":
		s.QueuePaused = true
	}
}

// earlier is the earlier of two times, of which the first may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
