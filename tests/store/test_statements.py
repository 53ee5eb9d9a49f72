"""Every statement that the program declares: both databases accept it, and none scans a table."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import psycopg
import pytest

import pesalango_server
from pesalango_server.ledger.parties import AddCustomers, NewCustomer
from pesalango_server.settings.table import Settings
from pesalango_server.storage.address import DatabaseAddress
from pesalango_server.storage.database import (
    QUERIES,
    SCANS,
    WRITES,
    Query,
    Scan,
    Schema,
    Write,
    declare_insert,
)
from pesalango_server.storage.postgres import PostgresWriter
from pesalango_server.storage.snapshot import open_snapshot_reader
from pesalango_server.storage.sqlite import SqliteWriter
from tests.store.engine_fixture import Rig, make_c2b
from tests.store.postgres_fixture import PostgresServer

for module in pkgutil.walk_packages(pesalango_server.__path__, "pesalango_server."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

Statement: TypeAlias = Query | Write | Scan

STATEMENTS: dict[str, Statement] = {**QUERIES, **WRITES, **SCANS}
LOOKUPS: dict[str, Query | Write] = {
    **{name: query for name, query in QUERIES.items() if not query.may_scan},
    **WRITES,
}
"""All that must find its rows by key."""

DATABASE_OF = {Schema.ENVIRONMENT: "sandbox", Schema.PLATFORM: "platform"}

SHORT = {"duplicate_segments"}
"""Tables that may be walked through: a row for many thousand payments."""

KEYED_BY_LEDGER_ALONE = {"ledgers", "ledger_state"}
"""In any other table all rows of a ledger are far too many."""


@pytest.fixture(scope="module")
def sqlite_databases(sqlite_template: Path) -> Iterator[dict[Schema, apsw.Connection]]:
    connections = {
        schema: apsw.Connection(
            str(sqlite_template / f"{name}.db"), flags=apsw.SQLITE_OPEN_READONLY
        )
        for schema, name in DATABASE_OF.items()
    }
    yield connections
    for connection in connections.values():
        connection.close()


@pytest.fixture(scope="module")
def postgres_sessions(
    postgres_server: PostgresServer, postgres_template: str
) -> Iterator[dict[Schema, PostgresWriter]]:
    """The engine's own sessions, since a plan depends on what they set."""
    database = postgres_server.create_database(template=postgres_template)
    url = postgres_server.build_url(database)
    writers = {
        schema: PostgresWriter(url, schema=f"pesalango_{name}")
        for schema, name in DATABASE_OF.items()
    }
    yield writers
    for writer in writers.values():
        writer.close()
    postgres_server.drop_database(database)


# --- SQLite -----------------------------------------------------------------------------------------


def explain_sqlite(connection: apsw.Connection, sql: str) -> list[str]:
    values = (None,) * max((int(number) for number in re.findall(r"\?(\d+)", sql)), default=0)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    return [str(detail) for *_, detail in rows]


def find_sqlite_scans(plan: list[str], sql: str) -> list[str]:
    """Steps that walk through a table, or through all rows of a ledger in it."""
    derived = set(re.findall(r"\) (?:AS )?(\w+)", sql)) | {"CONSTANT"}
    tables = {alias: table for table, alias in re.findall(r"(?:FROM|JOIN) (\w+) AS (\w+)", sql)}
    scans = []
    for step in plan:
        verb, _, rest = step.partition(" ")
        name = rest.split(" ", 1)[0]
        if verb == "SCAN" and "VIRTUAL TABLE" not in step and "(" not in name:
            if name not in derived | SHORT:
                scans.append(step)
        elif (
            verb == "SEARCH"
            and step.endswith("(ledger=?)")
            and tables.get(name, name) not in KEYED_BY_LEDGER_ALONE
        ):
            scans.append(step)
    return scans


@pytest.mark.parametrize("name", STATEMENTS)
def test_sqlite_accepts_every_statement(
    sqlite_databases: dict[Schema, apsw.Connection], name: str
) -> None:
    statement = STATEMENTS[name]
    assert explain_sqlite(sqlite_databases[statement.schema], statement.sqlite) or not isinstance(
        statement, Query
    )


@pytest.mark.parametrize("name", LOOKUPS)
def test_on_sqlite_no_statement_scans(
    sqlite_databases: dict[Schema, apsw.Connection], name: str
) -> None:
    statement = LOOKUPS[name]
    plan = explain_sqlite(sqlite_databases[statement.schema], statement.sqlite)

    assert find_sqlite_scans(plan, statement.sqlite) == []


@pytest.mark.parametrize(
    ("sql", "is_scan"),
    [
        ("SELECT p.amount_minor FROM payments AS p WHERE p.amount_minor = ?1", True),
        ("SELECT amount_minor FROM payments WHERE ledger = ?1", True),
        ("SELECT p.amount_minor FROM payments AS p WHERE p.ledger = ?1 AND p.id = ?2", False),
        ("SELECT s.sequence FROM ledger_state AS s WHERE s.ledger = ?1", False),
        ("SELECT input.value FROM json_each(?1) AS input", False),
        ("UPDATE payments SET state = ?1 WHERE state = ?2", True),
    ],
)
def test_a_scan_would_be_noticed_on_sqlite(
    sqlite_databases: dict[Schema, apsw.Connection], sql: str, is_scan: bool
) -> None:
    plan = explain_sqlite(sqlite_databases[Schema.ENVIRONMENT], sql)

    assert bool(find_sqlite_scans(plan, sql)) is is_scan


@pytest.mark.parametrize(
    "name",
    ["scan_accounts", "scan_batches", "scan_payments", "scan_changes", "scan_transfers"],
)
def test_an_audit_reads_large_tables_in_the_order_they_have(
    sqlite_databases: dict[Schema, apsw.Connection], name: str
) -> None:
    plan = explain_sqlite(sqlite_databases[Schema.ENVIRONMENT], SCANS[name].sqlite)

    assert not [step for step in plan if "TEMP B-TREE" in step]


# --- PostgreSQL -------------------------------------------------------------------------------------


def explain_postgres(writer: PostgresWriter, sql: str) -> dict[str, Any]:
    """The plan that is the same for all values, as the engine's session makes it."""
    connection = writer._connection
    assert connection is not None
    connection.nonblocking = 0
    result = connection.exec_(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {sql}".encode())
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.get_error_message()
    ((plan),) = json.loads(result.get_value(0, 0) or b"")
    return dict(plan["Plan"])


@cache
def _condition_columns(condition: str) -> frozenset[str]:
    """Columns of the index that a condition compares: what stands first in each comparison."""
    return frozenset(re.findall(r"\((?:\w+\.)?(\w+) (?:=|<|>|<=|>=) ", condition))


def find_postgres_scans(node: dict[str, Any]) -> list[str]:
    """Nodes that walk through a table, or through all rows of a ledger in it."""
    scans = []
    table = node.get("Relation Name")
    kind = node["Node Type"]
    if kind == "Seq Scan":
        scans.append(f"{kind} on {table}")
    elif kind in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}:
        condition = node.get("Index Cond", "")
        is_whole = not condition or _condition_columns(condition) == {"ledger"}
        # A bitmap's node names its index alone.
        keyed = table or node["Index Name"].removesuffix("_pkey")
        if is_whole and not (condition and keyed in KEYED_BY_LEDGER_ALONE):
            scans.append(f"{kind} on {keyed} {condition}")
    for child in node.get("Plans", ()):
        scans += find_postgres_scans(child)
    return scans


@pytest.mark.parametrize("name", STATEMENTS)
def test_postgres_accepts_every_statement(
    postgres_sessions: dict[Schema, PostgresWriter], name: str
) -> None:
    statement = STATEMENTS[name]
    assert explain_postgres(postgres_sessions[statement.schema], statement.postgres)


@pytest.mark.parametrize("name", LOOKUPS)
def test_on_postgres_no_statement_scans(
    postgres_sessions: dict[Schema, PostgresWriter], name: str
) -> None:
    statement = LOOKUPS[name]
    plan = explain_postgres(postgres_sessions[statement.schema], statement.postgres)

    assert find_postgres_scans(plan) == []


@pytest.mark.parametrize(
    ("sql", "is_scan"),
    [
        ("SELECT p.amount_minor FROM payments AS p WHERE p.amount_minor = $1", True),
        ("SELECT amount_minor FROM payments WHERE ledger = $1", True),
        ("SELECT p.amount_minor FROM payments AS p WHERE p.ledger = $1 AND p.id = $2", False),
        ("SELECT s.sequence FROM ledger_state AS s WHERE s.ledger = $1", False),
        ("SELECT u FROM unnest($1::bigint[]) AS u", False),
        ("UPDATE payments SET state = $1 WHERE state = $2", True),
    ],
)
def test_a_scan_would_be_noticed_on_postgres(
    postgres_sessions: dict[Schema, PostgresWriter], sql: str, is_scan: bool
) -> None:
    plan = explain_postgres(postgres_sessions[Schema.ENVIRONMENT], sql)

    assert bool(find_postgres_scans(plan)) is is_scan


def list_nodes(node: dict[str, Any]) -> list[str]:
    nodes = [str(node["Node Type"])]
    for child in node.get("Plans", ()):
        nodes += list_nodes(child)
    return nodes


@pytest.mark.parametrize(
    "name", [scan.name for scan in SCANS.values() if "pg_trigger" not in scan.postgres]
)
def test_an_audit_of_tables_without_statistics_does_not_look_rows_up_one_by_one(
    postgres_server: PostgresServer, postgres_template: str, name: str
) -> None:
    scan = SCANS[name]
    database = postgres_server.create_database(template=postgres_template)
    address = DatabaseAddress(
        DATABASE_OF[scan.schema], "postgres", postgres_server.build_url(database)
    )
    with open_snapshot_reader(address) as reader:
        # The plan depends on what the audit's own session sets.
        cursor = psycopg.RawCursor(reader._session)  # type: ignore[attr-defined]
        explain = f"EXPLAIN (FORMAT JSON) {scan.postgres}"
        cursor.execute(explain.encode(), (1,) if "$1" in scan.postgres else ())
        (((plan,),),) = cursor.fetchall()
    postgres_server.drop_database(database)

    assert "Nested Loop" not in list_nodes(plan["Plan"])


# --- the declarations themselves ----------------------------------------------------------------------


def test_a_reason_to_scan_is_given_where_there_is_a_scan_alone(
    sqlite_databases: dict[Schema, apsw.Connection],
    postgres_sessions: dict[Schema, PostgresWriter],
) -> None:
    needless = [
        query.name
        for query in QUERIES.values()
        if query.may_scan
        and not find_sqlite_scans(
            explain_sqlite(sqlite_databases[query.schema], query.sqlite), query.sqlite
        )
        and not find_postgres_scans(
            explain_postgres(postgres_sessions[query.schema], query.postgres)
        )
    ]

    assert needless == []


def test_the_writes_of_a_batch_have_one_order() -> None:
    for schema in Schema:
        orders = [write.order for write in WRITES.values() if write.schema is schema]
        assert len(orders) == len(set(orders))


def test_a_row_that_is_replaced_is_known_by_its_first_columns() -> None:
    with pytest.raises(ValueError, match="do not begin with its key"):
        declare_insert(
            "scripts", Schema.ENVIRONMENT, columns="a bigint, b bigint", order=1, replace_key="b"
        )


def test_sqlite_keeps_its_statements_from_one_large_batch_to_the_next(sqlite_rig: Rig) -> None:
    numbers = [f"2557{number:08}" for number in range(Settings().batch_commands_max)]
    customers = tuple(
        NewCustomer(number, "Ana", "Diallo", amount_minor=10_00, fund_key=f"{number:>032}")
        for number in numbers
    )
    sqlite_rig.run(AddCustomers(1, customers))

    def run_batch(name: str) -> int:
        """How many statements SQLite has had to parse by then."""
        sqlite_rig.run(
            *(make_c2b(reference=f"{name} {m}", msisdn=m, amount_minor=1) for m in numbers)
        )
        writer = sqlite_rig.engine.writer
        assert isinstance(writer, SqliteWriter)
        return int(writer._connection.cache_stats()["misses"])

    misses = [run_batch(name) for name in ("first", "second", "third")]
    assert misses[1] == misses[2]
