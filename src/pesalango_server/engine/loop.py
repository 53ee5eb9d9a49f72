"""The engine's thread: takes commands from its links, runs batches, hands out the outcomes.

It does everything itself: a second thread for the sockets would make both wait for the
interpreter's lock.
"""

import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from pesalango_server.engine.engine import Engine
from pesalango_server.engine.faults import NO_FAULTS, FaultPort, Point
from pesalango_server.engine.waiting import Waiting
from pesalango_server.kernel.clock import Clock
from pesalango_server.kernel.message import FAULT_UNAVAILABLE, AnyOutcome, Command, Done
from pesalango_server.storage.database import StorageError

HEARTBEAT_MS = 500
_PROBE_FIRST_MS = 100
_PROBE_MAX_MS = 2_000


class ConfirmClock(Command, frozen=True, tag=90):
    """An operator says that a clock which jumped is right now; handled by the loop itself."""


class Port(Protocol):
    """The engine's end of a link, as the loop sees it; sends never block."""

    @property
    def descriptor(self) -> int:
        """The file descriptor to poll."""
        ...

    @property
    def has_unsent(self) -> bool:
        """Whether to wait for room as well."""
        ...

    is_open: bool

    def receive(self) -> Iterator[tuple[int, Any]]:
        """Numbered commands that have arrived whole."""
        ...

    def send_answers(self, outcomes: Sequence[tuple[int, AnyOutcome, bool]]) -> None:
        """Send (number, outcome, whether it is the last one)."""
        ...

    def send_heartbeat(self, *, can_commit: bool, waiting: int) -> None:
        """Say that the engine lives."""
        ...

    def send_drain(self) -> None:
        """Ask the other end to accept nothing more, and to end."""
        ...

    def flush(self) -> None:
        """Send what is left."""
        ...

    def close(self) -> None:
        """Let the other end go."""
        ...


Taken = tuple[Port | None, int, Command]
"""A command as it waits: whence it came (None: from the engine itself), its number there."""


def _ignore_end(_error: BaseException | None) -> None:
    """For loops that nobody watches."""


class EngineLoop:
    """Runs one engine until it is asked to stop; one thread each."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        batch_commands_max: int,
        waiting: Waiting | None = None,
        faults: FaultPort = NO_FAULTS,
        on_end: Callable[[BaseException | None], None] = _ignore_end,
    ) -> None:
        """`on_end` is told the thread's end; an error there means that the process must end."""
        self.engine = engine
        self._clock = clock
        self._batch_commands_max = batch_commands_max
        self._waiting = waiting
        self._faults = faults
        self._on_end = on_end
        self._ports: dict[int, Port] = {}
        self._new_ports: deque[Port] = deque()
        self._queue: deque[Taken] = deque()
        self._poll = select.poll()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.settimeout(0)
        self._poll.register(self._wake_in, select.POLLIN)
        self._stop_asked = threading.Event()
        self._is_draining = False
        self._heartbeat_at_ms = 0
        self._told_can_commit = True
        self._probe_at_ms = 0
        self._probe_pause_ms = _PROBE_FIRST_MS

    # -- called from other threads ---------------------------------------------------------

    def add_port(self, port: Port) -> None:
        """Serve one more worker."""
        self._new_ports.append(port)
        self._wake()

    def stop(self) -> None:
        """Drain: expire what this engine's callers wait for, answer everybody, end."""
        self._stop_asked.set()
        self._wake()

    @property
    def queued(self) -> int:
        """How many commands wait for a batch."""
        return len(self._queue)

    def pause(self, pause_ms: int) -> bool:
        """Wait while a database is away; False once the server stops."""
        return not self._stop_asked.wait(pause_ms / 1000)

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"w")
        except OSError:
            return

    # -- the thread ------------------------------------------------------------------------

    def run(self) -> None:
        """The thread's whole life."""
        error: BaseException | None = None
        try:
            while self._turn():
                pass
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the process must know
            error = failure
        if error is None:
            for port in self._ports.values():
                port.close()
            self.engine.writer.close()
        # After a failure no link is closed here: the process ends, its callers see their
        # connections break, and the database decides what was committed.
        self._wake_in.close()
        self._wake_out.close()
        self._on_end(error)

    def _turn(self) -> bool:
        """Wait, take, decide, answer; False when there is nothing left to do for good."""
        self._listen()
        if self._stop_asked.is_set() and not self._is_draining:
            self._start_draining()
        self._beat()
        self._take_due()
        if self._queue:
            self._run_batch()
        # A port that was handed in a moment ago is a worker to be drained like the others.
        is_done = not (self._ports or self._new_ports or self._queue)
        return not (self._is_draining and is_done)

    def _listen(self) -> None:
        for descriptor, event in self._poll.poll(self._poll_timeout_ms()):
            port = self._ports.get(descriptor)
            if port is None:
                self._greet()
                continue
            if event & select.POLLOUT:
                port.flush()
            if event & ~select.POLLOUT:
                for number, command in port.receive():
                    self._queue.append((port, number, command))
            self._watch(descriptor, port)

    def _poll_timeout_ms(self) -> int:
        if self._queue:
            return 0
        now_ms = self._clock.monotonic_ms()
        timeout_ms = self._heartbeat_at_ms - now_ms
        if not self.engine.can_commit:
            # What is due has to wait for the database, and must not keep this thread busy.
            timeout_ms = min(timeout_ms, self._probe_at_ms - now_ms)
        elif self._waiting is not None:
            timeout_ms = min(timeout_ms, self._waiting.next_look_ms())
        return max(0, timeout_ms)

    def _greet(self) -> None:
        """Take over ports that another thread handed in."""
        try:
            self._wake_in.recv(4096)
        except (BlockingIOError, InterruptedError):
            return
        while self._new_ports:
            port = self._new_ports.popleft()
            self._ports[port.descriptor] = port
            self._poll.register(port.descriptor, select.POLLIN)
            port.send_heartbeat(can_commit=self.engine.can_commit, waiting=len(self._queue))
            if self._is_draining:
                port.send_drain()

    def _watch(self, descriptor: int, port: Port) -> None:
        if port.is_open:
            events = select.POLLIN | (select.POLLOUT if port.has_unsent else 0)
            self._poll.modify(descriptor, events)
        else:
            self._forget(descriptor)

    def _forget(self, descriptor: int) -> None:
        # What the worker had sent stays in the queue: a command that was taken is decided.
        del self._ports[descriptor]
        self._poll.unregister(descriptor)

    def _start_draining(self) -> None:
        self._is_draining = True
        for port in self._ports.values():
            port.send_drain()

    def _beat(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._heartbeat_at_ms and self._told_can_commit == self.engine.can_commit:
            return
        self._heartbeat_at_ms = now_ms + HEARTBEAT_MS
        if self.engine.can_commit:
            self.engine.check_connection()
        self._told_can_commit = self.engine.can_commit
        for descriptor, port in list(self._ports.items()):
            port.send_heartbeat(can_commit=self.engine.can_commit, waiting=len(self._queue))
            self._watch(descriptor, port)

    def _take_due(self) -> None:
        if not self.engine.can_commit:
            self._probe()
        if self._waiting is None or not self.engine.can_commit:
            return
        try:
            if self._is_draining:
                self._take_own(self._waiting.expire_all())
            else:
                self._take_own(self._waiting.find_due())
            for waiter, outcome in self._waiting.find_decided_elsewhere():
                self._send(waiter.channel, [(waiter.number, outcome, True)])
        except StorageError as error:
            self._waiting.forget_failed_look()
            self.engine.lose(error)

    def _take_own(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self._queue.append((None, 0, command))

    def _probe(self) -> None:
        """See whether the database is back, after pauses that grow.

        They grow after a probe that succeeds as well, until a batch of commands has: a disk may
        have room for the little that a probe writes, and for no more.
        """
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._probe_at_ms:
            return
        self.engine.probe()
        self._probe_at_ms = self._clock.monotonic_ms() + self._probe_pause_ms
        self._probe_pause_ms = min(self._probe_pause_ms * 2, _PROBE_MAX_MS)

    def _run_batch(self) -> None:
        taken = self._take()
        batch = [entry for entry in taken if not isinstance(entry[2], ConfirmClock)]
        for entry in taken:
            if isinstance(entry[2], ConfirmClock):
                self.engine.confirm_clock()
                self._probe_at_ms = 0
                self._answer([entry], [Done()])
        if not batch:
            return
        if not self.engine.can_commit:
            self._answer(batch, [FAULT_UNAVAILABLE] * len(batch))
            return
        commands = [command for _, _, command in batch]
        for positions, outcomes in self.engine.run(commands):
            self._answer([batch[position] for position in positions], outcomes)
        if self.engine.can_commit:
            self._probe_pause_ms = _PROBE_FIRST_MS
        self._faults.reach(Point.ANSWERED)

    def _take(self) -> list[Taken]:
        """Commands for one batch, in order of arrival; one that has faulted before comes alone."""
        taken: list[Taken] = []
        waiting = self._waiting
        while self._queue and len(taken) < self._batch_commands_max:
            port, _, command = self._queue[0]
            is_retry = port is None and waiting is not None and waiting.retries(command)
            if is_retry and taken:
                break
            taken.append(self._queue.popleft())
            if is_retry:
                break
        return taken

    def _send(self, port: Port, numbered: Sequence[tuple[int, AnyOutcome, bool]]) -> None:
        port.send_answers(numbered)
        # What the worker did not take at once is sent when it has room again.
        if port.descriptor in self._ports:
            self._watch(port.descriptor, port)

    def _answer(self, entries: Sequence[Taken], outcomes: Sequence[AnyOutcome]) -> None:
        """Hand each outcome to whoever waits for it; one frame for each worker."""
        answers: dict[int, tuple[Port, list[tuple[int, AnyOutcome, bool]]]] = {}

        def give(port: Port, number: int, outcome: AnyOutcome, *, is_last: bool) -> None:
            known = answers.get(id(port))
            if known is None:
                known = answers[id(port)] = (port, [])
            known[1].append((number, outcome, is_last))

        waiting = self._waiting
        for (port, number, command), outcome in zip(entries, outcomes, strict=True):
            is_last = True
            if waiting is not None:
                waiter = waiting.note_outcome(command, outcome, channel=port, number=number)
                if waiter is not None and waiter.channel is not None:
                    give(waiter.channel, waiter.number, outcome, is_last=True)
                is_last = not waiting.waits_for(command, outcome)
            if port is not None:
                give(port, number, outcome, is_last=is_last)
        for port, numbered in answers.values():
            self._send(port, numbered)
