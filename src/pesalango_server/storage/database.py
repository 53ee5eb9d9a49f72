"""What the two databases have in common: statements, the writer's and the reader's questions.

A *query* returns one text cell that holds a JSON array of rows: one row to fetch and one document
to decode cost less than many rows on either database. A *write* is set-based: it is handed rows,
and a database runs it once for all of them. Both are declared beside their only caller, and a
test prepares every declared statement on both databases.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

Row = tuple[Any, ...]
"""A row to write: values in the order of the statement's columns; `hex` columns are hex text."""


class StorageError(Exception):
    """The database did not do as asked; the message says what to do."""


class StorageUnavailable(StorageError):
    """It is certain that nothing was committed; the same may be tried again later."""


class CommitUnknown(StorageError):
    """COMMIT was sent and no answer came: committed or not, only the database can tell."""


class StatementRejected(StorageError):
    """The database refused a statement or its values: a defect of ours. Nothing was committed."""


class Schema(StrEnum):
    """Which database a statement belongs to: an environment's, or the platform's."""

    ENVIRONMENT = "environment"
    PLATFORM = "platform"


class Query(msgspec.Struct, frozen=True, eq=False):
    """A named SELECT in both dialects; `may_scan` excuses it from the plan test, with a reason.

    One that `seeks_keys` looks up keys against second payments: the rows of its set are a ledger
    and a key, and on SQLite a segment where the key may be (see `segments`).
    """

    name: str
    schema: Schema
    sqlite: str
    postgres: str
    set_types: tuple[str, ...]
    may_scan: str
    seeks_keys: bool = False


class Write(msgspec.Struct, frozen=True, eq=False):
    """A named, set-based INSERT, UPDATE or DELETE in both dialects.

    `order` is its place among the writes of a batch, so that both databases do the same. The first
    `key_columns` values of a row say which row of the table it changes: of two rows of a batch with
    equal ones only the later is written, because a database that changes a set at once would take
    either. 0 where every row is one of its own. One that `keeps_keys` writes keys against second
    payments: its rows begin with a ledger and a key, and on SQLite they end with the key's segment.
    """

    name: str
    schema: Schema
    sqlite: str
    postgres: str
    types: tuple[str, ...]
    order: int
    key_columns: int = 0
    keeps_keys: bool = False


class Scan(msgspec.Struct, frozen=True, eq=False):
    """A named, ordered SELECT of whole tables in both dialects, for what has to read everything.

    Its rows come as tuples of the database's own types (`bytes` where a column holds bytes).
    """

    name: str
    schema: Schema
    sqlite: str
    postgres: str


class Read(msgspec.Struct):
    """A query with its scalar values and, where the query has one, the rows of its set."""

    query: Query
    values: Row = ()
    rows: Sequence[Row] | None = None


class Writer(Protocol):
    """The one connection that an engine writes through. Not thread-safe."""

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgres`."""
        ...

    def begin(self, reads: Sequence[Read]) -> list[bytes]:
        """Start a writing transaction and run `reads`, the first of which takes the lock.

        Raises `StorageUnavailable`.
        """
        ...

    def read(self, reads: Sequence[Read]) -> list[bytes]:
        """Run further reads in the transaction."""
        ...

    def commit(self, writes: Sequence[tuple[Write, Sequence[Row]]]) -> None:
        """Write and commit. Raises `StatementRejected`, `StorageUnavailable`, `CommitUnknown`."""
        ...

    def rollback(self) -> None:
        """Give up the transaction, if there is one; never raises."""
        ...

    def reconnect(self) -> None:
        """Open the connection anew after a failure. Raises `StorageUnavailable`."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class SnapshotReader(Protocol):
    """One moment of a database, however long it is read and whoever writes meanwhile."""

    def scan(self, scan: Scan, values: Row = ()) -> Iterator[Sequence[Row]]:
        """All rows of `scan` in its order, in pages; several scans may be under way at once.

        Raises `StorageUnavailable`, also while it is iterated.
        """
        ...


class Reader(Protocol):
    """A connection for reads only, of a worker or a tool. One thread at a time."""

    def read(self, read: Read) -> bytes:
        """The query's JSON document. Raises `StorageUnavailable`."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


QUERIES: dict[str, Query] = {}
WRITES: dict[str, Write] = {}
SCANS: dict[str, Scan] = {}

_CAST = re.compile(r"::[a-z]+(\[\])?")
_HEX = re.compile(r"encode\((\w+), 'hex'\)")
_PARAMETER = re.compile(r"\$(\d+)")


def _to_sqlite(text: str) -> str:
    return _PARAMETER.sub(r"?\1", _HEX.sub(r"lower(hex(\1))", _CAST.sub("", text)))


def _expand_set(text: str, set_columns: str) -> tuple[str, str, tuple[str, ...]]:
    """`text` for SQLite and PostgreSQL with `{input}` in place of the rows that a read brings."""
    if not set_columns:
        return _to_sqlite(text), text, ()
    names_types = [column.split() for column in set_columns.split(", ")]
    first = 1 + max((int(number) for number in _PARAMETER.findall(text)), default=0)
    cells = ", ".join(
        f"{f'unhex(value ->> {i})' if kind == 'hex' else f'value ->> {i}'} AS {name}"
        for i, (name, kind) in enumerate(names_types)
    )
    kinds = tuple(kind for _, kind in names_types)
    rows = _postgres_rows([name for name, _ in names_types], kinds, first=first)
    return (
        _to_sqlite(text).replace("{input}", f"(SELECT {cells} FROM json_each(?{first})) AS input"),
        text.replace("{input}", f"({rows}) AS input"),
        kinds,
    )


def declare_query(
    name: str,
    schema: Schema,
    *,
    columns: str,
    text: str,
    set_columns: str = "",
    may_scan: str = "",
) -> Query:
    """Declare a SELECT written once for both databases.

    `columns` names the columns of `text` that make the rows of the JSON document, `set_columns`
    (`name type, …`) the rows that replace `{input}`; `$1…` are scalar values, which come first.
    """
    sqlite, postgres, set_types = _expand_set(text, set_columns)
    query = Query(
        name=name,
        schema=schema,
        sqlite=f"SELECT json_group_array(json_array({columns})) FROM ({sqlite})",
        postgres=(
            f"SELECT coalesce(json_agg(json_build_array({columns})), '[]'::json)::text"
            f" FROM ({postgres}) AS found"
        ),
        set_types=set_types,
        may_scan=may_scan,
    )
    return register_query(query)


def declare_key_query(name: str, schema: Schema, *, columns: str) -> Query:
    """Declare a SELECT of rows of `duplicates` by ledger and key, which the rows of its set are.

    `columns` of the table make the rows of the JSON document. See `Query.seeks_keys`.
    """
    found = "SELECT d.ledger AS ledger, d.key AS key, d.payment AS payment FROM"
    where = "WHERE d.ledger = input.ledger AND d.key = input.key"
    sqlite, _, _ = _expand_set(
        f"{found} {{input}} CROSS JOIN duplicate_keys AS d {where} AND d.segment = input.segment",
        "ledger bigint, key hex, segment bigint",
    )
    _, postgres, set_types = _expand_set(
        f"{found} {{input}} CROSS JOIN duplicates AS d {where}", "ledger bigint, key hex"
    )
    return register_query(
        Query(
            name=name,
            schema=schema,
            sqlite=f"SELECT json_group_array(json_array({_to_sqlite(columns)})) FROM ({sqlite})",
            postgres=(
                f"SELECT coalesce(json_agg(json_build_array({columns})), '[]'::json)::text"
                f" FROM ({postgres}) AS found"
            ),
            set_types=set_types,
            may_scan="",
            seeks_keys=True,
        )
    )


def declare_scan(name: str, schema: Schema, text: str) -> Scan:
    """Declare a scan written once for both databases; `$1…` are scalar values."""
    return register_scan(Scan(name, schema, sqlite=_to_sqlite(text), postgres=text))


def register_scan(scan: Scan) -> Scan:
    """Make a scan known to the test that prepares all of them; for those in two spellings."""
    if scan.name in SCANS:
        raise ValueError(f"there are two scans named {scan.name}")
    SCANS[scan.name] = scan
    return scan


def register_query(query: Query) -> Query:
    """Make a query known to the test that prepares all of them; for those in two spellings."""
    if query.name in QUERIES:
        raise ValueError(f"there are two queries named {query.name}")
    QUERIES[query.name] = query
    return query


def register_write(write: Write) -> Write:
    """Make a write known to the test that prepares all of them; for those of their own shape."""
    if write.name in WRITES:
        raise ValueError(f"there are two writes named {write.name}")
    WRITES[write.name] = write
    return write


def _split_columns(columns: str) -> tuple[list[str], tuple[str, ...]]:
    pairs = [column.split() for column in columns.split(", ")]
    return [name for name, _ in pairs], tuple(kind for _, kind in pairs)


def _sqlite_cell(position: int, kind: str) -> str:
    return f"unhex(?{position})" if kind == "hex" else f"?{position}"


def _postgres_rows(names: Sequence[str], kinds: Sequence[str], *, first: int = 1) -> str:
    """A SELECT of the rows whose columns are the arrays from `$first` on, all of one length.

    One unnest a column, and not one of all columns in FROM: that would write each column to a
    store of its own, and read it from there, before the first row is made.
    """
    columns = ", ".join(
        f"unnest(${i}::{'bytea' if kind == 'hex' else kind}[]) AS {name}"
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True), first)
    )
    return f"SELECT {columns}"


def declare_insert(
    table: str, schema: Schema, *, columns: str, order: int, replace_key: str = ""
) -> Write:
    """Declare an INSERT of rows; with `replace_key` the row of an equal key is overwritten.

    The columns of `replace_key` are the first ones of `columns`.
    """
    names, types = _split_columns(columns)
    cells = ", ".join(_sqlite_cell(i, kind) for i, kind in enumerate(types, 1))
    head = f"INSERT INTO {table} ({', '.join(names)})"
    tail = ""
    if replace_key:
        keys = replace_key.split(", ")
        if names[: len(keys)] != keys:
            raise ValueError(f"the columns of {table} do not begin with its key {replace_key}")
        rest = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
        tail = f" ON CONFLICT ({replace_key}) DO UPDATE SET {rest}"
    return register_write(
        Write(
            name=f"{'replace' if replace_key else 'insert'}_{table}",
            schema=schema,
            sqlite=f"{head} VALUES ({cells}){tail}",
            postgres=f"{head} {_postgres_rows(names, types)}{tail}",
            types=types,
            order=order,
            key_columns=len(replace_key.split(", ")) if replace_key else 0,
        )
    )


def declare_update(
    name: str, table: str, schema: Schema, *, keys: str, columns: str, order: int
) -> Write:
    """Declare an UPDATE of the rows with the given keys; a row is the keys, then the columns."""
    key_names, key_types = _split_columns(keys)
    names, types = _split_columns(columns)
    width = len(key_names)
    sets = ", ".join(
        f"{column} = {_sqlite_cell(width + i, kind)}"
        for i, (column, kind) in enumerate(zip(names, types, strict=True), 1)
    )
    where = " AND ".join(
        f"{key} = {_sqlite_cell(i, kind)}"
        for i, (key, kind) in enumerate(zip(key_names, key_types, strict=True), 1)
    )
    all_types = key_types + types
    joined = " AND ".join(f"{table}.{key} = given.{key}" for key in key_names)
    return register_write(
        Write(
            name=name,
            schema=schema,
            sqlite=f"UPDATE {table} SET {sets} WHERE {where}",
            postgres=(
                f"UPDATE {table} SET {', '.join(f'{c} = given.{c}' for c in names)}"
                f" FROM ({_postgres_rows(key_names + names, all_types)}) AS given"
                f" WHERE {joined}"
            ),
            types=all_types,
            order=order,
            key_columns=width,
        )
    )


def declare_delete(table: str, schema: Schema, *, keys: str, order: int) -> Write:
    """Declare a DELETE of the rows with the given keys."""
    names, types = _split_columns(keys)
    where = " AND ".join(
        f"{name} = {_sqlite_cell(i, kind)}"
        for i, (name, kind) in enumerate(zip(names, types, strict=True), 1)
    )
    joined = " AND ".join(f"{table}.{name} = given.{name}" for name in names)
    return register_write(
        Write(
            name=f"delete_{table}",
            schema=schema,
            sqlite=f"DELETE FROM {table} WHERE {where}",
            postgres=(
                f"DELETE FROM {table} USING ({_postgres_rows(names, types)}) AS given"
                f" WHERE {joined}"
            ),
            types=types,
            order=order,
        )
    )


class WriteSet:
    """The rows that a batch writes, gathered by statement."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[Write, list[Row]] = {}

    def add(self, write: Write, row: Row) -> None:
        """Have `row` written by `write`."""
        rows = self._rows.get(write)
        if rows is None:
            rows = self._rows[write] = []
        rows.append(row)

    def extend(self, write: Write, rows: list[Row]) -> None:
        """Have all of `rows` written by `write`."""
        if rows:
            self._rows.setdefault(write, []).extend(rows)

    def rows_of(self, write: Write) -> list[Row]:
        """What has been gathered for one statement so far, in order."""
        return self._rows.get(write, [])

    def in_order(self) -> list[tuple[Write, Sequence[Row]]]:
        """Everything, in the statements' declared order."""
        return [
            (write, _keep_latest(rows, write.key_columns) if write.key_columns else rows)
            for write, rows in sorted(self._rows.items(), key=lambda item: item[0].order)
        ]


def _keep_latest(rows: list[Row], key_columns: int) -> list[Row]:
    if len(rows) == 1:
        return rows
    return list({row[:key_columns]: row for row in rows}.values())
