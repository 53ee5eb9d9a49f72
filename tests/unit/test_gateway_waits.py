"""Outcomes that do not come in time."""

import asyncio

import pytest

from pesalango_server.gateway.answers import AnswerWithheld
from pesalango_server.gateway.waits import OutcomeWaits
from pesalango_server.kernel.message import AnyOutcome, Done
from pesalango_server.link.client import LinkLost


def test_an_outcome_in_time_is_the_answer() -> None:
    async def run() -> None:
        waits = OutcomeWaits(limit_ms=3_000)
        future: asyncio.Future[AnyOutcome] = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(waits.wait_for(future))
        await asyncio.sleep(0)
        for _ in range(3):
            waits.sweep()
        future.set_result(Done((7,)))
        assert await waiting == Done((7,))
        for _ in range(10):
            waits.sweep()

    asyncio.run(run())


def test_an_overdue_outcome_is_given_up_and_what_comes_later_harms_nobody() -> None:
    async def run() -> None:
        waits = OutcomeWaits(limit_ms=3_000)
        future: asyncio.Future[AnyOutcome] = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(waits.wait_for(future))
        await asyncio.sleep(0)
        for _ in range(3):
            waits.sweep()
            await asyncio.sleep(0)
            assert not waiting.done()
        waits.sweep()
        with pytest.raises(AnswerWithheld):
            await waiting
        assert future.done()

    asyncio.run(run())


def test_the_answer_is_withheld_where_the_link_is_lost() -> None:
    async def run() -> None:
        waits = OutcomeWaits(limit_ms=3_000)
        future: asyncio.Future[AnyOutcome] = asyncio.get_running_loop().create_future()
        future.set_exception(LinkLost("the engine process ended"))
        with pytest.raises(AnswerWithheld):
            await waits.wait_for(future)

    asyncio.run(run())
