"""PostgreSQL through psycopg's libpq binding: one pipeline for a batch's reads, one for its writes.

The engine's connection speaks libpq directly: statements are prepared once under their names,
parameters travel as text, and a batch is two round trips. Readers use the same small class.
"""

import select
import time
from collections.abc import Sequence

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from pesalango_server.storage.arrays import encode_columns, encode_scalar
from pesalango_server.storage.conninfo import (
    Parameters,
    describe_unreachable,
    list_hosts,
    read_conninfo,
    resolve_host,
)
from pesalango_server.storage.database import (
    CommitUnknown,
    Read,
    Row,
    StatementRejected,
    StorageError,
    StorageUnavailable,
    Write,
)

_CONNECT_TIMEOUT_S = 5.0
"""For each address of each host."""

ANSWER_TIMEOUT_MS = 5_000
"""For what waits for no lock; an answer that takes longer does not come."""

# What an answer may take beyond the waiting that the server itself puts an end to.
_READ_MARGIN_MS = 2_000
_WRITE_MARGIN_MS = 20_000

_STATEMENT_TIMEOUT_MS = 5_000

_OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

# Classes of SQLSTATE that say "not now" rather than "not like this": connection, resources,
# operator intervention, system error, lock timeout, idle in transaction, read-only (a standby).
_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
_UNAVAILABLE_STATES = ("55P03", "25P02", "25P03", "25006", "40001", "40P01")

# Every statement looks rows up by key, in the order in which its joins are written. A planner that
# sees a table empty, as all are at first, would rather scan it, and keep that plan while it grows.
# A bitmap would be made for nothing: nearly every key has one row.
_PLANS = (
    "SET plan_cache_mode = force_generic_plan",
    "SET enable_seqscan = off",
    "SET enable_bitmapscan = off",
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
    connection = _open(read_conninfo(conninfo, application_name="pesalango"))
    _set(connection, f'SET search_path = "{schema}"')
    return connection


def _open(parameters: Parameters) -> pq.abc.PGconn:
    """A connection to the first host that will do; each address of each has a time of its own."""
    failures: list[str] = []
    for host in list_hosts(parameters):
        try:
            attempts = resolve_host(host)
        except (OSError, UnicodeError) as error:
            failures.append(f'the name "{host.get("host")}" cannot be resolved ({error})')
            continue
        for attempt in attempts:
            connection = pq.PGconn.connect_start(make_conninfo("", **attempt).encode())
            failure = _wait_for_connection(connection)
            if failure is None:
                return connection
            connection.finish()
            failures.append(failure)
    raise StorageUnavailable(describe_unreachable("; ".join(failures)))


def _wait_for_connection(connection: pq.abc.PGconn) -> str | None:
    """What went wrong, if anything. Other threads run: libpq's own waiting would hold their lock."""
    until = time.monotonic() + _CONNECT_TIMEOUT_S
    wants: int = pq.PollingStatus.WRITING
    while connection.status != pq.ConnStatus.BAD and wants != pq.PollingStatus.OK:
        # The socket may be another one after each step: without TLS libpq begins anew.
        poll = select.poll()
        poll.register(
            connection.socket,
            select.POLLIN if wants == pq.PollingStatus.READING else select.POLLOUT,
        )
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            place = f"{connection.host.decode()}:{connection.port.decode()}"
            return f"no answer from {place} within {_CONNECT_TIMEOUT_S:g} s"
        wants = connection.connect_poll()
        if wants == pq.PollingStatus.FAILED:
            break
    if connection.status == pq.ConnStatus.OK:
        return None
    return " ".join(connection.get_error_message().split())


def run_simple(
    connection: pq.abc.PGconn, sql: str, *, timeout_ms: int | None = ANSWER_TIMEOUT_MS
) -> pq.abc.PGresult:
    """Run statements by themselves, outside any pipeline; the last one's result.

    `timeout_ms` None waits for as long as it takes, and the connection stands. Raises
    `StorageUnavailable`, also when it is not known whether they were run, and `StatementRejected`.
    """
    answers = _Answers(connection)
    answers.expect_within(timeout_ms)
    try:
        connection.send_query(sql.encode())
        last = answers.next()
        while (result := answers.next()) is not None:
            last = result
    except (psycopg.OperationalError, _ConnectionLost) as error:
        raise StorageUnavailable(f"the database connection was lost: {error}") from error
    if last is None or last.status not in _OK:
        raise (
            StorageUnavailable("the database gave no answer") if last is None else _error_of(last)
        )
    return last


def _set(connection: pq.abc.PGconn, *settings: str) -> None:
    """Settings of a new connection, which is given up where they cannot be had."""
    try:
        run_simple(connection, "; ".join(settings))
    except BaseException:
        connection.finish()
        raise


def _error_of(result: pq.abc.PGresult) -> StorageError:
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    message = result.get_error_message().strip().splitlines()[:1]
    code = state.decode() if state else ""
    if not code or code[:2] in _UNAVAILABLE_CLASSES or code in _UNAVAILABLE_STATES:
        return StorageUnavailable(f"the database is not available: {' '.join(message)}")
    return StatementRejected(f"{code}: {' '.join(message)}")


class _ConnectionLost(Exception):
    """The server, or the way to it, is gone."""


class _Answers:
    """The results of a connection as they come in, awaited no longer than up to a deadline."""

    def __init__(self, connection: pq.abc.PGconn) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection.socket, select.POLLIN)
        self._timeout_ms: int | None = None
        self._until = 0.0
        connection.nonblocking = 1

    def expect_within(self, timeout_ms: int | None) -> None:
        """All results from now on, together, may take so long."""
        self._timeout_ms = timeout_ms
        if timeout_ms is not None:
            self._until = time.monotonic() + timeout_ms / 1000

    def next(self) -> pq.abc.PGresult | None:
        """The next one, or None, which ends a statement's. Raises `_ConnectionLost` and libpq's."""
        connection = self._connection
        while True:
            unsent = connection.flush()
            if not connection.is_busy():
                return connection.get_result()
            if unsent:
                self._poll.modify(connection.socket, select.POLLIN | select.POLLOUT)
                self._wait()
                self._poll.modify(connection.socket, select.POLLIN)
            else:
                self._wait()
            connection.consume_input()

    def _wait(self) -> None:
        if self._timeout_ms is None:
            self._poll.poll()
            return
        left_ms = (self._until - time.monotonic()) * 1000
        if left_ms <= 0 or not self._poll.poll(left_ms):
            raise _ConnectionLost(f"no answer within {self._timeout_ms / 1000:g} s")


class Pipeline:
    """Sends prepared statements in one go and collects their results."""

    def __init__(self, connection: pq.abc.PGconn) -> None:
        self._connection = connection
        self._prepared: set[str] = set()
        self._answers = _Answers(connection)

    def run(
        self, statements: Sequence[tuple[str, str, Sequence[bytes | None]]], *, timeout_ms: int
    ) -> list[bytes]:
        """Run (name, sql, parameters) in turn; each answer's first cell, or its command tag.

        Raises `_ConnectionLost`, or the first statement's error; those after it did not run.
        """
        connection = self._connection
        self._answers.expect_within(timeout_ms)
        try:
            if connection.pipeline_status != pq.PipelineStatus.OFF:
                # Whoever was interrupted there left answers behind that are not ours.
                raise _ConnectionLost("an earlier pipeline did not come to its end")
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
        result = self._answers.next()
        if result is None:
            raise _ConnectionLost(self._connection.get_error_message())
        return result

    def _end_of_result(self) -> None:
        if self._answers.next() is not None:
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

    def __init__(
        self,
        conninfo: str,
        *,
        schema: str,
        lock_timeout_ms: int = 5_000,
        answer_timeout_ms: int | None = None,
    ) -> None:
        """`answer_timeout_ms` is for everything sent at once; None leaves locks ample time."""
        self._conninfo, self._schema, self._lock_timeout_ms = conninfo, schema, lock_timeout_ms
        self._answer_timeout_ms = answer_timeout_ms or 2 * lock_timeout_ms + _WRITE_MARGIN_MS
        self._connection: pq.abc.PGconn | None = None
        self.reconnect()

    def reconnect(self) -> None:
        """See `Writer.reconnect`."""
        self.close()
        connection = connect(self._conninfo, schema=self._schema)
        settings = [text.format(lock_timeout_ms=self._lock_timeout_ms) for text in _SETTINGS]
        _set(connection, *_PLANS, *settings)
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
            return self._pipeline.run(statements, timeout_ms=self._answer_timeout_ms)
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
            answers = self._pipeline.run(statements, timeout_ms=self._answer_timeout_ms)
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
            self._pipeline.run(
                [("rollback", "ROLLBACK", ())],
                timeout_ms=min(ANSWER_TIMEOUT_MS, self._answer_timeout_ms),
            )
        except (_ConnectionLost, StorageError):
            self.close()

    def close(self) -> None:
        """See `Writer.close`."""
        if self._connection is not None:
            self._connection.finish()
            self._connection = None


class PostgresReader:
    """See `database.Reader`: a read-only session that connects again by itself."""

    def __init__(
        self,
        conninfo: str,
        *,
        schema: str,
        answer_timeout_ms: int = _STATEMENT_TIMEOUT_MS + _READ_MARGIN_MS,
    ) -> None:
        """A read may take `answer_timeout_ms` twice: it is repeated on a new connection."""
        self._conninfo, self._schema = conninfo, schema
        self._answer_timeout_ms = answer_timeout_ms
        self._connection: pq.abc.PGconn | None = None
        self._open()

    def _open(self) -> None:
        connection = connect(self._conninfo, schema=self._schema)
        _set(
            connection,
            "SET default_transaction_read_only = on",
            f"SET statement_timeout = '{_STATEMENT_TIMEOUT_MS}ms'",
            *_PLANS,
        )
        self._connection, self._pipeline = connection, Pipeline(connection)

    def read(self, read: Read) -> bytes:
        """See `Reader.read`."""
        for attempt in (1, 2):
            if self._connection is None:
                self._open()
            try:
                answers = self._pipeline.run(
                    [_prepare_read(read)], timeout_ms=self._answer_timeout_ms
                )
                return answers[0]
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
