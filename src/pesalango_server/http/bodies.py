"""Bodies of requests: read up to a bound, or dropped so that the caller sees the answer."""

from pesalango_server.http.answers import (
    CLOSE_HEADER,
    JSON_HEADER,
    Receive,
    Scope,
    Send,
    length_header,
)
from pesalango_server.http.protocol import take_whole_body


class BodyTooLarge(Exception):
    """The body is larger than the bound; `is_whole` says that all of it was received anyway."""

    def __init__(self, *, is_whole: bool) -> None:
        super().__init__("the body is too large")
        self.is_whole = is_whole


class CallerGone(Exception):
    """The caller closed the connection while it was read, or before its turn came."""


def check_length(content_length: bytes | None, *, body_bytes_max: int) -> None:
    """Raise `BodyTooLarge` for a body that says so before it is sent."""
    # The parser has seen to it that these are digits.
    if content_length is not None and int(content_length) > body_bytes_max:
        raise BodyTooLarge(is_whole=False)


def take_body(scope: Scope, *, body_bytes_max: int) -> bytes | None:
    """The body where all of it has arrived, else None: `read_body` waits for it.

    Raises `BodyTooLarge`.
    """
    body = take_whole_body(scope)
    if body is not None and len(body) > body_bytes_max:
        raise BodyTooLarge(is_whole=True)
    return body


async def read_body(receive: Receive, *, body_bytes_max: int) -> bytes:
    """The whole body. Raises `BodyTooLarge` and `CallerGone`."""
    message = await receive()
    if message["type"] != "http.request":
        raise CallerGone
    body: bytes = message["body"]
    if message["more_body"]:
        parts, size = [body], len(body)
        while message["more_body"] and size <= body_bytes_max:
            message = await receive()
            if message["type"] != "http.request":
                raise CallerGone
            parts.append(message["body"])
            size += len(parts[-1])
        body = b"".join(parts)
    if len(body) > body_bytes_max:
        raise BodyTooLarge(is_whole=not message["more_body"])
    return body


async def refuse_body(
    receive: Receive,
    send: Send,
    status: int,
    answer: bytes,
    *,
    is_whole: bool = False,
    dropped_bytes_max: int,
) -> None:
    """Answer a request whose body will not be read, and end its connection.

    A connection that is closed while the caller still sends is reset, and the answer may be lost
    with it. So the answer goes out first, what still comes is thrown away, and only then, or once
    too much has come, the connection ends. The protocol's deadline bounds the time.
    """
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [JSON_HEADER, length_header(len(answer)), CLOSE_HEADER],
        }
    )
    # The answer is whole with this message, but the response is not over.
    await send({"type": "http.response.body", "body": answer, "more_body": True})
    dropped = 0
    while not is_whole and dropped <= dropped_bytes_max:
        message = await receive()
        if message["type"] != "http.request":
            return
        dropped += len(message["body"])
        is_whole = not message["more_body"]
    await send({"type": "http.response.body", "body": b""})
