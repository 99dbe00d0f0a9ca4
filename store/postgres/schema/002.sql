-- Jobs that only one encoder can do. It is read from the document, as text, so that
-- nodes of the version before push such jobs too; its characters are those that
-- JSON writes as they are.
ALTER TABLE jobs ADD COLUMN encoder text COLLATE "C" NOT NULL
	GENERATED ALWAYS AS (coalesce(substring(doc::text FROM '"encoder":"([^"\\]*)"'), '')) STORED;

-- lease_jobs as before, but for jobs of other encoders, which are passed over.
CREATE FUNCTION lease_jobs(at bigint, wanted text, beyond bytea, demanded bytea,
	nodes text[], boots text[], workers text[], ttls bigint[], by_encoder text
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
			AND (j.encoder = '' OR j.encoder = by_encoder)
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
	setting text;
BEGIN
	FOREACH setting IN ARRAY ARRAY[
		'plan_cache_mode = force_generic_plan', 'enable_seqscan = off', 'enable_bitmapscan = off',
		'enable_hashjoin = off', 'enable_mergejoin = off', 'jit = off'
	] LOOP
		EXECUTE 'ALTER FUNCTION lease_jobs(bigint, text, bytea, bytea, text[], text[], text[], bigint[], text) SET ' || setting;
	END LOOP;
END $$;
