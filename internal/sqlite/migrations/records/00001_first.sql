-- One row a call. The id is the trace id, whose text sorts by time, so that no index on time is needed. Columns are what a
-- query selects by; everything else is in detail, as JSON.

-- +goose Up
CREATE TABLE records (
    id          BLOB    NOT NULL PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    api         TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    application TEXT    NOT NULL,
    key_id      TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    gate        TEXT    NOT NULL,
    outcome     TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    model       TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    detail      TEXT    NOT NULL
) WITHOUT ROWID;
-- Refusals and failures are few and are what people look for; indexing only these keeps an allowed call at one insert.
CREATE INDEX records_reason ON records (reason, id) WHERE reason <> '';
CREATE INDEX records_outcome ON records (outcome, id) WHERE outcome <> 'passed';

-- +goose Down
DROP TABLE records;
