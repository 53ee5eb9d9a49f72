"""The engine's thread between its workers and its database: who is answered what, and when."""

import contextlib
import itertools
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest

from pesalango_server.engine.engine import EngineEnded
from pesalango_server.engine.faults import Point
from pesalango_server.engine.loop import ConfirmClock
from pesalango_server.engine.registry import USE_CASES
from pesalango_server.kernel.message import (
    FAULT_INTERNAL,
    FAULT_UNAVAILABLE,
    AnyOutcome,
    Command,
    Done,
    PaymentOutcome,
)
from pesalango_server.ledger.model import Answer
from pesalango_server.ledger.parties import ScriptCustomer
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.link import channel
from pesalango_server.link.frames import FRAME_BYTES_MAX, encode_frame
from pesalango_server.payments.commands import AnswerPrompt, ExpirePrompt
from pesalango_server.storage.postgres import PostgresWriter
from tests.store.engine_fixture import (
    PAYER,
    PAYER_MINOR,
    POOR,
    WAIT_MS,
    Rig,
    make_c2b,
    make_tokens,
)
from tests.store.link_end import RawWorker, RunningLoop, run_loop
from tests.store.postgres_proxy import PostgresProxy

# The contract's own numbers, whatever the product's are called.
ASK_ELSEWHERE_MS, TAKE_OVER_AFTER_MS = 200, 1_000

EXPIRED = (State.EXPIRED, Status.PROMPT_EXPIRED)
COMPLETED = (State.COMPLETED, Status.COMPLETED)


@pytest.fixture
def loop(rig: Rig) -> Iterator[RunningLoop]:
    with run_loop(rig.engine, rig.clock) as running:
        yield running


def stands(outcome: AnyOutcome) -> tuple[State, Status]:
    assert isinstance(outcome, PaymentOutcome), outcome
    return State(outcome.state), Status(outcome.status)


def ask(worker: RawWorker, reference: str = "asked", **changes: Any) -> tuple[int, int]:
    """Send a payment that waits for its customer: its number on the link, and its id."""
    number = worker.send(make_c2b(reference=reference, approves_unscripted=False, **changes))
    pending = worker.wait_for_first(number)
    assert stands(pending) == (State.PENDING, Status.PROMPT_WAITING)
    assert isinstance(pending, PaymentOutcome)
    return number, pending.payment


# --- commands and outcomes ---------------------------------------------------------------------------


def test_every_worker_gets_the_outcomes_of_its_own_commands(loop: RunningLoop) -> None:
    workers = [loop.connect() for _ in range(3)]
    numbers = [
        worker.send(
            make_c2b(reference=f"first of {position}", amount_minor=1),
            make_c2b(reference=f"last of {position}", msisdn=POOR, amount_minor=100 * position),
        )
        for position, worker in enumerate(workers, 1)
    ]

    assert numbers == [2, 2, 2]
    for worker in workers:
        assert stands(worker.wait_for(1)) == COMPLETED
        assert stands(worker.wait_for(2)) == (State.FAILED, Status.BALANCE_INSUFFICIENT)


def test_a_batch_takes_so_many_commands_and_no_more(rig: Rig) -> None:
    with run_loop(rig.engine, rig.clock, batch_commands_max=10) as loop:
        worker = loop.connect()
        last = worker.send(*(make_c2b(reference=f"{n}", amount_minor=1) for n in range(95)))
        worker.wait_for(last)

    assert rig.count("payments") == 95
    assert max(rig.observer.batches) == 10


def test_an_answer_at_another_worker_reaches_both(loop: RunningLoop) -> None:
    caller, handset = loop.connect(), loop.connect()
    number, payment = ask(caller)

    answered = handset.wait_for(handset.send(AnswerPrompt(1, payment, Answer.APPROVE)))

    assert stands(answered) == stands(caller.wait_for(number)) == COMPLETED
    assert len(caller.outcomes_of(number)) == 2


def test_wrong_pins_leave_the_caller_waiting_until_the_third(loop: RunningLoop) -> None:
    caller, handset = loop.connect(), loop.connect()
    number, payment = ask(caller)
    wrong = AnswerPrompt(1, payment, Answer.WRONG_PIN)

    for _ in range(2):
        assert stands(handset.wait_for(handset.send(wrong)))[0] == State.PENDING
    assert len(caller.outcomes_of(number)) == 1
    handset.send(wrong)
    assert stands(caller.wait_for(number)) == (State.FAILED, Status.PROMPT_PINS_EXHAUSTED)


# --- what falls due -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "end"),
    [
        (Answer.APPROVE, COMPLETED),
        (Answer.DECLINE, (State.FAILED, Status.PROMPT_DECLINED)),
        (Answer.WRONG_PIN, (State.FAILED, Status.PROMPT_PINS_EXHAUSTED)),
    ],
)
def test_a_scripted_customer_answers_after_the_scripts_delay(
    rig: Rig, loop: RunningLoop, script: Answer, end: tuple[State, Status]
) -> None:
    worker = loop.connect()
    worker.wait_for(worker.send(ScriptCustomer(1, PAYER, script, 3_000)))
    number, payment = ask(worker)

    rig.clock.advance(2_999)
    worker.wait_for(worker.send(make_c2b(reference="meanwhile", msisdn=POOR, amount_minor=1)))
    assert rig.standing(payment) == (State.PENDING, Status.PROMPT_WAITING)
    rig.clock.advance(1)
    worker.nudge()
    assert stands(worker.wait_for(number)) == end
    assert rig.standing(payment) == end


@pytest.mark.parametrize("script", [Answer.NONE, Answer.NEVER])
def test_a_customer_who_never_answers_lets_the_payment_expire(
    rig: Rig, loop: RunningLoop, script: Answer
) -> None:
    worker = loop.connect()
    worker.wait_for(worker.send(ScriptCustomer(1, PAYER, script, 0)))
    number, payment = ask(worker)
    rig.clock.advance(WAIT_MS)
    worker.nudge()

    assert stands(worker.wait_for(number)) == EXPIRED
    assert rig.standing(payment) == EXPIRED
    assert rig.balance_of(PAYER) == PAYER_MINOR


def test_a_callers_wait_ends_by_the_monotonic_clock(rig: Rig, loop: RunningLoop) -> None:
    worker = loop.connect()
    number, payment = ask(worker)
    # By the ledger's time the deadline is 30 s away; the caller does not wait for that.
    rig.clock.jump(-30_000)
    rig.clock.advance(WAIT_MS)
    worker.nudge()

    assert stands(worker.wait_for(number)) == EXPIRED
    assert rig.standing(payment) == EXPIRED


@pytest.mark.parametrize("approval_first", [True, False])
def test_approval_and_expiry_race_and_everybody_gets_the_winners_state(
    rig: Rig, loop: RunningLoop, approval_first: bool
) -> None:
    caller, handset, other = (loop.connect() for _ in range(3))
    number, payment = ask(caller)
    race: list[Command] = [
        AnswerPrompt(1, payment, Answer.APPROVE),
        ExpirePrompt(1, payment, is_forced=True),
    ]
    if not approval_first:
        race.reverse()
    last = handset.send(*race)
    # One more that comes later still.
    late = other.send(AnswerPrompt(1, payment, Answer.DECLINE))

    end = COMPLETED if approval_first else EXPIRED
    assert stands(handset.wait_for(last - 1)) == stands(handset.wait_for(last)) == end
    assert stands(caller.wait_for(number)) == end
    assert stands(other.wait_for(late))[0] in {State.COMPLETED, State.EXPIRED, State.FAILED}
    assert rig.standing(payment) == stands(other.wait_for(late))


def test_an_expiry_that_faults_is_retried_alone_after_growing_pauses(
    rig: Rig, loop: RunningLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = loop.connect()
    number, payment = ask(worker)
    attempts_ms: list[int] = []
    plan, decide = USE_CASES[ExpirePrompt]

    def fail_four_times(command: Any, book: Any) -> AnyOutcome:
        attempts_ms.append(rig.clock.monotonic_ms())
        if len(set(attempts_ms)) <= 4:
            raise ZeroDivisionError
        return decide(command, book)

    monkeypatch.setitem(cast("dict[Any, Any]", USE_CASES), ExpirePrompt, (plan, fail_four_times))
    rig.clock.advance(WAIT_MS)
    for step in range(100):
        # The others are served all the while; after the second answer what was due has been tried.
        for turn in range(2):
            refused = make_c2b(reference=f"{step} {turn}", msisdn=POOR, amount_minor=100)
            worker.wait_for(worker.send(refused))
        rig.clock.advance(250)
    worker.nudge()

    assert stands(worker.wait_for(number)) == EXPIRED
    assert rig.standing(payment) == EXPIRED
    times = sorted(set(attempts_ms))
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert len(pauses) == 4
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 4 * pauses[0] > 0


def test_a_prompt_that_is_due_here_and_not_yet_by_the_database_makes_no_storm(
    postgres_rig: Rig,
) -> None:
    rig = postgres_rig
    ((now_ms,),) = rig.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    # This machine is ten seconds ahead of the database's.
    rig.clock.jump(now_ms + 10_000 - rig.clock.wall_ms())
    rig.audits_at_end = False
    engine = rig.make_engine(uses_database_clock=True)
    with run_loop(engine, rig.clock) as loop:
        worker = loop.connect()
        number, _ = ask(worker, wait_ms=5_000)
        before = len(rig.observer.batches)
        for step in range(30):
            refused = make_c2b(reference=f"step {step}", msisdn=POOR, amount_minor=100)
            worker.wait_for(worker.send(refused))
        assert len(rig.observer.batches) - before <= 30 + 3
        assert len(worker.outcomes_of(number)) == 1


# --- workers come and go ------------------------------------------------------------------------------


def test_what_a_worker_had_sent_before_it_died_is_decided(rig: Rig, loop: RunningLoop) -> None:
    dying, living = loop.connect(), loop.connect()
    dying.wait_for_heartbeat(can_commit=True)
    dying.send(make_c2b(reference="last words"))
    dying.close()

    again = living.wait_for(living.send(make_c2b(reference="last words")))
    assert stands(again) == (State.NONE, Status.DUPLICATE)
    assert rig.count("payments") == 1


def test_a_payment_whose_caller_has_gone_runs_on_to_its_end(rig: Rig, loop: RunningLoop) -> None:
    dying, handset = loop.connect(), loop.connect()
    _, payment = ask(dying, "completed")
    _, forgotten = ask(dying, "expired")
    dying.close()

    answered = handset.wait_for(handset.send(AnswerPrompt(1, payment, Answer.APPROVE)))
    assert stands(answered) == COMPLETED
    rig.clock.advance(WAIT_MS)
    handset.nudge()
    expired = handset.wait_for(handset.send(AnswerPrompt(1, forgotten, Answer.APPROVE)))
    assert stands(expired) == EXPIRED


def test_half_a_frame_was_never_said(rig: Rig, loop: RunningLoop) -> None:
    dying, living = loop.connect(), loop.connect()
    frame = encode_frame([(1, make_c2b(reference="whole")), (2, make_c2b(reference="too"))])
    dying.send_bytes(frame[:-1])
    dying.close()

    assert stands(living.wait_for(living.send(make_c2b(reference="whole")))) == COMPLETED
    assert rig.count("payments") == 1


def test_a_frame_may_come_in_pieces(loop: RunningLoop) -> None:
    worker, other = loop.connect(), loop.connect()
    frame = encode_frame([(1, make_c2b(reference="in pieces"))])
    for piece in (frame[:2], frame[2:9], frame[9:]):
        worker.send_bytes(piece)
        # By then the engine has seen the piece.
        other.wait_for(other.send(ScriptCustomer(1, POOR, Answer.NONE, 0)))

    assert stands(worker.wait_for(1)) == COMPLETED


@pytest.mark.parametrize(
    "nonsense",
    [
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
        encode_frame("not a list of commands"),
        encode_frame([(1, [99, 1])]),
        b"\x00\x00\x00\x01\xc1",
    ],
    ids=["too large", "no commands", "no known command", "no document"],
)
def test_a_worker_that_talks_nonsense_is_let_go_alone(loop: RunningLoop, nonsense: bytes) -> None:
    mad, sane = loop.connect(), loop.connect()
    mad.send_bytes(nonsense)
    mad.wait_for_end()

    assert stands(sane.wait_for(sane.send(make_c2b(reference="sane")))) == COMPLETED


def test_a_worker_that_does_not_read_is_let_go_and_blocks_nobody(
    rig: Rig, loop: RunningLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "BUFFER_BYTES_MAX", 4_096)
    deaf, living = loop.connect(send_buffer_bytes=1), loop.connect()
    refused = [make_c2b(reference="same") for _ in range(500)]
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            deaf.send(*refused)
            living.wait_for(living.send(make_c2b(reference="same")))

    deaf.wait_for_end()
    assert stands(living.wait_for(living.send(make_c2b(reference="heard")))) == COMPLETED
    assert rig.count("payments") == 2


# --- the server stops -----------------------------------------------------------------------------------


def test_a_drain_ends_the_waits_of_its_own_callers_and_answers_everybody(
    rig: Rig, loop: RunningLoop
) -> None:
    first, second = loop.connect(), loop.connect()
    asked = [ask(worker, f"asked {n}") for n, worker in enumerate((first, second, second))]
    loop.loop.stop()

    ends = [
        stands(worker.wait_for(number))
        for worker, (number, _) in zip((first, second, second), asked, strict=True)
    ]
    assert ends == [EXPIRED] * 3
    late = stands(first.wait_for(first.send(make_c2b(reference="sent before the drain came"))))
    assert late == COMPLETED
    assert first.is_asked_to_end
    assert second.is_asked_to_end
    first.close()
    second.close()
    assert loop.wait_for_end() is None
    assert [rig.standing(payment) for _, payment in asked] == [EXPIRED] * 3


def test_a_payment_that_has_to_wait_is_ended_at_once_while_the_server_stops(
    loop: RunningLoop,
) -> None:
    worker = loop.connect()
    loop.loop.stop()
    number = worker.send(make_c2b(reference="late", approves_unscripted=False))

    assert stands(worker.wait_for(number)) == EXPIRED


def test_a_drain_leaves_the_prompts_of_others_alone(rig: Rig) -> None:
    other = rig.make_engine()
    with run_loop(other, rig.clock) as gone:
        _, payment = ask(gone.connect(), "somebody else's")
        # As if it had been killed: its waits are not ended.
        gone.waiting.expire_all()
        with run_loop(rig.engine, rig.clock) as loop:
            _, own = ask(loop.connect(), "own")
        assert rig.standing(own) == EXPIRED
        assert rig.standing(payment) == (State.PENDING, Status.PROMPT_WAITING)


def test_a_loop_without_workers_stops_at_once(loop: RunningLoop) -> None:
    loop.loop.stop()

    assert loop.wait_for_end() is None


# --- the engine dies ----------------------------------------------------------------------------------


class Killed(BaseException):
    """What a test raises where a process would be gone."""


class KillAt:
    """Ends the engine at a point of a batch, once it is told to."""

    def __init__(self) -> None:
        self.point: Point | None = None

    def reach(self, point: Point) -> None:
        if point is self.point:
            raise Killed


@pytest.mark.parametrize("point", Point)
def test_an_engine_that_is_killed_answers_only_what_is_stored(rig: Rig, point: Point) -> None:
    kill = KillAt()
    engine = rig.make_engine(faults=kill)
    with run_loop(engine, rig.clock, faults=kill) as loop:
        worker = loop.connect()
        kill.point = point
        number = worker.send(make_c2b(reference="one"))
        assert isinstance(loop.wait_for_end(), Killed)
        engine.writer.close()
        loop.close()

    is_stored = point in {Point.COMMITTED, Point.ANSWERED}
    assert rig.count("payments") == (1 if is_stored else 0)
    assert worker.outcomes_of(number) == []
    again = stands(rig.pay(make_c2b(reference="one")))
    assert again == ((State.NONE, Status.DUPLICATE) if is_stored else COMPLETED)


def kill_while_asked(rig: Rig, **changes: Any) -> int:
    """A payment whose engine was killed while it waited; its id."""
    kill = KillAt()
    engine = rig.make_engine(faults=kill)
    with run_loop(engine, rig.clock, faults=kill) as loop:
        worker = loop.connect()
        _, payment = ask(worker, **changes)
        kill.point = Point.TAKEN
        worker.send(make_c2b(reference="the last straw"))
        assert isinstance(loop.wait_for_end(), Killed)
        engine.writer.close()
    return payment


def test_after_a_restart_a_prompt_goes_on_and_may_still_be_answered(rig: Rig) -> None:
    payment = kill_while_asked(rig)

    with run_loop(rig.engine, rig.clock) as loop:
        handset = loop.connect()
        answered = handset.wait_for(handset.send(AnswerPrompt(1, payment, Answer.APPROVE)))
        assert stands(answered) == COMPLETED


@pytest.mark.parametrize(
    ("script", "delay_ms", "due_ms", "end"),
    [(Answer.APPROVE, 3_000, 3_000, COMPLETED), (Answer.NEVER, 0, WAIT_MS, EXPIRED)],
)
def test_what_another_engine_left_is_taken_over_a_second_after_it_was_due(
    rig: Rig, script: Answer, delay_ms: int, due_ms: int, end: tuple[State, Status]
) -> None:
    rig.run(ScriptCustomer(1, PAYER, script, delay_ms))
    payment = kill_while_asked(rig)

    with run_loop(rig.engine, rig.clock) as loop:
        worker = loop.connect()

        def let_go_by(elapsed_ms: int) -> None:
            rig.clock.advance(elapsed_ms)
            for _ in range(3):
                worker.wait_for(
                    worker.send(make_c2b(reference="refused", msisdn=POOR, amount_minor=100))
                )

        # Its own engine may be slow: for a second the payment is left to it.
        let_go_by(due_ms + TAKE_OVER_AFTER_MS - 1)
        if end == COMPLETED:
            assert rig.standing(payment) == (State.PENDING, Status.PROMPT_WAITING)
        # It looks once a second at least, so here is the latest moment.
        let_go_by(TAKE_OVER_AFTER_MS)
        assert rig.standing(payment) == end


def test_a_second_engine_leaves_prompts_to_the_one_whose_caller_waits(postgres_rig: Rig) -> None:
    rig = postgres_rig
    rig.run(ScriptCustomer(1, PAYER, Answer.APPROVE, 3_000))
    tokens = 0xABC0_0000
    with (
        run_loop(rig.make_engine(make_token=make_tokens(tokens)), rig.clock) as first,
        run_loop(rig.engine, rig.clock) as second,
    ):
        caller, other = first.connect(), second.connect()
        number, _ = ask(caller)
        rig.clock.advance(3_000 + TAKE_OVER_AFTER_MS - 1)
        for _ in range(3):
            other.wait_for(other.send(make_c2b(reference="refused", msisdn=POOR, amount_minor=100)))
        caller.nudge()
        assert stands(caller.wait_for(number)) == COMPLETED
    ((token,),) = rig.sql(
        "SELECT b.token FROM batches AS b JOIN payment_changes AS c ON c.ledger = b.ledger"
        " AND c.id BETWEEN b.first_id AND b.last_id"
    )
    assert int.from_bytes(token, "big") > tokens


def test_an_answer_at_another_engine_reaches_the_caller_within_its_next_look(
    postgres_rig: Rig,
) -> None:
    rig = postgres_rig
    with (
        run_loop(rig.make_engine(), rig.clock) as first,
        run_loop(rig.engine, rig.clock) as second,
    ):
        caller, handset = first.connect(), second.connect()
        asked = [ask(caller, f"asked {n}") for n in range(3)]
        for (_, payment), answer in zip(
            asked, (Answer.APPROVE, Answer.DECLINE, Answer.WRONG_PIN), strict=True
        ):
            handset.wait_for(handset.send(AnswerPrompt(1, payment, answer)))
        rig.clock.advance(ASK_ELSEWHERE_MS)
        caller.nudge()

        assert stands(caller.wait_for(asked[0][0])) == COMPLETED
        assert stands(caller.wait_for(asked[1][0])) == (State.FAILED, Status.PROMPT_DECLINED)
        assert len(caller.outcomes_of(asked[2][0])) == 1


def wait_for_recovery(rig: Rig, worker: RawWorker) -> None:
    """Let time go by until the engine says that it can commit again."""
    for _ in range(100):
        rig.clock.advance(500)
        worker.nudge()
        worker.receive()
        if worker.heartbeats[-1].can_commit:
            return
    pytest.fail("the engine has not recovered")


# --- the database goes away -------------------------------------------------------------------------------


@pytest.fixture
def proxy(postgres_rig: Rig) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_rig.address.conninfo) as proxy:
        yield proxy


def test_an_engine_without_its_database_says_so_and_recovers_by_itself(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    rig = postgres_rig
    engine = rig.make_engine(PostgresWriter(proxy.url, schema=rig.address.schema))
    with run_loop(engine, rig.clock) as loop:
        worker = loop.connect()
        worker.wait_for_heartbeat(can_commit=True)
        proxy.refuse_connections(is_refusing=True)
        proxy.cut_now()
        assert worker.wait_for(worker.send(make_c2b(reference="one"))) == FAULT_UNAVAILABLE
        assert worker.wait_for(worker.send(make_c2b(reference="one"))) == FAULT_UNAVAILABLE
        rig.clock.advance(500)
        worker.nudge()
        worker.wait_for_heartbeat(can_commit=False)

        proxy.refuse_connections(is_refusing=False)
        wait_for_recovery(rig, worker)
        assert stands(worker.wait_for(worker.send(make_c2b(reference="one")))) == COMPLETED


def test_an_engine_looks_for_its_database_after_pauses_that_grow(
    postgres_rig: Rig, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = postgres_rig
    engine = rig.make_engine(PostgresWriter(proxy.url, schema=rig.address.schema))
    probed_ms: list[int] = []
    probe = engine.probe

    def probe_and_note() -> bool:
        probed_ms.append(rig.clock.monotonic_ms())
        return probe()

    monkeypatch.setattr(engine, "probe", probe_and_note)
    with run_loop(engine, rig.clock) as loop:
        worker = loop.connect()
        worker.wait_for_heartbeat(can_commit=True)
        proxy.refuse_connections(is_refusing=True)
        proxy.cut_now()
        for step in range(200):
            rig.clock.advance(50)
            # Each is answered at once, so every step of time has had its turn.
            refused = worker.wait_for(worker.send(make_c2b(reference=f"step {step}")))
            assert refused == FAULT_UNAVAILABLE
        proxy.refuse_connections(is_refusing=False)
    pauses_ms = [later - earlier for earlier, later in pairwise(probed_ms)]
    assert pauses_ms == sorted(pauses_ms)
    assert pauses_ms[0] <= 150
    assert 2_000 <= pauses_ms[-1] <= 2_050


def test_a_prompt_that_falls_due_while_the_database_is_away_is_ended_when_it_is_back(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    rig = postgres_rig
    engine = rig.make_engine(PostgresWriter(proxy.url, schema=rig.address.schema))
    with run_loop(engine, rig.clock) as loop:
        worker = loop.connect()
        number, payment = ask(worker)
        proxy.refuse_connections(is_refusing=True)
        proxy.cut_now()
        rig.clock.advance(WAIT_MS)
        for _ in range(3):
            assert worker.wait_for(worker.send(make_c2b(reference="one"))) == FAULT_UNAVAILABLE
        assert len(worker.outcomes_of(number)) == 1

        proxy.refuse_connections(is_refusing=False)
        wait_for_recovery(rig, worker)
        while len(worker.outcomes_of(number)) == 1:
            rig.clock.advance(500)
            worker.nudge()
            worker.receive()
        assert stands(worker.wait_for(number)) == EXPIRED
        assert rig.standing(payment) == EXPIRED


def test_a_server_that_stops_while_a_commit_is_unknown_ends_without_an_answer(
    postgres_rig: Rig, proxy: PostgresProxy
) -> None:
    rig = postgres_rig
    loops: list[RunningLoop] = []

    def pause(pause_ms: int) -> bool:
        return loops[0].loop.pause(pause_ms)

    writer = PostgresWriter(proxy.url, schema=rig.address.schema)
    engine = rig.make_engine(writer, pause=pause)
    with run_loop(engine, rig.clock) as loop:
        loops.append(loop)
        worker = loop.connect()
        proxy.cut_at("committed_unanswered")
        proxy.refuse_connections(is_refusing=True)
        number = worker.send(make_c2b(reference="one"))
        assert proxy.wait_for_cuts(1)
        loop.loop.stop()

        assert isinstance(loop.wait_for_end(), EngineEnded)
    assert worker.outcomes_of(number) == []
    assert rig.count("payments") == 1


def test_a_clock_that_jumped_is_confirmed_over_the_link(rig: Rig, loop: RunningLoop) -> None:
    worker = loop.connect()
    worker.wait_for(worker.send(make_c2b(reference="before")))
    rig.clock.jump(3_600_000)
    assert worker.wait_for(worker.send(make_c2b(reference="after"))) == FAULT_UNAVAILABLE
    rig.clock.advance(10_000)
    worker.nudge()
    worker.wait_for_heartbeat(can_commit=False)

    assert worker.wait_for(worker.send(ConfirmClock(0))) == Done()
    wait_for_recovery(rig, worker)
    assert stands(worker.wait_for(worker.send(make_c2b(reference="after")))) == COMPLETED


def test_a_command_at_fault_is_answered_among_the_others(rig: Rig, loop: RunningLoop) -> None:
    worker, other = loop.connect(), loop.connect()
    last = worker.send(
        make_c2b(reference="one"), make_c2b(ledger=99, reference="two"), make_c2b(reference="three")
    )

    assert stands(worker.wait_for(last - 2)) == COMPLETED
    assert worker.wait_for(last - 1) == FAULT_INTERNAL
    assert stands(worker.wait_for(last)) == COMPLETED
    assert stands(other.wait_for(other.send(make_c2b(reference="four")))) == COMPLETED
    assert rig.count("payments") == 3
