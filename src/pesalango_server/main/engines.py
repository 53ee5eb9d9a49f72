"""The engines of a server: one for each database, each with a thread and a connection of its own."""

import threading
from collections.abc import Callable

from pesalango_server.engine.domain import Domain
from pesalango_server.engine.engine import Engine, EngineEnded, EngineObserver
from pesalango_server.engine.environment import EnvironmentDomain
from pesalango_server.engine.faults import NO_FAULTS, FaultPort
from pesalango_server.engine.loop import EngineLoop
from pesalango_server.engine.platform import PlatformDomain
from pesalango_server.engine.waiting import Waiting
from pesalango_server.kernel.clock import Clock
from pesalango_server.kernel.message import FAULT_UNAVAILABLE, AnyOutcome, Command
from pesalango_server.storage.address import DatabaseAddress, open_database_writer
from pesalango_server.storage.database import StorageUnavailable
from pesalango_server.storage.sqlite import SqliteWriter
from pesalango_server.telemetry import Metrics

START_PAUSE_MAX_MS = 10_000
"""How long start-up waits, in all, for a database that went away after a COMMIT."""

EndOfEngine = Callable[[str, BaseException | None], None]


class EngineUnit:
    """One database's engine, its loop and its thread."""

    def __init__(
        self,
        address: DatabaseAddress,
        clock: Clock,
        *,
        observer: EngineObserver,
        batch_commands_max: int,
        lock_timeout_ms: int,
        on_end: EndOfEngine,
        needs_clock_confirmation: bool,
        faults: FaultPort = NO_FAULTS,
    ) -> None:
        domain: Domain = PlatformDomain() if address.name == "platform" else EnvironmentDomain()
        self.name = address.name
        self._start_pause_ms = 0
        self.engine = Engine(
            open_database_writer(address, lock_timeout_ms=lock_timeout_ms),
            domain,
            clock,
            observer=observer,
            uses_database_clock=address.dialect == "postgres",
            needs_clock_confirmation=needs_clock_confirmation,
            pause=self._pause,
            faults=faults,
        )
        self.loop = EngineLoop(
            self.engine,
            clock,
            batch_commands_max=batch_commands_max,
            waiting=None if address.name == "platform" else Waiting(self.engine, clock),
            faults=faults,
            on_end=lambda error: on_end(address.name, error),
        )
        self._thread = threading.Thread(
            target=self.loop.run, name=f"engine-{address.name}", daemon=True
        )

    def _pause(self, pause_ms: int) -> bool:
        if not self._thread.is_alive():
            # At start-up somebody looks at a terminal, and is told rather than kept waiting.
            self._start_pause_ms += pause_ms
            if self._start_pause_ms > START_PAUSE_MAX_MS:
                return False
        # The loop is made of the engine, so the engine meets it later.
        return self.loop.pause(pause_ms)

    def make_measure(self, metrics: Metrics) -> Callable[[], None]:
        """What sets this engine's gauges: its queue, and the size of SQLite's log."""
        queue = metrics.gauge("engine_queue", "Commands that wait for a batch.", database=self.name)
        writer = self.engine.writer
        log_size = (
            metrics.gauge("wal_bytes", "Size of the write-ahead log.", database=self.name)
            if isinstance(writer, SqliteWriter)
            else None
        )

        def measure() -> None:
            queue.set(self.loop.queued)
            if log_size is not None and isinstance(writer, SqliteWriter):
                log_size.set(writer.wal_bytes())

        return measure

    def run_now(self, command: Command) -> AnyOutcome:
        """Carry out one command before the thread is started; start-up alone may do so.

        Raises `StorageUnavailable` when it cannot be stored, and when the database does not say
        what became of it.
        """
        try:
            for _, outcomes in self.engine.run([command]):
                if outcomes[0] == FAULT_UNAVAILABLE:
                    raise StorageUnavailable(
                        f"the {self.name} database cannot be used ({self.engine.reason_unavailable}"
                        "); see to that, and start again"
                    )
                return outcomes[0]
        except EngineEnded as error:
            raise StorageUnavailable(
                f"the {self.name} database did not answer at start-up ({error}); start again"
            ) from error
        raise LookupError("a batch of one command has one outcome")

    def start(self) -> None:
        """Let the thread run."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
