"""Processes are killed with -9 under load, and whatever was answered is true all the same."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e import small_segments_server
from tests.e2e.load import Fate, Load
from tests.e2e.server import Server, wait_until_gone
from tests.e2e.trial import ANSWERS_BEFORE_KILL, SETTINGS, SILENT, Trial
from tests.store.postgres_fixture import PostgresServer

pytestmark = pytest.mark.slow

ROUNDS = 2 if os.environ.get("CI") else 1
ANSWERS_AFTER_KILL = 50


def kill_a_worker(server: Server, load: Load) -> None:
    """The server goes on by itself: the load is answered again, by another worker."""
    (worker,) = server.find_workers()
    postgres = {process.pid for process in server.find_postgres()[:1]}
    server.kill(worker)
    load.wait_for_answers(ANSWERS_AFTER_KILL)
    assert server.exit_status is None
    (successor,) = server.find_workers()
    assert successor.pid != worker.pid
    assert {process.pid for process in server.find_postgres()[:1]} == postgres


def kill_the_engine_process(server: Server, _load: Load) -> None:
    """All that belongs to it ends with it."""
    family = server.find_family()
    server.kill(server.find_engine())
    wait_until_gone(family, timeout_s=10)


def kill_everything(server: Server, _load: Load) -> None:
    """As a system does that has run out of memory; PostgreSQL has no time to tidy up either."""
    family: list[psutil.Process] = server.find_family()
    server.kill(*family)


KILLS: tuple[Callable[[Server, Load], None], ...] = (
    kill_a_worker,
    kill_the_engine_process,
    kill_everything,
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def trial(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trial]:
    data_dir: Path = tmp_path_factory.mktemp("nothing-is-lost") / "data"
    database = None if request.param == "sqlite" else request.param
    # Kills fall between the segments of SQLite's keys too.
    program = (sys.executable, small_segments_server.__file__) if database is None else ()
    with Server(data_dir, database=database, settings=SETTINGS, program=program) as server:
        yield Trial(server)


@pytest.mark.parametrize("kill", KILLS * ROUNDS, ids=lambda kill: kill.__name__)
def test_a_kill_under_load_loses_and_doubles_nothing(
    kill: Callable[[Server, Load], None], trial: Trial
) -> None:
    server = trial.server
    if server.exit_status is not None:
        # A kill before this one went wrong, and was told of.
        server.start()
    with server.explaining_failures():
        with trial.make_load() as load:
            load.wait_for_answers(ANSWERS_BEFORE_KILL)
            # Somebody who never answers is being asked: a payment that has to end later.
            load.wait_for_waiting(SILENT)
            kill(server, load)
        records = load.records
        assert any(record.fate is Fate.UNANSWERED for record in records)
        if server.exit_status is not None:
            server.start()
        trial.judge(records)


def test_the_stopped_server_leaves_books_in_order(
    trial: Trial, request: pytest.FixtureRequest
) -> None:
    trial.server.stop()
    if request.node.callspec.params["trial"] == "sqlite":
        with trial.server.open_books() as ask:
            ((segments,),) = ask("SELECT count(*) FROM duplicate_segments")
        assert segments > 5
    audit = trial.server.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert trial.effects


def test_a_killed_engine_leaves_no_lock_on_a_postgres_that_lives_on(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    name = postgres_server.create_database()
    url = postgres_server.build_url(name)
    try:
        with Server(tmp_path / "data", database=url, settings=SETTINGS) as server:
            trial = Trial(server)
            for _ in range(ROUNDS):
                with trial.make_load() as load:
                    load.wait_for_answers(ANSWERS_BEFORE_KILL)
                    kill_the_engine_process(server, load)
                server.start()
                trial.judge(load.records)
    finally:
        postgres_server.drop_database(name)
