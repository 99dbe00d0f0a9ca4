-- The database as a whole: whether it is in use, and until when writes are refused,
-- which a hold that is given up by nobody, since its node has died, outlives by
-- itself.
CREATE TABLE whole (
	one        boolean PRIMARY KEY DEFAULT true CHECK (one),
	standing   text, -- JSON; null while the database is in use
	held       bigint NOT NULL DEFAULT 0, -- which hold it is, 0 for none
	held_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO whole DEFAULT VALUES;

-- refuse_write is the trigger of every table while the database is held or not in
-- use: the database refuses, so that no node can overlook it. Else there is no such
-- trigger, and nothing is paid for it.
CREATE FUNCTION refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	w whole;
BEGIN
	IF current_setting('streamgate.restoring', true) = 'on' THEN
		RETURN NULL;
	END IF;
	SELECT * INTO w FROM whole;
	IF w.standing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SGMVD', MESSAGE = w.standing;
	ELSIF w.held <> 0 AND clock_timestamp() < w.held_until THEN
		RAISE EXCEPTION USING ERRCODE = 'SGHLD', MESSAGE = 'the database is read-only for a moment, while it is moved';
	END IF;
	RETURN NULL;
END $$;
