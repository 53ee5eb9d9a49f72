"""PostgreSQL through psycopg's libpq binding: one pipeline for a batch's reads, one for its writes.

The engine's connection speaks libpq directly: statements are prepared once under their names,
parameters travel as text, and a batch is two round trips. Readers use the same small class.
"""

import select
import time
from collections.abc import Sequence

import psycopg
from psycopg import pq

from pesalango_server.storage.arrays import encode_columns, encode_scalar
from pesalango_server.storage.database import (
    CommitUnknown,
    Read,
    Row,
    StatementRejected,
    StorageError,
    StorageUnavailable,
    Write,
)

_CONNECT_TIMEOUT_S = 5

_OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

# Classes of SQLSTATE that say "not now" rather than "not like this": connection, resources,
# operator intervention, system error, lock timeout, idle in transaction, read-only (a standby).
_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
_UNAVAILABLE_STATES = ("55P03", "25P02", "25P03", "25006", "40001", "40P01")

# Every statement looks rows up by key, in the order in which its joins are written. A planner that
# sees a table empty, as all are at first, would rather scan it, and keep that plan while it grows.
_PLANS = (
    "SET plan_cache_mode = force_generic_plan",
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET join_collapse_limit = 1",
    "SET jit = off",
)

_SETTINGS = (
    "SET lock_timeout = '{lock_timeout_ms}ms'",
    "SET idle_in_transaction_session_timeout = '5s'",
    "SET TIME ZONE 'UTC'",
    "SET bytea_output = 'hex'",
)


def connect(conninfo: str, *, schema: str) -> pq.abc.PGconn:
    """A connection whose unqualified names mean `schema`. Raises `StorageUnavailable`."""
    try:
        parameters = {
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "application_name": "pesalango",
            **{k: str(v) for k, v in psycopg.conninfo.conninfo_to_dict(conninfo).items()},
        }
    except psycopg.Error as error:
        raise StorageUnavailable(f"the database address cannot be read: {error}") from error
    connection = _open(psycopg.conninfo.make_conninfo("", **parameters))
    if connection.status != pq.ConnStatus.OK:
        message = " ".join(connection.get_error_message().split())
        connection.finish()
        raise StorageUnavailable(f"the database cannot be reached: {message}")
    run_simple(connection, f'SET search_path = "{schema}"')
    return connection


def _open(conninfo: str) -> pq.abc.PGconn:
    """Connect while other threads run: libpq's own waiting would hold the interpreter's lock."""
    connection = pq.PGconn.connect_start(conninfo.encode())
    until = time.monotonic() + _CONNECT_TIMEOUT_S
    wants: int = pq.PollingStatus.WRITING
    while connection.status != pq.ConnStatus.BAD and wants != pq.PollingStatus.OK:
        # The socket may be another one after each step: libpq tries one address after another.
        poll = select.poll()
        poll.register(
            connection.socket,
            select.POLLIN if wants == pq.PollingStatus.READING else select.POLLOUT,
        )
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            connection.finish()
            raise StorageUnavailable(
                f"the database cannot be reached: no answer within {_CONNECT_TIMEOUT_S} s"
            )
        wants = connection.connect_poll()
        if wants == pq.PollingStatus.FAILED:
            break
    return connection


def run_simple(connection: pq.abc.PGconn, sql: str) -> pq.abc.PGresult:
    """Run one statement by itself, outside any pipeline. Raises as `Writer` does."""
    result = connection.exec_(sql.encode())
    if result.status not in _OK:
        raise _error_of(result)
    return result


def _error_of(result: pq.abc.PGresult) -> StorageError:
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    message = result.get_error_message().strip().splitlines()[:1]
    code = state.decode() if state else ""
    if not code or code[:2] in _UNAVAILABLE_CLASSES or code in _UNAVAILABLE_STATES:
        return StorageUnavailable(f"the database is not available: {' '.join(message)}")
    return StatementRejected(f"{code}: {' '.join(message)}")


class _ConnectionLost(Exception):
    """The server, or the way to it, is gone."""


class Pipeline:
    """Sends prepared statements in one go and collects their results."""

    def __init__(self, connection: pq.abc.PGconn) -> None:
        self._connection = connection
        self._prepared: set[str] = set()
        self._poll = select.poll()
        self._poll.register(connection.socket, select.POLLIN)
        connection.nonblocking = 1

    def run(self, statements: Sequence[tuple[str, str, Sequence[bytes | None]]]) -> list[bytes]:
        """Run (name, sql, parameters) in turn; each answer's first cell, or its command tag.

        Raises `_ConnectionLost`, or the first statement's error; those after it did not run.
        """
        connection = self._connection
        try:
            connection.enter_pipeline_mode()
            expected: list[str | None] = []
            for name, sql, parameters in statements:
                if name not in self._prepared and name not in expected:
                    connection.send_prepare(name.encode(), sql.encode())
                    expected.append(name)
                connection.send_query_prepared(name.encode(), parameters)
                expected.append(None)
            connection.pipeline_sync()
            return self._collect(expected)
        except psycopg.OperationalError as error:
            raise _ConnectionLost(str(error)) from error

    def _collect(self, expected: list[str | None]) -> list[bytes]:
        """`expected` has a name where a PREPARE was sent, None where a statement was run."""
        connection = self._connection
        answers: list[bytes] = []
        failure: StorageError | None = None
        for prepared_name in expected:
            result = self._next_result()
            if result.status in _OK:
                if prepared_name is None:
                    answers.append(_first_cell(result))
                else:
                    self._prepared.add(prepared_name)
            elif failure is None:
                failure = _error_of(result)
                if connection.status == pq.ConnStatus.BAD:
                    raise _ConnectionLost(str(failure))
            self._end_of_result()
        sync = self._next_result()
        if sync.status != pq.ExecStatus.PIPELINE_SYNC:
            raise _ConnectionLost("the answers ended before the pipeline did")
        connection.exit_pipeline_mode()
        if failure is not None:
            raise failure
        return answers

    def _next_result(self) -> pq.abc.PGresult:
        connection = self._connection
        while True:
            unsent = connection.flush()
            if not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    raise _ConnectionLost(connection.get_error_message())
                return result
            if unsent:
                self._poll.modify(connection.socket, select.POLLIN | select.POLLOUT)
                self._poll.poll()
                self._poll.modify(connection.socket, select.POLLIN)
            else:
                self._poll.poll()
            connection.consume_input()

    def _end_of_result(self) -> None:
        connection = self._connection
        while connection.is_busy():
            self._poll.poll()
            connection.consume_input()
        if connection.get_result() is not None:
            raise _ConnectionLost("a statement gave two results")


def _first_cell(result: pq.abc.PGresult) -> bytes:
    if result.status == pq.ExecStatus.TUPLES_OK and result.ntuples:
        return result.get_value(0, 0) or b""
    return result.command_status or b""


def _prepare_read(read: Read) -> tuple[str, str, Sequence[bytes | None]]:
    parameters = [encode_scalar(value) for value in read.values]
    if read.rows is not None:
        parameters += encode_columns(read.rows, read.query.set_types)
    return read.query.name, read.query.postgres, parameters


class PostgresWriter:
    """See `database.Writer`."""

    dialect = "postgres"

    def __init__(self, conninfo: str, *, schema: str, lock_timeout_ms: int = 5_000) -> None:
        self._conninfo, self._schema, self._lock_timeout_ms = conninfo, schema, lock_timeout_ms
        self._connection: pq.abc.PGconn | None = None
        self.reconnect()

    def reconnect(self) -> None:
        """See `Writer.reconnect`."""
        self.close()
        connection = connect(self._conninfo, schema=self._schema)
        for setting in (*_PLANS, *_SETTINGS):
            run_simple(connection, setting.format(lock_timeout_ms=self._lock_timeout_ms))
        self._connection = connection
        self._pipeline = Pipeline(connection)

    def begin(self, reads: Sequence[Read]) -> list[bytes]:
        """See `Writer.begin`."""
        return self._run(("begin", "BEGIN", ()), reads)[1:]

    def read(self, reads: Sequence[Read]) -> list[bytes]:
        """See `Writer.read`."""
        return self._run(None, reads)

    def _run(
        self, first: tuple[str, str, Sequence[bytes | None]] | None, reads: Sequence[Read]
    ) -> list[bytes]:
        if self._connection is None:
            raise StorageUnavailable("the database is not connected")
        statements = [] if first is None else [first]
        statements += [_prepare_read(read) for read in reads]
        try:
            return self._pipeline.run(statements)
        except _ConnectionLost as error:
            self.close()
            raise StorageUnavailable(f"the database connection was lost: {error}") from error

    def commit(self, writes: Sequence[tuple[Write, Sequence[Row]]]) -> None:
        """See `Writer.commit`."""
        if self._connection is None:
            raise StorageUnavailable("the database is not connected")
        statements: list[tuple[str, str, Sequence[bytes | None]]] = [
            (write.name, write.postgres, encode_columns(rows, write.types))
            for write, rows in writes
        ]
        statements.append(("commit", "COMMIT", ()))
        try:
            answers = self._pipeline.run(statements)
        except _ConnectionLost as error:
            self.close()
            raise CommitUnknown(f"the connection was lost while committing: {error}") from error
        if answers[-1] != b"COMMIT":
            raise StatementRejected(f"COMMIT was answered {answers[-1].decode()}")

    def rollback(self) -> None:
        """See `Writer.rollback`."""
        connection = self._connection
        if connection is None or connection.transaction_status == pq.TransactionStatus.IDLE:
            return
        try:
            connection.nonblocking = 0
            result = connection.exec_(b"ROLLBACK")
            connection.nonblocking = 1
        except psycopg.OperationalError:
            self.close()
            return
        if result.status not in _OK:
            self.close()

    def close(self) -> None:
        """See `Writer.close`."""
        if self._connection is not None:
            self._connection.finish()
            self._connection = None


class PostgresReader:
    """See `database.Reader`: a read-only session that connects again by itself."""

    def __init__(self, conninfo: str, *, schema: str) -> None:
        self._conninfo, self._schema = conninfo, schema
        self._connection: pq.abc.PGconn | None = None
        self._open()

    def _open(self) -> None:
        connection = connect(self._conninfo, schema=self._schema)
        run_simple(connection, "SET default_transaction_read_only = on")
        run_simple(connection, "SET statement_timeout = '5s'")
        for setting in _PLANS:
            run_simple(connection, setting)
        self._connection, self._pipeline = connection, Pipeline(connection)

    def read(self, read: Read) -> bytes:
        """See `Reader.read`."""
        for attempt in (1, 2):
            if self._connection is None:
                self._open()
            try:
                return self._pipeline.run([_prepare_read(read)])[0]
            except _ConnectionLost as error:
                # A connection that idled may have been cut long ago: a read may be repeated.
                self.close()
                if attempt == 2:
                    raise StorageUnavailable(f"the connection was lost: {error}") from error
        raise StorageUnavailable("the database is not connected")

    def close(self) -> None:
        """See `Reader.close`."""
        if self._connection is not None:
            self._connection.finish()
            self._connection = None
