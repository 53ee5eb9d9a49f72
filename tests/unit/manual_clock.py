"""Both clocks, standing still until a test moves them."""

START_MS = 1_760_000_000_000


class ManualClock:
    """See `kernel.clock.Clock`."""

    def __init__(self, wall_ms: int = START_MS) -> None:
        self._wall_ms = wall_ms
        self._monotonic_ms = 5_000_000

    def wall_ms(self) -> int:
        return self._wall_ms

    def monotonic_ms(self) -> int:
        return self._monotonic_ms

    def advance(self, elapsed_ms: int) -> None:
        """Let time go by on both."""
        self._wall_ms += elapsed_ms
        self._monotonic_ms += elapsed_ms

    def jump(self, jump_ms: int) -> None:
        """Set the wall clock, forward or back, without any time going by."""
        self._wall_ms += jump_ms
