"""HTTP/1.1 messages on asyncio streams, as far as the tests' gateway and proxy need to tell one
from the next: a head, and a body that is as long as Content-Length says.

Bytes are kept as they came, so that a proxy can hand them on unchanged.
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

HEAD_BYTES_MAX = 64 * 1024
"""The limit of a stream's reader, and so of a head."""


class BadMessage(Exception):
    """What came is no message that these tools understand; the text says why."""


@dataclass(frozen=True)
class Message:
    """A request or an answer. `headers` have names in lower case, the last of a name alone."""

    first_line: str
    headers: dict[str, str]
    head: bytes
    """As it came, up to and with the empty line."""
    body: bytes

    @property
    def content(self) -> bytes:
        """All of it as it came."""
        return self.head + self.body

    @property
    def is_last(self) -> bool:
        """Whether its sender closes the connection after it."""
        return self.headers.get("connection", "").lower() == "close"

    def split_request_line(self) -> tuple[str, str]:
        """Method and target of a request. Raises `BadMessage`."""
        words = self.first_line.split(" ")
        if len(words) != 3 or words[2] != "HTTP/1.1":
            raise BadMessage(f"not the first line of a request: {self.first_line!r}")
        return words[0], words[1]


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None where the stream ended before it began.

    Raises `OSError` or `EOFError` if it breaks off, `BadMessage` for what it does not understand.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    except asyncio.LimitOverrunError as error:
        raise BadMessage(f"a head of more than {HEAD_BYTES_MAX} bytes") from error
    first_line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadMessage(f"not a header: {line!r}")
        headers[name.strip().lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise BadMessage("a body without Content-Length")
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadMessage(f"not a Content-Length: {length!r}")
    return Message(first_line, headers, head, await reader.readexactly(int(length)))


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset, at once. What was written before has to be on its way."""
    place: socket.socket = writer.get_extra_info("socket")
    if place.fileno() >= 0:
        # With a time of zero to linger for, the system sends RST in place of FIN.
        place.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def close(writer: asyncio.StreamWriter) -> None:
    """End a connection and wait until it has; one that is broken already is no error."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
