"""SQLite through apsw: the writer of an engine, the readers of workers, and how both are opened."""

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec

from pesalango_server.storage.database import (
    CommitUnknown,
    Read,
    Row,
    StatementRejected,
    StorageUnavailable,
    Write,
)
from pesalango_server.storage.segments import ClosedSegments, KeySegments, has_segments

VERSION_MIN = 3_051_003
"""3.7.0 to 3.51.2 can corrupt a database when a WAL is reset while another process reads."""

_encode = msgspec.json.Encoder().encode

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk, a user's quota or a process's limit leaves no room."""

_BUSY_TIMEOUT_MS = 2_000
_CACHE_KIB = 32_768
# apsw looks a statement up again for each row of `executemany`, and each time puts it back into the
# next slot, whatever was there: with its 100 slots a batch pushed out all that the next one needs,
# which SQLite then parsed anew. There are no more than 512; a batch of 120 payments, the default's
# largest, has four rows to write for each, and a dozen statements for all.
_STATEMENT_SLOTS = 512
_JOURNAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024
# A page that many batches change is copied once a checkpoint: at 2 000 pages a payment took a
# quarter more time than at 8 000, and the longest batch was no shorter.
_CHECKPOINT_PAGES = 8_000


def explain(error: apsw.Error, connection: apsw.Connection | None) -> str:
    """What SQLite says, and after a failure of the system what that says: "disk I/O error" is vague."""
    number = 0
    if connection is not None and isinstance(error, apsw.IOError | apsw.CantOpenError):
        with contextlib.suppress(apsw.ConnectionClosedError):
            number = connection.system_errno
    return f"{error} ({os.strerror(number)})" if number else str(error)


def check_version() -> None:
    """Refuse a SQLite that is known to lose data. Raises `StorageUnavailable`."""
    if apsw.SQLITE_VERSION_NUMBER < VERSION_MIN:
        raise StorageUnavailable(
            f"SQLite {apsw.sqlite_lib_version()} can corrupt a database under load; "
            "install the apsw that requirements/run.txt names (SQLite 3.51.3 or newer)"
        )


def open_writer(
    path: Path | str, *, vfs: str | None = None, pragmas: Sequence[str] = ()
) -> apsw.Connection:
    """A connection for writing: WAL, every commit on the disk before it returns.

    `vfs` and `pragmas` (run before any other) are for tests that stand between SQLite and disk.
    """
    check_version()
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=_STATEMENT_SLOTS)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"cache_size = -{_CACHE_KIB}",
            f"journal_size_limit = {_JOURNAL_SIZE_LIMIT_BYTES}",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except apsw.Error as error:
        raise StorageUnavailable(
            f"cannot open the database {path}: {explain(error, connection)}"
        ) from error
    return connection


def open_reader(path: Path | str) -> apsw.Connection:
    """A connection that cannot write. Raises `StorageUnavailable`."""
    check_version()
    try:
        connection = apsw.Connection(
            str(path), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOMUTEX
        )
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB // 8}").fetchall()
    except apsw.Error as error:
        raise StorageUnavailable(f"cannot read the database {path}: {error}") from error
    return connection


class SqliteWriter:
    """See `database.Writer`."""

    dialect = "sqlite"

    def __init__(
        self, path: Path | str, *, vfs: str | None = None, pragmas: Sequence[str] = ()
    ) -> None:
        self._path, self._vfs, self._pragmas = path, vfs, pragmas
        self._open()

    def _open(self) -> None:
        self._connection = open_writer(self._path, vfs=self._vfs, pragmas=self._pragmas)
        self._cursor = self._connection.cursor()
        self._segments: KeySegments | None = None
        try:
            if has_segments(self._connection):
                self._segments = KeySegments(self._connection)
        except apsw.Error as error:
            reason = explain(error, self._connection)
            self.close()
            raise StorageUnavailable(f"cannot read the database {self._path}: {reason}") from error

    def begin(self, reads: Sequence[Read]) -> list[bytes]:
        """See `Writer.begin`."""
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
            if self._segments is not None:
                self._segments.refresh()
        except apsw.Error as error:
            raise self._unavailable(error) from error
        return self.read(reads)

    def read(self, reads: Sequence[Read]) -> list[bytes]:
        """See `Writer.read`."""
        try:
            return [self._run(read) for read in reads]
        except apsw.SQLError as error:
            raise StatementRejected(str(error)) from error
        except apsw.Error as error:
            raise StorageUnavailable(f"the database cannot be read: {error}") from error

    def _run(self, read: Read) -> bytes:
        rows, segments = read.rows, self._segments
        if read.query.seeks_keys and rows is not None and segments is not None:
            rows = segments.seek(rows)
            if not rows:
                return b"[]"
            read = Read(read.query, read.values, rows)
        return run_read(self._cursor, read)

    def commit(self, writes: Sequence[tuple[Write, Sequence[Row]]]) -> None:
        """See `Writer.commit`."""
        cursor, segments = self._cursor, self._segments
        closes = False
        try:
            for write, rows in writes:
                keeper = segments if write.keeps_keys else None
                cursor.executemany(write.sqlite, rows if keeper is None else keeper.keep(rows))
            if segments is not None and segments.is_full:
                closes = True
                segments.begin_next(cursor)
        except (apsw.ConstraintError, apsw.SQLError, apsw.MismatchError, TypeError) as error:
            raise StatementRejected(f"{error}") from error
        except apsw.Error as error:
            raise self._unavailable(error) from error
        try:
            cursor.execute("COMMIT")
        except (apsw.FullError, apsw.BusyError) as error:
            # Without room the commit frame is not whole, and a frame that is not whole is no
            # commit: recovery stops at its checksum. So it is certain that nothing was kept.
            raise self._unavailable(error) from error
        except apsw.Error as error:
            if self._lacks_room(error):
                raise self._unavailable(error) from error
            reason = explain(error, self._connection)
            raise CommitUnknown(f"the disk failed while committing: {reason}") from error
        if closes and segments is not None:
            segments.go_on()

    def _unavailable(self, error: apsw.Error) -> StorageUnavailable:
        reason = explain(error, self._connection)
        return StorageUnavailable(f"the database cannot be written to: {reason}")

    def _lacks_room(self, error: apsw.Error) -> bool:
        """Whether a quota or a limit kept a page from being written: a full disk by another name.

        SQLite calls only ENOSPC full. Any other failure to write, and every failure to sync, may
        have left the commit's frame on the disk.
        """
        return (
            isinstance(error, apsw.IOError)
            and getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_WRITE
            and self._connection.system_errno in _NO_ROOM
        )

    def rollback(self) -> None:
        """See `Writer.rollback`."""
        try:
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
        except apsw.Error:
            # A failed statement may have rolled back already; what else is wrong, the next
            # `begin` will tell.
            return

    def reconnect(self) -> None:
        """See `Writer.reconnect`."""
        self.close()
        self._open()
        # Where the disk is full the log may hold all the room that is left: once it is copied into
        # the database, the next batches begin it anew.
        with contextlib.suppress(apsw.Error):
            self._cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def wal_bytes(self) -> int:
        """Size of the write-ahead log file."""
        try:
            return Path(f"{self._path}-wal").stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        """See `Writer.close`."""
        # What cannot be copied from the log into the database now is copied by the next connection.
        with contextlib.suppress(apsw.Error):
            self._connection.close(force=True)


class SqliteReader:
    """See `database.Reader`."""

    def __init__(self, path: Path | str, closed: ClosedSegments | None = None) -> None:
        self._connection = open_reader(path)
        self._cursor = self._connection.cursor()
        self._closed = closed or ClosedSegments()

    def read(self, read: Read) -> bytes:
        """See `Reader.read`."""
        try:
            if read.query.seeks_keys and read.rows is not None:
                rows = self._closed.seek(self._connection, read.rows)
                read = Read(read.query, read.values, rows)
            return run_read(self._cursor, read)
        except apsw.Error as error:
            raise StorageUnavailable(f"the database cannot be read: {error}") from error

    def close(self) -> None:
        """See `Reader.close`."""
        self._connection.close(force=True)


def run_read(cursor: apsw.Cursor, read: Read) -> bytes:
    """Run one query; its whole answer is fetched, so that no read transaction stays open."""
    values = read.values
    if read.rows is not None:
        values = (*values, _encode(read.rows).decode())
    ((document,),) = cursor.execute(read.query.sqlite, values).fetchall()
    return str(document).encode()
