"""A worker's end of the link, against a real engine: room, silence, loss, drain."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest

from pesalango_server.engine.faults import Point
from pesalango_server.kernel.message import PaymentOutcome
from pesalango_server.ledger.model import Answer
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.link.client import (
    LinkBusy,
    LinkClient,
    LinkLost,
)
from pesalango_server.payments.commands import AnswerPrompt
from pesalango_server.storage.bundled.waiting import wait_until
from tests.store.engine_fixture import POOR, WAIT_MS, Rig, make_c2b
from tests.store.link_end import TIMEOUT_S, RunningLoop, run_loop

# The contract's own numbers.
HEARTBEAT_AGE_MAX_MS, READY_AGE_MAX_MS = 5_000, 1_500

Talk = Callable[[LinkClient, RunningLoop], Awaitable[None]]


def talk(
    rig: Rig, what: Talk, *, unanswered_max: int = 100, prompts_waiting_max: int = 100
) -> None:
    """Let a client talk to an engine, on an event loop of its own."""

    async def main(loop: RunningLoop) -> None:
        ours, theirs = socket.socketpair()
        loop.serve(theirs)
        client = LinkClient(
            rig.clock, unanswered_max=unanswered_max, prompts_waiting_max=prompts_waiting_max
        )
        await client.connect(ours)
        try:
            await asyncio.wait_for(what(client, loop), TIMEOUT_S)
        finally:
            client.close()
            # The transport closes its socket in the next turn of the event loop.
            await wait_for(lambda: client._transport is None)

    with run_loop(rig.engine, rig.clock) as loop:
        asyncio.run(main(loop))


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait, while the event loop goes on, for what nobody tells it of."""
    assert await asyncio.to_thread(wait_until, condition, timeout_ms=int(TIMEOUT_S * 1000))


def test_every_caller_gets_the_outcome_of_its_own_command(sqlite_rig: Rig) -> None:
    async def work(client: LinkClient, _: RunningLoop) -> None:
        outcomes = await asyncio.gather(
            *(client.submit(make_c2b(reference=f"{n}", amount_minor=n)) for n in range(1, 40))
        )
        amounts = dict(sqlite_rig.sql("SELECT id, amount_minor FROM payments"))
        assert [
            amounts[outcome.payment] for outcome in outcomes if isinstance(outcome, PaymentOutcome)
        ] == list(range(1, 40))
        assert client.unanswered == 0

    talk(sqlite_rig, work)


def test_a_caller_whose_customer_is_asked_gets_the_last_outcome_alone(sqlite_rig: Rig) -> None:
    async def work(client: LinkClient, _: RunningLoop) -> None:
        asked = client.submit(make_c2b(reference="asked", approves_unscripted=False))
        await wait_for(lambda: sqlite_rig.count("prompts") == 1)
        assert not asked.done()
        ((payment,),) = sqlite_rig.sql("SELECT payment FROM prompts")
        await client.submit(AnswerPrompt(1, payment, Answer.DECLINE))
        assert await asked == PaymentOutcome(payment, State.FAILED, Status.PROMPT_DECLINED)

    talk(sqlite_rig, work)


def test_above_the_bound_of_prompts_nothing_is_sent_but_answers_to_them_are(
    sqlite_rig: Rig,
) -> None:
    async def work(client: LinkClient, _: RunningLoop) -> None:
        asked = [
            client.submit(make_c2b(reference=f"asked {n}", approves_unscripted=False))
            for n in range(2)
        ]
        await wait_for(lambda: client.prompts_waiting == 2)
        with pytest.raises(LinkBusy):
            client.submit(make_c2b(reference="no room"))
        for (payment,) in sqlite_rig.sql("SELECT payment FROM prompts"):
            client.submit(AnswerPrompt(1, payment, Answer.APPROVE), is_bounded=False)
        for outcome in await asyncio.gather(*asked):
            assert isinstance(outcome, PaymentOutcome)
            assert outcome.state == State.COMPLETED
        assert client.prompts_waiting == 0
        await client.submit(make_c2b(reference="room again"))

    talk(sqlite_rig, work, prompts_waiting_max=2)
    assert sqlite_rig.count("payments") == 3


def test_payments_that_wait_for_their_customers_leave_room_for_commands(sqlite_rig: Rig) -> None:
    async def work(client: LinkClient, _: RunningLoop) -> None:
        for n in range(3):
            client.submit(make_c2b(reference=f"asked {n}", approves_unscripted=False))
            await wait_for(lambda n=n: client.prompts_waiting == n + 1)  # type: ignore[misc]
            assert client.unanswered == 0
        outcome = await client.submit(make_c2b(reference="at once"))
        assert isinstance(outcome, PaymentOutcome)
        assert outcome.state == State.COMPLETED

    talk(sqlite_rig, work, unanswered_max=1)


def test_prompts_of_one_customer_wait_side_by_side_each_with_its_own_clock(
    sqlite_rig: Rig,
) -> None:
    async def work(client: LinkClient, _: RunningLoop) -> None:
        first, second = (
            client.submit(make_c2b(reference=name, approves_unscripted=False, wait_ms=wait_ms))
            for name, wait_ms in (("short", WAIT_MS), ("long", 2 * WAIT_MS))
        )
        await wait_for(lambda: client.prompts_waiting == 2)
        sqlite_rig.clock.advance(WAIT_MS)
        # A command wakes the engine, which then sees what is due.
        wake = make_c2b(reference="meanwhile", msisdn=POOR, amount_minor=1)
        await client.submit(wake, is_bounded=False)
        expired = await first
        assert isinstance(expired, PaymentOutcome)
        assert expired.state == State.EXPIRED
        ((payment,),) = sqlite_rig.sql("SELECT payment FROM prompts")
        await client.submit(AnswerPrompt(1, payment, Answer.APPROVE))
        assert await second == PaymentOutcome(payment, State.COMPLETED, Status.COMPLETED)

    talk(sqlite_rig, work)


class Gate:
    """Holds the engine up where it takes a batch, once it is closed."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self._is_open.set()
        self.is_reached = threading.Event()

    def close(self) -> None:
        self._is_open.clear()
        self.is_reached.clear()

    def open(self) -> None:
        self._is_open.set()

    def reach(self, point: Point) -> None:
        if point is Point.TAKEN:
            self.is_reached.set()
            self._is_open.wait(TIMEOUT_S)


def test_above_the_bound_of_commands_nothing_is_sent_but_answers_to_prompts_are(
    sqlite_rig: Rig,
) -> None:
    gate = Gate()

    async def work(client: LinkClient, _: RunningLoop) -> None:
        asked = client.submit(make_c2b(reference="asked", approves_unscripted=False))
        await wait_for(lambda: client.prompts_waiting == 1)
        ((payment,),) = sqlite_rig.sql("SELECT payment FROM prompts")
        gate.close()
        held = [client.submit(make_c2b(reference=f"held up {n}")) for n in range(2)]
        with pytest.raises(LinkBusy):
            client.submit(make_c2b(reference="no room"))
        client.submit(AnswerPrompt(1, payment, Answer.APPROVE), is_bounded=False)
        gate.open()
        for outcome in await asyncio.gather(asked, *held):
            assert isinstance(outcome, PaymentOutcome)
            assert outcome.state == State.COMPLETED
        await client.submit(make_c2b(reference="room again"))

    sqlite_rig.engine = sqlite_rig.make_engine(faults=gate)
    talk(sqlite_rig, work, unanswered_max=2)
    assert sqlite_rig.count("payments") == 4


def test_an_engine_that_hangs_is_sent_nothing_new(sqlite_rig: Rig) -> None:
    gate = Gate()

    async def work(client: LinkClient, _: RunningLoop) -> None:
        await wait_for(lambda: client.is_ready)
        gate.close()
        held = [client.submit(make_c2b(reference="held up"))]
        assert await asyncio.to_thread(gate.is_reached.wait, TIMEOUT_S)
        readiness = []
        for age_ms in (READY_AGE_MAX_MS, 1):
            sqlite_rig.clock.advance(age_ms)
            readiness.append(client.is_ready)
        assert readiness == [True, False]
        sqlite_rig.clock.advance(HEARTBEAT_AGE_MAX_MS - READY_AGE_MAX_MS - 1)
        held.append(client.submit(make_c2b(reference="perhaps it only works hard")))
        sqlite_rig.clock.advance(1)
        with pytest.raises(LinkBusy):
            client.submit(make_c2b(reference="into silence"))
        gate.open()
        for outcome in await asyncio.gather(*held):
            assert isinstance(outcome, PaymentOutcome)
        await wait_for(lambda: client.is_ready)
        await client.submit(make_c2b(reference="heard"))

    sqlite_rig.engine = sqlite_rig.make_engine(faults=gate)
    talk(sqlite_rig, work)
    assert sqlite_rig.count("payments") == 3


def test_a_caller_that_has_gone_changes_nothing(sqlite_rig: Rig) -> None:
    async def work(client: LinkClient, _: RunningLoop) -> None:
        client.submit(make_c2b(reference="gone")).cancel()
        again = await client.submit(make_c2b(reference="gone"))
        assert again == PaymentOutcome(0, State.NONE, Status.DUPLICATE)
        assert client.unanswered == 0

    talk(sqlite_rig, work)


def test_an_engine_that_ends_leaves_its_callers_without_an_answer(sqlite_rig: Rig) -> None:
    async def work(client: LinkClient, loop: RunningLoop) -> None:
        is_lost = asyncio.Event()
        client.on_lost = is_lost.set
        asked = client.submit(
            make_c2b(reference="asked", approves_unscripted=False, wait_ms=WAIT_MS)
        )
        await wait_for(lambda: sqlite_rig.count("prompts") == 1)
        loop.hang_up()
        await is_lost.wait()
        with pytest.raises(LinkLost):
            await asked
        with pytest.raises(LinkLost):
            client.submit(make_c2b(reference="too late"))
        assert not client.is_ready

    talk(sqlite_rig, work)


def test_a_server_that_stops_asks_its_workers_to_end(sqlite_rig: Rig) -> None:
    async def work(client: LinkClient, loop: RunningLoop) -> None:
        is_asked = asyncio.Event()
        client.on_drain = is_asked.set
        asked = client.submit(make_c2b(reference="asked", approves_unscripted=False))
        await wait_for(lambda: sqlite_rig.count("prompts") == 1)
        loop.loop.stop()
        await is_asked.wait()
        outcome = await asked
        assert isinstance(outcome, PaymentOutcome)
        assert outcome.state == State.EXPIRED

    talk(sqlite_rig, work)
