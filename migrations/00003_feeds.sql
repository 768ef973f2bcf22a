-- +goose Up

-- The tail of the event log reads by transaction what each process has not seen.
-- The id, by which partitions are left out, keeps the planner from another index.
CREATE INDEX events_tail ON events (xid, id);

-- Devices' feeds: open ones, and those that ended a moment ago. A feed is open
-- while its process lives.
CREATE TABLE feeds (
    app_id    text        NOT NULL,
    device_id text        NOT NULL,
    id        uuid        NOT NULL,
    user_id   text        NOT NULL,
    process   uuid        NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz, -- by its process
    ended     text,        -- why its process must close it
    PRIMARY KEY (app_id, device_id, id)
);
CREATE INDEX feeds_ended ON feeds (process) WHERE ended IS NOT NULL;
