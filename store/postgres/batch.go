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
// arguments come as arrays, and the answer says whom it is about. What they do is
// in the schema's functions.

// addSQL adds jobs and passes over those whose id is taken.
const addSQL = `INSERT INTO jobs (id, task, state, ord, rank, priority, backlog, run_at, doc)
	SELECT f.id, f.task, CASE WHEN f.backlog THEN 'backlog' WHEN f.delay > 0 THEN 'later' ELSE 'ready' END,
		f.ord, f.rank, f.priority, f.backlog, CASE WHEN f.delay > 0 THEN job_time($1) + f.delay ELSE 0 END, f.doc::json
	FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bigint[], $9::text[])
		AS f(id, task, ord, rank, priority, backlog, delay, doc)
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

const pushSQL = `SELECT caller, id FROM push_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

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

const finishSQL = `SELECT caller FROM finish_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

func queueFinishes(b *pgx.Batch, clock *int64, calls []*call) {
	if len(calls) == 0 {
		return
	}
	rows, callers := follow(calls)
	ids, tokens := leases(calls)
	args := append([]any{clock}, columnsOf(rows)...)
	b.Queue(finishSQL, append(args, callers, ids, tokens)...).Query(heldBy(calls))
}

const renewSQL = `SELECT caller FROM renew_jobs($1, $2, $3, $4, $5)`

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

// leaseSQL has a job's slot and place in order before jobColumns.
const leaseSQL = `SELECT * FROM lease_jobs($1, $2::boolean, $3, $4, $5, $6, $7, $8, $9)`

// lane is what leases have in common that one statement can serve.
type lane struct {
	suspects bool
	maxRank  store.Rank
	encoder  string
}

// queueLeases serves those first who take urgent jobs only: the others can have
// what is left.
func queueLeases(b *pgx.Batch, clock *int64, calls []*call) {
	if len(calls) == 0 {
		return
	}
	lanes := make(map[lane][]*call)
	for _, c := range calls {
		l := lane{c.lease.Suspects, c.lease.MaxRank, text(c.lease.Encoder)}
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
	b.Queue(leaseSQL, clock, l.suspects, keyBeyond(l.maxRank), keyBeyond(store.RankDemanded), nodes, boots, workers, ttls, l.encoder).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var slot int64
			var got leased
			var row jobRow
			if err := rows.Scan(append([]any{&slot, &got.ord}, row.into()...)...); err != nil {
				return err
			}
			var err error
			if got.job, err = row.job(); err != nil {
				slots[slot].unread = err // its lease expires; what else is in the commit stands
				continue
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
