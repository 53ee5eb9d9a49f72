"""The clock is set forward and back: ids stay in order, ledger time never goes back, and deadlines
and sessions are judged by it.
"""

import itertools
import random

import pytest

from pesalango_server.applications.sessions import CreateSession
from pesalango_server.gateway.sessions import (
    KnownSession,
    decode_session_in_market,
    read_session_in_market,
)
from pesalango_server.kernel.ids import (
    COUNTER_MAX,
    LEDGER_MAX,
    follow_id,
    ledger_of,
    mint_id,
    minted_at_ms,
    write_follow_id,
)
from pesalango_server.kernel.message import FAULT_UNAVAILABLE, Done, PaymentOutcome
from pesalango_server.ledger.model import Answer
from pesalango_server.ledger.parties import FundCustomers, SetOrganisation
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.commands import AnswerPrompt, TakeC2b
from pesalango_server.storage.address import open_database_reader
from tests.store.engine_fixture import (
    PAYER,
    POOR,
    SHOP,
    SHOP_WITHOUT_PRODUCTS,
    WAIT_MS,
    Rig,
    make_b2b,
    make_b2c,
    make_c2b,
    make_reversal,
    run_batch,
)
from tests.store.link_end import run_loop

# The contract's own number.
CLOCK_JUMP_MAX_MS = 60_000

HOUR_MS = 3_600_000
SMALL_MS = CLOCK_JUMP_MAX_MS // 3
"""Two steps in turn may fall between two batches."""

PENDING = (State.PENDING, Status.PROMPT_WAITING)
EXPIRED = (State.EXPIRED, Status.PROMPT_EXPIRED)


def assert_time_went_forward(rig: Rig) -> None:
    """Batches follow each other in time and in their ids, and no id was given out twice."""
    batches = rig.sql(
        "SELECT time_ms, first_id, last_id FROM batches WHERE ledger = 1 ORDER BY sequence"
    )
    assert [row[0] for row in batches] == sorted(row[0] for row in batches)
    bounds = [row[1:] for row in batches if row[1]]
    assert all(first <= last for first, last in bounds)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(bounds))
    ids = [
        row[0]
        for row in rig.sql(
            "SELECT id FROM payments UNION ALL SELECT id FROM payment_changes"
            " UNION ALL SELECT id FROM transfers"
        )
    ]
    assert len(ids) == len(set(ids))


def test_small_steps_both_ways_under_load_refuse_nobody_and_keep_everything_in_order(
    rig: Rig,
) -> None:
    chance = random.Random(6)
    with run_loop(rig.engine, rig.clock, batch_commands_max=8) as loop:
        workers = [loop.connect() for _ in range(3)]
        for step in range(40):
            sent = [
                worker.send(
                    make_c2b(reference=f"{step} {position} first", amount_minor=1),
                    make_c2b(reference=f"{step} {position} second", amount_minor=2),
                )
                for position, worker in enumerate(workers)
            ]
            if step % 3 == 0:
                # The others' are under way while the clock is set.
                workers[0].wait_for(sent[0])
            rig.clock.jump(chance.randint(-SMALL_MS, SMALL_MS))
            rig.clock.advance(chance.randint(0, 20))
        for worker in workers:
            outcomes = [worker.wait_for(number) for number in range(1, 2 * 40 + 1)]
            assert FAULT_UNAVAILABLE not in outcomes

    assert rig.count("payments") == 40 * 3 * 2
    assert rig.observer.troubles == []
    assert_time_went_forward(rig)


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
@pytest.mark.parametrize("needs_confirmation", [True, False])
def test_a_large_step_is_asked_about_where_somebody_can_be_asked_and_time_goes_forward(
    rig: Rig, needs_confirmation: bool, jump_ms: int
) -> None:
    engine = rig.make_engine(needs_clock_confirmation=needs_confirmation)
    run_batch(engine, [make_c2b(reference="before", amount_minor=1)])
    rig.clock.jump(jump_ms)
    after = make_c2b(reference="after", amount_minor=1)

    if needs_confirmation:
        assert run_batch(engine, [after]) == [FAULT_UNAVAILABLE]
        assert not engine.probe()
        assert f"jumped by {jump_ms // 1000} s" in engine.reason_unavailable
        assert "confirm-clock" in engine.reason_unavailable
        engine.confirm_clock()
        assert engine.probe()
    (outcome,) = run_batch(engine, [after])
    assert isinstance(outcome, PaymentOutcome)
    assert outcome.state == State.COMPLETED
    rig.clock.jump(-jump_ms)
    if needs_confirmation:
        engine.confirm_clock()
    run_batch(engine, [make_c2b(reference="set right", amount_minor=1)])
    assert rig.count("payments") == 3
    assert_time_went_forward(rig)


def test_ids_made_while_the_clock_is_ahead_are_followed_by_later_ones_when_it_is_set_back(
    rig: Rig,
) -> None:
    engine = rig.make_engine(needs_clock_confirmation=False)
    ids: list[int] = []
    for number, jump_ms in enumerate((24 * HOUR_MS, -48 * HOUR_MS, 24 * HOUR_MS, 0)):
        rig.clock.jump(jump_ms)
        (outcome,) = run_batch(engine, [make_c2b(reference=f"{number}", amount_minor=1)])
        assert isinstance(outcome, PaymentOutcome)
        ids.append(outcome.payment)

    assert ids == sorted(set(ids))
    # What the clock showed at its furthest is where they go on from.
    assert all(minted_at_ms(id_) >= rig.clock.wall_ms() for id_ in ids)
    assert_time_went_forward(rig)


# --- ids that run ahead of the clock: 4 096 of one millisecond, and the next one is borrowed -----------------


def use_up_ids(rig: Rig, *, until_counter: int) -> None:
    """Fund until the last id that was minted has this counter, while the clock stands still."""
    ((last_id,),) = rig.sql("SELECT last_id FROM ledger_state WHERE ledger = 1")
    left = (until_counter - last_id) & COUNTER_MAX
    keys = [f"{last_id + number:032x}" for number in range(left)]
    (funded,) = rig.run(FundCustomers(1, tuple((POOR, 1, key) for key in keys)))
    assert isinstance(funded, Done)
    assert funded.ids[-1] & COUNTER_MAX == until_counter


def approve(rig: Rig, command: TakeC2b) -> PaymentOutcome:
    """A payment that its customer approves with the last but one id of the millisecond."""
    asked = rig.pay(command)
    assert asked.state == State.PENDING
    use_up_ids(rig, until_counter=COUNTER_MAX - 1)
    (approved,) = rig.run(AnswerPrompt(1, asked.payment, Answer.APPROVE))
    assert isinstance(approved, PaymentOutcome)
    return approved


PAYMENTS = {
    "c2b": make_c2b(reference="first"),
    "b2c": make_b2c(reference="first"),
    "b2b": make_b2b(reference="first"),
    "prompt": make_c2b(reference="first", approves_unscripted=False),
}


@pytest.mark.parametrize("payment", PAYMENTS)
def test_a_payment_with_the_last_id_of_its_millisecond_can_be_reversed(
    rig: Rig, payment: str
) -> None:
    before = [rig.balance_of(name) for name in (PAYER, SHOP, SHOP_WITHOUT_PRODUCTS)]
    rig.clock.jump(-SMALL_MS)
    command = PAYMENTS[payment]
    if payment == "prompt":
        assert isinstance(command, TakeC2b)
        outcome = approve(rig, command)
    else:
        use_up_ids(rig, until_counter=COUNTER_MAX - 1)
        outcome = rig.pay(command)
        assert outcome.payment & COUNTER_MAX == COUNTER_MAX
    assert outcome.state == State.COMPLETED
    ((transfer,),) = rig.sql(f"SELECT id FROM transfers WHERE payment = {outcome.payment}")
    assert transfer & COUNTER_MAX == 0

    organisation = SHOP_WITHOUT_PRODUCTS if payment == "b2b" else SHOP
    if payment == "b2b":
        rig.run(SetOrganisation(1, SHOP_WITHOUT_PRODUCTS, None, "reversal"))
    back = [
        rig.pay(
            make_reversal(
                reference=f"back {amount_minor}",
                original=outcome.payment,
                organisation=organisation,
                amount_minor=amount_minor,
            )
        )
        for amount_minor in (1, 0)
    ]

    assert [Status(reversal.status) for reversal in back] == [Status.COMPLETED] * 2
    assert [rig.balance_of(name) for name in (PAYER, SHOP, SHOP_WITHOUT_PRODUCTS)] == before
    assert rig.count("reversals", f"original = {outcome.payment}") == 2


def test_both_databases_know_the_id_that_follows_as_it_is_minted(rig: Rig) -> None:
    for ledger, counter in itertools.product((0, 1, LEDGER_MAX), (0, COUNTER_MAX - 1, COUNTER_MAX)):
        known_id = mint_id(last_id=0, wall_ms=rig.clock.wall_ms(), ledger=ledger) + counter
        minted = mint_id(last_id=known_id, wall_ms=rig.clock.wall_ms(), ledger=ledger)
        ((found,),) = rig.sql(f"SELECT {write_follow_id(str(known_id))}")
        assert found == follow_id(known_id) == minted > known_id
        assert ledger_of(minted) == ledger


# --- deadlines --------------------------------------------------------------------------------------------


def ask(rig: Rig, reference: str) -> int:
    """A payment that waits for its customer."""
    outcome = rig.pay(make_c2b(reference=reference, approves_unscripted=False))
    assert outcome.state == State.PENDING
    return outcome.payment


def test_a_prompt_outlives_no_deadline_of_ledger_time_and_ends_none_before_it(rig: Rig) -> None:
    payment = ask(rig, "asked")
    # Ledger time stands still until the clock has caught up with it.
    rig.clock.jump(-30_000)
    rig.clock.advance(WAIT_MS)
    run_batch(rig.engine, [make_c2b(reference="meanwhile", msisdn=POOR, amount_minor=1)])
    with run_loop(rig.engine, rig.clock) as loop:
        worker = loop.connect()
        worker.wait_for(worker.send(make_c2b(reference="one", msisdn=POOR, amount_minor=1)))
        assert rig.standing(payment) == PENDING
        rig.clock.advance(29_999)
        worker.nudge()
        worker.wait_for(worker.send(make_c2b(reference="two", msisdn=POOR, amount_minor=1)))
        assert rig.standing(payment) == PENDING
        # Nobody waits for it here, so it is left to its own engine for a second.
        rig.clock.advance(1_001)
        for reference in ("three", "four", "five"):
            worker.wait_for(worker.send(make_c2b(reference=reference, msisdn=POOR, amount_minor=1)))
    assert rig.standing(payment) == EXPIRED


def test_an_unconfirmed_step_forward_ends_no_prompt_and_a_confirmed_one_ends_what_is_due(
    rig: Rig,
) -> None:
    with run_loop(rig.engine, rig.clock) as loop:
        worker = loop.connect()
        number = worker.send(make_c2b(reference="asked", approves_unscripted=False))
        pending = worker.wait_for_first(number)
        assert isinstance(pending, PaymentOutcome)
        rig.clock.jump(HOUR_MS)
        assert (
            worker.wait_for(worker.send(make_c2b(reference="one", amount_minor=1)))
            == FAULT_UNAVAILABLE
        )
        assert rig.standing(pending.payment) == PENDING
        worker.wait_for_heartbeat(can_commit=False)
        rig.engine.confirm_clock()
        while not worker.heartbeats[-1].can_commit:
            # Once may be too little: a probe that is under way counts its pause from its end.
            rig.clock.advance(2_000)
            worker.nudge()
            worker.receive()
        # The prompt is looked at only once the engine can decide again.
        rig.clock.advance(2_000)
        worker.nudge()
        outcome = worker.wait_for(number)

    assert isinstance(outcome, PaymentOutcome)
    assert (State(outcome.state), Status(outcome.status)) == EXPIRED
    assert rig.standing(pending.payment) == EXPIRED


ROUND_TRIPS = 20


def test_a_step_that_is_not_confirmed_keeps_no_processor_busy_with_what_is_due(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_loop(rig.engine, rig.clock) as loop:
        worker = loop.connect()
        worker.wait_for_first(worker.send(make_c2b(reference="asked", approves_unscripted=False)))
        rig.clock.jump(HOUR_MS)
        last = worker.send(make_c2b(reference="one", amount_minor=1))
        assert worker.wait_for(last) == FAULT_UNAVAILABLE
        rig.clock.advance(WAIT_MS)
        turns = itertools.count()
        listen = loop.loop._listen
        monkeypatch.setattr(loop.loop, "_listen", lambda: (next(turns), listen()))
        for _ in range(ROUND_TRIPS):
            last = worker.send(make_c2b(reference="one", amount_minor=1))
            assert worker.wait_for(last) == FAULT_UNAVAILABLE
        counted = next(turns)
        rig.engine.confirm_clock()

    # The clock stands still, so but for what was sent there was nothing to look for. The first may
    # have come while it listened uncounted.
    assert ROUND_TRIPS - 1 <= counted < 4 * ROUND_TRIPS


# --- sessions ---------------------------------------------------------------------------------------------


def make_session(rig: Rig, name: str, *, life_ms: int) -> KnownSession:
    """A session, as a worker finds it."""
    key_hash = name.encode().hex().zfill(64)
    (made,) = rig.run(CreateSession(1, 7, key_hash, 0, life_ms))
    assert isinstance(made, Done)
    reader = open_database_reader(rig.address)
    try:
        known = decode_session_in_market(key_hash, reader.read(read_session_in_market(key_hash)))
    finally:
        reader.close()
    assert known is not None
    return known


def is_live(rig: Rig, known: KnownSession) -> bool:
    return known.live_ms <= known.ledger_now_ms(rig.clock.wall_ms()) < known.ends_ms


def test_a_session_that_is_made_after_a_step_back_is_live_at_once(rig: Rig) -> None:
    first = make_session(rig, "first", life_ms=HOUR_MS)
    rig.clock.jump(-30_000)
    second = make_session(rig, "second", life_ms=HOUR_MS)

    assert second.live_ms == first.live_ms > rig.clock.wall_ms()
    assert is_live(rig, first)
    assert is_live(rig, second)


def test_a_session_ends_by_the_clock_that_its_ledger_goes_by(rig: Rig) -> None:
    known = make_session(rig, "known", life_ms=HOUR_MS)
    rig.clock.advance(HOUR_MS - 1)
    assert is_live(rig, known)
    rig.clock.jump(1)
    assert not is_live(rig, known)
    # Set back, it is what the clock says again, but never before the ledger's own time.
    rig.clock.jump(-3 * HOUR_MS)
    assert is_live(rig, known)
    assert known.ledger_now_ms(rig.clock.wall_ms()) == known.live_ms
