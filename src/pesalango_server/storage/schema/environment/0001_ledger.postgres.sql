CREATE TABLE ledgers (
    ledger bigint PRIMARY KEY CHECK (ledger BETWEEN 0 AND 1023),
    world bigint NOT NULL,
    market text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    issuance bigint NOT NULL,
    UNIQUE (world, market)
);

CREATE TABLE ledger_state (
    ledger bigint PRIMARY KEY,
    clock_offset_ms bigint NOT NULL,
    last_time_ms bigint NOT NULL,
    last_id bigint NOT NULL,
    sequence bigint NOT NULL,
    digest bytea NOT NULL
) WITH (fillfactor = 50);

-- Ledger 0 is nobody's book: its row is the lock under which new ledgers are numbered.
INSERT INTO ledger_state VALUES (0, 0, 0, 0, 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE organisations (
    ledger bigint NOT NULL,
    id bigint NOT NULL,
    code text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    status bigint NOT NULL,
    products text COLLATE "C" NOT NULL,
    account bigint NOT NULL,
    PRIMARY KEY (ledger, id),
    UNIQUE (ledger, code)
);

CREATE TABLE customers (
    ledger bigint NOT NULL,
    id bigint NOT NULL,
    first_name text COLLATE "C" NOT NULL,
    last_name text COLLATE "C" NOT NULL,
    status bigint NOT NULL,
    account bigint NOT NULL,
    PRIMARY KEY (ledger, id)
);

CREATE TABLE customer_numbers (
    ledger bigint NOT NULL,
    msisdn text COLLATE "C" NOT NULL,
    customer bigint NOT NULL,
    PRIMARY KEY (ledger, msisdn)
);

CREATE TABLE accounts (
    ledger bigint NOT NULL,
    id bigint NOT NULL,
    owner_kind bigint NOT NULL CHECK (owner_kind BETWEEN 0 AND 2),
    owner bigint NOT NULL,
    balance_minor bigint NOT NULL,
    held_minor bigint NOT NULL,
    PRIMARY KEY (ledger, id),
    CHECK (held_minor >= 0),
    CHECK (owner_kind = 0 OR balance_minor >= held_minor)
) WITH (fillfactor = 50);

CREATE TABLE payments (
    ledger bigint NOT NULL,
    id bigint NOT NULL,
    operation bigint NOT NULL,
    application bigint NOT NULL,
    organisation_code text COLLATE "C" NOT NULL,
    counterparty text COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    third_party_conversation_id text COLLATE "C" NOT NULL,
    transaction_reference text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    state bigint NOT NULL,
    status bigint NOT NULL,
    evidence text COLLATE "C" NOT NULL,
    PRIMARY KEY (ledger, id)
);

CREATE TABLE payment_changes (
    ledger bigint NOT NULL,
    payment bigint NOT NULL,
    id bigint NOT NULL,
    state bigint NOT NULL,
    status bigint NOT NULL,
    evidence text COLLATE "C" NOT NULL,
    PRIMARY KEY (ledger, payment, id)
);

CREATE TABLE transfers (
    ledger bigint NOT NULL,
    id bigint NOT NULL,
    payment bigint NOT NULL,
    debit_account bigint NOT NULL,
    credit_account bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    debit_balance_minor bigint NOT NULL,
    credit_balance_minor bigint NOT NULL,
    PRIMARY KEY (ledger, id),
    CHECK (debit_account <> credit_account)
);

CREATE TABLE duplicates (
    ledger bigint NOT NULL,
    key bytea NOT NULL,
    payment bigint NOT NULL,
    PRIMARY KEY (ledger, key)
);

CREATE TABLE prompts (
    ledger bigint NOT NULL,
    payment bigint NOT NULL,
    customer bigint NOT NULL,
    organisation bigint NOT NULL,
    amount_minor bigint NOT NULL,
    deadline_ms bigint NOT NULL,
    answer bigint NOT NULL,
    due_ms bigint NOT NULL,
    wrong_pins bigint NOT NULL,
    PRIMARY KEY (ledger, payment)
) WITH (fillfactor = 50);

CREATE INDEX prompts_due ON prompts (due_ms);

CREATE TABLE scripts (
    ledger bigint NOT NULL,
    msisdn text COLLATE "C" NOT NULL,
    answer bigint NOT NULL,
    delay_ms bigint NOT NULL CHECK (delay_ms >= 0),
    PRIMARY KEY (ledger, msisdn)
);

CREATE TABLE sessions (
    key_hash bytea PRIMARY KEY,
    ledger bigint NOT NULL,
    application bigint NOT NULL,
    live_ms bigint NOT NULL,
    ends_ms bigint NOT NULL,
    CHECK (live_ms <= ends_ms)
);

CREATE INDEX sessions_end ON sessions (ledger, ends_ms);

CREATE TABLE batches (
    ledger bigint NOT NULL,
    sequence bigint NOT NULL,
    time_ms bigint NOT NULL,
    token bytea NOT NULL,
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (ledger, sequence)
);

-- What the ledger says happened is never changed or taken back.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are append-only', TG_TABLE_NAME;
END
$$;

CREATE TRIGGER payments_are_append_only BEFORE UPDATE OR DELETE ON payments
FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payment_changes_are_append_only BEFORE UPDATE OR DELETE ON payment_changes
FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfers_are_append_only BEFORE UPDATE OR DELETE ON transfers
FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER batches_are_append_only BEFORE UPDATE OR DELETE ON batches
FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Emptying a table fires no trigger of its rows.
CREATE TRIGGER payments_are_never_emptied BEFORE TRUNCATE ON payments
EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payment_changes_are_never_emptied BEFORE TRUNCATE ON payment_changes
EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfers_are_never_emptied BEFORE TRUNCATE ON transfers
EXECUTE FUNCTION refuse_change();
CREATE TRIGGER batches_are_never_emptied BEFORE TRUNCATE ON batches
EXECUTE FUNCTION refuse_change();
