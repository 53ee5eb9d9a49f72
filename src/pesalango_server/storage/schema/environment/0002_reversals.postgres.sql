-- What has gone back of a payment is the sum of its rows here; how much may still go back is read
-- under the ledger's lock.
CREATE TABLE reversals (
    ledger bigint NOT NULL,
    reversal bigint NOT NULL,
    original bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    PRIMARY KEY (ledger, reversal),
    CHECK (reversal > original)
);

CREATE INDEX reversals_of ON reversals (ledger, original, amount_minor);

CREATE TRIGGER reversals_are_append_only BEFORE UPDATE OR DELETE ON reversals
FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER reversals_are_never_emptied BEFORE TRUNCATE ON reversals
EXECUTE FUNCTION refuse_change();
