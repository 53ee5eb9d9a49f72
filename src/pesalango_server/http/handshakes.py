"""Connections to a TLS address, from accept to the end of their handshake.

A server of asyncio's tells nobody of a connection before its handshake is done, so that those that
never finish one could be neither counted nor told apart. Here each has a task: it waits for the
first byte, under a deadline that the whole handshake shares, and counts among the connections. Who
speaks plain HTTP is answered in plain HTTP; what else goes wrong ends the connection in silence.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Sized
from http import HTTPStatus
from typing import Final

import structlog

from pesalango_server.http.protocol import BoundedProtocol
from pesalango_server.http.tls import TlsContext

ACCEPT_PAUSE_S: Final = 1.0
"""How long nobody is accepted once that failed: mostly there is no room for another open file."""

_HANDSHAKE_BYTE: Final = 0x16
_CALLER_GONE: Final = frozenset({errno.ECONNABORTED, errno.ECONNRESET, errno.EPROTO})

log = structlog.get_logger("tls")


class Handshakes:
    """Accepts at one listening socket; `connections` are those that are open behind it."""

    def __init__(
        self,
        sock: socket.socket,
        context: TlsContext,
        *,
        make_protocol: Callable[[], BoundedProtocol],
        connections: Sized,
        connections_max: int,
        deadline_ms: int,
    ) -> None:
        sock.settimeout(0)
        self._socket = sock
        self._context = context
        self._make_protocol = make_protocol
        self._connections = connections
        self._connections_max = connections_max
        self._deadline_s = deadline_ms / 1000
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
        self.pause()
        # A task that is cancelled before it has begun would not close its caller.
        await asyncio.sleep(0)
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
                    log.warning("connection_not_accepted", reason=str(error))
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            caller.settimeout(0)
            if len(self._connections) + len(self._running) >= self._connections_max:
                caller.close()
                continue
            task = asyncio.create_task(self._shake_hands(caller))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _shake_hands(self, caller: socket.socket) -> None:
        """Hand a connection over to its protocol, or end it."""
        loop = asyncio.get_running_loop()
        is_handed_over = False
        try:
            async with asyncio.timeout(self._deadline_s):
                first = await _peek(caller)
                if not first:
                    return
                is_handed_over = True
                if first[0] == _HANDSHAKE_BYTE:
                    await loop.connect_accepted_socket(
                        self._make_protocol,
                        caller,
                        ssl=self._context.current,
                        ssl_handshake_timeout=self._deadline_s,
                        ssl_shutdown_timeout=self._deadline_s,
                    )
                else:
                    await loop.connect_accepted_socket(self._make_refusal, caller)
        except OSError as error:
            # Scanners, callers who do not trust the certificate, and callers who left: a line for
            # each could be had for nothing, and would fill the disk. (TLS errors and the end of the
            # deadline are OSErrors too.)
            log.debug("handshake_failed", reason=str(error))
        finally:
            if not is_handed_over:
                caller.close()

    def _make_refusal(self) -> BoundedProtocol:
        protocol = self._make_protocol()
        protocol.refused_as = HTTPStatus.BAD_REQUEST, "This port speaks HTTPS: use https://"
        return protocol


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
