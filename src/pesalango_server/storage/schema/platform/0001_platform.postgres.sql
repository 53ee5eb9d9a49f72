CREATE TABLE platform_state (
    id bigint PRIMARY KEY CHECK (id = 1),
    generation bigint NOT NULL,
    last_time_ms bigint NOT NULL,
    last_id bigint NOT NULL
);

INSERT INTO platform_state VALUES (1, 0, 0, 0);

CREATE TABLE worlds (
    id bigint PRIMARY KEY,
    environment text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    is_hidden bigint NOT NULL CHECK (is_hidden IN (0, 1)),
    UNIQUE (environment, name)
);

CREATE TABLE applications (
    id bigint PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    status bigint NOT NULL,
    is_hidden bigint NOT NULL CHECK (is_hidden IN (0, 1)),
    products text COLLATE "C" NOT NULL,
    origins text COLLATE "C" NOT NULL,
    sources text COLLATE "C" NOT NULL,
    organisations text COLLATE "C" NOT NULL,
    markets text COLLATE "C" NOT NULL,
    session_life_s bigint NOT NULL CHECK (session_life_s BETWEEN 60 AND 86400),
    activation_delay_ms bigint NOT NULL CHECK (activation_delay_ms BETWEEN 0 AND 30000),
    UNIQUE (name)
);

CREATE TABLE application_environments (
    application bigint NOT NULL,
    environment text COLLATE "C" NOT NULL,
    world bigint NOT NULL,
    is_promoted bigint NOT NULL CHECK (is_promoted IN (0, 1)),
    PRIMARY KEY (application, environment)
);

CREATE TABLE api_keys (
    key_hash bytea PRIMARY KEY,
    application bigint NOT NULL,
    created_ms bigint NOT NULL,
    ends_ms bigint
);

CREATE INDEX api_keys_application ON api_keys (application);

CREATE TABLE platform_keys (
    environment text COLLATE "C" PRIMARY KEY,
    private_key text COLLATE "C" NOT NULL,
    created_ms bigint NOT NULL
);

CREATE TABLE secrets (
    name text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE admin_tokens (
    token_hash bytea PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    created_ms bigint NOT NULL,
    ends_ms bigint
);

CREATE TABLE audit_events (
    id bigint PRIMARY KEY,
    generation bigint NOT NULL,
    token bytea NOT NULL,
    time_ms bigint NOT NULL,
    actor text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    detail text COLLATE "C" NOT NULL
);

CREATE INDEX audit_events_generation ON audit_events (generation);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are append-only', TG_TABLE_NAME;
END
$$;

CREATE TRIGGER audit_events_are_append_only BEFORE UPDATE OR DELETE ON audit_events
FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_events_are_never_emptied BEFORE TRUNCATE ON audit_events
EXECUTE FUNCTION refuse_change();
