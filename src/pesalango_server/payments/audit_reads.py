"""SQL of the audit: every table of an environment's database, in the order it is walked in."""

from pesalango_server.ledger.store import TRANSFER_OF_PAYMENT
from pesalango_server.storage.database import Scan, Schema, declare_scan, register_scan

_ENVIRONMENT = Schema.ENVIRONMENT

# One row for each guard against changing, deleting or emptying: its table and what it refuses. A
# guard that was switched off, or that no longer raises, is none. SQLite empties by deleting.
SCAN_GUARDS = register_scan(
    Scan(
        name="scan_guards",
        schema=_ENVIRONMENT,
        sqlite=(
            "SELECT t.tbl_name, e.event FROM sqlite_schema AS t CROSS JOIN (SELECT 'UPDATE' AS event,"
            " 'UPDATE' AS verb UNION ALL SELECT 'DELETE', 'DELETE' UNION ALL SELECT 'TRUNCATE',"
            " 'DELETE') AS e WHERE t.type = 'trigger' AND t.sql NOT LIKE '% WHEN %'"
            " AND t.sql LIKE '%BEFORE ' || e.verb || ' ON ' || t.tbl_name || '%RAISE(ABORT%'"
        ),
        postgres=(
            "SELECT c.relname::text, e.name FROM pg_trigger AS t JOIN pg_class AS c"
            " ON c.oid = t.tgrelid JOIN pg_proc AS p ON p.oid = t.tgfoid"
            " CROSS JOIN (VALUES ('DELETE', 8), ('UPDATE', 16), ('TRUNCATE', 32)) AS e(name, bit)"
            " WHERE c.relnamespace = current_schema()::regnamespace AND t.tgenabled IN ('O', 'A')"
            " AND t.tgtype & 2 <> 0 AND t.tgtype & e.bit <> 0 AND t.tgqual IS NULL"
            " AND p.prosrc LIKE '%RAISE EXCEPTION%'"
        ),
    )
)

SCAN_LEDGERS = declare_scan(
    "scan_ledgers",
    _ENVIRONMENT,
    "SELECT s.ledger, s.clock_offset_ms, s.last_time_ms, s.last_id, s.sequence, s.digest,"
    " l.world, l.market, l.currency, l.issuance"
    " FROM ledger_state AS s LEFT JOIN ledgers AS l ON l.ledger = s.ledger ORDER BY s.ledger",
)

SCAN_STATELESS_LEDGERS = declare_scan(
    "scan_stateless_ledgers",
    _ENVIRONMENT,
    "SELECT l.ledger FROM ledgers AS l LEFT JOIN ledger_state AS s ON s.ledger = l.ledger"
    " WHERE s.ledger IS NULL ORDER BY l.ledger",
)

SCAN_ACCOUNTS = declare_scan(
    "scan_accounts",
    _ENVIRONMENT,
    "SELECT id, owner_kind, owner, balance_minor, held_minor FROM accounts"
    " WHERE ledger = $1::bigint ORDER BY id",
)

SCAN_CUSTOMERS = declare_scan(
    "scan_customers",
    _ENVIRONMENT,
    "SELECT n.msisdn, n.customer, c.account FROM customer_numbers AS n"
    " LEFT JOIN customers AS c ON c.ledger = n.ledger AND c.id = n.customer"
    " WHERE n.ledger = $1::bigint ORDER BY n.msisdn",
)

SCAN_ORGANISATIONS = declare_scan(
    "scan_organisations",
    _ENVIRONMENT,
    "SELECT code, id, account FROM organisations WHERE ledger = $1::bigint ORDER BY code",
)

SCAN_BATCHES = declare_scan(
    "scan_batches",
    _ENVIRONMENT,
    "SELECT sequence, time_ms, first_id, last_id, digest FROM batches"
    " WHERE ledger = $1::bigint ORDER BY sequence",
)

# The columns of these three, in the order of their INSERT, are what a batch's digest covers.
SCAN_PAYMENTS = declare_scan(
    "scan_payments",
    _ENVIRONMENT,
    "SELECT ledger, id, operation, application, organisation_code, counterparty, amount_minor,"
    " third_party_conversation_id, transaction_reference, description, state, status, evidence"
    " FROM payments WHERE ledger = $1::bigint ORDER BY id",
)

SCAN_CHANGES = declare_scan(
    "scan_changes",
    _ENVIRONMENT,
    "SELECT ledger, payment, id, state, status, evidence FROM payment_changes"
    " WHERE ledger = $1::bigint ORDER BY payment, id",
)

SCAN_TRANSFERS = declare_scan(
    "scan_transfers",
    _ENVIRONMENT,
    "SELECT ledger, id, payment, debit_account, credit_account, amount_minor,"
    " debit_balance_minor, credit_balance_minor"
    " FROM transfers WHERE ledger = $1::bigint ORDER BY id",
)

# Each reversal with the accounts of the transfer that it gives back, found as `LOAD_ORIGINALS` does.
SCAN_REVERSALS = declare_scan(
    "scan_reversals",
    _ENVIRONMENT,
    "SELECT r.reversal, r.original, r.amount_minor, t.debit_account, t.credit_account, p.operation"
    " FROM reversals AS r LEFT JOIN payments AS p ON p.ledger = r.ledger AND p.id = r.original"
    f" LEFT JOIN transfers AS t ON {TRANSFER_OF_PAYMENT}"
    " WHERE r.ledger = $1::bigint ORDER BY r.reversal",
)

SCAN_EXCEEDED_ORIGINALS = declare_scan(
    "scan_exceeded_originals",
    _ENVIRONMENT,
    "SELECT r.original, sum(r.amount_minor) FROM reversals AS r"
    " JOIN payments AS p ON p.ledger = r.ledger AND p.id = r.original"
    " WHERE r.ledger = $1::bigint GROUP BY r.original, p.amount_minor"
    " HAVING sum(r.amount_minor) > p.amount_minor ORDER BY r.original",
)

# No index has this order: the database sorts once, outside its memory where need be.
SCAN_DUPLICATES = declare_scan(
    "scan_duplicates",
    _ENVIRONMENT,
    "SELECT payment, key FROM duplicates WHERE ledger = $1::bigint ORDER BY payment, key",
)

# PostgreSQL's index allows none; SQLite's allows one in each of its segments.
SCAN_REPEATED_KEYS = declare_scan(
    "scan_repeated_keys",
    _ENVIRONMENT,
    "SELECT min(payment), max(payment) FROM duplicates WHERE ledger = $1::bigint"
    " GROUP BY key HAVING count(*) > 1 ORDER BY min(payment)",
)

SCAN_REPEATED_REFERENCES = declare_scan(
    "scan_repeated_references",
    _ENVIRONMENT,
    "SELECT min(id), max(id) FROM payments WHERE ledger = $1::bigint"
    " GROUP BY application, operation, third_party_conversation_id HAVING count(*) > 1"
    " ORDER BY min(id)",
)

SCAN_PROMPTS = declare_scan(
    "scan_prompts",
    _ENVIRONMENT,
    "SELECT p.payment, p.amount_minor, p.deadline_ms, c.account, o.account FROM prompts AS p"
    " LEFT JOIN customers AS c ON c.ledger = p.ledger AND c.id = p.customer"
    " LEFT JOIN organisations AS o ON o.ledger = p.ledger AND o.id = p.organisation"
    " WHERE p.ledger = $1::bigint ORDER BY p.payment",
)
