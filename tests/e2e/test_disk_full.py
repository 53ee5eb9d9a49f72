"""The disk is full: callers are told so truthfully, the log once, and room is all that is needed.

What is on the full disk is not only the data: the log and the files of the metrics as well.
"""

import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.e2e.books import find_violations, read_books
from tests.e2e.load import Load, Parties, Record
from tests.e2e.merchant import Merchant
from tests.e2e.server import Server, wait_until, wait_until_gone
from tests.e2e.small_disk import ServerOnDisk, SmallDisk, find_obstacle
from tests.e2e.trial import QUICK, find_lies

MIB = 1024 * 1024
SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
PARTIES = Parties(msisdns=QUICK, organisations=("ORG001", "000000"))
REFUSALS = 60
RECOVERY_TIMEOUT_S = 8.0

needs_small_disk = pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle() or "it has one")


def make_load(server: Server, merchant: Merchant) -> Load:
    return Load(server.credentials, merchant.bearer, PARTIES, threads=6, pause_after_refusal_s=0.05)


def count_refusals(load: Load) -> int:
    return sum(is_refused(record) for record in load.records)


def is_refused(record: Record) -> bool:
    return record.answer is not None and record.answer.code == "INS-16"


def wait_for_refusals(load: Load, server: Server) -> None:
    """Refused at once and again and again; not ready at some moment meanwhile."""
    before = count_refusals(load)
    wait_until(lambda: not server.is_ready(), timeout_s=20, what="an unready server")
    wait_until(lambda: count_refusals(load) >= before + REFUSALS, timeout_s=20, what="refusals")


def query_last_completed(load: Load, merchant: Merchant) -> str:
    """What a query says of a payment that was confirmed before."""
    payment = next(
        record.payment
        for record in reversed(load.records)
        if record.answer is not None and record.answer.code == "INS-0"
    )
    return merchant.query(payment.reference, organisation=payment.organisation).status


def judge(server: Server, records: list[Record]) -> None:
    """Nothing is lost, doubled or untrue, and the books are in order."""
    assert {record.answer.code for record in records if record.answer} == {"INS-0", "INS-16"}
    with server.open_books() as ask:
        books = read_books(ask)
    assert find_violations(books) == []
    assert find_lies(records, books) == []
    audit = server.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr


def is_running(server: Server) -> bool:
    return server.exit_status is None


def read_events(server: Server) -> list[str]:
    """Names of what was logged, in order."""
    lines = [line for line in server.read_log().splitlines() if line.startswith("{")]
    return [json.loads(line)["event"] for line in lines]


# --- everything on one disk ----------------------------------------------------------------------


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with SmallDisk(bytes_max=128 * MIB) as disk:
        yield disk


@needs_small_disk
def test_with_data_log_and_metrics_on_a_full_disk_the_server_goes_on_by_itself_once_there_is_room(
    disk: SmallDisk,
) -> None:
    log_path = disk.root / "log"
    (disk.root / "tmp").mkdir()
    settings = {**SETTINGS, "TMPDIR": str(disk.place / "tmp")}
    with ServerOnDisk(disk, log_path=log_path, settings=settings) as server:
        server.start()
        merchant = Merchant(server.credentials)
        with make_load(server, merchant) as load:
            load.wait_for_answers(100)
            disk.fill(also=[log_path])
            wait_for_refusals(load, server)
            assert query_last_completed(load, merchant) == "Completed"
            # A worker that starts now has no room for its metrics, nor for what it has to say.
            (worker,) = server.find_workers()
            server.kill(worker)
            wait_until(
                lambda: bool(server.find_workers()),
                timeout_s=10,
                what="another worker",
            )
            wait_for_refusals(load, server)
            assert is_running(server)

            disk.make_room()
            wait_until(server.is_ready, timeout_s=RECOVERY_TIMEOUT_S, what="a ready server")
            load.wait_for_answers(50)
        judge(server, load.records)
        merchant.close()
        server.stop()
        assert server.exit_status == 0
        assert "Traceback" not in server.read_log()


@needs_small_disk
def test_a_bundled_postgres_that_ended_for_want_of_room_is_started_again_until_there_is_some(
    disk: SmallDisk, tmp_path: Path
) -> None:
    with ServerOnDisk(
        disk, log_path=tmp_path / "log", database="postgres", settings=SETTINGS
    ) as server:
        server.start()
        merchant = Merchant(server.credentials)
        postmaster = server.find_postgres()[0]
        with make_load(server, merchant) as load:
            load.wait_for_answers(100)
            disk.fill()
            # First its tables cannot grow, which is an error; then its log cannot, which is the end.
            wait_for_refusals(load, server)
            assert query_last_completed(load, merchant) == "Completed"
            use_up_write_ahead_log(server)
            wait_until_gone([postmaster], timeout_s=10)
            wait_for_refusals(load, server)
            assert is_running(server)

            disk.make_room()
            wait_until(server.is_ready, timeout_s=RECOVERY_TIMEOUT_S, what="a ready server")
            load.wait_for_answers(50)
        judge(server, load.records)
        merchant.close()
        events = read_events(server)
        assert "postgres_started_again" in events
        assert "No space left on device" in server.read_log()
        assert len(events) < 40, events


def use_up_write_ahead_log(server: ServerOnDisk) -> None:
    """Write into the log alone until the database breaks down."""
    with pytest.raises(psycopg.OperationalError):
        write_for_ever(server.find_url())


def write_for_ever(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        while True:
            session.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 16000))")


# --- a quota -------------------------------------------------------------------------------------


def limit_file_size(process: psutil.Process, bytes_max: int) -> None:
    """As a quota does: no file of the process may grow beyond it."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (bytes_max, hard))


def test_a_quota_that_is_used_up_is_a_full_disk_and_one_line_in_the_log(tmp_path: Path) -> None:
    with Server(tmp_path / "data", settings=SETTINGS) as server:
        server.start()
        merchant = Merchant(server.credentials)
        with make_load(server, merchant) as load:
            load.wait_for_answers(100)
            log_size = (tmp_path / "data" / "sandbox.db-wal").stat().st_size
            limit_file_size(server.find_engine(), log_size)
            wait_for_refusals(load, server)
            assert query_last_completed(load, merchant) == "Completed"

            limit_file_size(server.find_engine(), resource.RLIM_INFINITY)
            wait_until(server.is_ready, timeout_s=RECOVERY_TIMEOUT_S, what="a ready server")
            load.wait_for_answers(50)
        judge(server, load.records)
        merchant.close()
        troubles = [event for event in read_events(server) if event.startswith("database_")]
        assert troubles.count("database_unavailable") == 1, troubles
        assert "database_available" in troubles
        assert "Traceback" not in server.read_log()


# --- the start -----------------------------------------------------------------------------------


def fill_to_the_last_byte(disk: SmallDisk) -> None:
    disk.fill()


def fill_but_for_a_little(disk: SmallDisk) -> None:
    """Enough for files to be made, not for what belongs into them."""
    disk.fill(leaving_bytes=64 * 1024)


@needs_small_disk
@pytest.mark.parametrize("database", [None, "postgres"])
@pytest.mark.parametrize("fill", [fill_to_the_last_byte, fill_but_for_a_little])
def test_a_start_on_a_full_disk_fails_with_one_clear_sentence(
    fill: Callable[[SmallDisk], None], database: str | None, disk: SmallDisk, tmp_path: Path
) -> None:
    fill(disk)
    started = time.monotonic()
    with ServerOnDisk(
        disk, log_path=tmp_path / "log", database=database, settings=SETTINGS
    ) as server:
        server.launch(0)
        wait_until(lambda: server.exit_status is not None, timeout_s=30, what="the server's end")
        assert server.exit_status == 1
        said = server.read_log()
    assert time.monotonic() - started < 20
    assert "Traceback" not in said
    *_, sentence = said.splitlines()
    assert sentence.startswith("pesalango-server: ")
    assert any(words in sentence for words in ("full", "No space left"))


@needs_small_disk
def test_a_second_start_on_a_full_disk_fails_with_one_clear_sentence_and_the_third_is_as_ever(
    disk: SmallDisk, tmp_path: Path
) -> None:
    with ServerOnDisk(disk, log_path=tmp_path / "log", settings=SETTINGS) as server:
        server.start()
        before = server.credentials
        server.stop()
        disk.fill()
        server.launch(0)
        wait_until(lambda: server.exit_status is not None, timeout_s=30, what="the server's end")
        assert server.exit_status == 1
        assert "Traceback" not in server.read_log()
        *_, sentence = server.read_log().splitlines()
        assert sentence.startswith("pesalango-server: ")
        assert any(words in sentence for words in ("full", "No space left"))
        disk.make_room()
        server.start()
        assert server.credentials.sandbox == before.sandbox
