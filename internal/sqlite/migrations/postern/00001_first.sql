-- The portable subset: TEXT ids, INTEGER epoch milliseconds (NULL: no time), JSON as TEXT, so that the PostgreSQL adapter
-- keeps the same logical schema.

-- +goose Up
CREATE TABLE generations (
    number   INTEGER NOT NULL PRIMARY KEY,
    document BLOB    NOT NULL,
    actor    TEXT    NOT NULL,
    comment  TEXT    NOT NULL,
    created  INTEGER
);

CREATE TABLE tenants (
    id       TEXT NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL,
    standing TEXT NOT NULL,
    created  INTEGER
);

CREATE TABLE users (
    id       TEXT NOT NULL PRIMARY KEY,
    tenant   TEXT REFERENCES tenants (id),
    email    TEXT NOT NULL,
    email_fold TEXT NOT NULL, -- in lower case: addresses that differ in case only are one
    name     TEXT NOT NULL,
    roles    TEXT NOT NULL,
    standing TEXT NOT NULL,
    created  INTEGER,
    password TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX users_email ON users (email_fold);
CREATE INDEX users_tenant ON users (tenant);

CREATE TABLE applications (
    id       TEXT NOT NULL PRIMARY KEY,
    tenant   TEXT NOT NULL REFERENCES tenants (id),
    name     TEXT NOT NULL,
    owner    TEXT REFERENCES users (id),
    standing TEXT NOT NULL,
    roles    TEXT NOT NULL,
    created  INTEGER
);
CREATE INDEX applications_tenant ON applications (tenant, id);
CREATE INDEX applications_owner ON applications (owner);

-- key_hash is the SHA-256 of the key text; the text itself is nowhere.
CREATE TABLE api_keys (
    id          TEXT NOT NULL PRIMARY KEY,
    application TEXT NOT NULL REFERENCES applications (id),
    name        TEXT NOT NULL,
    key_hash    BLOB NOT NULL,
    scopes      TEXT NOT NULL,
    created     INTEGER,
    expires     INTEGER,
    revoked     INTEGER,
    replaced_by TEXT NOT NULL
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (key_hash);
CREATE INDEX api_keys_application ON api_keys (application, id);

CREATE TABLE subscriptions (
    id          TEXT NOT NULL PRIMARY KEY,
    application TEXT NOT NULL REFERENCES applications (id),
    api         TEXT NOT NULL,
    version     TEXT NOT NULL,
    plan        TEXT NOT NULL,
    state       TEXT NOT NULL,
    comment     TEXT NOT NULL,
    created     INTEGER,
    expires     INTEGER
);
CREATE UNIQUE INDEX subscriptions_target ON subscriptions (application, api, version);

CREATE TABLE tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT REFERENCES users (id),
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    token_hash BLOB NOT NULL,
    roles      TEXT NOT NULL,
    created    INTEGER,
    expires    INTEGER,
    revoked    INTEGER
);
CREATE UNIQUE INDEX tokens_hash ON tokens (token_hash);
CREATE INDEX tokens_user ON tokens (user_id, id);

CREATE TABLE audit_trail (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time   INTEGER,
    actor  TEXT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    tenant TEXT NOT NULL,
    detail TEXT NOT NULL
);

-- What Changes answers from. Numbers are never used twice, also not after pruning. A deleted key leaves its hash here,
-- by which the serving index knows it.
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    deleted  INTEGER NOT NULL,
    key_hash BLOB
);

CREATE TABLE saved_answers (
    actor   TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    request BLOB    NOT NULL,
    status  INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX saved_answers_created ON saved_answers (created);

CREATE TABLE counters (
    limit_id TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    a        INTEGER NOT NULL,
    b        INTEGER NOT NULL,
    expires  INTEGER,
    PRIMARY KEY (limit_id, subject)
);

-- +goose Down
DROP TABLE counters;
DROP TABLE saved_answers;
DROP TABLE changes;
DROP TABLE audit_trail;
DROP TABLE tokens;
DROP TABLE subscriptions;
DROP TABLE api_keys;
DROP TABLE applications;
DROP TABLE users;
DROP TABLE tenants;
DROP TABLE generations;
