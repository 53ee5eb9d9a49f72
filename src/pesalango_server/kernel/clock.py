"""The two clocks: wall time for what is recorded, monotonic time for waits.

Nothing below `main` asks the operating system for the time by itself; it is handed a `Clock`,
so that a test can set both clocks and the simulator can run a day in a second.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Source of both times."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC; may jump in either direction."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds that only ever grow, from an arbitrary origin."""
        ...


# The monotonic clock of Linux stands still while a laptop sleeps; the one since boot does not, so
# a lid that was closed is no jump of the wall clock.
_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The operating system's clocks."""

    def wall_ms(self) -> int:
        """See `Clock.wall_ms`."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """See `Clock.monotonic_ms`."""
        return time.clock_gettime_ns(_STEADY_CLOCK) // 1_000_000
