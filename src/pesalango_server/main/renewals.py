"""How a worker hears of another certificate: a frame on a socket of its own."""

import asyncio
import contextlib
import socket
import struct
from typing import Final

import msgspec

from pesalango_server.http.tls import TlsContext, TlsMaterial, TlsUnusable
from pesalango_server.telemetry import get_logger

_LENGTH: Final = struct.Struct("!I")

log = get_logger("tls")


def encode_renewal(material: TlsMaterial) -> bytes:
    """What `follow_renewals` reads: a length and the material."""
    body = msgspec.msgpack.encode(material)
    return _LENGTH.pack(len(body)) + body


async def follow_renewals(told: socket.socket, context: TlsContext) -> None:
    """Serve with each certificate that the engine process sends, until it is gone."""
    reader, writer = await asyncio.open_unix_connection(sock=told)
    with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            material = msgspec.msgpack.decode(await reader.readexactly(length), type=TlsMaterial)
            try:
                context.renew(material)
            except TlsUnusable as error:
                log.error("certificate_not_renewed", reason=f"{error}; the one in force stays")
