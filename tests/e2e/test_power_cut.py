"""The engine on a machine that loses its power at any change to its disk: nothing is lost by it.

In one process and without workers, whose reads would go past the disk of the test. "Answered" means
here that the engine has handed an outcome out, which is when a caller may be told.
"""

import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator

import apsw
import pytest

from pesalango_server.engine.engine import EngineEnded
from pesalango_server.kernel.message import FAULT_UNAVAILABLE, AnyOutcome, Command, PaymentOutcome
from pesalango_server.ledger.model import Answer
from pesalango_server.ledger.statuses import FINAL_STATES, State, Status
from pesalango_server.payments.commands import AnswerPrompt, TakeC2b
from pesalango_server.storage import segments
from pesalango_server.storage.database import StorageUnavailable
from tests.e2e.books import Books, find_violations, open_sqlite_books, read_books
from tests.e2e.power_cut_stream import (
    LEDGER,
    PATH,
    FixedClock,
    Machine,
    Stream,
    digest_books,
    is_effective,
    is_repeatable,
    make_first_disk,
    make_stream,
)
from tests.store.power_cut import PowerCutDisk
from tests.store.power_cut_media import Change, CutMode, Write

STREAMS = 25
CUTS_PER_STREAM = 42
SECOND_CUTS = 100
MODES: tuple[CutMode, ...] = ("drop_all", "random_subset")
CHECKPOINT_PAGES = (None, 5, 12)
"""As shipped there is none in a stream as short as these: also have one every batch or two."""


@pytest.fixture(scope="module", autouse=True)
def _have_small_segments() -> Iterator[None]:
    """So that a stream closes several: the filter and the next segment are in some commits too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SEGMENT_KEYS", 4)
        patch.setattr(segments, "SEGMENTS_PER_FILTER", 2)
        yield


@pytest.fixture(scope="module")
def first_disk() -> Iterator[PowerCutDisk]:
    with make_first_disk() as disk:
        yield disk


def run_until_cut(
    machine: Machine, stream: Stream
) -> tuple[list[list[AnyOutcome]], list[AnyOutcome]]:
    """Outcomes of the batches that were answered as on the uncut run, and those of the one after
    if it was told that nothing was recorded.
    """
    answered: list[list[AnyOutcome]] = []
    try:
        for batch in stream.batches:
            outcomes = machine.run(batch.commands)
            if FAULT_UNAVAILABLE in outcomes:
                return answered, outcomes
            answered.append(outcomes)
    except EngineEnded:
        pass
    return answered, []


def read_disk(disk: PowerCutDisk) -> Books:
    with open_sqlite_books(PATH, vfs=disk.vfs_name) as ask:
        assert ask("PRAGMA integrity_check") == [("ok",)]
        return read_books(ask)


def send_again(machine: Machine, stream: Stream, books: Books) -> None:
    """Whoever has no answer, or has lost it, sends the same: what is there is no double, and what
    is not there takes effect once.
    """
    present = books.count_payments_by_reference()
    commands = [
        command for batch in stream.batches for command in batch.commands if is_repeatable(command)
    ]
    for command, outcome in zip(commands, machine.run(commands), strict=True):
        if not isinstance(command, TakeC2b):
            assert is_effective(outcome)
            continue
        assert isinstance(outcome, PaymentOutcome)
        name = command.third_party_conversation_id
        assert (outcome.status == Status.DUPLICATE) == (present[name] > 0)
        present[name] += 1


def end_prompts(machine: Machine, books: Books) -> None:
    """Everybody who is still asked says yes."""
    answers: list[Command] = [
        AnswerPrompt(LEDGER, payment, Answer.APPROVE) for _, payment in books.prompts
    ]
    for outcome in machine.run(answers):
        assert isinstance(outcome, PaymentOutcome)
        assert State(outcome.state) in FINAL_STATES


def assert_answers_are_kept(stream: Stream, books: Books, *, batches: int) -> None:
    """Every payment that was answered is there, in that state or a later one."""
    states = books.read_state_by_payment()
    for batch in stream.batches[:batches]:
        for outcome in batch.outcomes:
            if isinstance(outcome, PaymentOutcome) and outcome.payment:
                assert states[LEDGER, outcome.payment] in {outcome.state, *FINAL_STATES}
                if State(outcome.state) in FINAL_STATES:
                    assert states[LEDGER, outcome.payment] == outcome.state


def assert_nothing_is_lost_by(found: PowerCutDisk, stream: Stream, *, answered: int) -> int:
    """Start again with what is found, and go on; how many batches had been stored."""
    machine = Machine.on_disk(found, clock=FixedClock(days=2))
    stored = stream.books.index(digest_books(found))
    assert answered <= stored <= answered + 1
    books = read_disk(found)
    assert find_violations(books) == []
    assert_answers_are_kept(stream, books, batches=answered)

    send_again(machine, stream, books)
    end_prompts(machine, read_disk(found))

    books = read_disk(found)
    assert find_violations(books) == []
    assert not books.prompts
    names = {
        command.third_party_conversation_id
        for batch in stream.batches
        for command in batch.commands
        if isinstance(command, TakeC2b)
    }
    assert books.count_payments_by_reference() == Counter(names)
    machine.close()
    return stored


@pytest.mark.parametrize("seed", range(STREAMS))
def test_a_power_cut_loses_nothing_that_was_answered(seed: int, first_disk: PowerCutDisk) -> None:
    stream = make_stream(first_disk, seed=seed)
    chance = random.Random(seed)
    operations = {pages: count_operations(first_disk, stream, pages) for pages in CHECKPOINT_PAGES}
    assert operations[None] < operations[12] < operations[5]
    in_flight: set[str] = set()
    for cut in range(CUTS_PER_STREAM):
        checkpoint_pages = CHECKPOINT_PAGES[cut % len(CHECKPOINT_PAGES)]
        allowed = chance.randrange(operations[checkpoint_pages])
        with first_disk.cut(seed=0, mode="drop_all", cut_after_operations=allowed) as disk:
            machine = Machine.on_disk(
                disk, clock=FixedClock(days=1), checkpoint_pages=checkpoint_pages
            )
            answered, refused = run_until_cut(machine, stream)
            machine.close()
            assert disk.power_is_lost
            for batch, outcomes in zip(stream.batches, answered, strict=False):
                assert outcomes == list(batch.outcomes)
            with disk.cut(seed=cut, mode=chance.choice(MODES)) as found:
                stored = assert_nothing_is_lost_by(found, stream, answered=len(answered))
        # Who was told that nothing is recorded was told the truth.
        assert not refused or stored == len(answered)
        in_flight.add("kept" if stored > len(answered) else "gone")

    # A cut that always decides one way has tried nothing.
    assert in_flight == {"kept", "gone"}


def test_the_cuts_of_this_suite_are_a_thousand() -> None:
    assert STREAMS * CUTS_PER_STREAM >= 1_000


def test_a_second_power_cut_during_the_recovery_loses_nothing_either(
    first_disk: PowerCutDisk,
) -> None:
    stream = make_stream(first_disk, seed=STREAMS)
    chance = random.Random(STREAMS)
    operations = count_operations(first_disk, stream, 12)
    cut_twice = 0
    for cut in range(SECOND_CUTS):
        allowed = chance.randrange(operations)
        with first_disk.cut(seed=0, mode="drop_all", cut_after_operations=allowed) as disk:
            machine = Machine.on_disk(disk, clock=FixedClock(days=1), checkpoint_pages=12)
            answered, _ = run_until_cut(machine, stream)
            machine.close()
            # To open a book and close it again is to write its log into it.
            mode = chance.choice(MODES)
            with disk.cut(seed=cut, mode=mode, cut_after_operations=cut % 20) as recovering:
                with contextlib.suppress(StorageUnavailable):
                    Machine.on_disk(recovering, clock=FixedClock(days=1)).close()
                cut_twice += recovering.power_is_lost
                with recovering.cut(seed=cut, mode=mode) as found:
                    assert_nothing_is_lost_by(found, stream, answered=len(answered))

    assert cut_twice > SECOND_CUTS / 4


def test_without_a_sync_at_each_commit_payments_that_were_answered_are_lost(
    first_disk: PowerCutDisk,
) -> None:
    stream = make_stream(first_disk, seed=0)
    operations = count_operations(first_disk, stream, 12)
    lost: Counter[CutMode] = Counter()
    for allowed in range(0, operations, 3):
        mode = MODES[allowed % 2]
        with first_disk.cut(seed=0, mode="drop_all", cut_after_operations=allowed) as disk:
            machine = Machine.on_disk(
                disk, clock=FixedClock(days=1), checkpoint_pages=12, synchronous="normal"
            )
            answered, _ = run_until_cut(machine, stream)
            machine.close()
            with disk.cut(seed=allowed, mode=mode) as found:
                books = read_disk(found)
        payments = {payment.id for payment in books.payments}
        lost[mode] += any(
            isinstance(outcome, PaymentOutcome)
            and outcome.payment
            and outcome.payment not in payments
            for outcomes in answered
            for outcome in outcomes
        )

    assert all(lost[mode] > 0 for mode in MODES)


def test_a_disk_without_room_refuses_and_goes_on_once_there_is_room(
    first_disk: PowerCutDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make_stream(first_disk, seed=1)
    refused_at = set()
    for room in range(0, count_operations(first_disk, stream, 12), 5):
        with first_disk.cut(seed=0, mode="drop_all") as disk:
            machine = Machine.on_disk(disk, clock=FixedClock(days=1), checkpoint_pages=12)
            with monkeypatch.context() as patch:
                limit_room(patch, disk, writes=room)
                answered, refused = run_until_cut(machine, stream)
            if not refused:
                # There was room for all but, perhaps, the last checkpoints.
                assert len(answered) == len(stream.batches)
                continue
            refused_at.add(len(answered))
            assert set(refused) == {FAULT_UNAVAILABLE}
            assert machine.can_commit_again()
            books = read_disk(disk)
            assert find_violations(books) == []
            known = stream.batches[: len(answered)]
            assert {payment.id for payment in books.payments} == {
                outcome.payment
                for batch in known
                for outcome in batch.outcomes
                if isinstance(outcome, PaymentOutcome) and outcome.payment
            }
            send_again(machine, stream, books)
            machine.close()
            with disk.cut(seed=room, mode="drop_all") as found:
                assert find_violations(read_disk(found)) == []

    assert len(refused_at) > len(stream.batches) / 2


def limit_room(patch: pytest.MonkeyPatch, disk: PowerCutDisk, *, writes: int) -> None:
    """Let so many writes fit into the log, and no more.

    What does not fit into the book itself, at a checkpoint, SQLite passes over in silence; an error
    of this file system it would not.
    """
    perform = disk.perform
    made = itertools.count()

    def perform_within_room(change: Change) -> None:
        if isinstance(change, Write) and change.file_id != book and next(made) >= writes:
            raise apsw.FullError("there is no room")
        perform(change)

    book = disk.open_file(str(PATH), apsw.SQLITE_OPEN_READONLY)

    patch.setattr(disk, "perform", perform_within_room)


def count_operations(first_disk: PowerCutDisk, stream: Stream, checkpoint_pages: int | None) -> int:
    with first_disk.cut(seed=0, mode="drop_all") as disk:
        machine = Machine.on_disk(disk, clock=FixedClock(days=1), checkpoint_pages=checkpoint_pages)
        run_until_cut(machine, stream)
        return disk.operations
