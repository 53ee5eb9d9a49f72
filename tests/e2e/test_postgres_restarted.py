"""PostgreSQL is stopped and started again under load: nothing is lost, doubled, or guessed at."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pesalango_server.storage.bundled import BundledPostgres
from tests.e2e.load import Fate
from tests.e2e.server import Server, wait_until
from tests.e2e.trial import NOT_RECORDED, SETTINGS, Trial

ANSWERS = 100
MEMORY = Path("/dev/shm")
RECOVERY_TIMEOUT_S = 8.0


class RestartedPostgres:
    """A PostgreSQL that is nobody's but the test's; its URL stays the same."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._bundled = BundledPostgres.start(home)
        with psycopg.connect(self._bundled.url, autocommit=True) as session:
            session.execute("CREATE DATABASE pesalango")
        self.url = self._bundled.build_url("pesalango")

    def end(self, end_signal: signal.Signals) -> None:
        """SIGINT: a fast shutdown, which ends all sessions. SIGQUIT: an immediate one, a crash."""
        if end_signal is signal.SIGQUIT:
            self._bundled.stop(timeout_ms=0)
        else:
            self._bundled.stop()

    def start(self) -> None:
        self._bundled = BundledPostgres.start(self._home)


@pytest.fixture(scope="module")
def postgres() -> Iterator[RestartedPostgres]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        postgres = RestartedPostgres(Path(home))
        yield postgres
        postgres.end(signal.SIGINT)


@pytest.fixture(scope="module")
def trial(postgres: RestartedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    data_dir = tmp_path_factory.mktemp("restarted") / "data"
    with Server(data_dir, database=postgres.url, settings=SETTINGS) as server:
        yield Trial(server)


@pytest.mark.parametrize("end_signal", [signal.SIGINT, signal.SIGQUIT])
def test_a_database_that_is_restarted_under_load_costs_nobody_the_truth(
    end_signal: signal.Signals, trial: Trial, postgres: RestartedPostgres
) -> None:
    server = trial.server
    with server.explaining_failures():
        with trial.make_load(pause_after_refusal_s=0.1) as load:
            load.wait_for_answers(ANSWERS)
            postgres.end(end_signal)
            wait_until(lambda: not server.is_ready(), timeout_s=10, what="an unready server")
            assert server.exit_status is None
            postgres.start()
            wait_until(server.is_ready, timeout_s=RECOVERY_TIMEOUT_S, what="a ready server")
            load.wait_for_answers(ANSWERS)
        # The database was away for a moment only: nobody is left without an answer.
        assert {record.fate for record in load.records} == {Fate.ANSWERED}
        codes = {record.answer.code for record in load.records if record.answer}
        assert codes & NOT_RECORDED <= {"INS-16"}
        trial.judge(load.records)
        assert "Traceback" not in server.read_log()
