"""A PostgreSQL, or the way to it, that says nothing: every wait for it comes to an end."""

import socket
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pesalango_server.engine.engine import Engine
from pesalango_server.ledger.statuses import State
from pesalango_server.ledger.store import LOAD_STANDINGS
from pesalango_server.storage import postgres
from pesalango_server.storage.database import CommitUnknown, Read, StorageUnavailable
from pesalango_server.storage.postgres import PostgresReader, PostgresWriter, connect, run_simple
from tests.store.engine_fixture import Rig, make_c2b, run_batch
from tests.store.postgres_proxy import PostgresProxy
from tests.store.postgres_proxy_process import CutPoint

ANSWER_TIMEOUT_MS = 300
STANDING = Read(LOAD_STANDINGS, rows=[(1, 1)])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_CONNECT_TIMEOUT_S", 1.0)


@pytest.fixture
def proxy(postgres_rig: Rig) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_rig.address.conninfo) as proxy:
        yield proxy


@pytest.fixture
def writer(postgres_rig: Rig, proxy: PostgresProxy) -> Iterator[PostgresWriter]:
    writer = PostgresWriter(
        proxy.url, schema=postgres_rig.address.schema, answer_timeout_ms=ANSWER_TIMEOUT_MS
    )
    yield writer
    writer.close()


@pytest.fixture
def reader(postgres_rig: Rig, proxy: PostgresProxy) -> Iterator[PostgresReader]:
    reader = PostgresReader(
        proxy.url, schema=postgres_rig.address.schema, answer_timeout_ms=ANSWER_TIMEOUT_MS
    )
    yield reader
    reader.close()


# --- readers -------------------------------------------------------------------------------------


def test_a_read_over_a_connection_that_went_silent_is_repeated_over_another(
    reader: PostgresReader, proxy: PostgresProxy
) -> None:
    assert reader.read(STANDING) == b"[]"
    proxy.fall_silent(True)
    proxy.fall_silent(False)

    assert reader.read(STANDING) == b"[]"


def test_a_read_from_a_database_that_is_silent_altogether_ends(
    reader: PostgresReader, proxy: PostgresProxy
) -> None:
    proxy.fall_silent(True)

    with pytest.raises(StorageUnavailable, match="no answer"):
        reader.read(STANDING)

    proxy.fall_silent(False)
    assert reader.read(STANDING) == b"[]"


# --- the writer ----------------------------------------------------------------------------------


def test_a_batch_that_cannot_begin_is_known_not_to_be_stored(
    writer: PostgresWriter, proxy: PostgresProxy
) -> None:
    proxy.fall_silent(True)

    with pytest.raises(StorageUnavailable, match=r"no answer within 0\.3 s"):
        writer.begin([STANDING])
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        writer.reconnect()

    proxy.fall_silent(False)
    writer.reconnect()
    assert writer.begin([STANDING]) == [b"[]"]


def test_a_commit_into_silence_is_of_unknown_outcome(
    writer: PostgresWriter, proxy: PostgresProxy
) -> None:
    writer.begin([STANDING])
    proxy.fall_silent(True)

    with pytest.raises(CommitUnknown, match=r"no answer within 0\.3 s"):
        writer.commit([])


def test_a_rollback_into_silence_gives_the_connection_up(
    writer: PostgresWriter, proxy: PostgresProxy
) -> None:
    writer.begin([STANDING])
    proxy.fall_silent(True)

    writer.rollback()

    with pytest.raises(StorageUnavailable, match="not connected"):
        writer.begin([STANDING])


def test_a_rollback_leaves_a_connection_for_the_next_batch(writer: PostgresWriter) -> None:
    writer.begin([STANDING])
    writer.rollback()
    writer.rollback()

    assert writer.begin([STANDING]) == [b"[]"]


@pytest.mark.parametrize("point", ["before_commit", "committed_unanswered"])
def test_what_became_of_a_commit_that_silence_followed_is_found_out(
    postgres_rig: Rig, proxy: PostgresProxy, writer: PostgresWriter, point: CutPoint
) -> None:
    engine: Engine = postgres_rig.make_engine(writer)
    proxy.cut_at(point, is_silent=True)

    (outcome,) = run_batch(engine, [make_c2b(reference="one")])

    assert State(outcome.state) == State.COMPLETED  # type: ignore[union-attr]
    assert proxy.cuts == 1
    assert postgres_rig.observer.troubles == ["commit_unknown"]
    assert postgres_rig.count("payments") == 1
    assert engine.can_commit


# --- single statements and connecting ------------------------------------------------------------


def test_a_statement_by_itself_ends_too(postgres_rig: Rig, proxy: PostgresProxy) -> None:
    link = connect(proxy.url, schema=postgres_rig.address.schema)
    proxy.fall_silent(True)

    with pytest.raises(StorageUnavailable, match=r"no answer within 0\.3 s"):
        run_simple(link, "SELECT 1", timeout_ms=ANSWER_TIMEOUT_MS)
    link.finish()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such bound")
def test_the_system_gives_up_on_what_nobody_acknowledges(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    link = connect(proxy.url, schema=postgres_rig.address.schema)
    with socket.fromfd(link.socket, socket.AF_INET, socket.SOCK_STREAM) as connection:
        timeout_ms = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        is_kept_alive = connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle_s = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    link.finish()

    assert (timeout_ms, is_kept_alive, idle_s) == (20_000, 1, 10)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where connections are taken, and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_silent_host_is_passed_over_for_the_next_one(
    name: str, silent_port: int, proxy: PostgresProxy, postgres_rig: Rig
) -> None:
    port = conninfo_to_dict(proxy.url)["port"]
    conninfo = make_conninfo(proxy.url, host=f"{name},127.0.0.1", port=f"{silent_port},{port}")

    writer = PostgresWriter(conninfo, schema=postgres_rig.address.schema)

    assert writer.begin([STANDING]) == [b"[]"]
    writer.close()


def test_a_host_that_has_no_address_is_passed_over(proxy: PostgresProxy, postgres_rig: Rig) -> None:
    conninfo = make_conninfo(proxy.url, host="a..b,127.0.0.1")

    reader = PostgresReader(conninfo, schema=postgres_rig.address.schema)

    assert reader.read(STANDING) == b"[]"
    reader.close()


def test_when_no_host_will_do_each_ones_reason_is_told(silent_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed_port = listener.getsockname()[1]
    url = f"postgresql://127.0.0.1:{silent_port},127.0.0.1:{closed_port}/name"

    with pytest.raises(StorageUnavailable) as caught:
        connect(url, schema="public")

    assert f"no answer from 127.0.0.1:{silent_port} within 1 s" in str(caught.value)
    assert f"port {closed_port} failed" in str(caught.value)
    assert "check that PostgreSQL runs there and that the address is right" in str(caught.value)


def test_a_server_that_only_reads_is_used_only_where_the_address_says_so(postgres_url: str) -> None:
    # As a standby does it tells its clients, as they connect, that it cannot be written to.
    name = conninfo_to_dict(postgres_url)["dbname"]
    with psycopg.connect(postgres_url, autocommit=True) as session:
        session.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())

    with pytest.raises(StorageUnavailable, match="read-only"):
        connect(postgres_url, schema="public")

    connect(make_conninfo(postgres_url, target_session_attrs="any"), schema="public").finish()
