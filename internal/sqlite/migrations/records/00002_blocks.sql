-- Ordinary calls, several hundred a row (see docs/adr/0008): internal/record has their form. last is the newest id in ids,
-- which ascend; the oldest of a block is at most two seconds older. number counts the records that are still there: trimming
-- takes them away from the oldest end.

-- +goose Up
CREATE TABLE blocks (
    last   BLOB    NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    ids    BLOB    NOT NULL,
    words  BLOB    NOT NULL,
    rows   BLOB    NOT NULL
);

-- +goose Down
DROP TABLE blocks;
