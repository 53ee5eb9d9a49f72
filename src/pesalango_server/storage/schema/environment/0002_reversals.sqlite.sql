-- What has gone back of a payment is the sum of its rows here; how much may still go back is read
-- under the ledger's lock.
CREATE TABLE reversals (
    ledger INTEGER NOT NULL,
    reversal INTEGER NOT NULL,
    original INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    PRIMARY KEY (ledger, reversal),
    CHECK (reversal > original)
) STRICT, WITHOUT ROWID;

CREATE INDEX reversals_of ON reversals (ledger, original, amount_minor);

CREATE TRIGGER reversals_are_never_updated BEFORE UPDATE ON reversals
BEGIN SELECT RAISE(ABORT, 'reversals are append-only'); END;
CREATE TRIGGER reversals_are_never_deleted BEFORE DELETE ON reversals
BEGIN SELECT RAISE(ABORT, 'reversals are append-only'); END;
