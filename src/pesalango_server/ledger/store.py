"""SQL of the ledger: what a batch loads and what it writes."""

from pesalango_server.kernel.ids import write_follow_id
from pesalango_server.storage.database import (
    Query,
    Schema,
    Write,
    declare_delete,
    declare_insert,
    declare_key_query,
    declare_query,
    declare_update,
    register_query,
    register_write,
)

_ENVIRONMENT = Schema.ENVIRONMENT

# The lock is the first statement of a batch and stands alone: whatever another process
# committed is visible to every later statement. `$1` is the time to use, or null for the
# database's own, so that engines on several machines agree on it.
LOCK_LEDGERS = register_query(
    Query(
        name="lock_ledgers",
        schema=_ENVIRONMENT,
        sqlite=(
            "SELECT json_group_array(json_array(ledger, clock_offset_ms, last_time_ms, last_id,"
            " sequence, lower(hex(digest)), ?1)) FROM (SELECT s.* FROM json_each(?2) AS input"
            " CROSS JOIN ledger_state AS s ON s.ledger = input.value ->> 0)"
        ),
        postgres=(
            "SELECT coalesce(json_agg(json_build_array(ledger, clock_offset_ms, last_time_ms,"
            " last_id, sequence, encode(digest, 'hex'),"
            " coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint))),"
            " '[]'::json)::text FROM (SELECT s.* FROM ledger_state AS s"
            " WHERE s.ledger = ANY ($2::bigint[]) ORDER BY s.ledger FOR UPDATE) AS locked"
        ),
        set_types=("bigint",),
        may_scan="",
    )
)

FIND_BATCH = declare_query(
    "find_batch",
    _ENVIRONMENT,
    columns="found",
    text=(
        "SELECT b.sequence AS found FROM {input}"
        " CROSS JOIN batches AS b WHERE b.ledger = input.ledger"
        " AND b.sequence = input.sequence AND b.token = input.token"
    ),
    set_columns="ledger bigint, sequence bigint, token hex",
)

FIND_LEDGERS = declare_query(
    "find_ledgers",
    _ENVIRONMENT,
    columns="book, world, market, ledger",
    text=(
        "SELECT 0 AS book, l.world AS world, l.market AS market, l.ledger AS ledger FROM {input}"
        " CROSS JOIN ledgers AS l WHERE l.world = input.world AND l.market = input.market"
    ),
    set_columns="world bigint, market text",
)

FIND_LAST_LEDGER = declare_query(
    "find_last_ledger",
    _ENVIRONMENT,
    columns="book, last",
    text=(
        "SELECT input.book AS book, (SELECT coalesce(max(ledger), 0) FROM ledgers) AS last"
        " FROM {input}"
    ),
    set_columns="book bigint",
    may_scan="one row, from the end of the primary key",
)

LOAD_DUPLICATES = declare_key_query(
    "load_duplicates", _ENVIRONMENT, columns="ledger, encode(key, 'hex'), payment"
)

LOAD_CUSTOMERS = declare_query(
    "load_customers",
    _ENVIRONMENT,
    columns="ledger, msisdn, id, status, account, balance_minor, held_minor, answer, delay_ms",
    text=(
        "SELECT n.ledger AS ledger, n.msisdn AS msisdn, c.id AS id, c.status AS status,"
        " a.id AS account, a.balance_minor AS balance_minor, a.held_minor AS held_minor,"
        " coalesce(s.answer, 0) AS answer, coalesce(s.delay_ms, 0) AS delay_ms"
        " FROM {input} CROSS JOIN customer_numbers AS n"
        " CROSS JOIN customers AS c CROSS JOIN accounts AS a"
        " LEFT JOIN scripts AS s ON s.ledger = n.ledger AND s.msisdn = n.msisdn"
        " WHERE n.ledger = input.ledger AND n.msisdn = input.msisdn"
        " AND c.ledger = n.ledger AND c.id = n.customer"
        " AND a.ledger = c.ledger AND a.id = c.account"
    ),
    set_columns="ledger bigint, msisdn text",
)

LOAD_ORGANISATIONS = declare_query(
    "load_organisations",
    _ENVIRONMENT,
    columns="ledger, code, id, status, products, account, balance_minor, held_minor",
    text=(
        "SELECT o.ledger AS ledger, o.code AS code, o.id AS id, o.status AS status,"
        " o.products AS products, a.id AS account, a.balance_minor AS balance_minor,"
        " a.held_minor AS held_minor"
        " FROM {input} CROSS JOIN organisations AS o CROSS JOIN accounts AS a"
        " WHERE o.ledger = input.ledger AND o.code = input.code"
        " AND a.ledger = o.ledger AND a.id = o.account"
    ),
    set_columns="ledger bigint, code text",
)

LOAD_ISSUANCE = declare_query(
    "load_issuance",
    _ENVIRONMENT,
    columns="ledger, id, balance_minor",
    text=(
        "SELECT l.ledger AS ledger, a.id AS id, a.balance_minor AS balance_minor"
        " FROM {input} CROSS JOIN ledgers AS l CROSS JOIN accounts AS a"
        " WHERE l.ledger = input.ledger AND a.ledger = l.ledger AND a.id = l.issuance"
    ),
    set_columns="ledger bigint",
)

LOAD_PROMPTS = declare_query(
    "load_prompts",
    _ENVIRONMENT,
    columns=(
        "ledger, payment, customer, customer_status, customer_account, customer_balance_minor,"
        " customer_held_minor, organisation, organisation_status, organisation_account,"
        " organisation_balance_minor, organisation_held_minor, amount_minor, deadline_ms,"
        " wrong_pins"
    ),
    text=(
        "SELECT p.ledger AS ledger, p.payment AS payment, p.customer AS customer,"
        " p.organisation AS organisation, c.status AS customer_status,"
        " ca.id AS customer_account, ca.balance_minor AS customer_balance_minor,"
        " ca.held_minor AS customer_held_minor, o.status AS organisation_status,"
        " oa.id AS organisation_account, oa.balance_minor AS organisation_balance_minor,"
        " oa.held_minor AS organisation_held_minor, p.amount_minor AS amount_minor,"
        " p.deadline_ms AS deadline_ms, p.wrong_pins AS wrong_pins"
        " FROM {input} CROSS JOIN prompts AS p CROSS JOIN customers AS c"
        " CROSS JOIN accounts AS ca CROSS JOIN organisations AS o CROSS JOIN accounts AS oa"
        " WHERE p.ledger = input.ledger AND p.payment = input.payment"
        " AND c.ledger = p.ledger AND c.id = p.customer"
        " AND ca.ledger = c.ledger AND ca.id = c.account"
        " AND o.ledger = p.ledger AND o.id = p.organisation"
        " AND oa.ledger = o.ledger AND oa.id = o.account"
    ),
    set_columns="ledger bigint, payment bigint",
)

LOAD_STANDINGS = declare_query(
    "load_standings",
    _ENVIRONMENT,
    columns="ledger, payment, state, status",
    text=(
        "SELECT p.ledger AS ledger, p.id AS payment,"
        " coalesce((SELECT c.state FROM payment_changes AS c WHERE c.ledger = p.ledger"
        " AND c.payment = p.id ORDER BY c.id DESC LIMIT 1), p.state) AS state,"
        " coalesce((SELECT c.status FROM payment_changes AS c WHERE c.ledger = p.ledger"
        " AND c.payment = p.id ORDER BY c.id DESC LIMIT 1), p.status) AS status"
        " FROM {input} CROSS JOIN payments AS p"
        " WHERE p.ledger = input.ledger AND p.id = input.payment"
    ),
    set_columns="ledger bigint, payment bigint",
)

# The transfer of a payment has the id that follows the one that completed the payment, be that its
# own or that of its last change: no index is needed to find it. `Book.post_transfer` sees to that.
TRANSFER_OF_PAYMENT = (
    "t.ledger = p.ledger AND t.payment = p.id AND t.id ="
    f" (SELECT {write_follow_id('coalesce(max(c.id), p.id)')} FROM payment_changes AS c"
    " WHERE c.ledger = p.ledger AND c.payment = p.id)"
)
"""Joins `transfers AS t` with `payments AS p`."""

# The parties of a reversal are those of the payment that it reverses.
LOAD_ORIGINALS = declare_query(
    "load_originals",
    _ENVIRONMENT,
    columns=(
        "ledger, payment, operation, state, parties_by, organisation_code, counterparty,"
        " amount_minor, reversed_minor, payer, payer_kind, payer_balance_minor, payer_held_minor, payee,"
        " payee_kind, payee_balance_minor, payee_held_minor, payee_owner, payee_status"
    ),
    text=(
        "SELECT p.ledger AS ledger, p.id AS payment, p.operation AS operation,"
        " coalesce((SELECT c.state FROM payment_changes AS c WHERE c.ledger = p.ledger"
        " AND c.payment = p.id ORDER BY c.id DESC LIMIT 1), p.state) AS state,"
        " coalesce(u.operation, p.operation) AS parties_by,"
        " coalesce(u.organisation_code, p.organisation_code) AS organisation_code,"
        " coalesce(u.counterparty, p.counterparty) AS counterparty,"
        " p.amount_minor AS amount_minor,"
        " (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM reversals AS r"
        " WHERE r.ledger = p.ledger AND r.original = p.id) AS reversed_minor,"
        " d.id AS payer, d.owner_kind AS payer_kind, d.balance_minor AS payer_balance_minor,"
        " d.held_minor AS payer_held_minor, a.id AS payee, a.owner_kind AS payee_kind,"
        " a.balance_minor AS payee_balance_minor, a.held_minor AS payee_held_minor,"
        " a.owner AS payee_owner, coalesce("
        "(SELECT c.status FROM customers AS c"
        " WHERE a.owner_kind = 1 AND c.ledger = a.ledger AND c.id = a.owner),"
        " (SELECT o.status FROM organisations AS o"
        " WHERE a.owner_kind = 2 AND o.ledger = a.ledger AND o.id = a.owner)) AS payee_status"
        " FROM {input} CROSS JOIN payments AS p"
        " LEFT JOIN reversals AS v ON v.ledger = p.ledger AND v.reversal = p.id"
        " LEFT JOIN payments AS u ON u.ledger = v.ledger AND u.id = v.original"
        f" LEFT JOIN transfers AS t ON {TRANSFER_OF_PAYMENT}"
        " LEFT JOIN accounts AS d ON d.ledger = t.ledger AND d.id = t.debit_account"
        " LEFT JOIN accounts AS a ON a.ledger = t.ledger AND a.id = t.credit_account"
        " WHERE p.ledger = input.ledger AND p.id = input.payment"
    ),
    set_columns="ledger bigint, payment bigint",
)

# `$1` is the time to go by, or null for the database's own: deadlines are in its time.
_NOW = "coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"

FIND_DUE_PROMPTS = register_query(
    Query(
        name="find_due_prompts",
        schema=_ENVIRONMENT,
        sqlite=(
            "SELECT json_group_array(json_array(ledger, payment, answer, due_ms, ?1)) FROM"
            " (SELECT * FROM prompts WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?2)"
        ),
        postgres=(
            f"WITH now AS MATERIALIZED (SELECT {_NOW} AS now_ms)"
            " SELECT coalesce(json_agg(json_build_array(ledger, payment, answer, due_ms,"
            " (SELECT now_ms FROM now))), '[]'::json)::text FROM (SELECT * FROM prompts"
            " WHERE due_ms <= (SELECT now_ms FROM now) ORDER BY due_ms LIMIT $2::bigint) AS due"
        ),
        set_types=(),
        may_scan="",
    )
)

FIND_NEXT_DUE = register_query(
    Query(
        name="find_next_due",
        schema=_ENVIRONMENT,
        sqlite=(
            "SELECT json_group_array(json_array(due_ms, ?1)) FROM"
            " (SELECT due_ms FROM prompts ORDER BY due_ms LIMIT 1)"
        ),
        postgres=(
            f"SELECT coalesce(json_agg(json_build_array(due_ms, {_NOW})), '[]'::json)::text"
            " FROM (SELECT due_ms FROM prompts ORDER BY due_ms LIMIT 1) AS next"
        ),
        set_types=(),
        may_scan="one row, from the front of its index",
    )
)

INSERT_LEDGERS = declare_insert(
    "ledgers",
    _ENVIRONMENT,
    columns="ledger bigint, world bigint, market text, currency text, issuance bigint",
    order=1,
)
INSERT_LEDGER_STATE = declare_insert(
    "ledger_state",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, clock_offset_ms bigint, last_time_ms bigint, last_id bigint,"
        " sequence bigint, digest hex"
    ),
    order=2,
)
INSERT_CUSTOMERS = declare_insert(
    "customers",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, id bigint, first_name text, last_name text, status bigint, account bigint"
    ),
    order=3,
)
INSERT_CUSTOMER_NUMBERS = declare_insert(
    "customer_numbers",
    _ENVIRONMENT,
    columns="ledger bigint, msisdn text, customer bigint",
    order=4,
)
INSERT_ORGANISATIONS = declare_insert(
    "organisations",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, id bigint, code text, name text, status bigint, products text,"
        " account bigint"
    ),
    order=5,
)
UPDATE_CUSTOMER_STATUS = declare_update(
    "update_customer_status",
    "customers",
    _ENVIRONMENT,
    keys="ledger bigint, id bigint",
    columns="status bigint",
    order=6,
)
UPDATE_ORGANISATION = declare_update(
    "update_organisation",
    "organisations",
    _ENVIRONMENT,
    keys="ledger bigint, id bigint",
    columns="status bigint, products text",
    order=7,
)
REPLACE_SCRIPTS = declare_insert(
    "scripts",
    _ENVIRONMENT,
    columns="ledger bigint, msisdn text, answer bigint, delay_ms bigint",
    replace_key="ledger, msisdn",
    order=8,
)
INSERT_PAYMENTS = declare_insert(
    "payments",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, id bigint, operation bigint, application bigint,"
        " organisation_code text, counterparty text, amount_minor bigint,"
        " third_party_conversation_id text, transaction_reference text, description text,"
        " state bigint, status bigint, evidence text"
    ),
    order=10,
)
INSERT_PAYMENT_CHANGES = declare_insert(
    "payment_changes",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, payment bigint, id bigint, state bigint, status bigint, evidence text"
    ),
    order=20,
)
INSERT_TRANSFERS = declare_insert(
    "transfers",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, id bigint, payment bigint, debit_account bigint, credit_account bigint,"
        " amount_minor bigint, debit_balance_minor bigint, credit_balance_minor bigint"
    ),
    order=30,
)
INSERT_REVERSALS = declare_insert(
    "reversals",
    _ENVIRONMENT,
    columns="ledger bigint, reversal bigint, original bigint, amount_minor bigint",
    order=35,
)
INSERT_DUPLICATES = register_write(
    Write(
        name="insert_duplicates",
        schema=_ENVIRONMENT,
        sqlite=(
            "INSERT INTO duplicate_keys (ledger, key, payment, segment)"
            " VALUES (?1, unhex(?2), ?3, ?4)"
        ),
        postgres=(
            "INSERT INTO duplicates (ledger, key, payment)"
            " SELECT unnest($1::bigint[]), unnest($2::bytea[]), unnest($3::bigint[])"
        ),
        types=("bigint", "hex", "bigint"),
        order=40,
        keeps_keys=True,
    )
)
INSERT_ACCOUNTS = declare_insert(
    "accounts",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, id bigint, owner_kind bigint, owner bigint, balance_minor bigint,"
        " held_minor bigint"
    ),
    order=50,
)
UPDATE_BALANCES = declare_update(
    "update_balances",
    "accounts",
    _ENVIRONMENT,
    keys="ledger bigint, id bigint",
    columns="balance_minor bigint, held_minor bigint",
    order=60,
)
INSERT_PROMPTS = declare_insert(
    "prompts",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, payment bigint, customer bigint, organisation bigint,"
        " amount_minor bigint, deadline_ms bigint, answer bigint, due_ms bigint,"
        " wrong_pins bigint"
    ),
    order=70,
)
COUNT_WRONG_PINS = declare_update(
    "count_wrong_pins",
    "prompts",
    _ENVIRONMENT,
    keys="ledger bigint, payment bigint",
    columns="wrong_pins bigint",
    order=80,
)
DELETE_PROMPTS = declare_delete(
    "prompts", _ENVIRONMENT, keys="ledger bigint, payment bigint", order=90
)
INSERT_BATCHES = declare_insert(
    "batches",
    _ENVIRONMENT,
    columns=(
        "ledger bigint, sequence bigint, time_ms bigint, token hex, first_id bigint,"
        " last_id bigint, digest hex"
    ),
    order=200,
)
UPDATE_LEDGER_STATE = declare_update(
    "update_ledger_state",
    "ledger_state",
    _ENVIRONMENT,
    keys="ledger bigint",
    columns="last_time_ms bigint, last_id bigint, sequence bigint, digest hex",
    order=210,
)
