package postgres

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
)

// The statements of a commit. Each serves all callers of its kind at once: their
// arguments come as arrays, and the answer says whom it is about.

// newColumns are the arrays of columnsOf from $2 on, as a table that is called f.
const newColumns = `unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bigint[], $9::text[])`

// insertJobs begins a statement that adds jobs of a table f, at the time of a
// table clock.
const insertJobs = `INSERT INTO jobs (id, task, state, ord, rank, priority, backlog, run_at, doc)
	SELECT f.id, f.task, CASE WHEN f.backlog THEN 'backlog' WHEN f.delay > 0 THEN 'later' ELSE 'ready' END,
		f.ord, f.rank, f.priority, f.backlog, CASE WHEN f.delay > 0 THEN clock.now + f.delay ELSE 0 END, f.doc::json`

const withClock = `WITH clock AS (SELECT ` + sqlNow + ` AS now)`

// addSQL adds jobs and passes over those whose id is taken.
const addSQL = withClock + insertJobs + `
	FROM ` + newColumns + ` AS f(id, task, ord, rank, priority, backlog, delay, doc), clock
	ORDER BY f.id ON CONFLICT (id) DO NOTHING`

func columnsOf(rows []newRow) []any {
	n := len(rows)
	ids, tasks, ords, ranks := make([]string, n), make([]string, n), make([][]byte, n), make([]int64, n)
	priorities, backlogs, delays, docs := make([]int64, n), make([]bool, n), make([]int64, n), make([]string, n)
	for i, r := range rows {
		ids[i], tasks[i], ords[i], ranks[i] = r.id, r.task, r.ord, r.rank
		priorities[i], backlogs[i], delays[i], docs[i] = r.priority, r.backlog, r.delay, r.doc
	}
	return []any{ids, tasks, ords, ranks, priorities, backlogs, delays, docs}
}

// pushSQL adds the jobs of callers none of whose ids is taken, and names the
// others. An id that another node adds at the same moment fails the statement,
// and with it the commit.
const pushSQL = withClock + `,
	given AS MATERIALIZED (
		SELECT * FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bigint[], $9::text[], $10::bigint[])
			AS f(id, task, ord, rank, priority, backlog, delay, doc, caller)),
	refused AS MATERIALIZED (SELECT f.caller, min(f.id) AS id FROM given f JOIN jobs j ON j.id = f.id GROUP BY f.caller),
	added AS (` + insertJobs + ` FROM given f, clock WHERE f.caller NOT IN (SELECT caller FROM refused) ORDER BY f.id)
	SELECT caller, id FROM refused`

func queuePushes(b *pgx.Batch, clock *int64, calls []*call) {
	if len(calls) == 0 {
		return
	}
	rows, callers := follow(calls)
	b.Queue(pushSQL, append(append([]any{clock}, columnsOf(rows)...), callers)...).Query(func(rows pgx.Rows) error {
		var caller int64
		var id string
		_, err := pgx.ForEachRow(rows, []any{&caller, &id}, func() error {
			calls[caller].err = fmt.Errorf("push job %s: %w", id, store.ErrExists)
			return nil
		})
		return err
	})
}

// follow are the new jobs of calls, and which call each is of.
func follow(calls []*call) (rows []newRow, callers []int64) {
	for i, c := range calls {
		for _, row := range c.rows {
			rows, callers = append(rows, row), append(callers, int64(i))
		}
	}
	return rows, callers
}

// finishSQL ends leases whose job succeeded and adds what follows from them; it
// names the calls that still had their lease. IS TRUE keeps the planner from
// walking all that was ever leased, by the index of states, in search of a few
// ids.
const finishSQL = withClock + `,
	ended AS (
		UPDATE jobs j SET state = 'done', node = '', boot = '', worker = '', started = 0, expires = 0,
			failure = NULL, deaths = 0, lone_deaths = 0, suspect = false
		FROM unnest($10::text[], $11::bigint[]) WITH ORDINALITY AS g(id, token, caller)
		WHERE j.id = g.id AND j.token = g.token AND (j.state = 'leased') IS TRUE
		RETURNING g.caller - 1 AS caller),
	added AS (` + insertJobs + `
		FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bigint[], $9::text[], $12::bigint[])
			AS f(id, task, ord, rank, priority, backlog, delay, doc, caller)
			JOIN ended USING (caller), clock
		ORDER BY f.id ON CONFLICT (id) DO NOTHING)
	SELECT caller FROM ended`

func queueFinishes(b *pgx.Batch, clock *int64, calls []*call) {
	if len(calls) == 0 {
		return
	}
	rows, callers := follow(calls)
	ids, tokens := leases(calls)
	args := append([]any{clock}, columnsOf(rows)...)
	b.Queue(finishSQL, append(args, ids, tokens, callers)...).Query(heldBy(calls))
}

// renewSQL moves the end of leases and notes progress; it names the calls that
// still had their lease.
const renewSQL = withClock + `
	UPDATE jobs j SET expires = clock.now + g.ttl, progress = g.progress
	FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::double precision[]) WITH ORDINALITY AS g(id, token, ttl, progress, caller), clock
	WHERE j.id = g.id AND j.token = g.token AND (j.state = 'leased') IS TRUE
	RETURNING g.caller - 1`

func queueRenewals(b *pgx.Batch, clock *int64, calls []*call) {
	if len(calls) == 0 {
		return
	}
	ids, tokens := leases(calls)
	ttls, progress := make([]int64, len(calls)), make([]float64, len(calls))
	for i, c := range calls {
		ttls[i], progress[i] = nanos(c.ttl), c.progress
	}
	b.Queue(renewSQL, clock, ids, tokens, ttls, progress).Query(heldBy(calls))
}

func leases(calls []*call) (ids []string, tokens []int64) {
	for _, c := range calls {
		ids, tokens = append(ids, text(c.id)), append(tokens, int64(c.token))
	}
	return ids, tokens
}

// heldBy reads which calls had their lease; the others have lost it.
func heldBy(calls []*call) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for _, c := range calls {
			c.err = fmt.Errorf("job %s: %w", c.id, store.ErrLeaseLost)
		}
		var caller int64
		_, err := pgx.ForEachRow(rows, []any{&caller}, func() error {
			calls[caller].err = nil
			return nil
		})
		return err
	}
}

// promoteSQL makes the jobs ready that have come due. All of them, or the first
// in order might be missed; those that another node moves now, it will lease.
const promoteSQL = `WITH due AS MATERIALIZED (
		SELECT id FROM jobs WHERE state = 'later' AND run_at <= ` + sqlNow + ` FOR UPDATE SKIP LOCKED)
	UPDATE jobs j SET state = CASE WHEN j.suspect THEN 'suspect' ELSE 'ready' END FROM due WHERE j.id = due.id`

// leaseSQL leases the first jobs of a state (%s) before $2, as many as there are
// slots, the n-th to the n-th slot. While the queue is paused, none beyond $3.
const leaseSQL = withClock + `,
	picked AS MATERIALIZED (
		SELECT id, ord FROM jobs
		WHERE state = '%s' AND ord < (SELECT CASE WHEN paused THEN least($2::bytea, $3::bytea) ELSE $2::bytea END FROM queue)
		ORDER BY ord LIMIT $4::bigint FOR UPDATE SKIP LOCKED),
	given AS (
		SELECT p.id, s.* FROM (SELECT id, row_number() OVER (ORDER BY ord) AS n FROM picked) p
		JOIN unnest($5::text[], $6::text[], $7::text[], $8::bigint[]) WITH ORDINALITY AS s(node, boot, worker, ttl, n) USING (n))
	UPDATE jobs j SET state = 'leased', token = next_token(j.token), node = g.node, boot = g.boot, worker = g.worker,
		started = clock.now, expires = clock.now + g.ttl, leases = j.leases + 1, progress = 0
	FROM given g, clock WHERE j.id = g.id
	RETURNING g.n - 1, j.ord, ` + jobColumns

// lane is what leases have in common that one statement can serve.
type lane struct {
	suspects bool
	maxRank  store.Rank
}

func (l lane) sql() string {
	if l.suspects {
		return fmt.Sprintf(leaseSQL, store.JobSuspect)
	}
	return fmt.Sprintf(leaseSQL, store.JobReady)
}

// queueLeases serves those first who take urgent jobs only: the others can have
// what is left.
func queueLeases(b *pgx.Batch, clock *int64, calls []*call) {
	if len(calls) == 0 {
		return
	}
	b.Queue(promoteSQL, clock)
	lanes := make(map[lane][]*call)
	for _, c := range calls {
		l := lane{c.lease.Suspects, c.lease.MaxRank}
		lanes[l] = append(lanes[l], c)
	}
	order := slices.SortedFunc(maps.Keys(lanes), func(a, b lane) int { return cmp.Compare(a.maxRank, b.maxRank) })
	for _, l := range order {
		queueLane(b, clock, l, lanes[l])
	}
}

func queueLane(b *pgx.Batch, clock *int64, l lane, calls []*call) {
	slots := deal(calls)
	nodes, boots, workers := make([]string, len(slots)), make([]string, len(slots)), make([]string, len(slots))
	ttls := make([]int64, len(slots))
	for i, c := range slots {
		nodes[i], boots[i], workers[i] = text(c.lease.Owner.Node), text(c.lease.Owner.Boot), text(c.lease.Owner.Worker)
		ttls[i] = nanos(c.lease.TTL)
	}
	b.Queue(l.sql(), clock, keyBeyond(l.maxRank), keyBeyond(store.RankDemanded), int64(len(slots)), nodes, boots, workers, ttls).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var slot int64
			var got leased
			var row jobRow
			if err := rows.Scan(append([]any{&slot, &got.ord}, row.into()...)...); err != nil {
				return err
			}
			var err error
			if got.job, err = row.job(); err != nil {
				return err
			}
			slots[slot].leased = append(slots[slot].leased, got)
		}
		return rows.Err()
	})
}

// maxLease is how many jobs one call gets at most.
const maxLease = 1000

// deal gives each call a slot for its first job, then each that wants another,
// and so on: where jobs are few, nobody gets several and another none.
func deal(calls []*call) (slots []*call) {
	for n := 1; ; n++ {
		before := len(slots)
		for _, c := range calls {
			if n <= min(max(1, c.lease.Max), maxLease) {
				slots = append(slots, c)
			}
		}
		if len(slots) == before {
			return slots
		}
	}
}
