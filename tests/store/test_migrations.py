"""Migrations: both databases get the same tables, in order, once, and never go backwards."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import psycopg
import pytest

from pesalango_server.storage import migrations
from pesalango_server.storage.address import DATABASES, DatabaseAddress
from pesalango_server.storage.bundled.waiting import wait_until
from pesalango_server.storage.database import StorageError, StorageUnavailable
from pesalango_server.storage.migrations import (
    Migration,
    SchemaOutdated,
    SchemaTooNew,
    check_schema,
    list_migrations,
    migrate,
)
from tests.store.engine_fixture import open_copy, run_sql
from tests.store.postgres_fixture import PostgresServer

Column = tuple[str, str, bool, bool]
"""Name, kind (`number`, `text`, `bytes`), whether it may be null, whether it has a default."""

Shape = tuple[list[Column], tuple[str, ...], set[tuple[str, ...]], set[tuple[str, ...]]]
"""Columns in order, primary key, unique keys, columns of other indexes."""

_SQLITE_KINDS = {"INTEGER": "number", "TEXT": "text", "BLOB": "bytes"}
_POSTGRES_KINDS = {"bigint": "number", "text": "text", "bytea": "bytes"}


def describe_sqlite(path: Path) -> dict[str, Shape]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    shapes: dict[str, Shape] = {}
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (table,) in tables:
        rows = connection.execute(
            'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,)
        ).fetchall()
        columns = [
            (str(name), _SQLITE_KINDS[str(kind).upper()], not (not_null or pk), default is not None)
            for name, kind, not_null, default, pk in rows
        ]
        primary = tuple(
            str(name) for *_, pk, name in sorted((row[4], row[0]) for row in rows) if pk
        )
        uniques: set[tuple[str, ...]] = set()
        others: set[tuple[str, ...]] = set()
        for index, is_unique, origin in connection.execute(
            'SELECT name, "unique", origin FROM pragma_index_list(?)', (table,)
        ).fetchall():
            names = tuple(
                str(name)
                for (name,) in connection.execute(
                    "SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,)
                ).fetchall()
            )
            if origin != "pk":
                (uniques if is_unique else others).add(names)
        shapes[str(table)] = (columns, primary, uniques, others)
    connection.close()
    return shapes


def describe_postgres(conninfo: str, schema: str) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute(
            "SELECT oid::bigint, relname::text FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = %s::regnamespace",
            (schema,),
        ).fetchall()
        for oid, table in tables:
            rows = connection.execute(
                "SELECT attname::text, format_type(atttypid, NULL), NOT attnotnull, atthasdef,"
                " attcollation <> 0 AND attcollation <> '\"C\"'::regcollation"
                " FROM pg_attribute WHERE attrelid = %s AND attnum > 0 ORDER BY attnum",
                (oid,),
            ).fetchall()
            if table != "schema_migrations":
                assert not [row[0] for row in rows if row[4]], (
                    f"{table}: text is not in bytes' order"
                )
            columns = [
                (name, _POSTGRES_KINDS[kind], is_nullable, has_default)
                for name, kind, is_nullable, has_default, _ in rows
            ]
            primary: tuple[str, ...] = ()
            uniques: set[tuple[str, ...]] = set()
            others: set[tuple[str, ...]] = set()
            for is_primary, is_unique, names in connection.execute(
                "SELECT indisprimary, indisunique, ARRAY(SELECT attname::text FROM"
                " unnest(indkey) WITH ORDINALITY AS k(number, place) JOIN pg_attribute"
                " ON attrelid = indrelid AND attnum = k.number ORDER BY place)"
                " FROM pg_index WHERE indrelid = %s",
                (oid,),
            ).fetchall():
                if is_primary:
                    primary = tuple(names)
                else:
                    (uniques if is_unique else others).add(tuple(names))
            shapes[str(table)] = (columns, primary, uniques, others)
    return shapes


@pytest.mark.parametrize("name", DATABASES)
def test_both_databases_have_the_same_tables(
    name: str, sqlite_template: Path, postgres_template: str, postgres_server: PostgresServer
) -> None:
    on_sqlite = describe_sqlite(sqlite_template / f"{name}.db")
    on_postgres = describe_postgres(
        postgres_server.build_url(postgres_template), f"pesalango_{name}"
    )

    if "duplicate_keys" in on_sqlite:
        # The one difference: SQLite has these keys in segments, and shows them without in a view.
        (ledger, _, *columns), primary, uniques, others = on_sqlite.pop("duplicate_keys")
        primary = tuple(column for column in primary if column != "segment")
        on_sqlite["duplicates"] = ([ledger, *columns], primary, uniques, others)
        del on_sqlite["duplicate_segments"], on_sqlite["duplicate_filters"]

    assert len(on_sqlite) >= 5
    assert on_sqlite == on_postgres


@pytest.mark.parametrize("name", DATABASES)
def test_migrations_come_as_twins(name: str) -> None:
    on_sqlite = [migration.name for migration in list_migrations(name, "sqlite")]
    on_postgres = [migration.name for migration in list_migrations(name, "postgres")]

    assert on_sqlite == on_postgres
    assert on_sqlite
    assert all(re.fullmatch(r"[a-z]+/\d{4}_[a-z_]+", migration) for migration in on_sqlite)


Empty = DatabaseAddress
"""The address of a database without any table."""


@pytest.fixture
def empty(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Empty]:
    if dialect == "sqlite":
        yield DatabaseAddress("sandbox", "sqlite", str(tmp_path / "sandbox.db"))
    else:
        url = request.getfixturevalue("postgres_url")
        yield DatabaseAddress("sandbox", "postgres", url)


def add_migration(monkeypatch: pytest.MonkeyPatch, sql: str) -> Migration:
    """Make the program know one more migration, the last one."""
    added = Migration("environment/9999_added", sql)
    known = list_migrations
    monkeypatch.setattr(
        migrations, "list_migrations", lambda name, dialect: [*known(name, dialect), added]
    )
    return added


def test_a_new_database_is_brought_up_to_date_once(empty: Empty) -> None:
    applied = migrate(empty)

    assert applied == [migration.name for migration in list_migrations("sandbox", empty.dialect)]
    assert migrate(empty) == []
    check_schema(empty)
    assert run_sql(empty, "SELECT ledger, sequence FROM ledger_state") == [(0, 0)]


def test_a_new_database_is_refused_until_it_is_migrated(empty: Empty) -> None:
    with pytest.raises(SchemaOutdated, match="run `pesalango-server migrate`"):
        check_schema(empty)


def test_only_what_is_missing_is_applied(empty: Empty, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(empty)
    added = add_migration(monkeypatch, "CREATE TABLE added (id bigint)")

    with pytest.raises(SchemaOutdated, match=r"lacks 1 migration.*9999_added"):
        check_schema(empty)
    assert migrate(empty) == [added.name]
    check_schema(empty)
    assert run_sql(empty, "SELECT count(*) FROM added") == [(0,)]


def test_a_migration_that_fails_leaves_nothing_behind(
    empty: Empty, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty)
    with monkeypatch.context() as patch:
        add_migration(patch, "CREATE TABLE added (id bigint); SELECT * FROM nowhere")
        with pytest.raises(StorageError, match="nowhere"):
            migrate(empty)

    check_schema(empty)
    add_migration(monkeypatch, "CREATE TABLE added (id bigint)")
    assert migrate(empty) == ["environment/9999_added"]


def test_a_database_of_a_newer_program_is_refused(
    empty: Empty, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        add_migration(newer, "CREATE TABLE added (id bigint)")
        migrate(empty)

    refuse: list[Callable[[DatabaseAddress], object]] = [migrate, check_schema]
    for use in refuse:
        with pytest.raises(SchemaTooNew, match=r"newer pesalango-server \(environment/9999_added"):
            use(empty)


def test_a_migration_that_was_changed_afterwards_is_refused(empty: Empty) -> None:
    migrate(empty)
    run_sql(empty, "UPDATE schema_migrations SET digest = 'another'")

    refuse: list[Callable[[DatabaseAddress], object]] = [migrate, check_schema]
    for use in refuse:
        with pytest.raises(SchemaTooNew, match="made with another text of environment/0001"):
            use(empty)


def test_a_database_that_cannot_be_reached_is_told_apart(empty: Empty, tmp_path: Path) -> None:
    location = (
        str(tmp_path / "missing" / "sandbox.db")
        if empty.dialect == "sqlite"
        else re.sub(r"/test_\d+", "/missing", empty.location)
    )
    with pytest.raises(StorageUnavailable):
        migrate(DatabaseAddress("sandbox", empty.dialect, location))


def test_two_programs_may_migrate_at_once(postgres_url: str) -> None:
    address = DatabaseAddress("sandbox", "postgres", postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        # Whoever migrates holds this lock; the second one must wait for it, and then find all done.
        other.execute("SELECT pg_advisory_lock(%s)", (migrations._POSTGRES_LOCK,))
        with ThreadPoolExecutor(2) as threads:
            first, second = threads.submit(migrate, address), threads.submit(migrate, address)
            assert wait_until(
                lambda: (
                    other.execute(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                    ).fetchone()
                    == (2,)
                ),
                timeout_ms=20_000,
            )
            other.execute("SELECT pg_advisory_unlock_all()")
            applied = [first.result(timeout=30), second.result(timeout=30)]

    assert sorted(applied) == [
        [],
        [migration.name for migration in list_migrations("sandbox", "postgres")],
    ]


def test_the_clock_of_production_cannot_be_moved(
    dialect: str, request: pytest.FixtureRequest
) -> None:
    with open_copy(request, dialect, "openapi") as address:
        with pytest.raises((apsw.ConstraintError, psycopg.errors.CheckViolation)):
            run_sql(address, "UPDATE ledger_state SET clock_offset_ms = 1")
        assert run_sql(address, "SELECT clock_offset_ms FROM ledger_state") == [(0,)]


def test_the_file_of_a_database_is_its_owners_alone(tmp_path: Path) -> None:
    address = DatabaseAddress("platform", "sqlite", str(tmp_path / "platform.db"))
    migrate(address)

    assert address.path.stat().st_mode & 0o777 == 0o600


def test_checking_a_schema_changes_nothing_in_the_file(
    sqlite_template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "sandbox.db"
    path.write_bytes((sqlite_template / "sandbox.db").read_bytes())
    connection = apsw.Connection(str(path))
    # Whoever opens it for writing makes it a database with a log again.
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.close()
    before = path.read_bytes()

    check_schema(DatabaseAddress("sandbox", "sqlite", str(path)))

    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["sandbox.db"]


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    path.write_text("no database, whatever its name says\n" * 100)

    with pytest.raises(StorageUnavailable, match="cannot read the database"):
        check_schema(DatabaseAddress("sandbox", "sqlite", str(path)))
