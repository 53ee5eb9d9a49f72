"""Uvicorn with our protocol in a thread, and a socket that sends whatever a test wants."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import uvicorn
import uvloop

from pesalango_server.gateway.answers import render_error
from pesalango_server.http.protocol import make_server_config
from pesalango_server.settings import Settings

TIMEOUT_S = 20.0


class Reply(NamedTuple):
    """One answer; `headers` as they came, in order."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case of letters."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Wire:
    """A connection to a server, byte by byte."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes, in a segment of their own as far as the kernel lets us."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(data)

    def read_reply(self) -> Reply:
        """The next answer, and no byte more."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self._socket.recv(1)
            if not byte:
                raise ConnectionError(f"the connection ended after {head!r}")
            head += byte
        line, *rest = head[:-4].decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (row.partition(":") for row in rest)]
        status = int(line.split(" ")[1])
        length = int(next(value for name, value in headers if name.lower() == "content-length"))
        body = b""
        while len(body) < length:
            body += self._socket.recv(length - len(body))
        return Reply(status, headers, body)

    def read_to_end(self) -> bytes:
        """Everything that still comes, until the server ends the connection."""
        data = b""
        while chunk := self._socket.recv(65_536):
            data += chunk
        return data


def exchange(port: int, data: bytes) -> Reply:
    """Send one request on a connection of its own, and read one answer."""
    with Wire(port) as wire:
        wire.send(data)
        return wire.read_reply()


@contextlib.contextmanager
def serve(app: Any, **settings: Any) -> Iterator[int]:
    """Serve an ASGI application on a free port, with these settings; the port."""
    config = make_server_config(app, settings=Settings(**settings), render_error=render_error)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    ready = threading.Event()

    async def run() -> None:
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        ready.set()
        await server.main_loop()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await server.shutdown(sockets=[listener])

    thread = threading.Thread(target=lambda: uvloop.run(run()), daemon=True)
    thread.start()
    assert ready.wait(TIMEOUT_S)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(TIMEOUT_S)
        listener.close()
        assert not thread.is_alive()
