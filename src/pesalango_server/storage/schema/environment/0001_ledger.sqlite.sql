CREATE TABLE ledgers (
    ledger INTEGER PRIMARY KEY CHECK (ledger BETWEEN 0 AND 1023),
    world INTEGER NOT NULL,
    market TEXT NOT NULL,
    currency TEXT NOT NULL,
    issuance INTEGER NOT NULL,
    UNIQUE (world, market)
) STRICT;

CREATE TABLE ledger_state (
    ledger INTEGER PRIMARY KEY,
    clock_offset_ms INTEGER NOT NULL,
    last_time_ms INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;

-- Ledger 0 is nobody's book: its row is the lock under which new ledgers are numbered.
INSERT INTO ledger_state VALUES (0, 0, 0, 0, 0, zeroblob(32));

CREATE TABLE organisations (
    ledger INTEGER NOT NULL,
    id INTEGER NOT NULL,
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    status INTEGER NOT NULL,
    products TEXT NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (ledger, id),
    UNIQUE (ledger, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE customers (
    ledger INTEGER NOT NULL,
    id INTEGER NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    status INTEGER NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (ledger, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE customer_numbers (
    ledger INTEGER NOT NULL,
    msisdn TEXT NOT NULL,
    customer INTEGER NOT NULL,
    PRIMARY KEY (ledger, msisdn)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    ledger INTEGER NOT NULL,
    id INTEGER NOT NULL,
    owner_kind INTEGER NOT NULL CHECK (owner_kind BETWEEN 0 AND 2),
    owner INTEGER NOT NULL,
    balance_minor INTEGER NOT NULL,
    held_minor INTEGER NOT NULL,
    PRIMARY KEY (ledger, id),
    CHECK (held_minor >= 0),
    CHECK (owner_kind = 0 OR balance_minor >= held_minor)
) STRICT, WITHOUT ROWID;

CREATE TABLE payments (
    ledger INTEGER NOT NULL,
    id INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    application INTEGER NOT NULL,
    organisation_code TEXT NOT NULL,
    counterparty TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    third_party_conversation_id TEXT NOT NULL,
    transaction_reference TEXT NOT NULL,
    description TEXT NOT NULL,
    state INTEGER NOT NULL,
    status INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (ledger, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE payment_changes (
    ledger INTEGER NOT NULL,
    payment INTEGER NOT NULL,
    id INTEGER NOT NULL,
    state INTEGER NOT NULL,
    status INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (ledger, payment, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE transfers (
    ledger INTEGER NOT NULL,
    id INTEGER NOT NULL,
    payment INTEGER NOT NULL,
    debit_account INTEGER NOT NULL,
    credit_account INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    debit_balance_minor INTEGER NOT NULL,
    credit_balance_minor INTEGER NOT NULL,
    PRIMARY KEY (ledger, id),
    CHECK (debit_account <> credit_account)
) STRICT, WITHOUT ROWID;

CREATE TABLE duplicates (
    ledger INTEGER NOT NULL,
    key BLOB NOT NULL,
    payment INTEGER NOT NULL,
    PRIMARY KEY (ledger, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE prompts (
    ledger INTEGER NOT NULL,
    payment INTEGER NOT NULL,
    customer INTEGER NOT NULL,
    organisation INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    answer INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    wrong_pins INTEGER NOT NULL,
    PRIMARY KEY (ledger, payment)
) STRICT, WITHOUT ROWID;

CREATE INDEX prompts_due ON prompts (due_ms);

CREATE TABLE scripts (
    ledger INTEGER NOT NULL,
    msisdn TEXT NOT NULL,
    answer INTEGER NOT NULL,
    delay_ms INTEGER NOT NULL CHECK (delay_ms >= 0),
    PRIMARY KEY (ledger, msisdn)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    key_hash BLOB PRIMARY KEY,
    ledger INTEGER NOT NULL,
    application INTEGER NOT NULL,
    live_ms INTEGER NOT NULL,
    ends_ms INTEGER NOT NULL,
    CHECK (live_ms <= ends_ms)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_end ON sessions (ledger, ends_ms);

CREATE TABLE batches (
    ledger INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    token BLOB NOT NULL,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (ledger, sequence)
) STRICT, WITHOUT ROWID;

-- What the ledger says happened is never changed or taken back.
CREATE TRIGGER payments_are_never_updated BEFORE UPDATE ON payments
BEGIN SELECT RAISE(ABORT, 'payments are append-only'); END;
CREATE TRIGGER payments_are_never_deleted BEFORE DELETE ON payments
BEGIN SELECT RAISE(ABORT, 'payments are append-only'); END;
CREATE TRIGGER payment_changes_are_never_updated BEFORE UPDATE ON payment_changes
BEGIN SELECT RAISE(ABORT, 'payment_changes are append-only'); END;
CREATE TRIGGER payment_changes_are_never_deleted BEFORE DELETE ON payment_changes
BEGIN SELECT RAISE(ABORT, 'payment_changes are append-only'); END;
CREATE TRIGGER transfers_are_never_updated BEFORE UPDATE ON transfers
BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE TRIGGER transfers_are_never_deleted BEFORE DELETE ON transfers
BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE TRIGGER batches_are_never_updated BEFORE UPDATE ON batches
BEGIN SELECT RAISE(ABORT, 'batches are append-only'); END;
CREATE TRIGGER batches_are_never_deleted BEFORE DELETE ON batches
BEGIN SELECT RAISE(ABORT, 'batches are append-only'); END;
