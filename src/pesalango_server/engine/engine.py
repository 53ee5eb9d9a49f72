"""The engine: a synchronous class that turns commands into outcomes, one batch at a time.

It is the same code for both databases and all domains, for the server, the simulator and the
property tests. It never guesses: an outcome is given only for what is certain.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pesalango_server.engine.domain import BatchWork, Domain
from pesalango_server.engine.faults import NO_FAULTS, FaultPort, Point
from pesalango_server.kernel.clock import Clock
from pesalango_server.kernel.message import (
    FAULT_INTERNAL,
    FAULT_UNAVAILABLE,
    AnyOutcome,
    Command,
)
from pesalango_server.storage.database import (
    CommitUnknown,
    Read,
    StorageError,
    StorageUnavailable,
    Writer,
)

CLOCK_JUMP_MAX_MS = 60_000
_PAUSE_FIRST_MS = 50
_PAUSE_MAX_MS = 2_000

Answered = tuple[Sequence[int], Sequence[AnyOutcome]]
"""Positions of commands in the batch, and the outcome of each."""


class EngineEnded(Exception):
    """Whether the last batch was committed cannot be told here: end, and let the file decide."""


class EngineObserver(Protocol):
    """Is told what happened, for logs and metrics."""

    def observe_batch(self, *, commands: int, duration_ms: float) -> None:
        """A batch was committed."""
        ...

    def observe_trouble(self, event: str, error: BaseException | None) -> None:
        """Something went wrong that an operator should know."""
        ...

    def observe_recovery(self) -> None:
        """The database that was told to be unavailable can be written to again."""
        ...


def _never_pause(_pause_ms: int) -> bool:
    """For engines whose database cannot stay away."""
    return True


class Engine:
    """Decides and records commands of one database. Used by one thread."""

    def __init__(
        self,
        writer: Writer,
        domain: Domain,
        clock: Clock,
        *,
        observer: EngineObserver,
        uses_database_clock: bool,
        needs_clock_confirmation: bool = True,
        make_token: Callable[[], str] = lambda: secrets.token_hex(16),
        pause: Callable[[int], bool] = _never_pause,
        faults: FaultPort = NO_FAULTS,
    ) -> None:
        """`pause(ms)` waits, and is False when the engine is to stop waiting for good.

        `needs_clock_confirmation` False goes by a clock that jumped without asking anybody: on a
        developer's machine, which sleeps and wakes, nobody would know what to confirm.
        """
        self.writer = writer
        self._domain = domain
        self._clock = clock
        self._observer = observer
        self._uses_database_clock = uses_database_clock
        self._needs_clock_confirmation = needs_clock_confirmation
        self._make_token = make_token
        self._pause = pause
        self._faults = faults
        self.can_commit = True
        self.reason_unavailable = ""
        self._last_batch_ms = 0
        self._seen_wall_ms: int | None = None
        self._seen_monotonic_ms = 0
        self.clock_jump_ms = 0

    def run(self, commands: Sequence[Command]) -> Iterator[Answered]:
        """Carry out a batch. Each item may be answered: its transaction has been committed.

        Raises `EngineEnded` when nobody can say whether the batch was committed.
        """
        self._faults.reach(Point.TAKEN)
        positions = range(len(commands))
        try:
            outcomes = self._run_surely(commands)
        except StorageUnavailable as error:
            self.lose(error)
            yield positions, [FAULT_UNAVAILABLE] * len(commands)
            return
        except EngineEnded:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a command's code raised
            # One of the commands is at fault. Nothing of this pass was committed or answered:
            # run them one by one, so that the culprit alone is told.
            self.writer.rollback()
            self._observer.observe_trouble("batch_faulted", error)
            if len(commands) == 1:
                yield positions, [FAULT_INTERNAL]
                return
        else:
            self._observer.observe_batch(commands=len(commands), duration_ms=self._last_batch_ms)
            yield positions, outcomes
            return
        yield from self._run_one_by_one(commands)

    def _run_one_by_one(self, commands: Sequence[Command]) -> Iterator[Answered]:
        for position in range(len(commands)):
            for _, alone in self.run(commands[position : position + 1]):
                yield (position,), alone
            if not self.can_commit:
                # Each of the others would wait as long for the same database.
                rest = range(position + 1, len(commands))
                yield rest, [FAULT_UNAVAILABLE] * len(rest)
                return

    def _run_surely(self, commands: Sequence[Command]) -> list[AnyOutcome]:
        """Run a batch until it is known to be committed, or known not to be."""
        while True:
            token = self._make_token()
            work, outcomes = self._decide(commands)
            started_ms = self._clock.monotonic_ms()
            try:
                self._commit(work, token)
            except CommitUnknown as error:
                self._observer.observe_trouble("commit_unknown", error)
                if self._resolve(work, token):
                    return outcomes
                continue
            self._recover()
            self._last_batch_ms = self._clock.monotonic_ms() - started_ms
            return outcomes

    def _decide(
        self, commands: Sequence[Command], *, goes_by_clock: bool = True
    ) -> tuple[BatchWork, list[AnyOutcome]]:
        work = self._domain.start(commands, wall_ms=self.time_to_go_by())
        started_ms = self._clock.monotonic_ms()
        documents = self.writer.begin(work.reads)
        self._faults.reach(Point.LOCKED)
        work.load(documents)
        if goes_by_clock:
            self._watch_clock(work.wall_ms, started_ms=started_ms)
        return work, [work.decide(command) for command in commands]

    def _commit(self, work: BatchWork, token: str) -> None:
        writes = work.close(token)
        self._faults.reach(Point.WRITTEN)
        self._faults.reach(Point.COMMITTING)
        self.writer.commit(writes)
        self._faults.reach(Point.COMMITTED)

    def _watch_clock(self, wall_ms: int, *, started_ms: int) -> None:
        """Refuse to decide by a clock that jumped until an operator confirms it."""
        monotonic_ms = self._clock.monotonic_ms()
        if self._seen_wall_ms is not None:
            # The time was read somewhere between the start of the lock and now.
            drift_ms = wall_ms - self._seen_wall_ms + self._seen_monotonic_ms
            jump_ms = min(drift_ms - started_ms, 0) + max(drift_ms - monotonic_ms, 0)
            if abs(jump_ms) > CLOCK_JUMP_MAX_MS:
                jump = StorageUnavailable(
                    f"the clock jumped by {jump_ms / 1000:.0f} s; set it right, or"
                    " run `pesalango-server health confirm-clock` if it is right now"
                )
                if self._needs_clock_confirmation:
                    self.clock_jump_ms = jump_ms
                    raise jump
                self._observer.observe_trouble("clock_jumped", jump)
        self._seen_wall_ms, self._seen_monotonic_ms = wall_ms, monotonic_ms
        self.clock_jump_ms = 0

    def confirm_clock(self) -> None:
        """An operator says that the clock is right: go by what it shows from now on."""
        self._seen_wall_ms = None
        self.clock_jump_ms = 0

    def time_to_go_by(self) -> int | None:
        """The time for a query about deadlines: None where the database's own counts."""
        return None if self._uses_database_clock else self._clock.wall_ms()

    def check_connection(self) -> None:
        """Notice while nothing is to do that the database has gone; costs a round trip."""
        if self.writer.dialect == "sqlite":
            return
        try:
            self.writer.read(())
        except StorageError as error:
            self.lose(error)

    def lose(self, error: StorageError) -> None:
        """The database is away: say so until a probe finds it again."""
        self.can_commit = False
        self.reason_unavailable = str(error)
        self.writer.rollback()
        self._observer.observe_trouble("database_unavailable", error)

    def _recover(self) -> None:
        if not self.can_commit:
            self.can_commit = True
            self._observer.observe_recovery()

    def probe(self) -> bool:
        """Whether a batch (an empty one) can be committed; connects again where needed."""
        try:
            self.writer.reconnect()
            self._run_surely(())
        except StorageError as error:
            self.writer.rollback()
            self._observer.observe_trouble("database_unavailable", error)
            return False
        return True

    def _resolve(self, work: BatchWork, token: str) -> bool:
        """Whether a batch whose COMMIT was not answered is there; asks until that is known."""
        if self.writer.dialect == "sqlite":
            raise EngineEnded("the disk failed while committing")
        self.can_commit = False
        pause_ms = _PAUSE_FIRST_MS
        while True:
            try:
                self.writer.reconnect()
                if not self._is_committed(work, token):
                    return False
                # One more batch must be committed first: what is found after it is not only on
                # this server but also on those that its commits wait for.
                self._write_empty_batch()
                return True
            except StorageError as error:
                self._observer.observe_trouble("commit_unknown", error)
            if not self._pause(pause_ms):
                raise EngineEnded("the database stayed away after a commit that it did not answer")
            pause_ms = min(pause_ms * 2, _PAUSE_MAX_MS)

    def _is_committed(self, work: BatchWork, token: str) -> bool:
        # The lock comes first: the lost session may still be committing while it holds it.
        lock: Read = work.reads[0]
        _, found = self.writer.begin([lock, work.find(token)])
        self.writer.rollback()
        return found != b"[]"

    def _write_empty_batch(self) -> None:
        # It decides nothing, so a clock that jumped is no matter: what was committed before has to
        # be answered all the same.
        work, _ = self._decide((), goes_by_clock=False)
        self.writer.commit(work.close(self._make_token()))
        self._recover()
