r"""A server that answers what a test has written down, byte by byte, and says what it was sent.

with ScriptedServer(b"HTTP/1.1 200 OK\r\n…") as server:
    …
server.requests
"""

import contextlib
import json
import select
import socket
import threading
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, NamedTuple, Self, TypeAlias

TIMEOUT_S = 20.0
_TRICKLE_S = 0.02


class Silence(Enum):
    """What is not an answer."""

    CLOSE = auto()
    """The connection ends once the request has been read."""
    WAIT = auto()
    """Nothing comes until the caller has gone."""


class Trickle(NamedTuple):
    """An answer, and then one more byte again and again until the caller has gone."""

    start: bytes


Answer: TypeAlias = bytes | Silence | Trickle


class Request(NamedTuple):
    """What one call has sent; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def render(
    fields: Mapping[str, Any],
    *,
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """An answer with a JSON object."""
    body = json.dumps(fields).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class ScriptedServer:
    """One answer a connection, in this order; every connection ends after its answer."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes up who still waits for a connection.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(TIMEOUT_S)
                self.requests.append(_read_request(connection))
                # Whoever calls more often than is written down is not answered.
                _answer(connection, self._answers.pop(0) if self._answers else Silence.CLOSE)


def _read_request(connection: socket.socket) -> Request:
    head, _, body = _read_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
    line, *rows = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value for name, value in (row.split(": ", 1) for row in rows)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    return Request(method, target, headers, body)


def _read_until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            raise ConnectionError("the caller has gone")
        data += chunk
    return data


def _answer(connection: socket.socket, answer: Answer) -> None:
    if answer is Silence.WAIT:
        connection.recv(1)
    elif isinstance(answer, bytes):
        connection.sendall(answer)
    elif isinstance(answer, Trickle):
        connection.sendall(answer.start)
        while not select.select([connection], [], [], _TRICKLE_S)[0]:
            connection.sendall(b" ")
