"""The proxy that cuts a PostgreSQL connection around a COMMIT, seen from both of its sides."""

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn

from tests.store.postgres_proxy import PostgresProxy
from tests.store.postgres_proxy_process import CutPoint

Commit = Callable[[PGconn, int], list[bytes]]
"""Sends a transaction that writes one number; the tags that were received, errors left out."""


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS proxied")
        connection.execute("CREATE TABLE proxied (number bigint PRIMARY KEY, text text)")
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: PostgresProxy) -> Iterator[PGconn]:
    connection = connect(proxy)
    yield connection
    connection.finish()


def connect(proxy: PostgresProxy) -> PGconn:
    connection = pq.PGconn.connect(proxy.url.encode())
    assert connection.status == pq.ConnStatus.OK, connection.get_error_message()
    return connection


def read_numbers(postgres_url: str) -> list[int]:
    """What the server holds, read past the proxy, after every transaction has ended."""
    with psycopg.connect(postgres_url) as connection:
        # Waits for the transaction of a client that went away to be rolled back.
        connection.execute("LOCK TABLE proxied IN ACCESS EXCLUSIVE MODE")
        return [number for (number,) in connection.execute("SELECT number FROM proxied")]


def receive_tags(connection: PGconn, *, results_max: int = 20) -> list[bytes]:
    """The command tags up to the end of the answers, or of the connection."""
    tags = []
    ends_in_turn = 0
    for _ in range(results_max):
        result = connection.get_result()
        if result is None:
            ends_in_turn += 1
            if ends_in_turn == 2 or connection.pipeline_status == pq.PipelineStatus.OFF:
                break
            continue
        ends_in_turn = 0
        if result.status == pq.ExecStatus.COMMAND_OK and result.command_status:
            tags.append(result.command_status)
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            break
    return tags


def commit_by_queries(connection: PGconn, number: int) -> list[bytes]:
    tags = []
    for text in ("BEGIN", f"INSERT INTO proxied VALUES ({number})", "COMMIT"):
        connection.send_query(text.encode())
        tags += receive_tags(connection)
    return tags


def commit_by_one_query(connection: PGconn, number: int) -> list[bytes]:
    connection.send_query(f"BEGIN; INSERT INTO proxied VALUES ({number}); commit work;".encode())
    return receive_tags(connection)


def commit_by_pipeline(connection: PGconn, number: int) -> list[bytes]:
    connection.enter_pipeline_mode()
    connection.send_query_params(b"BEGIN", None)
    connection.send_query_params(b"INSERT INTO proxied VALUES ($1)", [str(number).encode()])
    connection.send_query_params(b"COMMIT", None)
    connection.pipeline_sync()
    tags = receive_tags(connection)
    if connection.status == pq.ConnStatus.OK:
        connection.exit_pipeline_mode()
    return tags


def prepare_and_commit_by_pipeline(connection: PGconn, number: int) -> list[bytes]:
    """As an engine does: all statements named, and prepared on a connection's first use."""
    connection.enter_pipeline_mode()
    statements = {
        b"begin": b"BEGIN",
        b"commit_count": b"INSERT INTO proxied VALUES ($1)",
        b"end_of_batch": b"COMMIT",
    }
    for name, text in statements.items():
        connection.send_prepare(name, text)
        values = [str(number).encode()] if b"$1" in text else None
        connection.send_query_prepared(name, values)
    connection.pipeline_sync()
    tags = receive_tags(connection)
    if connection.status == pq.ConnStatus.OK:
        connection.exit_pipeline_mode()
        for name in statements:
            connection.exec_(b"DEALLOCATE " + name)
    return tags


ALL_WAYS = [
    commit_by_queries,
    commit_by_one_query,
    commit_by_pipeline,
    prepare_and_commit_by_pipeline,
]
ALL_TAGS = [b"BEGIN", b"INSERT 0 1", b"COMMIT"]


@pytest.mark.parametrize("commit", ALL_WAYS)
def test_without_a_cut_the_proxy_changes_nothing(
    commit: Commit, client: PGconn, postgres_url: str
) -> None:
    for number in (1, 2, 3):
        assert commit(client, number) == ALL_TAGS

    assert read_numbers(postgres_url) == [1, 2, 3]


@pytest.mark.parametrize("commit", ALL_WAYS)
def test_a_cut_before_the_commit_leaves_nothing_on_the_server(
    commit: Commit, proxy: PostgresProxy, client: PGconn, postgres_url: str
) -> None:
    assert commit(client, 1) == ALL_TAGS
    proxy.cut_at("before_commit")

    assert b"COMMIT" not in commit(client, 2)

    assert client.status == pq.ConnStatus.BAD
    assert proxy.cuts == 1
    assert read_numbers(postgres_url) == [1]


@pytest.mark.parametrize("commit", ALL_WAYS)
def test_a_cut_before_the_answer_leaves_a_commit_that_nobody_was_told_of(
    commit: Commit, proxy: PostgresProxy, client: PGconn, postgres_url: str
) -> None:
    assert commit(client, 1) == ALL_TAGS
    proxy.cut_at("committed_unanswered")

    assert commit(client, 2) == [b"BEGIN", b"INSERT 0 1"]

    assert client.status == pq.ConnStatus.BAD
    assert proxy.cuts == 1
    assert read_numbers(postgres_url) == [1, 2]


@pytest.mark.parametrize("commit", ALL_WAYS)
def test_a_cut_after_the_commit_lets_its_tag_through(
    commit: Commit, proxy: PostgresProxy, client: PGconn, postgres_url: str
) -> None:
    proxy.cut_at("after_commit")

    assert commit(client, 1) == ALL_TAGS

    assert proxy.wait_for_cuts(1)
    assert commit_fails(client, 2)
    assert read_numbers(postgres_url) == [1]


def commit_fails(connection: PGconn, number: int) -> bool:
    try:
        return commit_by_queries(connection, number) == []
    except psycopg.OperationalError:
        return True


@pytest.mark.parametrize(
    ("point", "stored"),
    [("before_commit", [1, 4]), ("committed_unanswered", [1, 2, 3, 4])],
)
def test_commits_are_skipped_and_cut_as_often_as_asked(
    point: CutPoint, stored: list[int], proxy: PostgresProxy, postgres_url: str
) -> None:
    proxy.cut_at(point, skip=1, count=2)
    answered = []
    for number in (1, 2, 3, 4):
        connection = connect(proxy)
        if b"COMMIT" in commit_by_pipeline(connection, number):
            answered.append(number)
        connection.finish()

    assert answered == [1, 4]
    assert proxy.cuts == 2
    assert read_numbers(postgres_url) == stored


def test_a_commit_that_the_server_rolls_back_is_not_cut_as_committed(
    proxy: PostgresProxy, client: PGconn
) -> None:
    assert commit_by_queries(client, 1) == ALL_TAGS
    proxy.cut_at("committed_unanswered")

    # The number is there already.
    assert commit_by_queries(client, 1) == [b"BEGIN", b"ROLLBACK"]

    assert proxy.cuts == 0


@pytest.mark.parametrize("point", ["before_commit", "committed_unanswered", "after_commit"])
def test_a_value_or_a_name_that_reads_commit_is_no_commit(
    point: CutPoint, proxy: PostgresProxy, client: PGconn
) -> None:
    proxy.cut_at(point)
    client.exec_(b"INSERT INTO proxied VALUES (1, 'COMMIT')")
    client.exec_params(b"INSERT INTO proxied VALUES (2, $1)", [b"COMMIT"])
    client.prepare(b"commit", b"SELECT 'COMMIT' AS commit")
    client.exec_prepared(b"commit", None)
    # A name that stood for COMMIT stands for something else.
    client.prepare(b"", b"COMMIT")
    client.prepare(b"", b"SELECT 1")
    client.exec_prepared(b"", None)

    assert client.status == pq.ConnStatus.OK
    assert proxy.cuts == 0


def test_every_present_connection_can_be_cut_at_once(
    proxy: PostgresProxy, client: PGconn, postgres_url: str
) -> None:
    other = connect(proxy)
    client.exec_(b"BEGIN")
    client.exec_(b"INSERT INTO proxied VALUES (1)")

    proxy.cut_now()

    assert proxy.cuts == 2
    assert commit_fails(client, 1)
    assert commit_fails(other, 2)
    other.finish()
    assert read_numbers(postgres_url) == []
    again = connect(proxy)
    assert commit_by_queries(again, 3) == ALL_TAGS
    again.finish()


def test_new_connections_are_refused_while_present_ones_go_on(
    proxy: PostgresProxy, client: PGconn
) -> None:
    proxy.refuse_connections(True)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.url)
    assert commit_by_queries(client, 1) == ALL_TAGS

    proxy.refuse_connections(False)
    connection = connect(proxy)
    assert commit_by_queries(connection, 2) == ALL_TAGS
    connection.finish()


def test_a_server_that_is_not_there_is_a_refused_connection() -> None:
    with (
        PostgresProxy("postgresql://nobody@/none?host=/nowhere&port=5432") as proxy,
        pytest.raises(psycopg.OperationalError),
    ):
        psycopg.connect(proxy.url)


def test_messages_of_megabytes_pass_whole(proxy: PostgresProxy) -> None:
    text = "0123456789" * 300_000
    with psycopg.connect(proxy.url) as connection:
        connection.execute("INSERT INTO proxied VALUES (1, %s)", (text,))
        row = connection.execute("SELECT text FROM proxied").fetchone()
    assert row == (text,)


def test_encryption_is_declined_and_the_client_goes_on_without(proxy: PostgresProxy) -> None:
    conninfo = make_conninfo(proxy.url, sslmode="prefer", gssencmode="prefer")
    with psycopg.connect(conninfo) as connection:
        assert not connection.pgconn.ssl_in_use


def wait_for_lock_waiter(holder: psycopg.Connection) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline_s = time.monotonic() + 20
    while holder.execute(waiting).fetchone() == (0,):
        assert time.monotonic() < deadline_s, "nobody waits for the lock"
        holder.execute("SELECT pg_stat_clear_snapshot()")


def test_a_request_to_cancel_a_statement_reaches_the_server(proxy: PostgresProxy) -> None:
    with psycopg.connect(proxy.url) as connection, psycopg.connect(proxy.url) as holder:
        holder.execute("LOCK TABLE proxied")
        connection.execute("SET statement_timeout = '30s'")
        connection.pgconn.send_query(b"SELECT count(*) FROM proxied")
        wait_for_lock_waiter(holder)
        connection.cancel_safe(timeout=10)
        result = connection.pgconn.get_result()
        assert result is not None
        assert result.error_field(pq.DiagnosticField.SQLSTATE) == b"57014"
        assert connection.pgconn.get_result() is None


def test_closing_the_proxy_ends_its_connections(proxy: PostgresProxy, client: PGconn) -> None:
    proxy.close()
    proxy.close()

    assert commit_fails(client, 1)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.url)
