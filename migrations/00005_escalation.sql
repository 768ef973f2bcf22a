-- +goose Up

-- A leg that was handed over may be woken again: over which channel the wake
-- goes that is under way or was made last, and when a second one began.
ALTER TABLE legs ADD COLUMN wake_channel text;
ALTER TABLE legs ADD COLUMN escalated_at timestamptz;
ALTER TABLE legs ADD COLUMN rewoken_at timestamptz;
COMMENT ON COLUMN legs.confirm_due_at IS 'when the leg is looked at next, since its app has not confirmed';
