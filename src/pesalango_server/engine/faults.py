"""Named points of a batch at which a test may make something happen.

Only a test's own entry point can pass anything but `NO_FAULTS`; no setting reaches it.
"""

from enum import StrEnum
from typing import Protocol


class Point(StrEnum):
    """Moments of a batch, in order."""

    TAKEN = "taken"
    LOCKED = "locked"
    WRITTEN = "written"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ANSWERED = "answered"


class FaultPort(Protocol):
    """Told of every point that a batch reaches."""

    def reach(self, point: Point) -> None:
        """May raise, kill or wait."""
        ...


class NoFaults:
    """Lets everything pass."""

    def reach(self, point: Point) -> None:
        """See `FaultPort.reach`."""


NO_FAULTS = NoFaults()
