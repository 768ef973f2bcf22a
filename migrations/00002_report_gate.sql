-- +goose Up

-- The gate's evidence where a report was the first to ask it: an app that
-- reports without a confirm.
ALTER TABLE reports ADD COLUMN region json;
