"""The engine's contract about faults, as far as one engine and its database show it."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import apsw
import psycopg
import pytest

from pesalango_server.applications.audit import audit_platform
from pesalango_server.applications.commands import AddWorld
from pesalango_server.engine.engine import Engine, EngineEnded
from pesalango_server.engine.faults import Point
from pesalango_server.engine.platform import PlatformDomain
from pesalango_server.engine.registry import USE_CASES
from pesalango_server.kernel.invariant import InvariantViolated
from pesalango_server.kernel.message import (
    FAULT_INTERNAL,
    FAULT_UNAVAILABLE,
    AnyOutcome,
    Command,
    Done,
    PaymentOutcome,
)
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.ledger.store import INSERT_ACCOUNTS
from pesalango_server.payments.audit import audit_environment
from pesalango_server.storage import sqlite
from pesalango_server.storage.address import DatabaseAddress, open_database_writer
from pesalango_server.storage.migrations import list_migrations
from pesalango_server.storage.postgres import PostgresWriter
from pesalango_server.storage.snapshot import open_snapshot_reader
from pesalango_server.storage.sqlite import SqliteWriter, open_writer
from tests.store.engine_fixture import (
    KEYS,
    PAYER,
    PAYER_MINOR,
    SHOP,
    WAIT_MS,
    RecordingObserver,
    Rig,
    make_c2b,
    make_open_ledger,
    make_tokens,
    open_copy,
    run_batch,
)
from tests.store.postgres_proxy import PostgresProxy
from tests.store.power_cut import PowerCutDisk
from tests.store.power_cut_media import Sync, Write
from tests.unit.manual_clock import ManualClock

# The contract's own number.
CLOCK_JUMP_MAX_MS = 60_000

DUPLICATE = PaymentOutcome(0, State.NONE, Status.DUPLICATE)


def states(outcomes: list[AnyOutcome]) -> list[State | AnyOutcome]:
    """States of payments, and anything else as it is."""
    return [
        State(outcome.state) if isinstance(outcome, PaymentOutcome) else outcome
        for outcome in outcomes
    ]


# --- nothing was stored, and the caller is told so ---------------------------------------------------


@contextlib.contextmanager
def hold_lock(rig: Rig) -> Iterator[None]:
    """Another program keeps the ledger's lock."""
    if rig.dialect == "sqlite":
        connection = apsw.Connection(str(rig.address.path))
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.close(True)
    else:
        with psycopg.connect(rig.address.conninfo) as session:
            session.execute(
                f'SELECT 1 FROM "{rig.address.schema}".ledger_state WHERE ledger = 1'
                " FOR UPDATE".encode()
            )
            yield


def test_a_lock_that_cannot_be_had_in_time_stores_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT_MS", 20)
    engine = rig.make_engine(open_database_writer(rig.address, lock_timeout_ms=20))
    commands = [make_c2b(reference="one"), make_c2b(reference="two")]

    with hold_lock(rig):
        assert run_batch(engine, commands) == [FAULT_UNAVAILABLE, FAULT_UNAVAILABLE]
        assert not engine.can_commit
    assert rig.observer.troubles == ["database_unavailable"]
    assert rig.count("payments") == 0
    assert engine.probe()
    assert states(run_batch(engine, commands)) == [State.COMPLETED, State.COMPLETED]


@pytest.fixture
def proxy(postgres_rig: Rig) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_rig.address.conninfo) as proxy:
        yield proxy


def make_engine_behind(proxy: PostgresProxy, rig: Rig, **settings: Any) -> Engine:
    """One more engine of the rig, whose connection the test can cut."""
    return rig.make_engine(PostgresWriter(proxy.url, schema=rig.address.schema), **settings)


def test_a_database_that_is_away_is_waited_for_and_comes_back(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    engine = make_engine_behind(proxy, postgres_rig)
    proxy.refuse_connections(is_refusing=True)
    proxy.cut_now()

    assert run_batch(engine, [make_c2b(reference="one")]) == [FAULT_UNAVAILABLE]
    assert not engine.probe()
    assert not engine.can_commit
    assert run_batch(engine, [make_c2b(reference="one")]) == [FAULT_UNAVAILABLE]
    proxy.refuse_connections(is_refusing=False)
    assert engine.probe()
    assert states(run_batch(engine, [make_c2b(reference="one")])) == [State.COMPLETED]
    assert postgres_rig.count("payments") == 1


class FullOrBrokenDisk:
    """A book on a disk of the test, for which `Rig` has no path."""

    def __init__(self, disk: PowerCutDisk, found: Path) -> None:
        self.disk, self._found = disk, found
        self.path = Path("/nowhere/sandbox.db")
        connection = open_writer(self.path, vfs=disk.vfs_name)
        for migration in list_migrations("sandbox", "sqlite"):
            connection.execute(migration.sql).fetchall()
        connection.close()
        self.observer = RecordingObserver()
        self._clock, self._make_token = ManualClock(), make_tokens()
        self.engine = self.make_engine()
        run_batch(self.engine, [make_open_ledger()])

    def make_engine(self) -> Engine:
        from pesalango_server.engine.environment import EnvironmentDomain

        return Engine(
            SqliteWriter(self.path, vfs=self.disk.vfs_name),
            EnvironmentDomain(),
            self._clock,
            observer=self.observer,
            uses_database_clock=False,
            make_token=self._make_token,
        )

    def close(self) -> None:
        self.engine.writer.close()
        self.disk.copy_files(source=self.path.parent, target=self._found)
        address = DatabaseAddress("sandbox", "sqlite", str(self._found / self.path.name))
        with open_snapshot_reader(address) as reader:
            assert audit_environment(reader, duplicate_keys=KEYS).violations == []


@pytest.fixture
def broken_disk(tmp_path: Path) -> Iterator[FullOrBrokenDisk]:
    with PowerCutDisk() as disk:
        book = FullOrBrokenDisk(disk, tmp_path)
        yield book
        book.close()


def test_a_full_disk_stores_nothing_and_works_again_once_there_is_room(
    broken_disk: FullOrBrokenDisk,
) -> None:
    engine, disk = broken_disk.engine, broken_disk.disk
    disk.fail_with(apsw.FullError, at=Write)
    assert run_batch(engine, [make_c2b(reference="one")]) == [FAULT_UNAVAILABLE]
    assert not engine.probe()

    disk.fail_with(None, at=Write)
    assert engine.probe()
    assert states(run_batch(engine, [make_c2b(reference="one")])) == [State.COMPLETED]


# --- COMMIT was sent and not answered ----------------------------------------------------------------


def test_a_disk_that_fails_at_commit_ends_the_engine_and_the_file_decides(
    broken_disk: FullOrBrokenDisk,
) -> None:
    run_batch(broken_disk.engine, [make_c2b(reference="before")])
    broken_disk.disk.fail_with(apsw.IOError, at=Sync)

    with pytest.raises(EngineEnded):
        run_batch(broken_disk.engine, [make_c2b(reference="unknown")])
    with contextlib.suppress(apsw.IOError):
        broken_disk.engine.writer.close()
    broken_disk.disk.fail_with(None, at=Sync)
    broken_disk.engine = broken_disk.make_engine()
    before, unknown = run_batch(
        broken_disk.engine, [make_c2b(reference="before"), make_c2b(reference="unknown")]
    )
    assert before == DUPLICATE
    # Whichever it is, the file says it, and says it once.
    assert unknown == DUPLICATE or states([unknown]) == [State.COMPLETED]


def test_a_commit_that_never_arrived_is_decided_again(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    engine = make_engine_behind(proxy, postgres_rig)
    proxy.cut_at("before_commit")

    assert states(run_batch(engine, [make_c2b(reference="one")])) == [State.COMPLETED]
    assert proxy.cuts == 1
    assert postgres_rig.observer.troubles == ["commit_unknown"]
    assert postgres_rig.count("payments") == 1
    assert postgres_rig.balance_of(PAYER) == PAYER_MINOR - 10_00
    assert engine.can_commit


def test_a_commit_whose_answer_was_lost_is_found_by_its_token(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    engine = make_engine_behind(proxy, postgres_rig)
    proxy.cut_at("committed_unanswered")
    before = postgres_rig.count("batches")

    (outcome,) = run_batch(engine, [make_c2b(reference="one")])

    assert states([outcome]) == [State.COMPLETED]
    assert postgres_rig.sql("SELECT id FROM payments") == [(outcome.payment,)]  # type: ignore[union-attr]
    # Two batches: the payment's, and the one that shows that what was found has been replicated.
    assert postgres_rig.count("batches") == before + 2
    assert postgres_rig.balance_of(PAYER) == PAYER_MINOR - 10_00
    assert engine.can_commit


def test_a_connection_lost_after_the_commits_tag_is_no_matter(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    engine = make_engine_behind(proxy, postgres_rig)
    proxy.cut_at("after_commit")

    for reference in ("one", "two"):
        assert states(run_batch(engine, [make_c2b(reference=reference)])) == [State.COMPLETED]
    assert proxy.cuts == 1
    assert postgres_rig.count("payments") == 2


def test_a_connection_lost_between_two_batches_stores_nothing_of_the_second(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    engine = make_engine_behind(proxy, postgres_rig)
    run_batch(engine, [make_c2b(reference="one")])
    proxy.cut_now()

    assert run_batch(engine, [make_c2b(reference="two")]) == [FAULT_UNAVAILABLE]
    assert engine.probe()
    assert states(run_batch(engine, [make_c2b(reference="two")])) == [State.COMPLETED]
    assert postgres_rig.count("payments") == 2


@pytest.mark.parametrize("point", ["before_commit", "committed_unanswered"])
def test_an_outcome_that_is_lost_several_times_is_still_found_out(
    postgres_rig: Rig, proxy: PostgresProxy, point: Any
) -> None:
    engine = make_engine_behind(proxy, postgres_rig)
    proxy.cut_at(point, count=3)

    assert states(run_batch(engine, [make_c2b(reference="one")])) == [State.COMPLETED]
    assert proxy.cuts == 3
    assert postgres_rig.count("payments") == 1


def test_a_lost_commit_of_several_ledgers_is_found_out(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    engine = make_engine_behind(proxy, postgres_rig)
    proxy.cut_at("committed_unanswered")
    (opened,) = run_batch(engine, [make_open_ledger(2)])
    assert opened == Done((2,))

    proxy.cut_at("committed_unanswered")
    commands = [make_c2b(ledger=2, reference="one"), make_c2b(ledger=1, reference="one")]
    assert states(run_batch(engine, commands)) == [State.COMPLETED, State.COMPLETED]
    assert postgres_rig.count("payments") == 2


def test_while_nobody_can_tell_the_engine_asks_with_growing_pauses(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    pauses: list[int] = []

    def pause(pause_ms: int) -> bool:
        pauses.append(pause_ms)
        if len(pauses) == 8:
            proxy.refuse_connections(is_refusing=False)
        return True

    engine = make_engine_behind(proxy, postgres_rig, pause=pause)
    proxy.cut_at("committed_unanswered")
    proxy.refuse_connections(is_refusing=True)

    assert states(run_batch(engine, [make_c2b(reference="one")])) == [State.COMPLETED]
    assert pauses == sorted(pauses)
    assert len(pauses) == 8
    assert pauses[0] < pauses[-1] <= 2_000
    assert set(postgres_rig.observer.troubles) == {"commit_unknown"}


def test_an_engine_that_stops_before_it_knows_answers_nobody(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    engine = make_engine_behind(proxy, postgres_rig, pause=lambda _: False)
    proxy.cut_at("committed_unanswered")
    proxy.refuse_connections(is_refusing=True)

    with pytest.raises(EngineEnded):
        run_batch(engine, [make_c2b(reference="one")])
    assert postgres_rig.run(make_c2b(reference="one")) == [DUPLICATE]


@pytest.mark.parametrize("point", ["before_commit", "committed_unanswered"])
def test_the_platforms_engine_finds_out_what_was_committed_too(
    request: pytest.FixtureRequest, point: Any
) -> None:
    with (
        open_copy(request, "postgres", "platform") as address,
        PostgresProxy(address.conninfo) as proxy,
    ):
        engine = Engine(
            PostgresWriter(proxy.url, schema=address.schema),
            PlatformDomain(),
            ManualClock(),
            observer=RecordingObserver(),
            uses_database_clock=False,
            make_token=make_tokens(),
        )
        proxy.cut_at(point)
        (added,) = run_batch(engine, [AddWorld(0, "test", "sandbox", "user")])
        (again,) = run_batch(engine, [AddWorld(0, "test", "sandbox", "user")])
        engine.writer.close()

        assert isinstance(added, Done)
        assert again == added
        with open_snapshot_reader(address) as reader:
            audit = audit_platform(reader)
        assert audit.violations == []
        # The change, where it had been committed one that changes nothing, and the repetition.
        assert audit.generations == {"before_commit": 2, "committed_unanswered": 3}[point]


# --- one command is at fault --------------------------------------------------------------------------


class Poison(Command, frozen=True, tag=99):
    """A command that no engine can carry out."""


def _plan_nothing(_: Command, __: LoadPlan) -> None:
    """A poison needs nothing."""


def _raise(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


def _write_nonsense(command: Command, book: Book) -> AnyOutcome:
    # The schema refuses an owner of kind 9.
    book.write(INSERT_ACCOUNTS, (book.ledger, book.mint(), 9, 0, 0, 0))
    return Done((command.ledger,))


POISONS: dict[str, tuple[Any, Any]] = {
    "planning fails": (_raise(KeyError("planned")), _write_nonsense),
    "deciding fails": (_plan_nothing, _raise(ZeroDivisionError("decided"))),
    "an invariant is broken": (_plan_nothing, _raise(InvariantViolated("broken"))),
    "the schema refuses it": (_plan_nothing, _write_nonsense),
}


@pytest.mark.parametrize("kind", POISONS)
def test_a_command_at_fault_does_not_take_the_others_along(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setitem(cast("dict[Any, Any]", USE_CASES), Poison, POISONS[kind])
    before = rig.count("batches", "ledger = 1")

    outcomes = rig.run(
        make_c2b(reference="first", amount_minor=PAYER_MINOR),
        Poison(1),
        make_c2b(reference="second", amount_minor=1),
        make_c2b(reference="first"),
    )

    # The second one is decided as if the poison had never been there: after the first.
    assert states(outcomes) == [State.COMPLETED, FAULT_INTERNAL, State.FAILED, State.NONE]
    assert rig.count("batches", "ledger = 1") == before + 3
    assert "batch_faulted" in rig.observer.troubles
    assert rig.engine.can_commit
    assert states(rig.run(Poison(1))) == [FAULT_INTERNAL]
    assert states(rig.run(make_c2b(reference="third", msisdn=PAYER, amount_minor=1))) == [
        State.FAILED
    ]


def test_each_command_of_a_faulted_batch_is_answered_after_its_own_commit(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast("dict[Any, Any]", USE_CASES), Poison, POISONS["deciding fails"])
    commands = [make_c2b(reference="first"), Poison(1), make_c2b(reference="second")]

    stored = [(list(positions), rig.count("payments")) for positions, _ in rig.engine.run(commands)]

    assert stored == [([0], 1), ([1], 1), ([2], 2)]


def test_a_command_for_an_unknown_ledger_is_at_fault_alone(rig: Rig) -> None:
    outcomes = rig.run(
        make_c2b(ledger=77, reference="nowhere"), make_c2b(ledger=1, reference="here")
    )

    assert states(outcomes) == [FAULT_INTERNAL, State.COMPLETED]
    assert rig.run(make_c2b(ledger=77, reference="nowhere")) == [FAULT_INTERNAL]


def test_a_failing_database_is_never_a_culprit(
    postgres_rig: Rig, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_with_the_database(*_: object) -> Any:
        proxy.refuse_connections(is_refusing=True)
        proxy.cut_now()
        raise ZeroDivisionError

    monkeypatch.setitem(
        cast("dict[Any, Any]", USE_CASES), Poison, (_plan_nothing, fail_with_the_database)
    )
    engine = make_engine_behind(proxy, postgres_rig)

    outcomes = run_batch(engine, [make_c2b(reference="one"), Poison(1), Poison(1)])

    assert outcomes == [FAULT_UNAVAILABLE] * 3
    assert postgres_rig.count("payments") == 0


# --- the engine is killed -------------------------------------------------------------------------------


class Killed(BaseException):
    """What a test raises where a process would be gone."""


class KillAt:
    """Ends the engine at one point of a batch."""

    def __init__(self, point: Point) -> None:
        self._point = point

    def reach(self, point: Point) -> None:
        if point is self._point:
            raise Killed


@pytest.mark.parametrize(
    "point", [Point.TAKEN, Point.LOCKED, Point.WRITTEN, Point.COMMITTING, Point.COMMITTED]
)
def test_an_engine_that_is_killed_has_stored_all_of_its_batch_or_nothing(
    rig: Rig, point: Point
) -> None:
    engine = rig.make_engine(faults=KillAt(point))
    commands = [make_c2b(reference="one"), make_c2b(reference="two")]
    with pytest.raises(Killed):
        run_batch(engine, commands)
    # What the operating system does with the connections of a process that is gone.
    engine.writer.close()

    is_there = point is Point.COMMITTED
    assert rig.count("payments") == (2 if is_there else 0)
    expected = [State.NONE] * 2 if is_there else [State.COMPLETED] * 2
    assert states(rig.run(*commands)) == expected
    assert rig.count("payments") == 2


# --- clocks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_ms", [CLOCK_JUMP_MAX_MS + 1, -CLOCK_JUMP_MAX_MS - 1])
def test_a_clock_that_jumps_stops_the_engine_until_it_is_confirmed(rig: Rig, jump_ms: int) -> None:
    rig.pay(make_c2b(reference="before"))
    rig.clock.jump(jump_ms)

    assert rig.run(make_c2b(reference="after")) == [FAULT_UNAVAILABLE]
    assert not rig.engine.probe()
    assert rig.engine.clock_jump_ms == jump_ms
    assert rig.count("payments") == 1
    rig.engine.confirm_clock()
    assert rig.engine.clock_jump_ms == 0
    assert rig.engine.probe()
    assert states(rig.run(make_c2b(reference="after"))) == [State.COMPLETED]


def test_a_clock_that_is_set_right_again_needs_no_confirmation(rig: Rig) -> None:
    rig.clock.jump(CLOCK_JUMP_MAX_MS + 1)
    assert not rig.engine.probe()
    rig.clock.jump(-CLOCK_JUMP_MAX_MS)

    assert rig.engine.probe()
    assert rig.engine.clock_jump_ms == 0


def test_time_that_goes_by_is_no_jump(rig: Rig) -> None:
    rig.clock.advance(86_400_000)

    assert states(rig.run(make_c2b(reference="a day later"))) == [State.COMPLETED]


def test_where_nobody_would_confirm_a_jump_is_only_told(rig: Rig) -> None:
    engine = rig.make_engine(needs_clock_confirmation=False)
    run_batch(engine, [make_c2b(reference="before")])
    rig.clock.jump(3_600_000)

    assert states(run_batch(engine, [make_c2b(reference="after")])) == [State.COMPLETED]
    assert rig.observer.troubles == ["clock_jumped"]


def test_machines_that_disagree_go_by_the_databases_clock(postgres_rig: Rig) -> None:
    rig = postgres_rig
    ((now_ms,),) = rig.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    for reference in ("first", "second"):
        # Each engine of its own: the clock of its machine is an hour from the other's.
        rig.clock.jump(3_600_000)
        engine = rig.make_engine(uses_database_clock=True)
        run_batch(engine, [make_c2b(reference=reference, approves_unscripted=False)])

    deadlines = [deadline for (deadline,) in rig.sql("SELECT deadline_ms FROM prompts")]
    assert len(deadlines) == 2
    assert all(0 <= deadline - WAIT_MS - now_ms < 60_000 for deadline in deadlines)


# --- several engines on one database --------------------------------------------------------------------


def test_engines_that_write_at_once_neither_lose_nor_block_each_other(postgres_rig: Rig) -> None:
    rig = postgres_rig
    rig.open_ledger(2)
    engines = [rig.make_engine(make_token=make_tokens(1_000_000 * n)) for n in (1, 2, 3)]

    def work(number: int) -> int:
        completed = 0
        for batch in range(25):
            # In another order in each engine: locks are taken in one order all the same.
            ledgers = (1, 2) if number % 2 else (2, 1)
            outcomes = run_batch(
                engines[number],
                [
                    make_c2b(ledger=ledger, reference=f"{number} {batch}", amount_minor=1)
                    for ledger in ledgers
                ],
            )
            completed += states(outcomes).count(State.COMPLETED)
        return completed

    with ThreadPoolExecutor(len(engines)) as threads:
        completed = sum(threads.map(work, range(len(engines))))

    assert completed == 3 * 25 * 2
    assert rig.observer.troubles == []
    assert rig.balance_of(SHOP, ledger=1) == rig.balance_of(SHOP, ledger=2) == 500_00 + 75


def test_one_conversation_id_at_two_engines_at_once_takes_effect_once(postgres_rig: Rig) -> None:
    rig = postgres_rig
    engines = [rig.make_engine(make_token=make_tokens(1_000_000 * n)) for n in (1, 2)]
    commands = [make_c2b(reference=f"same {number}", amount_minor=1) for number in range(20)]

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(
            lambda engine: [run_batch(engine, [command])[0] for command in commands], engines
        )

    for one, other in zip(states(first), states(second), strict=True):
        assert {one, other} == {State.COMPLETED, State.NONE}
    assert rig.count("payments") == 20
