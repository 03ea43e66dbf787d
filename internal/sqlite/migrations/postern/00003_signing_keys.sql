-- The keys of the gateway's own tokens, encrypted with the key in seal.key.

-- +goose Up
CREATE TABLE signing_keys (
    id      TEXT NOT NULL PRIMARY KEY,
    sealed  BLOB NOT NULL,
    created INTEGER
);
