"""Stands in for a gateway where the cost of its callers is what counts.

It answers every payment at once with the same success and the caller's own identifier, and every
question for a session with the same key. A real gateway would be no slower for the caller's
processor time, but would disturb it by working on the same cores.

`python -m bench.responder` serves on a free port, which it prints, until standard input ends.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator

import uvloop
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.directory import REPOSITORY
from bench.wire import CONTENT_LENGTH, CONVERSATION_ID_LENGTH, find_value

STOP_SECONDS_MAX = 5.0
KEY_BITS = 4096
HEAD_END = b"\r\n\r\n"
IDENTIFIER = b'"input_ThirdPartyConversationID":"'


def make_answer(status: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %s\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: responder\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
    ) % (status, len(body), body)


SESSION = make_answer(
    b"200 OK",
    b'{"output_ResponseCode":"INS-0","output_ResponseDesc":"Request processed successfully",'
    b'"output_SessionID":"0123456789abcdef0123456789abcdef"}',
)
PAYMENT_BEFORE, PAYMENT_AFTER = make_answer(
    b"201 Created",
    b'{"output_ResponseCode":"INS-0","output_ResponseDesc":"Request processed successfully",'
    b'"output_TransactionID":"0123456789aB",'
    b'"output_ConversationID":"0123456789abcdef0123456789abcdef",'
    b'"output_ThirdPartyConversationID":"%s"}' % (b"?" * CONVERSATION_ID_LENGTH),
).split(b"?" * CONVERSATION_ID_LENGTH)


class Responder(asyncio.Protocol):
    """One connection; its caller waits for each answer before the next request."""

    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream's

    def data_received(self, data: bytes) -> None:
        self.received += data
        head_end = self.received.find(HEAD_END)
        if head_end < 0:
            return
        found = CONTENT_LENGTH.search(self.received, 0, head_end)
        if len(self.received) < head_end + len(HEAD_END) + (int(found[1]) if found else 0):
            return
        request, self.received = self.received, b""
        if request.startswith(b"GET "):
            self.transport.write(SESSION)
            return
        self.transport.write(PAYMENT_BEFORE + find_value(request, IDENTIFIER) + PAYMENT_AFTER)


async def respond() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Responder, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@contextlib.contextmanager
def run_responder() -> Iterator[str]:
    """The address of a responder in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.responder"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the responder has no standard output")
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.communicate(timeout=STOP_SECONDS_MAX)


def make_public_key() -> str:
    """A key as long as a gateway's, as the portal shows it. Nobody can decrypt what it encrypts."""
    modulus = secrets.randbits(KEY_BITS) | 1 << (KEY_BITS - 1) | 1
    key = RSAPublicNumbers(65537, modulus).public_key()
    return base64.b64encode(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()


if __name__ == "__main__":
    uvloop.run(respond())
