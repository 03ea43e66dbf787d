-- Further ways than API keys by which an application proves itself.

-- +goose Up
-- secret_hash is the SHA-256 of a client secret; sealed is a shared secret, encrypted with the key in seal.key.
CREATE TABLE credentials (
    id          TEXT NOT NULL PRIMARY KEY,
    application TEXT NOT NULL REFERENCES applications (id),
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    secret_hash BLOB,
    sealed      BLOB,
    public_key  TEXT NOT NULL,
    match       TEXT, -- of a certificate
    scopes      TEXT NOT NULL,
    created     INTEGER,
    expires     INTEGER,
    revoked     INTEGER
);
CREATE UNIQUE INDEX credentials_match ON credentials (match);
CREATE INDEX credentials_application ON credentials (application, id);
