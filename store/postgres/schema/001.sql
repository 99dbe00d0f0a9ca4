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
		'videos', 'tasks', 'uploads', 'keys',
		'rules', 'sessions', 'codes', 'sign_outs', 'chain_cursors',
		'webhooks', 'deliveries', 'people', 'setup_links', 'console_sessions', 'passkeys',
		'audit_entries', 'audit_heads', 'alerts'
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
