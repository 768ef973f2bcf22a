-- +goose Up

-- Transaction ids and sequences of the event log mean something only within the
-- history of one database. After a restore a new epoch begins: its events are
-- those from first_seq on, and they come after all that were there before,
-- whatever their transaction ids. `relay migrate --restored` begins one.
CREATE TABLE log_epochs (
    epoch     integer     PRIMARY KEY,
    first_seq bigint      NOT NULL,
    begun_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO log_epochs (epoch, first_seq) VALUES (1, 0);
