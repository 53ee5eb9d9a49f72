"""JSON answers for plain ASGI functions."""

from typing import Any, Final

Send = Any
"""ASGI's `send`."""
Receive = Any
"""ASGI's `receive`."""
Scope = dict[str, Any]
"""ASGI's connection scope."""
Header = tuple[bytes, bytes]

# Without a charset: JSON has none to tell, and a quoted one breaks clients that rewrite quotes.
JSON_HEADER: Final[Header] = (b"content-type", b"application/json")
CLOSE_HEADER: Final[Header] = (b"connection", b"close")

# Nearly every answer is shorter than this; its length is then a tuple that is there already.
_USUAL_BYTES_MAX: Final = 1_024
_LENGTH_HEADERS: Final[tuple[Header, ...]] = tuple(
    (b"content-length", b"%d" % length) for length in range(_USUAL_BYTES_MAX)
)


def length_header(length: int) -> Header:
    """The header that tells the length of a body."""
    if length < _USUAL_BYTES_MAX:
        return _LENGTH_HEADERS[length]
    return b"content-length", b"%d" % length


async def send_json(
    send: Send, status: int, body: bytes, further_headers: tuple[Header, ...] = ()
) -> None:
    """Answer a request with a body that is JSON already."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [JSON_HEADER, length_header(len(body)), *further_headers],
        }
    )
    await send({"type": "http.response.body", "body": body})
