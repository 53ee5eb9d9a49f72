"""Bounds how long a caller waits for an outcome, without a timer for each call."""

import asyncio
from collections import deque
from typing import Final

from pesalango_server.gateway.answers import AnswerWithheld
from pesalango_server.kernel.message import AnyOutcome
from pesalango_server.link.client import LinkLost

SLOT_MS: Final = 1_000
"""How often `OutcomeWaits.sweep` is to be called; outcomes are given up that much late."""


class OutcomeOverdue(Exception):
    """No outcome came in time; what became of the command is unknown."""


class OutcomeWaits:
    """The outcomes that calls of one environment wait for, in slots of a second."""

    def __init__(self, *, limit_ms: int) -> None:
        self._slots_max = limit_ms // SLOT_MS + 1
        self._slot: set[asyncio.Future[AnyOutcome]] = set()
        self._slots = deque([self._slot])

    async def wait_for(self, future: asyncio.Future[AnyOutcome]) -> AnyOutcome:
        """The outcome. Raises `AnswerWithheld` where none came in time, or none will come."""
        slot = self._slot
        slot.add(future)
        try:
            return await future
        except (OutcomeOverdue, LinkLost) as error:
            raise AnswerWithheld from error
        finally:
            slot.discard(future)

    def sweep(self) -> None:
        """Give up what was asked for too long ago."""
        self._slot = set()
        self._slots.append(self._slot)
        while len(self._slots) > self._slots_max:
            for future in self._slots.popleft():
                if not future.done():
                    future.set_exception(OutcomeOverdue("no outcome came in time"))
