-- The keys against second payments in segments: `storage/segments.py` says why. New keys go to the
-- last segment. The view shows all of them; a single key is looked up in its segment alone.
CREATE TABLE duplicate_segments (
    segment INTEGER PRIMARY KEY CHECK (segment >= 0)
) STRICT;

CREATE TABLE duplicate_keys (
    ledger INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 16),
    payment INTEGER NOT NULL,
    PRIMARY KEY (ledger, segment, key)
) STRICT, WITHOUT ROWID;

-- What can be made anew from the keys, and takes long to.
CREATE TABLE duplicate_filters (
    first_segment INTEGER PRIMARY KEY,
    last_segment INTEGER NOT NULL,
    digest BLOB NOT NULL,
    bits BLOB NOT NULL,
    CHECK (first_segment <= last_segment)
) STRICT;

INSERT INTO duplicate_segments VALUES (0);
INSERT INTO duplicate_segments SELECT 1 WHERE EXISTS (SELECT 1 FROM duplicates);
INSERT INTO duplicate_keys SELECT ledger, 0, key, payment FROM duplicates;
DROP TABLE duplicates;

CREATE VIEW duplicates AS SELECT d.ledger AS ledger, d.key AS key, d.payment AS payment
FROM duplicate_segments CROSS JOIN duplicate_keys AS d ON d.segment = duplicate_segments.segment;
