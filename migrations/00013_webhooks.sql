-- +goose Up

-- Endpoints of backends, to which the event log is delivered.
CREATE TABLE webhooks (
    app_id          text        NOT NULL REFERENCES apps,
    id              uuid        NOT NULL,
    url             text        NOT NULL,
    types           text[],               -- null for all
    description     text        NOT NULL,
    status          text        NOT NULL,
    disabled_reason text,                 -- where relay disabled it
    disabled_at     timestamptz,
    failing_since   timestamptz,          -- no request has succeeded since
    recovering      boolean     NOT NULL DEFAULT false, -- relay disabled it, and no request has succeeded since
    secret          bytea       NOT NULL, -- sealed with the master key
    old_secret      bytea,                -- signs too, until old_secret_end
    old_secret_end  timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint      NOT NULL DEFAULT 1, -- raised by what its process must hear of
    process         uuid,                 -- who delivers
    log_cursor      text        NOT NULL, -- where it is in the log: what comes before has become deliveries
    PRIMARY KEY (app_id, id)
) WITH (fillfactor = 50);

-- One row for each endpoint and event.
CREATE TABLE webhook_deliveries (
    app_id          text        NOT NULL,
    webhook_id      uuid        NOT NULL,
    event_id        uuid        NOT NULL,
    type            text        NOT NULL,
    call_id         uuid,
    call_seq        integer,
    data            json,                 -- of a test, which is not in the log
    status          text        NOT NULL,
    attempts        integer     NOT NULL, -- since it was last asked for
    late            integer     NOT NULL, -- pauses of the slow lane so far
    created_at      timestamptz NOT NULL,
    next_at         timestamptz,          -- while it waits
    attempted_at    timestamptz,
    duration_ms     integer,
    response_status integer,
    response_body   text,                 -- its beginning
    error           text,
    done_at         timestamptz,
    PRIMARY KEY (app_id, webhook_id, event_id)
) PARTITION BY RANGE (event_id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (app_id, webhook_id, event_id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (app_id, webhook_id, event_id) WHERE status = 'failed';
CREATE TABLE webhook_deliveries_default PARTITION OF webhook_deliveries DEFAULT;
