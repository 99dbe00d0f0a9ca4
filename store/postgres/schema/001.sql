-- Records: one table for each type. A document has all of a record; id, parent
-- and state repeat what lists are ordered and narrowed by. Each change of a
-- record takes a new revision, which no record has ever had: so one that was
-- deleted and made again is not taken for what it was.
CREATE SEQUENCE revisions AS bigint;

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY[
		'videos', 'tasks', 'uploads', 'keys', 'removals',
		'rules', 'sessions', 'codes', 'sign_outs', 'chain_cursors',
		'webhooks', 'deliveries', 'people', 'setup_links', 'console_sessions', 'passkeys', 'wallets',
		'audit_entries', 'audit_heads', 'alerts', 'decisions'
	] LOOP
		EXECUTE format('CREATE TABLE %I (
			id       text COLLATE "C" PRIMARY KEY,
			parent   text COLLATE "C" NOT NULL,
			state    text COLLATE "C" NOT NULL,
			revision bigint NOT NULL DEFAULT nextval(''revisions''),
			doc      json NOT NULL)', name);
		EXECUTE format('CREATE INDEX %I ON %I (parent, id) WHERE parent <> ''''', name || '_parent', name);
		EXECUTE format('CREATE INDEX %I ON %I (state, id) WHERE state <> ''''', name || '_state', name);
	END LOOP;
END $$;

-- Plans, and the cells that exist: one row for each, so that many machines can
-- make the cells of one video and no row is everybody's.
CREATE TABLE plans (
	video    text COLLATE "C" PRIMARY KEY,
	revision bigint NOT NULL DEFAULT nextval('revisions'),
	due      bytea, -- when a retired rendition may be removed; sorts as the time does
	doc      json NOT NULL
);
CREATE INDEX plans_due ON plans (due) WHERE due IS NOT NULL;

CREATE TABLE cells (
	video     text COLLATE "C",
	rendition text COLLATE "C",
	segment   integer,
	bytes     bigint NOT NULL,
	PRIMARY KEY (video, rendition, segment)
);

CREATE TABLE secrets (
	name  text COLLATE "C" PRIMARY KEY,
	value bytea NOT NULL
);

-- The queue. A document has what a job was pushed with, and is never written
-- again; what the queue keeps of it are columns. Times are nanoseconds since
-- 1970, 0 for none.
CREATE TABLE jobs (
	id       text COLLATE "C" PRIMARY KEY,
	task     text COLLATE "C" NOT NULL,
	state    text COLLATE "C" NOT NULL,
	ord      bytea NOT NULL, -- the place in lease order; sorts as jobs do
	rank     bigint NOT NULL,
	priority bigint NOT NULL,
	backlog  boolean NOT NULL,
	run_at   bigint NOT NULL,

	leases      integer NOT NULL DEFAULT 0,
	failures    integer NOT NULL DEFAULT 0,
	kills       integer NOT NULL DEFAULT 0,
	deaths      integer NOT NULL DEFAULT 0,
	lone_deaths integer NOT NULL DEFAULT 0,
	suspect     boolean NOT NULL DEFAULT false,
	progress    double precision NOT NULL DEFAULT 0,

	token   bigint NOT NULL DEFAULT 0,
	node    text NOT NULL DEFAULT '',
	boot    text NOT NULL DEFAULT '',
	worker  text NOT NULL DEFAULT '',
	started bigint NOT NULL DEFAULT 0,
	expires bigint NOT NULL DEFAULT 0,

	failure  json,
	attempts json,
	doc      json NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- The first index is the line itself. Neither has a column that a renewed lease
-- changes, so that renewing touches no index.
CREATE INDEX jobs_open ON jobs (state, ord) WHERE state <> 'done';
CREATE INDEX jobs_later ON jobs (run_at) WHERE state = 'later';
CREATE INDEX jobs_task ON jobs (task);

-- A token is the time in microseconds and a number of ten bits, and more than the
-- job's last one, whatever the clock does. A sequence alone would give a number
-- again after a crash or a failover that lost leases, and the worker of a lost one
-- could end another's.
CREATE SEQUENCE job_tokens AS bigint CACHE 32;

CREATE FUNCTION next_token(last bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
	SELECT greatest(last + 1, ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint << 10) | (nextval('job_tokens') & 1023))
$$;

CREATE TABLE queue (
	one    boolean PRIMARY KEY DEFAULT true CHECK (one),
	paused boolean NOT NULL
);
INSERT INTO queue (paused) VALUES (false);

-- What workers do all the time are functions, so that the server plans them once a
-- session without a statement being prepared under a name, which a pooler would
-- mix up. They are planned for any arguments, and always by the indexes: a plan
-- made while the table was empty would be wrong a minute later.

-- job_time is the time of a call: now, or what a test has set.
CREATE FUNCTION job_time(at bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT coalesce(at, (extract(epoch FROM now()) * 1000000000)::bigint)
$$;

-- push_jobs adds the jobs of callers none of whose ids is taken, and returns the
-- others, each with an id that is. An id that another session adds at the same
-- moment fails the call.
CREATE FUNCTION push_jobs(at bigint,
	ids text[], tasks text[], ords bytea[], ranks bigint[], priorities bigint[], backlogs boolean[], delays bigint[], docs text[],
	callers bigint[]
) RETURNS TABLE (caller bigint, id text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	at := job_time(at);
	RETURN QUERY
	WITH given AS MATERIALIZED (
		SELECT * FROM unnest(ids, tasks, ords, ranks, priorities, backlogs, delays, docs, callers)
			AS f(id, task, ord, rank, priority, backlog, delay, doc, caller)),
	refused AS MATERIALIZED (
		SELECT f.caller, min(f.id) AS id FROM given f JOIN jobs j ON j.id = f.id GROUP BY f.caller),
	added AS (
		INSERT INTO jobs (id, task, state, ord, rank, priority, backlog, run_at, doc)
		SELECT f.id, f.task, CASE WHEN f.backlog THEN 'backlog' WHEN f.delay > 0 THEN 'later' ELSE 'ready' END,
			f.ord, f.rank, f.priority, f.backlog, CASE WHEN f.delay > 0 THEN at + f.delay ELSE 0 END, f.doc::json
		FROM given f WHERE f.caller NOT IN (SELECT r.caller FROM refused r) ORDER BY f.id)
	SELECT r.caller, r.id FROM refused r;
END $$;

-- finish_jobs ends leases whose job succeeded, by job and token, and adds the jobs
-- that follow, of which callers says to which lease, passing over ids that are
-- taken. It returns the numbers, from 0, of the leases that still stood. IS TRUE
-- keeps the planner from walking all that was ever leased, by the index of states.
CREATE FUNCTION finish_jobs(at bigint,
	ids text[], tasks text[], ords bytea[], ranks bigint[], priorities bigint[], backlogs boolean[], delays bigint[], docs text[],
	callers bigint[], held text[], tokens bigint[]
) RETURNS TABLE (caller bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	at := job_time(at);
	RETURN QUERY
	WITH ended AS (
		UPDATE jobs j SET state = 'done', node = '', boot = '', worker = '', started = 0, expires = 0,
			failure = NULL, deaths = 0, lone_deaths = 0, suspect = false
		FROM unnest(held, tokens) WITH ORDINALITY AS g(id, token, caller)
		WHERE j.id = g.id AND j.token = g.token AND (j.state = 'leased') IS TRUE
		RETURNING g.caller - 1 AS caller),
	added AS (
		INSERT INTO jobs (id, task, state, ord, rank, priority, backlog, run_at, doc)
		SELECT f.id, f.task, CASE WHEN f.backlog THEN 'backlog' WHEN f.delay > 0 THEN 'later' ELSE 'ready' END,
			f.ord, f.rank, f.priority, f.backlog, CASE WHEN f.delay > 0 THEN at + f.delay ELSE 0 END, f.doc::json
		FROM unnest(ids, tasks, ords, ranks, priorities, backlogs, delays, docs, callers)
			AS f(id, task, ord, rank, priority, backlog, delay, doc, caller)
			JOIN ended e ON e.caller = f.caller
		ORDER BY f.id ON CONFLICT (id) DO NOTHING)
	SELECT e.caller FROM ended e;
END $$;

-- renew_jobs moves the end of leases and notes progress. It returns the numbers,
-- from 0, of the leases that still stood.
CREATE FUNCTION renew_jobs(at bigint, held text[], tokens bigint[], ttls bigint[], reports double precision[])
RETURNS TABLE (caller bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	at := job_time(at);
	RETURN QUERY
	UPDATE jobs j SET expires = at + g.ttl, progress = g.report
	FROM unnest(held, tokens, ttls, reports) WITH ORDINALITY AS g(id, token, ttl, report, caller)
	WHERE j.id = g.id AND j.token = g.token AND (j.state = 'leased') IS TRUE
	RETURNING g.caller - 1;
END $$;

-- lease_jobs leases the first jobs of a state in order, up to an end, as many as
-- there are slots: the n-th to the n-th slot, counted from 0. While the queue is
-- paused the end is that of the demanded ones. First it makes the jobs ready that
-- have come due: all of them, or the first in order might be missed; those that
-- another session moves now, that one leases.
CREATE FUNCTION lease_jobs(at bigint, wanted text, beyond bytea, demanded bytea,
	nodes text[], boots text[], workers text[], ttls bigint[]
) RETURNS TABLE (slot bigint, job jobs) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	at := job_time(at);
	IF EXISTS (SELECT FROM jobs j WHERE j.state = 'later' AND j.run_at <= at) THEN
		WITH due AS MATERIALIZED (
			SELECT j.id FROM jobs j WHERE j.state = 'later' AND j.run_at <= at FOR UPDATE SKIP LOCKED)
		UPDATE jobs j SET state = CASE WHEN j.suspect THEN 'suspect' ELSE 'ready' END FROM due WHERE j.id = due.id;
	END IF;
	IF (SELECT paused FROM queue) THEN
		beyond := least(beyond, demanded);
	END IF;
	RETURN QUERY
	WITH picked AS MATERIALIZED (
		SELECT j.id, j.ord FROM jobs j WHERE j.state = wanted AND j.state <> 'done' AND j.ord < beyond
		ORDER BY j.ord LIMIT cardinality(nodes) FOR UPDATE SKIP LOCKED),
	given AS (
		SELECT p.id, s.* FROM (SELECT q.id, row_number() OVER (ORDER BY q.ord) AS n FROM picked q) p
		JOIN unnest(nodes, boots, workers, ttls) WITH ORDINALITY AS s(node, boot, worker, ttl, n) ON s.n = p.n)
	UPDATE jobs j SET state = 'leased', token = next_token(j.token), node = g.node, boot = g.boot, worker = g.worker,
		started = at, expires = at + g.ttl, leases = j.leases + 1, progress = 0
	FROM given g WHERE j.id = g.id
	RETURNING g.n - 1, j;
END $$;

DO $$
DECLARE
	name text;
	setting text;
BEGIN
	FOREACH name IN ARRAY ARRAY['push_jobs', 'finish_jobs', 'renew_jobs', 'lease_jobs'] LOOP
		FOREACH setting IN ARRAY ARRAY[
			'plan_cache_mode = force_generic_plan', 'enable_seqscan = off', 'enable_bitmapscan = off',
			'enable_hashjoin = off', 'enable_mergejoin = off', 'jit = off'
		] LOOP
			EXECUTE format('ALTER FUNCTION %I SET %s', name, setting);
		END LOOP;
	END LOOP;
END $$;
