"""Listening sockets of a worker: one uvicorn server each, and the application behind it."""

import asyncio
import socket

import uvicorn

from pesalango_server.http.context import WorkerContext
from pesalango_server.main.plan import Face, WorkerPlan


class FaceServer:
    """A uvicorn server on an inherited listening socket, started and stopped by its worker."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket) -> None:
        self._server = uvicorn.Server(config)
        self._socket = sock
        self._running: asyncio.Task[None] | None = None
