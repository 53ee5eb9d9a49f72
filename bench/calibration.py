"""Asks what the load generator itself costs.

A responder that does next to nothing stands in for the gateway: what the generator spends
there it also takes away from the product, which runs on the same cores.

`python -m bench.calibration` prints the generator's result as JSON.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

import msgspec
import uvloop

from bench.directory import REPOSITORY
from bench.load import GeneratorResult, Load, run_generator
from bench.wire import CONVERSATION_ID_LENGTH

CONNECTIONS = 64
STOP_SECONDS_MAX = 5.0

BODY = (
    '{"output_ResponseCode":"INS-0","output_ResponseDesc":"Request processed successfully",'
    '"output_TransactionID":"0123456789aB","output_ConversationID":'
    '"0123456789abcdef0123456789abcdef","output_ThirdPartyConversationID":"'
)
AFTER = b'"}'
LENGTH = len(BODY) + CONVERSATION_ID_LENGTH + len(AFTER)
BEFORE = (
    "HTTP/1.1 201 Created\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: responder\r\n"
    f"content-type: application/json\r\ncontent-length: {LENGTH}\r\n\r\n{BODY}"
).encode()


class Responder(asyncio.Protocol):
    """Accepts whatever ends like a payment's request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream's

    def data_received(self, data: bytes) -> None:
        if data.endswith(AFTER):
            end = len(data) - len(AFTER)
            self.transport.write(BEFORE + data[end - CONVERSATION_ID_LENGTH :])


async def respond() -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Responder, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def calibrate(*, seconds: float, connections: int = CONNECTIONS) -> GeneratorResult:
    """Run the generator against a responder in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.calibration", "--respond"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as responder:
        try:
            if responder.stdout is None:
                raise RuntimeError("the responder has no standard output")
            load = Load(
                host="127.0.0.1",
                port=int(responder.stdout.readline()),
                path="/sandbox/ipg/v2/vodacomTZN/c2bPayment/singleStage/",
                country="TZN",
                currency="TZS",
                service_provider_code="000000",
                connections=connections,
                seconds=seconds,
                amount="1",
                msisdn_first=255_760_000_000,
                customers=100_000,
            )
            # As long as a real one: the base64 of an RSA-4096 ciphertext.
            return run_generator(load, bearer="A" * 684)
        finally:
            responder.communicate(timeout=STOP_SECONDS_MAX)


def main() -> None:
    if "--respond" in sys.argv[1:]:
        uvloop.run(respond())
        return
    sys.stdout.buffer.write(msgspec.json.encode(calibrate(seconds=5.0)) + b"\n")


if __name__ == "__main__":
    main()
