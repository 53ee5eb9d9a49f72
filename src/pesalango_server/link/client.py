"""The worker's end of a link: sends commands, hands each caller its outcome."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import msgspec

from pesalango_server.kernel.clock import Clock
from pesalango_server.kernel.message import AnyOutcome, Command
from pesalango_server.link.frames import FrameDecoder, encode_frame

HEARTBEAT_AGE_MAX_MS = 5_000
"""An engine that was silent for so long is sent nothing more."""

READY_AGE_MAX_MS = 1_500
"""An engine beats twice a second; one that missed two beats is not called ready."""


class LinkBusy(Exception):
    """Too many commands or prompts wait, or the engine is silent: nothing was sent."""


class OutcomeUnknown(Exception):
    """What became of a command that was sent cannot be told here."""


class LinkLost(OutcomeUnknown):
    """The engine process is gone."""


class OutcomeOverdue(OutcomeUnknown):
    """No outcome came in time."""


class AnswersIn(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """`frames.Answers` with the outcomes decoded."""

    outcomes: list[tuple[int, AnyOutcome, bool]]


class HeartbeatIn(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """See `frames.Heartbeat`."""

    can_commit: bool
    waiting: int


class DrainIn(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """See `frames.Drain`."""


class LinkClient(asyncio.Protocol):
    """One link to one engine. Everything happens on the worker's event loop.

    A command that waits for the engine is bounded apart from a payment that waits for its
    customer: many slow customers are no sign of a slow engine.
    """

    def __init__(self, clock: Clock, *, unanswered_max: int, prompts_waiting_max: int) -> None:
        self._clock = clock
        self._unanswered_max = unanswered_max
        self._prompts_waiting_max = prompts_waiting_max
        self._loop = asyncio.get_running_loop()
        self._decoder: FrameDecoder[AnswersIn | HeartbeatIn | DrainIn] = FrameDecoder(
            AnswersIn | HeartbeatIn | DrainIn  # type: ignore[arg-type]
        )
        self._transport: asyncio.Transport | None = None
        self._waiters: dict[int, asyncio.Future[AnyOutcome]] = {}
        # Those whose first outcome has come, and whose last one is the customer's to bring about.
        self._prompt_waiters: dict[int, asyncio.Future[AnyOutcome]] = {}
        self._number = 0
        self._outgoing: list[tuple[int, Command]] = []
        self._heartbeat_at_ms = clock.monotonic_ms()
        self._can_commit = False
        self.on_drain: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None

    async def connect(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        await self._loop.create_connection(lambda: self, sock=sock)

    @property
    def last_number(self) -> int:
        """The number of the command that was sent last; numbers only grow."""
        return self._number

    @property
    def unanswered(self) -> int:
        """How many commands have no outcome yet."""
        return len(self._waiters)

    @property
    def prompts_waiting(self) -> int:
        """How many payments wait for their customer: they have an outcome, and not their last."""
        return len(self._prompt_waiters)

    @property
    def is_ready(self) -> bool:
        """Whether the engine said within the last moments that it can commit."""
        return self._can_commit and self._silent_ms() <= READY_AGE_MAX_MS

    def _silent_ms(self) -> int:
        return self._clock.monotonic_ms() - self._heartbeat_at_ms

    def submit(self, command: Command, *, is_bounded: bool = True) -> asyncio.Future[AnyOutcome]:
        """Send a command; the future gives its last outcome, or raises `OutcomeUnknown`.

        Raises `LinkBusy` at once when there is no room, and `LinkLost` when there is no engine;
        nothing was sent then. What ends a payment that waits is never refused for room
        (`is_bounded=False`).
        """
        transport = self._transport
        if transport is None:
            raise LinkLost("the engine process has ended")
        if is_bounded:
            self._check_room()
        self._number += 1
        number = self._number
        future: asyncio.Future[AnyOutcome] = self._loop.create_future()
        self._waiters[number] = future
        # All commands of one turn of the event loop leave in one frame.
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append((number, command))
        return future

    def _check_room(self) -> None:
        if len(self._waiters) >= self._unanswered_max:
            raise LinkBusy("too many commands are unanswered")
        if len(self._prompt_waiters) >= self._prompts_waiting_max:
            raise LinkBusy("too many payments wait for their customers")
        if self._silent_ms() > HEARTBEAT_AGE_MAX_MS:
            raise LinkBusy("the engine is silent")

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None and outgoing:
            try:
                frame = encode_frame(outgoing)
            except Exception as error:  # noqa: BLE001 - whatever cannot be encoded
                frame = self._encode_each(outgoing, error)
            self._transport.write(frame)

    def _encode_each(self, outgoing: list[tuple[int, Command]], error: Exception) -> bytes:
        """Frames of those commands that can be encoded; the others' callers get the error."""
        frames = []
        for number, command in outgoing:
            try:
                frames.append(encode_frame([(number, command)]))
            except Exception:  # noqa: BLE001 - the same, for this one alone
                future = self._waiters.pop(number, None)
                if future is not None and not future.done():
                    future.set_exception(error)
        return b"".join(frames)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is ours."""
        # Not by isinstance: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes from the engine."""
        for message in self._decoder.feed(data):
            if isinstance(message, AnswersIn):
                self._deliver(message.outcomes)
            elif isinstance(message, HeartbeatIn):
                self._can_commit = message.can_commit
            elif self.on_drain is not None:
                self.on_drain()
            # Whatever it says, the engine lives.
            self._heartbeat_at_ms = self._clock.monotonic_ms()

    def _deliver(self, outcomes: list[tuple[int, AnyOutcome, bool]]) -> None:
        waiters = self._waiters
        for number, outcome, is_last in outcomes:
            future = waiters.pop(number, None)
            if not is_last:
                if future is not None:
                    self._prompt_waiters[number] = future
                continue
            if future is None:
                future = self._prompt_waiters.pop(number, None)
            # The caller may have gone; the outcome stands all the same.
            if future is not None and not future.done():
                future.set_result(outcome)

    def connection_lost(self, _error: Exception | None) -> None:
        """asyncio: the engine's end is closed."""
        self._transport = None
        self._can_commit = False
        lost = [*self._waiters.values(), *self._prompt_waiters.values()]
        self._waiters, self._prompt_waiters = {}, {}
        for future in lost:
            if not future.done():
                future.set_exception(LinkLost("the engine process ended before it answered"))
                # Nobody may be waiting any more; that is no error of its own.
                future.exception()
        if self.on_lost is not None:
            self.on_lost()

    def give_up(self, *, up_to: int) -> None:
        """Let nobody wait any longer for the commands sent until `last_number` was `up_to`."""
        for waiters in (self._waiters, self._prompt_waiters):
            for number, future in waiters.items():
                if number <= up_to and not future.done():
                    future.set_exception(OutcomeOverdue("no outcome came in time"))
                    # Nobody may be waiting any more; that is no error of its own.
                    future.exception()

    def close(self) -> None:
        """End the link; the engine drops what was not yet whole."""
        if self._transport is not None:
            self._transport.close()
