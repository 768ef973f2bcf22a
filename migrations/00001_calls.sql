-- +goose Up

-- Tenants and what belongs to them.

CREATE TABLE apps (
    id         text PRIMARY KEY,
    policy     jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Vendor credentials, sealed with the master key; about holds what may be shown.
CREATE TABLE credentials (
    app_id     text        NOT NULL REFERENCES apps,
    vendor     text        NOT NULL,
    sealed     bytea       NOT NULL,
    about      jsonb       NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, vendor)
);

-- API keys. A backend's key belongs to one app, an admin's to none.
CREATE TABLE keys (
    id         uuid        PRIMARY KEY,
    app_id     text        REFERENCES apps,
    principal  text        NOT NULL CHECK (principal IN ('backend', 'admin')),
    hash       bytea       NOT NULL UNIQUE,
    label      text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz,
    CHECK ((principal = 'backend') = (app_id IS NOT NULL))
);

-- Devices, their tokens and the evidence of their region.

CREATE TABLE devices (
    app_id         text        NOT NULL REFERENCES apps,
    device_id      text        NOT NULL,
    user_id        text        NOT NULL,
    platform       text        NOT NULL,
    device_type    text        NOT NULL,
    system_version text        NOT NULL,
    emulator       boolean     NOT NULL,
    environment    text        NOT NULL,
    bundle_id      text        NOT NULL,
    locale         text        NOT NULL,
    call_ui        text        NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    owned_since    timestamptz NOT NULL, -- when the install became this user's
    deleted_at     timestamptz, -- kept, so that device JWTs from before are refused
    PRIMARY KEY (app_id, device_id)
);
CREATE INDEX devices_user ON devices (app_id, user_id) WHERE deleted_at IS NULL;

CREATE TABLE device_tokens (
    app_id        text        NOT NULL,
    device_id     text        NOT NULL,
    name          text        NOT NULL,
    token         text        NOT NULL,
    state         text        NOT NULL,
    registered_at timestamptz NOT NULL,
    PRIMARY KEY (app_id, device_id, name),
    CONSTRAINT device_tokens_once UNIQUE (app_id, name, token),
    FOREIGN KEY (app_id, device_id) REFERENCES devices
);

CREATE TABLE device_regions (
    app_id      text        NOT NULL,
    device_id   text        NOT NULL,
    source      text        NOT NULL,
    country     text        NOT NULL,
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (app_id, device_id, source),
    FOREIGN KEY (app_id, device_id) REFERENCES devices
);

-- Calls and all that happens to them, in partitions of a week by the time in
-- the UUIDv7. The service makes the partitions ahead; a row that comes before
-- its partition lands in the default one, so none is ever refused.

CREATE TABLE calls (
    app_id        text        NOT NULL,
    id            uuid        NOT NULL,
    ref           text,
    client_id     text,
    direction     text        NOT NULL,
    status        text        NOT NULL,
    end_reason    text,
    media         text        NOT NULL,
    voice_answer  boolean     NOT NULL,
    conference    boolean     NOT NULL,
    caller_id     text        NOT NULL,
    callee_id     text        NOT NULL,
    parties       json        NOT NULL, -- names and what else is known of both sides
    custom        text,                 -- a JSON object, byte for byte as sent
    reject_policy text        NOT NULL,
    max_seconds   integer     NOT NULL,
    rules_version text        NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    deadline_at   timestamptz,          -- when time alone ends the call; null once ended
    ringing_at    timestamptz,
    answered_at   timestamptz,
    active_at     timestamptz,
    ended_at      timestamptz,
    answered_by   text,
    seq           integer     NOT NULL, -- number of events so far
    PRIMARY KEY (app_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX calls_callee ON calls (app_id, callee_id, id);
CREATE INDEX calls_caller ON calls (app_id, caller_id, id);
CREATE INDEX calls_ref ON calls (app_id, ref) WHERE ref IS NOT NULL;
CREATE INDEX calls_due ON calls (deadline_at) WHERE deadline_at IS NOT NULL;

CREATE TABLE legs (
    app_id         text    NOT NULL,
    call_id        uuid    NOT NULL,
    id             uuid    NOT NULL,
    direction      text    NOT NULL,
    device_id      text    NOT NULL,
    user_id        text    NOT NULL,
    platform       text    NOT NULL,
    device_type    text    NOT NULL,
    channel        text,
    presentation   text,
    status         text    NOT NULL,
    reason         text,
    country        text,
    decision       json    NOT NULL, -- the gate's, with its evidence
    enterprise     boolean NOT NULL,
    vendor_call_id text,
    media          text,
    last_seq       bigint  NOT NULL,
    wake_process   uuid,             -- who owns the wake that is under way
    wake_attempt   integer NOT NULL, -- fences the outcome
    confirm_due_at timestamptz,      -- when the leg is marked as not woken
    handed_over_at timestamptz,
    confirmed_at   timestamptz,
    ringing_at     timestamptz,
    answered_at    timestamptz,
    no_wake_at     timestamptz,
    ended_at       timestamptz,
    PRIMARY KEY (app_id, call_id, id)
) PARTITION BY RANGE (call_id);
CREATE INDEX legs_alive ON legs (app_id, device_id) WHERE ended_at IS NULL;
CREATE INDEX legs_device ON legs (app_id, device_id, call_id);
CREATE INDEX legs_wake ON legs (wake_process) WHERE wake_process IS NOT NULL;
CREATE INDEX legs_confirm_due ON legs (confirm_due_at) WHERE confirm_due_at IS NOT NULL;

-- One row for each request to a vendor; its id is the vendor's message id.
CREATE TABLE attempts (
    app_id      text        NOT NULL,
    call_id     uuid        NOT NULL,
    id          uuid        NOT NULL,
    leg_id      uuid        NOT NULL,
    number      integer     NOT NULL,
    channel     text        NOT NULL,
    process     uuid        NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    outcome     text        NOT NULL,
    blame       text        NOT NULL,
    reason      text,
    status      integer, -- HTTP
    code        text,    -- the vendor's
    message     text,
    request_id  text,
    PRIMARY KEY (app_id, call_id, id)
) PARTITION BY RANGE (call_id);

CREATE TABLE confirms (
    app_id         text        NOT NULL,
    call_id        uuid        NOT NULL,
    id             uuid        NOT NULL,
    leg_id         uuid        NOT NULL,
    at             timestamptz NOT NULL,
    source         text        NOT NULL,
    vendor_call_id text,
    verdict        text        NOT NULL,
    reason         text,
    region         json, -- the gate's evidence, where it was asked
    PRIMARY KEY (app_id, call_id, id)
) PARTITION BY RANGE (call_id);

CREATE TABLE reports (
    app_id      text        NOT NULL,
    call_id     uuid        NOT NULL,
    leg_id      uuid        NOT NULL,
    seq         bigint      NOT NULL,
    received_at timestamptz NOT NULL,
    body        text        NOT NULL, -- canonical, so that a replay is known by it
    refused     text,                 -- the first verdict, where it was a refusal
    PRIMARY KEY (app_id, call_id, leg_id, seq)
) PARTITION BY RANGE (call_id);

-- The event log. Readers follow the pair (xid, seq) and stop below the
-- snapshot's xmin: a sequence alone is not in the order of commits.
CREATE SEQUENCE events_seq AS bigint CACHE 1;
CREATE TABLE events (
    app_id   text        NOT NULL,
    id       uuid        NOT NULL,
    xid      xid8        NOT NULL DEFAULT pg_current_xact_id(),
    seq      bigint      NOT NULL DEFAULT nextval('events_seq'),
    type     text        NOT NULL,
    at       timestamptz NOT NULL,
    call_id  uuid,
    call_seq integer,
    leg_id   uuid,
    data     json        NOT NULL, -- the whole call, or the device, as it then was
    PRIMARY KEY (app_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX events_feed ON events (app_id, xid, seq);
CREATE INDEX events_call ON events (app_id, call_id, call_seq);

CREATE TABLE calls_default    PARTITION OF calls    DEFAULT;
CREATE TABLE legs_default     PARTITION OF legs     DEFAULT;
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;
CREATE TABLE confirms_default PARTITION OF confirms DEFAULT;
CREATE TABLE reports_default  PARTITION OF reports  DEFAULT;
CREATE TABLE events_default   PARTITION OF events   DEFAULT;

-- What was asked once already. scope is 'backend', or the device that asked.
CREATE TABLE idempotency_keys (
    app_id     text        NOT NULL,
    scope      text        NOT NULL,
    key        text        NOT NULL,
    body_hash  bytea       NOT NULL,
    call_id    uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (app_id, scope, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Relay processes; one that falls silent loses its wakes to the others.
CREATE TABLE processes (
    id         uuid        PRIMARY KEY,
    host       text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
