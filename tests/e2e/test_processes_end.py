"""Processes end, hang, or are killed before they have begun: the rarer cases, one by one."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e import broken_disk_server
from tests.e2e.books import find_violations, read_books
from tests.e2e.broken_disk_server import BROKEN_DISK_VARIABLE
from tests.e2e.http_client import Unanswered
from tests.e2e.load import Fate, Record
from tests.e2e.merchant import Merchant, Payment, make_reference
from tests.e2e.server import Server, wait_until
from tests.e2e.trial import ANSWERS_BEFORE_KILL, QUICK, SETTINGS, Trial

pytestmark = pytest.mark.slow

# --- under load ----------------------------------------------------------------------------------


def test_one_process_that_does_it_all_is_killed_and_loses_nothing(tmp_path: Path) -> None:
    settings = {**SETTINGS, "PESALANGO_WORKERS": "0"}
    with Server(tmp_path / "data", settings=settings) as server:
        trial = Trial(server)
        with trial.make_load() as load:
            load.wait_for_answers(ANSWERS_BEFORE_KILL)
            server.kill(server.find_engine())
        server.start()
        trial.judge(load.records)


def test_one_of_two_workers_is_killed_and_the_other_goes_on(tmp_path: Path) -> None:
    settings = {**SETTINGS, "PESALANGO_WORKERS": "2"}
    with Server(tmp_path / "data", settings=settings) as server:
        trial = Trial(server)
        with trial.make_load() as load:
            load.wait_for_answers(ANSWERS_BEFORE_KILL)
            killed, left = server.find_workers()
            server.kill(killed)
            load.wait_for_answers(ANSWERS_BEFORE_KILL)
            wait_until(
                lambda: len(server.find_workers()) == 2, timeout_s=5, what="another second worker"
            )
            assert left.pid in {worker.pid for worker in server.find_workers()}
        trial.judge(load.records)


def test_a_postgres_that_crashes_and_recovers_costs_nobody_the_truth(tmp_path: Path) -> None:
    """One backend killed: the postmaster ends all the others, and replays its log."""
    with Server(tmp_path / "data", database="postgres", settings=SETTINGS) as server:
        trial = Trial(server)
        with trial.make_load() as load:
            load.wait_for_answers(ANSWERS_BEFORE_KILL)
            server.kill(find_busy_backend(server))
            load.wait_for_answers(ANSWERS_BEFORE_KILL)
            wait_until(server.is_ready, timeout_s=10, what="a ready server")
        # It is the database that broke, not the server: nobody is left without an answer.
        assert {record.fate for record in load.records} == {Fate.ANSWERED}
        trial.judge(load.records)


def find_busy_backend(server: Server) -> psutil.Process:
    """One that is in a transaction at this moment, as the titles of PostgreSQL's processes say."""
    busy: list[psutil.Process] = []

    def is_found() -> bool:
        for process in server.find_postgres():
            title = " ".join(process.cmdline())
            if "pesalango" in title and any(word in title for word in ("BEGIN", "in transaction")):
                busy.append(process)
        return bool(busy)

    wait_until(is_found, timeout_s=20, what="a backend in a transaction")
    return busy[0]


def test_a_hung_engine_process_is_refused_for_and_what_waited_is_answered_when_it_goes_on(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "data", settings=SETTINGS) as server:
        trial = Trial(server)
        with trial.make_load() as load:
            load.wait_for_answers(ANSWERS_BEFORE_KILL)
            engine = server.find_engine()
            engine.suspend()
            try:
                wait_until(lambda: not server.is_ready(), timeout_s=8, what="an unready server")
                tried = pay_until_refused(trial)
            finally:
                engine.resume()
            wait_until(server.is_ready, timeout_s=5, what="a ready server")
            load.wait_for_answers(ANSWERS_BEFORE_KILL)
        assert {record.fate for record in load.records} == {Fate.ANSWERED}
        trial.judge([*load.records, *tried])


def pay_until_refused(trial: Trial) -> list[Record]:
    """Payments one by one, given up after a second each, until one is refused in time.

    The engine may find those that were given up when it goes on.
    """
    records: list[Record] = []

    def is_refused() -> bool:
        payment = Payment(make_reference(), QUICK[0], "ORG001", amount=1)
        merchant = Merchant(trial.server.credentials, bearer=trial.bearer, timeout_s=1)
        try:
            records.append(Record(payment, Fate.ANSWERED, merchant.pay(payment)))
        except Unanswered:
            records.append(Record(payment, Fate.UNANSWERED))
        finally:
            merchant.close()
        answer = records[-1].answer
        return answer is not None and answer.code == "INS-16"

    # The heartbeat has to be five seconds old.
    wait_until(is_refused, timeout_s=8, what="INS-16")
    return records


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_disk_that_fails_at_a_commit_ends_the_server_without_an_answer(
    moment: str, tmp_path: Path
) -> None:
    mark = tmp_path / "broken"
    broken = Server(
        tmp_path / "data",
        settings={**SETTINGS, BROKEN_DISK_VARIABLE: str(mark)},
        program=(sys.executable, broken_disk_server.__file__),
    )
    payment = Payment(make_reference(), QUICK[0], "ORG001", amount=1)
    with broken as server:
        server.start()
        merchant = Merchant(server.credentials)
        server.find_family()
        # Its payments come after the server is ready, and are not the ones that are to fail.
        wait_until(lambda: "Self-check:" in server.read_log(), timeout_s=20, what="the self-check")
        mark.write_text(moment)
        with pytest.raises(Unanswered):
            merchant.pay(payment)
        merchant.close()
        server.wait_until_all_gone(timeout_s=10)
        assert server.exit_status == 70

    with Server(tmp_path / "data", settings=SETTINGS) as server:
        server.start()
        merchant = Merchant(server.credentials)
        found = merchant.query(payment.reference, organisation="ORG001")
        again = merchant.pay(payment)
        merchant.close()
        # The file decided; either way the payment counts once.
        if moment == "after":
            assert (found.status, again.code) == ("Completed", "INS-10")
        else:
            assert (found.code, again.code) == ("INS-23", "INS-0")
        assert server.audit().returncode == 0


# --- without load --------------------------------------------------------------------------------


def test_workers_that_end_again_and_again_end_the_server_with_one_sentence(tmp_path: Path) -> None:
    with Server(tmp_path / "data", settings=SETTINGS) as server:
        server.start()
        killed = 0
        for _ in range(5):
            wait_until(
                lambda: server.exit_status is not None or bool(server.find_workers()),
                timeout_s=10,
                what="a worker",
            )
            if server.exit_status is not None:
                break
            server.kill(*server.find_workers())
            killed += 1
        wait_until(lambda: server.exit_status is not None, timeout_s=10, what="the server's end")
        assert killed == 5
        assert server.exit_status != 0
        server.wait_until_all_gone(timeout_s=3)
        assert "5 workers ended within 10 s" in server.read_log_end().splitlines()[-1]


FIRST_STEPS: dict[str, Callable[[Server], bool]] = {
    "lock file": lambda server: (server.data_dir / "lock").exists(),
    "platform database": lambda server: (server.data_dir / "platform.db").exists(),
    "last database": lambda server: (server.data_dir / "openapi.db").exists(),
    "credentials": lambda server: (server.data_dir / "credentials.json").exists(),
    "worker": lambda server: bool(server.find_workers()),
}
FIRST_STEPS_OF_POSTGRES: dict[str, Callable[[Server], bool]] = {
    "directory": lambda server: (server.data_dir / "postgres").exists(),
    "cluster": lambda server: (server.data_dir / "postgres" / "cluster").exists(),
    "postmaster": lambda server: bool(server.find_postgres()),
    "credentials": lambda server: (server.data_dir / "credentials.json").exists(),
}


@pytest.mark.parametrize(
    ("database", "step"),
    [
        *((None, step) for step in FIRST_STEPS),
        *(("postgres", step) for step in FIRST_STEPS_OF_POSTGRES),
    ],
)
def test_a_first_start_that_is_killed_half_way_is_finished_by_the_second(
    database: str | None, step: str, tmp_path: Path
) -> None:
    steps = FIRST_STEPS if database is None else FIRST_STEPS_OF_POSTGRES
    with Server(tmp_path / "data", database=database, settings=SETTINGS) as server:
        server.launch(0)
        wait_until(
            lambda: bool(server.find_family()) and steps[step](server), timeout_s=30, what=step
        )
        server.kill(*server.find_family())

        server.start()

        merchant = Merchant(server.credentials)
        payment = Payment(make_reference(), "255744553111", "ORG001", amount=1)
        assert merchant.pay(payment).code == "INS-0"
        merchant.close()
        with server.open_books() as ask:
            assert find_violations(read_books(ask)) == []
        server.stop()
        assert server.audit().returncode == 0


@pytest.fixture
def heeds_hangups() -> Iterator[None]:
    """Whoever runs the tests under `nohup` hands on that a hang-up is to be ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heeds_hangups")
def test_a_hangup_of_the_terminal_leaves_no_process_behind(tmp_path: Path) -> None:
    with Server(tmp_path / "data", database="postgres", settings=SETTINGS) as server:
        server.start()
        server.find_family()
        server.find_engine().send_signal(signal.SIGHUP)
        server.wait_until_all_gone(timeout_s=10)
        assert server.audit().returncode == 0
