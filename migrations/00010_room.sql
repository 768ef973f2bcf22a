-- +goose Up

-- Indexes that say no more than they are searched by: entries that are equal are
-- kept as one.
CREATE INDEX events_log ON events (app_id, xid);
CREATE INDEX events_xid ON events (xid);
CREATE INDEX events_of_call ON events (call_id);
CREATE INDEX events_of_others ON events (id) WHERE call_id IS NULL; -- of devices
DROP INDEX events_feed, events_tail, events_call;
ALTER TABLE events DROP CONSTRAINT events_pkey;

-- The rows of a call are found by it alone; the call's lock keeps them from
-- being written twice.
CREATE INDEX attempts_of_call ON attempts (call_id);
CREATE INDEX confirms_of_call ON confirms (call_id);
CREATE INDEX legs_of_call ON legs (call_id);
CREATE INDEX notices_of_call ON notices (call_id);
ALTER TABLE attempts DROP CONSTRAINT attempts_pkey;
ALTER TABLE confirms DROP CONSTRAINT confirms_pkey;
ALTER TABLE legs DROP CONSTRAINT legs_pkey;
ALTER TABLE notices DROP CONSTRAINT notices_pkey;

-- Nobody was told of it, and the processes' logs name their attempts.
ALTER TABLE attempts ALTER COLUMN process DROP NOT NULL;

-- A live call's deadline lies with one of its open legs as well, and is found
-- there: in an index of calls, each call's end would be new entries in all others.
ALTER TABLE legs ADD COLUMN deadline_at timestamptz;
UPDATE legs l SET deadline_at = c.deadline_at FROM calls c
WHERE c.deadline_at IS NOT NULL AND l.app_id = c.app_id AND l.call_id = c.id AND l.id = (
    SELECT o.id FROM legs o WHERE o.app_id = c.app_id AND o.call_id = c.id AND o.ended_at IS NULL LIMIT 1);
CREATE INDEX legs_due ON legs (deadline_at) WHERE deadline_at IS NOT NULL;
DROP INDEX calls_due;
