-- +goose Up

-- What a device is sent about a call besides its wake: that the call was missed,
-- or that a notification of it is taken back. One row for each leg and purpose,
-- written with the change that made it due.
CREATE TABLE notices (
    app_id     text        NOT NULL,
    call_id    uuid        NOT NULL,
    leg_id     uuid        NOT NULL,
    purpose    text        NOT NULL,
    device_id  text        NOT NULL,
    channel    text        NOT NULL,
    process    uuid        NOT NULL, -- who sends it
    attempt    integer     NOT NULL, -- fences the outcome
    created_at timestamptz NOT NULL,
    done_at    timestamptz,
    reason     text,                 -- why it was given up
    PRIMARY KEY (app_id, call_id, leg_id, purpose)
) PARTITION BY RANGE (call_id);
CREATE INDEX notices_open ON notices (process) WHERE done_at IS NULL;
CREATE TABLE notices_default PARTITION OF notices DEFAULT;

ALTER TABLE attempts ADD COLUMN purpose text NOT NULL DEFAULT 'ring';

-- When a vendor accepted a notification of the call that it would take back.
ALTER TABLE legs ADD COLUMN alerted_at timestamptz;
