package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// admitLock is what nodes that admit jobs take turns by, as migrationLock.
const admitLock = migrationLock + 1

// roomSQL is how many more tasks may be let in; NULL if none waits.
const roomSQL = `SELECT greatest(0, $1::bigint - (SELECT count(DISTINCT j.task) FROM jobs j
		WHERE j.state IN ('later', 'ready', 'suspect', 'leased')
			AND NOT EXISTS (SELECT FROM jobs b WHERE b.task = j.task AND b.state = 'backlog')))
	WHERE EXISTS (SELECT FROM jobs WHERE state = 'backlog')`

// Admit implements store.Queue. The lock is taken by a statement of its own, so
// that what is counted is as it was left by who had it before.
func (q *queue) Admit(ctx context.Context, most int) ([]store.Job, error) {
	var admitted []store.Job
	err := q.db.transaction(ctx, func(tx pgx.Tx) (err error) {
		admitted = nil
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, int64(admitLock)); err != nil {
			return err
		}
		var n int64
		err = tx.QueryRow(ctx, roomSQL, int64(most)).Scan(&n)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var now time.Time
		admitted, now, err = q.db.readJobs(ctx, tx, `state = 'backlog' ORDER BY ord LIMIT $2::bigint FOR UPDATE SKIP LOCKED`, n)
		if err != nil {
			return err
		}
		changes := make([]change, len(admitted))
		for i := range admitted {
			job := &admitted[i]
			job.Backlog = false
			backend.Wait(job, job.RunAt, now)
			changes[i].job = job
		}
		return save(ctx, tx, changes, nil, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("admit jobs: %w", err)
	}
	return admitted, nil
}

// pushLock is what nodes that push within a bound take turns by.
const pushLock = migrationLock + 2

// waitingSQL tells whether a job is there, and how many wait, counted up to a bound.
const waitingSQL = `SELECT EXISTS (SELECT FROM jobs WHERE id = $1),
	(SELECT count(*) FROM (SELECT FROM jobs WHERE state = 'backlog' LIMIT $2::bigint) AS waiting)`

// PushWithin implements store.Queue. The lock is as in Admit.
func (q *queue) PushWithin(ctx context.Context, job store.Job, most int) error {
	job.Backlog = true
	rows, _, err := newRows([]store.Job{job})
	if err != nil {
		return err
	}
	err = q.db.transaction(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, int64(pushLock)); err != nil {
			return err
		}
		var there bool
		var waiting int
		if err := tx.QueryRow(ctx, waitingSQL, rows[0].id, int64(max(0, most))).Scan(&there, &waiting); err != nil {
			return err
		}
		switch {
		case there:
			return store.ErrExists
		case waiting >= most:
			return store.ErrQueueFull
		}
		added, err := tx.Exec(ctx, addSQL, append([]any{q.db.clock()}, columnsOf(rows)...)...)
		if err == nil && added.RowsAffected() == 0 {
			err = store.ErrExists
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("push job %.100s: %w", job.ID, err)
	}
	return nil
}

// Boost implements store.Queue. A player waits for it, so it is one statement:
// the rank is what the place in order begins with (see backend.KeyOrder).
func (q *queue) Boost(ctx context.Context, rank store.Rank, ids ...string) (int, error) {
	n, err := q.db.exec(ctx, `WITH these AS MATERIALIZED (
			SELECT id FROM jobs WHERE id = ANY($1::text[]) AND rank > $2 AND state IN ('backlog', 'later', 'ready', 'suspect')
			ORDER BY id FOR UPDATE)
		UPDATE jobs j SET rank = $2, ord = $3::bytea || substring(j.ord FROM 9) FROM these WHERE j.id = these.id`,
		texts(ids), int64(rank), backend.KeyInt(nil, int64(rank)))
	if err != nil {
		return 0, fmt.Errorf("boost jobs: %w", err)
	}
	return int(n), nil
}

// Redo implements store.Queue.
func (q *queue) Redo(ctx context.Context, ids ...string) (n int, err error) {
	err = q.db.transaction(ctx, func(tx pgx.Tx) error {
		jobs, now, err := q.db.readJobs(ctx, tx, `id = ANY($2::text[]) AND state = 'done' ORDER BY id FOR UPDATE`, texts(ids))
		if err != nil {
			return err
		}
		changes := make([]change, len(jobs))
		for i := range jobs {
			attempts := jobs[i].Attempts
			backend.Renew(&jobs[i], now)
			jobs[i].Attempts = attempts
			changes[i].job = &jobs[i]
		}
		n = len(jobs)
		return save(ctx, tx, changes, nil, nil)
	})
	if err != nil {
		return 0, fmt.Errorf("do jobs again: %w", err)
	}
	return n, nil
}

// Reprioritise implements store.Queue.
func (q *queue) Reprioritise(ctx context.Context, taskID string, priority int) (int, error) {
	n, err := q.changeTask(ctx, taskID, func(job *store.Job, _ time.Time) (changed, fresh bool) {
		changed = job.State != store.JobDone && job.Priority != priority
		job.Priority = priority
		return changed, false
	})
	if err != nil {
		return 0, fmt.Errorf("reprioritise task %s: %w", taskID, err)
	}
	return n, nil
}

// PauseTask implements store.Queue.
func (q *queue) PauseTask(ctx context.Context, taskID string) (int, error) {
	n, err := q.changeTask(ctx, taskID, func(job *store.Job, _ time.Time) (changed, fresh bool) {
		if job.State == store.JobDone || job.State == store.JobPaused {
			return false, false
		}
		fresh = job.State == store.JobLeased
		job.State, job.Progress, job.Lease = store.JobPaused, 0, store.Lease{Token: job.Lease.Token}
		return true, fresh
	})
	if err != nil {
		return 0, fmt.Errorf("pause task %s: %w", taskID, err)
	}
	return n, nil
}

// ResumeTask implements store.Queue.
func (q *queue) ResumeTask(ctx context.Context, taskID string) (int, error) {
	n, err := q.changeTask(ctx, taskID, func(job *store.Job, now time.Time) (changed, fresh bool) {
		if job.State != store.JobPaused {
			return false, false
		}
		backend.Wait(job, job.RunAt, now)
		return true, false
	})
	if err != nil {
		return 0, fmt.Errorf("resume task %s: %w", taskID, err)
	}
	return n, nil
}

// changeTask applies fn to each job of a task, stores it if fn says that it
// changed it, and counts those.
func (q *queue) changeTask(ctx context.Context, taskID string, fn func(*store.Job, time.Time) (changed, fresh bool)) (n int, err error) {
	err = q.db.transaction(ctx, func(tx pgx.Tx) error {
		if err := lockTask(ctx, tx, taskID); err != nil {
			return err
		}
		jobs, now, err := q.db.readJobs(ctx, tx, `task = $2`, text(taskID))
		if err != nil {
			return err
		}
		var changes []change
		for i := range jobs {
			if changed, fresh := fn(&jobs[i], now); changed {
				changes = append(changes, change{&jobs[i], fresh})
			}
		}
		n = len(changes)
		return save(ctx, tx, changes, nil, nil)
	})
	return n, err
}

// lockTask locks all jobs of a task until the transaction ends, those included
// that others add meanwhile to finish one: who does that holds the lock of a job
// of the task, so once no job is there that was not a moment ago, nobody does.
func lockTask(ctx context.Context, tx pgx.Tx, taskID string) error {
	for before := 0; ; {
		tag, err := tx.Exec(ctx, `SELECT 1 FROM jobs WHERE task = $1 ORDER BY id FOR UPDATE`, text(taskID))
		if err != nil {
			return err
		}
		locked := int(tag.RowsAffected())
		if locked <= before {
			return nil
		}
		before = locked
	}
}

// SetPaused implements store.Queue.
func (q *queue) SetPaused(ctx context.Context, paused bool) error {
	if _, err := q.db.exec(ctx, `UPDATE queue SET paused = $1`, paused); err != nil {
		return fmt.Errorf("pause or resume the queue: %w", err)
	}
	return nil
}

// Cancel implements store.Queue.
func (q *queue) Cancel(ctx context.Context, taskID string) (ended int, err error) {
	err = q.db.transaction(ctx, func(tx pgx.Tx) error {
		if err := lockTask(ctx, tx, taskID); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `WITH gone AS (DELETE FROM jobs WHERE task = $1 RETURNING state)
			SELECT count(*) FROM gone WHERE state <> 'done'`, text(taskID)).Scan(&ended)
	})
	if err != nil {
		return 0, fmt.Errorf("cancel the jobs of task %s: %w", taskID, err)
	}
	return ended, nil
}

// deadSQL is the condition of leases that Reap takes back. Those that somebody
// renews or ends at this moment are not dead.
const deadSQL = `state = 'leased' AND (expires <= ` + sqlNow + ` OR EXISTS (
		SELECT FROM unnest($2::text[], $3::text[], $4::text[]) AS d(node, boot, gone)
		WHERE d.node <> '' AND d.node = j.node AND CASE WHEN d.gone <> '' THEN d.gone = j.boot ELSE d.boot <> j.boot END))
	FOR UPDATE SKIP LOCKED`

// Reap implements store.Queue.
func (q *queue) Reap(ctx context.Context, req store.ReapRequest) (reaped []store.Job, err error) {
	nodes, boots, gone := make([]string, len(req.Dead)), make([]string, len(req.Dead)), make([]string, len(req.Dead))
	for i, d := range req.Dead {
		nodes[i], boots[i], gone[i] = text(d.Node), text(d.Boot), text(d.Gone)
	}
	err = q.db.transaction(ctx, func(tx pgx.Tx) error {
		held, err := leasesByBoot(ctx, tx)
		if err != nil {
			return err
		}
		dead, now, err := q.db.readJobs(ctx, tx, deadSQL, nodes, boots, gone)
		if err != nil {
			return err
		}
		slices.SortFunc(dead, func(a, b store.Job) int {
			return cmp.Or(a.Lease.Expires.Compare(b.Lease.Expires), cmp.Compare(a.ID, b.ID))
		})
		changes := make([]change, len(dead))
		for i := range dead {
			backend.Died(&dead[i], held[backend.Boot(dead[i].Lease.Owner)] == 1, req, now)
			changes[i] = change{&dead[i], true}
		}
		reaped = dead
		return save(ctx, tx, changes, nil, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("reap dead leases: %w", err)
	}
	return reaped, nil
}

// leasesByBoot counts the leases of each start of a node.
func leasesByBoot(ctx context.Context, tx interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}) (map[store.Owner]int, error) {
	rows, err := tx.Query(ctx, `SELECT node, boot, count(*) FROM jobs WHERE state = 'leased' GROUP BY node, boot`)
	if err != nil {
		return nil, err
	}
	held := make(map[store.Owner]int)
	var owner store.Owner
	var n int
	_, err = pgx.ForEachRow(rows, []any{&owner.Node, &owner.Boot, &n}, func() error {
		held[owner] = n
		return nil
	})
	return held, err
}
