"""Outcomes that do not come in time, over a link whose other end the tests hold."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from pesalango_server.gateway.waits import OutcomeWaits
from pesalango_server.kernel.clock import SystemClock
from pesalango_server.kernel.message import Done
from pesalango_server.link.client import LinkClient, OutcomeOverdue, OutcomeUnknown
from pesalango_server.link.frames import Answers, encode_frame
from tests.store.engine_fixture import make_c2b

Talk = Callable[[LinkClient, socket.socket], Awaitable[None]]


def over_a_link(talk: Talk) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        link = LinkClient(SystemClock(), unanswered_max=10, prompts_waiting_max=10)
        await link.connect(ours)
        with theirs:
            await talk(link, theirs)

    asyncio.run(main())


async def answer(engine: socket.socket, number: int, *, is_last: bool = True) -> None:
    frame = encode_frame(Answers([(number, Done((number,)), is_last)]))
    await asyncio.get_running_loop().sock_sendall(engine, frame)


def test_an_outcome_in_time_is_the_answer() -> None:
    async def talk(link: LinkClient, engine: socket.socket) -> None:
        waits = OutcomeWaits(link, limit_ms=3_000)
        waiting = link.submit(make_c2b(reference="asked"))
        for _ in range(3):
            waits.sweep()
        await answer(engine, link.last_number)
        assert await waiting == Done((1,))
        for _ in range(10):
            waits.sweep()

    over_a_link(talk)


def test_an_overdue_outcome_is_given_up_and_what_comes_later_harms_nobody() -> None:
    async def talk(link: LinkClient, engine: socket.socket) -> None:
        waits = OutcomeWaits(link, limit_ms=3_000)
        overdue = link.submit(make_c2b(reference="asked"))
        waits.sweep()
        later = link.submit(make_c2b(reference="asked"))
        for _ in range(2):
            waits.sweep()
            assert not overdue.done()
        waits.sweep()
        with pytest.raises(OutcomeOverdue):
            await overdue
        assert not later.done()
        # The engine has it still, and may yet answer.
        assert link.unanswered == 2
        await answer(engine, 1)
        await answer(engine, 2)
        assert await later == Done((2,))
        assert link.unanswered == 0

    over_a_link(talk)


def test_a_customer_who_never_says_anything_is_given_up_too() -> None:
    async def talk(link: LinkClient, engine: socket.socket) -> None:
        waits = OutcomeWaits(link, limit_ms=1_000)
        asked, other = (
            link.submit(make_c2b(reference="asked")),
            link.submit(make_c2b(reference="asked")),
        )
        await answer(engine, 1, is_last=False)
        await answer(engine, 2)
        await other
        assert (link.unanswered, link.prompts_waiting) == (0, 1)
        waits.sweep()
        assert not asked.done()
        waits.sweep()
        with pytest.raises(OutcomeOverdue):
            await asked

    over_a_link(talk)


def test_nobody_waits_for_a_link_that_was_lost() -> None:
    async def talk(link: LinkClient, engine: socket.socket) -> None:
        waiting = link.submit(make_c2b(reference="asked"))
        engine.close()
        with pytest.raises(OutcomeUnknown):
            await waiting

    over_a_link(talk)
