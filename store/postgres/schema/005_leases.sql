-- compatible 1
-- Leases are ended and given in less time.

-- finish_jobs does what it did before. That jobs follow is seldom, and is looked at
-- only then.
CREATE OR REPLACE FUNCTION finish_jobs(at bigint,
	ids text[], tasks text[], ords bytea[], ranks bigint[], priorities bigint[], backlogs boolean[], delays bigint[], docs text[],
	callers bigint[], held text[], tokens bigint[]
) RETURNS TABLE (caller bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	stood bigint[];
BEGIN
	WITH ended AS (
		UPDATE jobs j SET state = 'done', node = '', boot = '', worker = '', started = 0, expires = 0,
			failure = NULL, deaths = 0, lone_deaths = 0, suspect = false
		FROM unnest(held, tokens) WITH ORDINALITY AS g(id, token, caller)
		WHERE j.id = g.id AND j.token = g.token AND (j.state = 'leased') IS TRUE
		RETURNING g.caller - 1 AS caller)
	SELECT array_agg(e.caller) INTO stood FROM ended e;
	IF cardinality(ids) > 0 THEN
		at := job_time(at);
		INSERT INTO jobs (id, task, state, ord, rank, priority, backlog, run_at, doc)
		SELECT f.id, f.task, CASE WHEN f.backlog THEN 'backlog' WHEN f.delay > 0 THEN 'later' ELSE 'ready' END,
			f.ord, f.rank, f.priority, f.backlog, CASE WHEN f.delay > 0 THEN at + f.delay ELSE 0 END, f.doc::json
		FROM unnest(ids, tasks, ords, ranks, priorities, backlogs, delays, docs, callers)
			AS f(id, task, ord, rank, priority, backlog, delay, doc, caller)
		WHERE f.caller = ANY (stood)
		ORDER BY f.id ON CONFLICT (id) DO NOTHING;
	END IF;
	RETURN QUERY SELECT unnest(stood);
END $$;

-- lease_jobs does what those of before do, which stay for programs of before. It
-- returns columns instead of a row in a column, which would be taken apart again.
CREATE FUNCTION lease_jobs(at bigint, suspects boolean, beyond bytea, demanded bytea,
	nodes text[], boots text[], workers text[], ttls bigint[], by_encoder text
) RETURNS TABLE (slot bigint, ord bytea, state text, rank bigint, priority bigint, backlog boolean, run_at bigint,
	leases integer, failures integer, kills integer, deaths integer, lone_deaths integer, suspect boolean,
	progress double precision, token bigint, node text, boot text, worker text, started bigint, expires bigint,
	failure json, attempts json, doc json) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	wanted text := CASE WHEN suspects THEN 'suspect' ELSE 'ready' END;
	queue_paused boolean;
	some_due boolean;
BEGIN
	at := job_time(at);
	SELECT q.paused, EXISTS (SELECT FROM jobs j WHERE j.state = 'later' AND j.run_at <= at) INTO queue_paused, some_due FROM queue q;
	IF some_due THEN
		WITH due AS MATERIALIZED (
			SELECT j.id FROM jobs j WHERE j.state = 'later' AND j.run_at <= at FOR UPDATE SKIP LOCKED)
		UPDATE jobs j SET state = CASE WHEN j.suspect THEN 'suspect' ELSE 'ready' END FROM due WHERE j.id = due.id;
	END IF;
	IF queue_paused THEN
		beyond := least(beyond, demanded);
	END IF;
	RETURN QUERY
	WITH picked AS MATERIALIZED (
		SELECT j.id, j.ord FROM jobs j WHERE j.state = wanted AND j.state <> 'done' AND j.ord < beyond
			AND (j.encoder = '' OR j.encoder = by_encoder)
		ORDER BY j.ord LIMIT cardinality(nodes) FOR UPDATE SKIP LOCKED)
	UPDATE jobs j SET state = 'leased', token = next_token(j.token), node = nodes[p.n], boot = boots[p.n], worker = workers[p.n],
		started = at, expires = at + ttls[p.n], leases = j.leases + 1, progress = 0
	FROM (SELECT picked.id, row_number() OVER (ORDER BY picked.ord) AS n FROM picked) p WHERE j.id = p.id
	RETURNING p.n - 1, j.ord, j.state, j.rank, j.priority, j.backlog, j.run_at,
		j.leases, j.failures, j.kills, j.deaths, j.lone_deaths, j.suspect,
		j.progress, j.token, j.node, j.boot, j.worker, j.started, j.expires,
		j.failure, j.attempts, j.doc;
END $$;

DO $$
DECLARE
	setting text;
BEGIN
	FOREACH setting IN ARRAY ARRAY[
		'plan_cache_mode = force_generic_plan', 'enable_seqscan = off', 'enable_bitmapscan = off',
		'enable_hashjoin = off', 'enable_mergejoin = off', 'jit = off'
	] LOOP
		EXECUTE 'ALTER FUNCTION lease_jobs(bigint, boolean, bytea, bytea, text[], text[], text[], bigint[], text) SET ' || setting;
		EXECUTE 'ALTER FUNCTION finish_jobs(bigint, text[], text[], bytea[], bigint[], bigint[], boolean[], bigint[], text[], bigint[], text[], bigint[]) SET ' || setting;
	END LOOP;
END $$;
