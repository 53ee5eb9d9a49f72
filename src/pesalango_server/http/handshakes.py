"""Connections to a TLS address, from accept to the end of their handshake.

A server of asyncio's tells nobody of a connection before its handshake is done, so that those that
never finish one could be neither counted nor told apart. Here each has a task: it waits for the
first byte, under a deadline that the whole handshake shares, and holds its place among the
connections. Who speaks plain HTTP is answered in plain HTTP; what else goes wrong ends the
connection in silence.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from pesalango_server.http.protocol import BoundedProtocol
from pesalango_server.http.tls import TlsContext
from pesalango_server.telemetry import NowAndThen, get_logger

ACCEPT_PAUSE_S: Final = 1.0
"""How long nobody is accepted once that failed: mostly there is no room for another open file."""

_HANDSHAKE_BYTE: Final = 0x16
_NOT_TLS: Final = (HTTPStatus.BAD_REQUEST, "This port speaks HTTPS: use https://")
_CALLER_GONE: Final = frozenset({errno.ECONNABORTED, errno.ECONNRESET, errno.EPROTO})

log = get_logger("tls")


class Handshake:
    """One caller until the handshake is done, in the place of the connection that is to be."""

    def __init__(self, caller: socket.socket) -> None:
        self.caller = caller
        self.is_handed_over = False
        self.task: asyncio.Task[None] | None = None

    def shutdown(self) -> None:
        """Uvicorn, which takes it for a connection: the server ends."""
        if self.task is not None:
            self.task.cancel()


class Handshakes:
    """Accepts at one listening socket; `connections` are all that share its bound."""

    def __init__(
        self,
        sock: socket.socket,
        context: TlsContext,
        *,
        make_protocol: Callable[[], BoundedProtocol],
        connections: set[Any],
        connections_max: int,
        deadline_ms: int,
        now_and_then: NowAndThen,
    ) -> None:
        sock.settimeout(0)
        self._socket = sock
        self._context = context
        self._make_protocol = make_protocol
        self._connections = connections
        self._connections_max = connections_max
        self._deadline_s = deadline_ms / 1000
        self._now_and_then = now_and_then
        self._running: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._accepting = asyncio.create_task(self._accept_for_ever())

    def pause(self) -> None:
        """Accept nobody until `start`; the handshakes that run go on."""
        if self._accepting is not None:
            self._accepting.cancel()

    async def stop(self) -> None:
        """Accept nothing more, and end the handshakes that run."""
        tasks = [task for task in (self._accepting, *self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept_for_ever(self) -> None:
        while True:
            # Not `sock_accept`: were it cancelled just then, what it accepted would be nobody's.
            await _wait_until_readable(self._socket)
            try:
                caller, _ = self._socket.accept()
            except BlockingIOError:
                # Another worker was quicker.
                continue
            except OSError as error:
                if error.errno not in _CALLER_GONE:
                    if self._now_and_then.may_tell("connection_not_accepted"):
                        log.warning("connection_not_accepted", reason=str(error))
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            caller.settimeout(0)
            if len(self._connections) >= self._connections_max:
                caller.close()
                continue
            self._begin(Handshake(caller))

    def _begin(self, handshake: Handshake) -> None:
        self._connections.add(handshake)
        task = handshake.task = asyncio.create_task(self._shake_hands(handshake))
        self._running.add(task)
        # Also where it is cancelled before its first step.
        task.add_done_callback(lambda ended: self._end(handshake, ended))

    def _end(self, handshake: Handshake, ended: asyncio.Task[None]) -> None:
        self._running.discard(ended)
        self._connections.discard(handshake)
        if not handshake.is_handed_over:
            handshake.caller.close()

    async def _shake_hands(self, handshake: Handshake) -> None:
        """Hand a connection over to its protocol, or leave it to be ended."""
        loop = asyncio.get_running_loop()

        def make_protocol() -> BoundedProtocol:
            protocol = self._make_protocol()
            protocol.handshake = handshake
            if not is_tls:
                protocol.refused_as = _NOT_TLS
            return protocol

        try:
            async with asyncio.timeout(self._deadline_s):
                first = await _peek(handshake.caller)
                if not first:
                    return
                is_tls = first[0] == _HANDSHAKE_BYTE
                handshake.is_handed_over = True
                if is_tls:
                    await loop.connect_accepted_socket(
                        make_protocol,
                        handshake.caller,
                        ssl=self._context.current,
                        ssl_handshake_timeout=self._deadline_s,
                        ssl_shutdown_timeout=self._deadline_s,
                    )
                else:
                    await loop.connect_accepted_socket(make_protocol, handshake.caller)
        except OSError as error:
            # Scanners, callers who do not trust the certificate, and callers who left: a line for
            # each could be had for nothing, and would fill the disk. (TLS errors and the end of the
            # deadline are OSErrors too.)
            log.debug("handshake_failed", reason=str(error))


async def _peek(caller: socket.socket) -> bytes:
    """The first byte, which stays to be read; empty where the caller has left."""
    while True:
        with contextlib.suppress(BlockingIOError):
            return caller.recv(1, socket.MSG_PEEK)
        await _wait_until_readable(caller)


async def _wait_until_readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    loop.add_reader(sock, _settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock)


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
