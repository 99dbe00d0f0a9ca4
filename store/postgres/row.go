package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// newRow is a job that is pushed, as a row.
type newRow struct {
	id, task       string
	ord            []byte
	rank, priority int64
	backlog        bool
	delay          int64 // nanoseconds
	doc            string
}

// newRows makes rows of jobs, each id once; twice is an id that came again.
func newRows(jobs []store.Job) (rows []newRow, twice string, err error) {
	seen := make(map[string]bool, len(jobs))
	for _, job := range jobs {
		if job.ID == "" {
			return nil, "", errors.New("push a job: it has no id")
		}
		if seen[job.ID] {
			twice = job.ID
			continue
		}
		seen[job.ID] = true
		row, err := rowOf(job)
		if err != nil {
			return nil, "", fmt.Errorf("push job %s: %w", job.ID, err)
		}
		rows = append(rows, row)
	}
	return rows, twice, nil
}

func rowOf(job store.Job) (newRow, error) {
	job.Created = job.Created.UTC()
	row := newRow{
		id: text(job.ID), task: text(job.TaskID), ord: backend.KeyOrder(&job), rank: int64(job.Rank), priority: int64(job.Priority),
		backlog: job.Backlog, delay: nanos(max(0, job.Delay)),
	}
	job.State, job.Rank, job.Priority, job.Backlog, job.RunAt = "", 0, 0, false, time.Time{}
	job.Leases, job.Failures, job.Kills, job.Deaths, job.LoneDeaths, job.Suspect = 0, 0, 0, 0, 0, false
	job.Progress, job.Lease, job.Failure, job.Attempts = 0, store.Lease{}, nil, nil
	doc, err := json.Marshal(job)
	row.doc = string(doc)
	return row, err
}

// jobRow is a job as it is stored: what it was pushed with as a document, what
// the queue keeps of it in columns.
type jobRow struct {
	columns                   store.Job
	runAt, started, expires   int64
	failure, attempts, pushed []byte
}

// jobColumns are those of jobRow, of a table that is called j.
const jobColumns = `j.state, j.rank, j.priority, j.backlog, j.run_at, j.leases, j.failures, j.kills, j.deaths, j.lone_deaths, j.suspect,
	j.progress, j.token, j.node, j.boot, j.worker, j.started, j.expires, j.failure, j.attempts, j.doc`

// into are where jobColumns are read to.
func (r *jobRow) into() []any {
	c, owner := &r.columns, &r.columns.Lease.Owner
	return []any{
		(*string)(&c.State), (*int)(&c.Rank), &c.Priority, &c.Backlog, &r.runAt,
		&c.Leases, &c.Failures, &c.Kills, &c.Deaths, &c.LoneDeaths, &c.Suspect,
		&c.Progress, &c.Lease.Token, &owner.Node, &owner.Boot, &owner.Worker, &r.started, &r.expires,
		&r.failure, &r.attempts, &r.pushed,
	}
}

// job puts the parts together.
func (r *jobRow) job() (job store.Job, err error) {
	if err := json.Unmarshal(r.pushed, &job); err != nil {
		return job, fmt.Errorf("read a job: %w", err)
	}
	c := &r.columns
	job.State, job.Rank, job.Priority, job.Backlog, job.RunAt = c.State, c.Rank, c.Priority, c.Backlog, unstamp(r.runAt)
	job.Leases, job.Failures, job.Kills = c.Leases, c.Failures, c.Kills
	job.Deaths, job.LoneDeaths, job.Suspect = c.Deaths, c.LoneDeaths, c.Suspect
	job.Progress, job.Lease = c.Progress, c.Lease
	job.Lease.Started, job.Lease.Expires = unstamp(r.started), unstamp(r.expires)
	return job, errors.Join(readJSON(r.failure, &job.Failure), readJSON(r.attempts, &job.Attempts))
}

// readJSON reads a column that may be null.
func readJSON(data []byte, v any) error {
	if data == nil {
		return nil
	}
	return json.Unmarshal(data, v)
}

// writeJSON is what readJSON reads; none stands for null.
func writeJSON(v any, none bool) (*string, error) {
	if none {
		return nil, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	written := string(data)
	return &written, nil
}

// sqlNow is the time in a statement whose first parameter is DB.clock.
const sqlNow = `job_time($1)`

// clock is the time where a test has set it, else nil: then the database tells it.
func (db *DB) clock() *int64 {
	if db.now == nil {
		return nil
	}
	now := db.now().UnixNano()
	return &now
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readJobs reads jobs, and the time if there are any. The condition's parameters
// begin with $2.
func (db *DB) readJobs(ctx context.Context, q querier, condition string, args ...any) (jobs []store.Job, now time.Time, err error) {
	rows, err := q.Query(ctx, `SELECT `+sqlNow+`, `+jobColumns+` FROM jobs j WHERE `+condition, append([]any{db.clock()}, args...)...)
	if err != nil {
		return nil, now, err
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var row jobRow
		if err := rows.Scan(append([]any{&at}, row.into()...)...); err != nil {
			return nil, now, err
		}
		job, err := row.job()
		if err != nil {
			return nil, now, err
		}
		jobs, now = append(jobs, job), unstamp(at)
	}
	return jobs, now, rows.Err()
}

// change is a job that is to be stored. fresh asks for a new token, so that who
// holds the job has lost it.
type change struct {
	job   *store.Job
	fresh bool
}

// save stores changes and adds jobs whose ids are free, all in one round trip.
func save(ctx context.Context, tx pgx.Tx, changes []change, added []newRow, clock *int64) error {
	b := new(pgx.Batch)
	for _, c := range changes {
		if err := queueChange(b, c); err != nil {
			return fmt.Errorf("write job %s: %w", c.job.ID, err)
		}
	}
	if len(added) > 0 {
		b.Queue(addSQL, append([]any{clock}, columnsOf(added)...)...)
	}
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, b).Close()
}

const changeSQL = `UPDATE jobs SET state = $2, ord = $3, rank = $4, priority = $5, backlog = $6, run_at = $7,
	leases = $8, failures = $9, kills = $10, deaths = $11, lone_deaths = $12, suspect = $13, progress = $14,
	token = CASE WHEN $15::boolean THEN next_token(token) ELSE token END,
	node = $16, boot = $17, worker = $18, started = $19, expires = $20, failure = $21::text::json, attempts = $22::text::json
	WHERE id = $1 RETURNING token`

func queueChange(b *pgx.Batch, c change) error {
	j := c.job
	failure, err1 := writeJSON(j.Failure, j.Failure == nil)
	attempts, err2 := writeJSON(j.Attempts, j.Attempts == nil)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	b.Queue(changeSQL, text(j.ID), string(j.State), backend.KeyOrder(j), int64(j.Rank), int64(j.Priority), j.Backlog, stamp(j.RunAt),
		j.Leases, j.Failures, j.Kills, j.Deaths, j.LoneDeaths, j.Suspect, j.Progress,
		c.fresh,
		text(j.Lease.Owner.Node), text(j.Lease.Owner.Boot), text(j.Lease.Owner.Worker), stamp(j.Lease.Started), stamp(j.Lease.Expires),
		failure, attempts,
	).QueryRow(func(row pgx.Row) error { return row.Scan(&j.Lease.Token) })
	return nil
}
