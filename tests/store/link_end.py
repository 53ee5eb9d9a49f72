"""The worker's end of a link, frame by frame, and an engine's loop that runs in a thread.

    with run_loop(rig.engine, rig.clock) as loop:
        worker = loop.connect()
        number = worker.send(make_c2b(reference="one"))
        outcome = worker.wait_for(number)

The clock stands still unless the test moves it. A loop that sleeps wakes by `nudge`, an empty frame.
"""

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any, Union

from pesalango_server.engine.engine import Engine
from pesalango_server.engine.faults import NO_FAULTS, FaultPort
from pesalango_server.engine.loop import ConfirmClock, EngineLoop
from pesalango_server.engine.registry import USE_CASES
from pesalango_server.engine.waiting import Waiting
from pesalango_server.kernel.clock import Clock
from pesalango_server.kernel.message import AnyOutcome, Command
from pesalango_server.link.channel import Channel
from pesalango_server.link.client import AnswersIn, DrainIn, HeartbeatIn
from pesalango_server.link.frames import FrameDecoder, encode_frame

TIMEOUT_S = 20.0
_RECEIVE_BYTES = 65_536


class LinkEnded(Exception):
    """The engine has closed the link."""


class RawWorker:
    """A worker that does nothing by itself: the test sends and receives for it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(TIMEOUT_S)
        self._socket = sock
        self._decoder: FrameDecoder[Any] = FrameDecoder(
            AnswersIn | HeartbeatIn | DrainIn  # type: ignore[arg-type]
        )
        self._numbers = count(1)
        self._outcomes: dict[int, list[tuple[AnyOutcome, bool]]] = {}
        self.heartbeats: list[HeartbeatIn] = []
        self.is_asked_to_end = False

    def send(self, *commands: Command) -> int:
        """Send commands in one frame; the number of the last one."""
        numbered = [(next(self._numbers), command) for command in commands]
        self.send_bytes(encode_frame(numbered))
        return numbered[-1][0]

    def send_bytes(self, data: bytes) -> None:
        """Send anything."""
        self._socket.sendall(data)

    def nudge(self) -> None:
        """Make the loop look at the clock."""
        self.send_bytes(encode_frame([]))

    def outcomes_of(self, number: int) -> list[AnyOutcome]:
        """What has come for a command so far, by what was received so far."""
        return [outcome for outcome, _ in self._outcomes.get(number, [])]

    def receive(self) -> None:
        """Wait for something from the engine. Raises `LinkEnded`, `TimeoutError`."""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise LinkEnded
        for message in self._decoder.feed(data):
            if isinstance(message, AnswersIn):
                for number, outcome, is_last in message.outcomes:
                    self._outcomes.setdefault(number, []).append((outcome, is_last))
            elif isinstance(message, HeartbeatIn):
                self.heartbeats.append(message)
            else:
                self.is_asked_to_end = True

    def wait_for(self, number: int) -> AnyOutcome:
        """The last outcome of a command."""
        while not any(is_last for _, is_last in self._outcomes.get(number, [])):
            self.receive()
        return self._outcomes[number][-1][0]

    def wait_for_first(self, number: int) -> AnyOutcome:
        """The first outcome of a command, which may be followed by another."""
        while number not in self._outcomes:
            self.receive()
        return self._outcomes[number][0][0]

    def wait_for_heartbeat(self, *, can_commit: bool) -> None:
        """Wait until the latest word of the engine is that it can commit, or cannot."""
        while not self.heartbeats or self.heartbeats[-1].can_commit is not can_commit:
            self.receive()

    def wait_for_end(self) -> None:
        """Read on until the engine has closed the link."""
        with contextlib.suppress(LinkEnded):
            while True:
                self.receive()

    def close(self) -> None:
        """Go away, as a worker that is killed does."""
        self._socket.close()


class RunningLoop:
    """A loop in its thread, and the workers that are connected to it."""

    def __init__(
        self, engine: Engine, clock: Clock, *, batch_commands_max: int, faults: FaultPort
    ) -> None:
        self._ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self.waiting = Waiting(engine, clock)
        self.loop = EngineLoop(
            engine,
            clock,
            batch_commands_max=batch_commands_max,
            waiting=self.waiting,
            faults=faults,
            on_end=self._ends.put,
        )
        self._workers: list[RawWorker] = []
        self._engine_ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self.loop.run, name="engine-of-a-test")
        self._thread.start()
        self._is_over = False

    def connect(self, *, send_buffer_bytes: int | None = None) -> RawWorker:
        """One more worker."""
        ours, theirs = socket.socketpair()
        if send_buffer_bytes is not None:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        worker = RawWorker(ours)
        self._workers.append(worker)
        self.serve(theirs)
        return worker

    def serve(self, engine_end: socket.socket) -> None:
        """Take over the engine's end of a link."""
        commands: Any = Union[(*USE_CASES, ConfirmClock)]
        self._engine_ends.append(engine_end)
        self.loop.add_port(Channel(engine_end, commands))

    def hang_up(self) -> None:
        """End every link, as the end of the engine's process does."""
        for engine_end in self._engine_ends:
            engine_end.shutdown(socket.SHUT_RDWR)

    def wait_for_end(self) -> BaseException | None:
        """Wait for the end of the loop; what ended it, None where it was asked to."""
        error = self._ends.get(timeout=TIMEOUT_S)
        self._thread.join(TIMEOUT_S)
        self._is_over = True
        return error

    def close(self) -> None:
        """Stop the loop, unless it has ended already; workers do as they are asked."""
        if not self._is_over:
            self.loop.stop()
        for worker in self._workers:
            worker.close()
        if not self._is_over:
            error = self.wait_for_end()
            assert error is None, error
        for engine_end in self._engine_ends:
            engine_end.close()


@contextlib.contextmanager
def run_loop(
    engine: Engine,
    clock: Clock,
    *,
    batch_commands_max: int = 64,
    faults: FaultPort = NO_FAULTS,
) -> Iterator[RunningLoop]:
    """Serve with an engine, and stop it in the end."""
    loop = RunningLoop(engine, clock, batch_commands_max=batch_commands_max, faults=faults)
    try:
        yield loop
    finally:
        loop.close()
