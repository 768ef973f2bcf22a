-- +goose Up

-- When a user is not to be disturbed. The user need not have a device.
CREATE TABLE dnd (
    app_id     text        NOT NULL REFERENCES apps,
    user_id    text        NOT NULL,
    wish       json        NOT NULL, -- windows, their time zone, until
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (app_id, user_id)
);
