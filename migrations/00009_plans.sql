-- +goose Up

-- What the gate decided for each device when the call was planned, by leg, with
-- the evidence. It never changes, so it does not lie in rows that do.
CREATE TABLE plans (
    app_id    text NOT NULL,
    call_id   uuid NOT NULL,
    decisions json NOT NULL,
    PRIMARY KEY (app_id, call_id)
) PARTITION BY RANGE (call_id);
CREATE TABLE plans_default PARTITION OF plans DEFAULT;

-- Of legs that earlier versions wrote.
ALTER TABLE legs ALTER COLUMN decision DROP NOT NULL;

COMMENT ON COLUMN events.data IS 'what the step changed of the call and its legs, or the device; of events of earlier versions the whole call';
