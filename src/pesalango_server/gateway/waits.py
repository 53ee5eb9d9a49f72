"""Bounds how long callers wait for outcomes, without a timer for each call."""

from collections import deque
from typing import Final

from pesalango_server.link.client import LinkClient

SLOT_MS: Final = 1_000
"""How often `OutcomeWaits.sweep` is to be called; outcomes are given up that much late."""


class OutcomeWaits:
    """The commands of one link that callers wait for, in slots of a second."""

    def __init__(self, link: LinkClient, *, limit_ms: int) -> None:
        self._link = link
        # The number of the last command that was sent in each slot, the oldest first.
        self._sent: deque[int] = deque(maxlen=limit_ms // SLOT_MS)

    def sweep(self) -> None:
        """Give up what was asked for too long ago."""
        if len(self._sent) == self._sent.maxlen:
            self._link.give_up(up_to=self._sent[0])
        self._sent.append(self._link.last_number)
