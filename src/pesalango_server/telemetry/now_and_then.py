"""What is so for long is told once in a while: a line each time would fill the disk."""

from typing import Final

from pesalango_server.kernel.clock import Clock

TOLD_AGAIN_AFTER_MS: Final = 10_000


class NowAndThen:
    """Remembers when each kind of thing was told last. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_ms: dict[str, int] = {}

    def may_tell(self, kind: str) -> bool:
        """Whether it is time to tell it; if so, it counts as told now."""
        now_ms = self._clock.monotonic_ms()
        told_ms = self._told_ms.get(kind)
        if told_ms is not None and now_ms - told_ms < TOLD_AGAIN_AFTER_MS:
            return False
        self._told_ms[kind] = now_ms
        return True
