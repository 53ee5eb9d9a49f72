"""One moment of a database, read at leisure while a server goes on writing to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice

import apsw
import psycopg
from psycopg.conninfo import make_conninfo

from pesalango_server.storage.address import DatabaseAddress
from pesalango_server.storage.conninfo import describe_unreachable, read_conninfo
from pesalango_server.storage.database import Row, Scan, SnapshotReader, StorageUnavailable

PAGE_ROWS = 5_000
"""Rows handed over at a time; a snapshot holds no more of a scan in memory."""

_CACHE_KIB = 65_536
_CONNECT_TIMEOUT_S = 5


@contextmanager
def open_snapshot_reader(address: DatabaseAddress) -> Iterator[SnapshotReader]:
    """A reader of the database as it is now. Raises `StorageUnavailable`."""
    if address.dialect == "sqlite":
        connection = _copy_sqlite(address)
        try:
            yield _SqliteSnapshot(connection)
        finally:
            connection.close(force=True)
        return
    session = _open_postgres(address)
    try:
        yield _PostgresSnapshot(session)
    finally:
        session.close()


def _copy_sqlite(address: DatabaseAddress) -> apsw.Connection:
    """A private copy that the operating system removes, whatever ends this process.

    It is made in one step, so that no commit falls in between. Reading the file itself would do
    too, but for as long as that takes the server could not reuse its write-ahead log.
    """
    try:
        source = apsw.Connection(str(address.path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise StorageUnavailable(f"cannot read the database {address.path}: {error}") from error
    copy = apsw.Connection("")
    try:
        copy.execute(f"PRAGMA cache_size = -{_CACHE_KIB}").fetchall()
        with copy.backup("main", source, "main") as backup:
            backup.step(-1)
    except apsw.Error as error:
        copy.close(force=True)
        raise StorageUnavailable(f"cannot copy the database {address.path}: {error}") from error
    finally:
        source.close(force=True)
    return copy


def _open_postgres(address: DatabaseAddress) -> psycopg.Connection:
    """A session whose one transaction sees what was committed when it began, and cannot write."""
    # It tries each host by itself, each address for the time given.
    conninfo = make_conninfo(
        "",
        **read_conninfo(address.conninfo, application_name="pesalango-audit"),
    )
    try:
        session = psycopg.connect(conninfo, connect_timeout=_CONNECT_TIMEOUT_S)
    except psycopg.Error as error:
        raise StorageUnavailable(describe_unreachable(" ".join(str(error).split()))) from error
    try:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.read_only = True
        # The snapshot is taken by the first statement, and lasts as long as the transaction. Tables
        # are read whole and joined whole: one row at a time would be right for next to none, which
        # is what a planner without statistics expects.
        session.execute(
            f"SET LOCAL search_path = \"{address.schema}\"; SET LOCAL work_mem = '64MB';"
            " SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;"
            " SET LOCAL jit = off; SET LOCAL enable_nestloop = off".encode()
        )
    except psycopg.Error as error:
        session.close()
        raise StorageUnavailable(f"the database cannot be read: {error}") from error
    return session


class _SqliteSnapshot:
    """See `SnapshotReader`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def scan(self, scan: Scan, values: Row = ()) -> Iterator[Sequence[Row]]:
        """See `SnapshotReader.scan`."""
        try:
            rows = self._connection.cursor().execute(scan.sqlite, values)
            while page := list(islice(rows, PAGE_ROWS)):
                yield page
        except apsw.Error as error:
            raise StorageUnavailable(f"{scan.name} cannot be read: {error}") from error


class _PostgresSnapshot:
    """See `SnapshotReader`."""

    def __init__(self, session: psycopg.Connection) -> None:
        self._session = session
        self._numbers = count(1)

    def scan(self, scan: Scan, values: Row = ()) -> Iterator[Sequence[Row]]:
        """See `SnapshotReader.scan`."""
        try:
            with psycopg.RawServerCursor(self._session, f"scan_{next(self._numbers)}") as cursor:
                cursor.execute(scan.postgres.encode(), values, binary=True)
                while page := cursor.fetchmany(PAGE_ROWS):
                    yield page
        except psycopg.Error as error:
            raise StorageUnavailable(f"{scan.name} cannot be read: {error}") from error
