"""What engines do, as log lines and metrics."""

from pesalango_server.kernel.clock import Clock
from pesalango_server.storage.database import CommitUnknown, StorageUnavailable
from pesalango_server.telemetry import Metrics, NowAndThen, get_logger

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)

log = get_logger("engine")


class Observer:
    """See `engine.EngineObserver`. Used by one engine's thread."""

    def __init__(self, database: str, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._size = metrics.histogram(
            "batch_commands", "Commands in a batch.", bounds=_SIZES, database=database
        )
        self._duration = metrics.histogram(
            "batch_seconds",
            "Time from lock to commit of a batch.",
            bounds=_SECONDS,
            database=database,
        )
        self._now_and_then = NowAndThen(clock)
        self._recovery_is_told = True

    def observe_batch(self, *, commands: int, duration_ms: float) -> None:
        """See `EngineObserver.observe_batch`."""
        self._size.observe(commands)
        self._duration.observe(duration_ms / 1000)

    def observe_trouble(self, event: str, error: BaseException | None) -> None:
        """See `EngineObserver.observe_trouble`."""
        if not self._now_and_then.may_tell(f"{event}/{type(error).__name__}"):
            return
        self._recovery_is_told = False
        # What the database said is all there is to know; only a defect of ours needs its trace.
        trace = None if isinstance(error, StorageUnavailable | CommitUnknown) else error
        log.error(event, database=self._database, reason=str(error), exc_info=trace)

    def observe_recovery(self) -> None:
        """See `EngineObserver.observe_recovery`."""
        if not self._recovery_is_told:
            self._recovery_is_told = True
            log.info("database_available", database=self._database)
