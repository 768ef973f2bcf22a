-- +goose Up

-- How many devices a call skipped besides those that it has legs for.
ALTER TABLE calls ADD COLUMN more_skipped integer NOT NULL DEFAULT 0;
