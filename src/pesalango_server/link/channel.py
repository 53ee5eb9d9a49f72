"""The engine's end of a link: a non-blocking socket to one worker."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pesalango_server.kernel.message import AnyOutcome
from pesalango_server.link.frames import (
    Answers,
    Drain,
    FrameDecoder,
    FrameTooLarge,
    Heartbeat,
    encode_frame,
)

BUFFER_BYTES_MAX = 32 * 1024 * 1024
_READ_BYTES = 256 * 1024


class Channel:
    """Sends never block: what a worker does not take is kept, up to a bound, then it is let go."""

    def __init__(self, sock: socket.socket, command_type: Any) -> None:
        sock.settimeout(0)
        self._socket = sock
        self._decoder: FrameDecoder[list[tuple[int, Any]]] = FrameDecoder(
            list[tuple[int, command_type]]
        )
        self._unsent = bytearray()
        self._can_send = True
        self.is_open = True

    @property
    def descriptor(self) -> int:
        """The socket's file descriptor."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether the worker has not taken everything yet."""
        return bool(self._unsent)

    def receive(self) -> Iterator[tuple[int, Any]]:
        """Numbered commands that have arrived whole; closes itself when the worker is gone."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            for commands in self._decoder.feed(data):
                yield from commands
        except (FrameTooLarge, msgspec.MsgspecError):
            # No worker of ours says that: this one has lost its mind, and the others go on.
            self.close()

    def send_answers(self, outcomes: Sequence[tuple[int, AnyOutcome, bool]]) -> None:
        """Send outcomes: (number of the command, outcome, whether it is the last one)."""
        self._send(encode_frame(Answers(list(outcomes))))

    def send_heartbeat(self, *, can_commit: bool, waiting: int) -> None:
        """Say that the engine lives."""
        self._send(encode_frame(Heartbeat(can_commit, waiting)))

    def send_drain(self) -> None:
        """Ask the worker to end."""
        self._send(encode_frame(Drain()))

    def _send(self, frame: bytes) -> None:
        if not self.is_open or not self._can_send:
            return
        self._unsent += frame
        self.flush()
        if len(self._unsent) > BUFFER_BYTES_MAX:
            self.close()

    def flush(self) -> None:
        """Send what is left, as far as the worker takes it."""
        unsent = self._unsent
        try:
            while unsent:
                sent = self._socket.send(unsent)
                del unsent[:sent]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # Most likely the worker has gone, and what it had sent before is still to be received.
            # One that lives learns from the end of what it reads that it has to begin anew.
            self._can_send = False
            unsent.clear()
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let the worker go."""
        if self.is_open:
            self.is_open = False
            self._unsent.clear()
            self._socket.close()
