"""Frames: four bytes of length (big-endian), then one msgpack document.

A frame carries as many messages as were waiting. Only whole frames count: what was cut off by the
end of a process was never said.
"""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

FRAME_BYTES_MAX = 64 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode


class FrameTooLarge(Exception):
    """The other end says that a frame follows which is larger than any of ours."""


def encode_frame(messages: Any) -> bytes:
    """One frame with `messages` in it."""
    body = _encode(messages)
    return len(body).to_bytes(4, "big") + body


class FrameDecoder(Generic[T]):
    """Turns a stream of bytes into the documents of its whole frames."""

    def __init__(self, type_: type[T]) -> None:
        self._decode = msgspec.msgpack.Decoder(type_).decode
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[T]:
        """The documents that became whole with `data`."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            length = int.from_bytes(buffer[start : start + 4], "big")
            if length > FRAME_BYTES_MAX:
                raise FrameTooLarge(f"a frame of {length} bytes")
            if len(buffer) - start - 4 < length:
                break
            body = bytes(buffer[start + 4 : start + 4 + length])
            start += 4 + length
            yield self._decode(body)
        if start:
            del buffer[:start]


class Answers(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Outcomes for a worker: (number of the command, outcome, whether it is the last one)."""

    outcomes: list[tuple[int, Any, bool]]


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The engine lives; whether it can commit, and how many of all workers' commands wait."""

    can_commit: bool
    waiting: int


class Drain(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The server stops: accept nothing more, deliver the outcomes to come, end."""
