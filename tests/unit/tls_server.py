"""One TLS address served in a thread, and callers that get no further than the handshake."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop
from uvicorn.server import ServerState

from pesalango_server.gateway.answers import render_error
from pesalango_server.http.certificates import read_material
from pesalango_server.http.protocol import make_bounds, make_server_config
from pesalango_server.http.tls import TlsContext
from pesalango_server.kernel.clock import SystemClock
from pesalango_server.main.authority import Issued, issue_certificate
from pesalango_server.main.faces import Face
from pesalango_server.settings import Settings
from pesalango_server.telemetry import NowAndThen
from tests.unit.http_server import TIMEOUT_S


def issue(directory: Path, *names: str, days: int = 30) -> Issued:
    return issue_certificate(directory, names, days=days)


def read_issued(issued: Issued) -> TlsContext:
    return TlsContext(read_material(str(issued.certificate), str(issued.key)))


@contextlib.contextmanager
def serve_tls(app: Any, context: TlsContext, **settings: Any) -> Iterator[int]:
    """As a worker does it, with these settings; the port. It stops within two seconds."""
    given = Settings(**settings)
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    face = Face(
        make_server_config(app, settings=given, render_error=render_error),
        listener,
        state=ServerState(),
        tls=context,
        bounds=make_bounds(given),
        now_and_then=NowAndThen(SystemClock()),
    )
    ready, ended = threading.Event(), threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        asked = asyncio.Event()
        loops.append((asyncio.get_running_loop(), asked))
        await face.start()
        ready.set()
        await asked.wait()
        async with asyncio.timeout(2):
            await face.stop()
        ended.set()

    thread = threading.Thread(target=lambda: uvloop.run(run()), daemon=True)
    thread.start()
    assert ready.wait(TIMEOUT_S)
    try:
        yield port
    finally:
        loop, asked = loops[0]
        loop.call_soon_threadsafe(asked.set)
        thread.join(TIMEOUT_S)
    assert ended.is_set(), "it did not stop in time"


def trust(issued: Issued) -> ssl.SSLContext:
    """A client's context that trusts the authority and nobody else."""
    return ssl.create_default_context(cafile=str(issued.authority))


def connect(port: int) -> socket.socket:
    """A connection without a handshake."""
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
