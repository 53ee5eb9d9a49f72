CREATE TABLE platform_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    last_time_ms INTEGER NOT NULL,
    last_id INTEGER NOT NULL
) STRICT;

INSERT INTO platform_state VALUES (1, 0, 0, 0);

CREATE TABLE worlds (
    id INTEGER PRIMARY KEY,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    is_hidden INTEGER NOT NULL CHECK (is_hidden IN (0, 1)),
    UNIQUE (environment, name)
) STRICT;

CREATE TABLE applications (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    status INTEGER NOT NULL,
    is_hidden INTEGER NOT NULL CHECK (is_hidden IN (0, 1)),
    products TEXT NOT NULL,
    origins TEXT NOT NULL,
    sources TEXT NOT NULL,
    organisations TEXT NOT NULL,
    markets TEXT NOT NULL,
    session_life_s INTEGER NOT NULL CHECK (session_life_s BETWEEN 60 AND 86400),
    activation_delay_ms INTEGER NOT NULL CHECK (activation_delay_ms BETWEEN 0 AND 30000),
    UNIQUE (name)
) STRICT;

CREATE TABLE application_environments (
    application INTEGER NOT NULL,
    environment TEXT NOT NULL,
    world INTEGER NOT NULL,
    is_promoted INTEGER NOT NULL CHECK (is_promoted IN (0, 1)),
    PRIMARY KEY (application, environment)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    key_hash BLOB PRIMARY KEY,
    application INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    ends_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_application ON api_keys (application);

CREATE TABLE platform_keys (
    environment TEXT PRIMARY KEY,
    private_key TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE admin_tokens (
    token_hash BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    ends_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_events (
    id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    token BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE INDEX audit_events_generation ON audit_events (generation);

CREATE TRIGGER audit_events_are_never_updated BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit_events are append-only'); END;
CREATE TRIGGER audit_events_are_never_deleted BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit_events are append-only'); END;
