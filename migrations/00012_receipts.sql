-- +goose Up

-- What a vendor told of a push that it had accepted; one row for each attempt
-- and result.
CREATE TABLE receipts (
    app_id      text        NOT NULL,
    call_id     uuid        NOT NULL,
    attempt_id  uuid        NOT NULL,
    result      bigint      NOT NULL, -- the vendor's code
    leg_id      uuid        NOT NULL,
    signed      boolean     NOT NULL,
    action      text        NOT NULL, -- what followed from it
    told_at     timestamptz NOT NULL, -- the vendor's time
    received_at timestamptz NOT NULL,
    request_id  text,
    PRIMARY KEY (app_id, call_id, attempt_id, result)
) PARTITION BY RANGE (call_id);
CREATE TABLE receipts_default PARTITION OF receipts DEFAULT;

-- Receipts that came before the attempt that they are about was recorded. They
-- stay for a moment.
CREATE TABLE receipts_waiting (
    app_id      text        NOT NULL REFERENCES apps,
    attempt_id  uuid        NOT NULL,
    result      bigint      NOT NULL,
    signed      boolean     NOT NULL,
    action      text        NOT NULL,
    token       text        NOT NULL,
    told_at     timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    request_id  text,
    PRIMARY KEY (app_id, attempt_id, result)
);

-- Tokens that are to die, as a vendor told. Where an app has many, they wait a
-- minute: if more than half would die in it, something else is wrong.
CREATE TABLE condemned_tokens (
    app_id       text        NOT NULL REFERENCES apps,
    name         text        NOT NULL,
    device_id    text        NOT NULL,
    token        text        NOT NULL,
    since        timestamptz NOT NULL, -- a token that was registered later lives
    condemned_at timestamptz NOT NULL,
    evidence     json        NOT NULL,
    PRIMARY KEY (app_id, name, device_id, token)
);

-- When so many were to die, and none did.
CREATE TABLE token_alarms (
    app_id    text        NOT NULL REFERENCES apps,
    name      text        NOT NULL,
    raised_at timestamptz NOT NULL,
    last_at   timestamptz NOT NULL, -- when the last of them was condemned
    spared    integer     NOT NULL,
    alive     integer     NOT NULL, -- of how many, when it was raised
    PRIMARY KEY (app_id, name, raised_at)
);
