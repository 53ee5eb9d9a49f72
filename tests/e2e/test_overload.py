"""More calls than can be decrypted, and somebody who only guesses: who pays is served.

How much of the maximum remains is measured by `bench/overload.py`; here is what must be true on any
machine. Bearers are fresh in every call, as official clients send them.
"""

import asyncio
import base64
import contextlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.books import find_violations, read_books
from tests.e2e.http_client import call, encrypt_bearer
from tests.e2e.merchant import MARKET, Merchant, Payment, make_reference
from tests.e2e.server import Server, wait_until

WAITING_MAX = 16
SETTINGS = {
    "PESALANGO_DECRYPTIONS_WAITING_MAX": str(WAITING_MAX),
    "PESALANGO_FAILED_AUTHENTICATIONS_EXEMPT_LOOPBACK": "false",
    # So few that the door stays closed for as long as the test takes.
    "PESALANGO_FAILED_AUTHENTICATIONS_PER_MINUTE": "2",
}
SHOP, OTHER_SHOP, FLOOD = "127.0.0.1", "127.0.0.3", "127.0.0.2"
ROOT = f"/sandbox/ipg/v2/{MARKET}"
CIPHERTEXT_BYTES = 512
CALLERS = 300
FLOOD_CONNECTIONS = 24
HELD_MS = 1_000
STOPPED_CONNECTIONS = 80
"""Many times what is decrypted at a time, and few enough for the bound of a stop on a busy machine."""
LONG_WAITS = {
    "PESALANGO_FAILED_AUTHENTICATION_DELAY_MS": "10000",
    "PESALANGO_DECRYPTIONS_WAITING_MAX": "1024",
}
PAYMENTS = 40
CALL_SECONDS_MAX = 60


class Reply(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        code: str = self.body.get("output_ResponseCode", "")
        return code


class Caller:
    """Keep-alive from one address. Closed by the end of the process at the latest."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, server: Server, source: str) -> "Caller":
        return cls(*await asyncio.open_connection("127.0.0.1", server.port, local_addr=(source, 0)))

    async def pay(self, bearer: str, payment: Payment) -> Reply:
        body = json.dumps(payment.make_body()).encode()
        self.writer.write(
            f"POST {ROOT}/c2bPayment/singleStage/ HTTP/1.1\r\nHost: gateway\r\nOrigin: *\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {bearer}\r\n\r\n".encode()
            + body
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        content = await self.reader.readexactly(int(headers["content-length"]))
        return Reply(int(lines[0].split(" ")[1]), headers, json.loads(content))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@pytest.fixture(scope="module", params=[None, "postgres"], ids=["sqlite", "postgres"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    data_dir: Path = tmp_path_factory.mktemp("overload") / "data"
    with Server(data_dir, database=request.param, settings=SETTINGS) as server:
        server.start()
        yield server
        assert server.audit().returncode == 0


@pytest.fixture(scope="module")
def session_key(server: Server) -> str:
    place = server.credentials.sandbox
    status, answer = call(
        "GET",
        f"{server.credentials.base_url}{ROOT}/getSession/",
        headers={
            "Authorization": f"Bearer {encrypt_bearer(place.api_key, place.public_key)}",
            "Origin": "*",
        },
    )
    assert status == 200, answer
    key: str = answer["output_SessionID"]
    return key


def make_payment() -> Payment:
    return Payment(make_reference(), "255744553111", "ORG001", 1)


def make_noise() -> str:
    """As long as a ciphertext, and nobody's."""
    return base64.b64encode(secrets.token_bytes(CIPHERTEXT_BYTES)).decode()


def run(steps: Coroutine[Any, Any, None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(CALL_SECONDS_MAX):
            await steps

    asyncio.run(main())


def check_books(server: Server, accepted: list[Payment]) -> None:
    with server.open_books() as ask:
        books = read_books(ask)
    assert find_violations(books) == []
    recorded = {payment.third_party_conversation_id for payment in books.payments}
    assert {payment.reference for payment in accepted} <= recorded


def test_what_cannot_be_decrypted_in_time_is_refused_and_leaves_no_trace(
    server: Server, session_key: str
) -> None:
    public_key = server.credentials.sandbox.public_key
    payments = [make_payment() for _ in range(CALLERS)]
    bearers = [encrypt_bearer(session_key, public_key) for _ in payments]
    replies: list[Reply] = []

    async def steps() -> None:
        callers = [await Caller.connect(server, SHOP) for _ in payments]
        replies.extend(
            await asyncio.gather(
                *(
                    caller.pay(bearer, payment)
                    for caller, bearer, payment in zip(callers, bearers, payments, strict=True)
                )
            )
        )
        # One address cannot take what there is from another; and it is over when it is over.
        for source in (OTHER_SHOP, SHOP):
            after = await Caller.connect(server, source)
            reply = await after.pay(encrypt_bearer(session_key, public_key), make_payment())
            assert (reply.status, reply.code) == (201, "INS-0")
            await after.close()
        for caller in callers:
            await caller.close()

    run(steps())
    outcomes = Counter((reply.status, reply.code) for reply in replies)
    assert set(outcomes) == {(201, "INS-0"), (503, "INS-16")}, outcomes
    # So many may wait; what was decrypted meanwhile comes on top.
    assert outcomes[201, "INS-0"] >= WAITING_MAX // 2
    accepted = [
        payment for payment, reply in zip(payments, replies, strict=True) if reply.status == 201
    ]
    check_books(server, accepted)
    merchant = Merchant(server.credentials, bearer=bearers[0])
    refused = [payment for payment in payments if payment not in accepted]
    for payment in refused[:10]:
        assert merchant.query(payment.reference, organisation=payment.organisation).code == "INS-23"
    # The same request, sent again, is a first one.
    assert merchant.pay(refused[0]).code == "INS-0"
    merchant.close()


def test_a_flood_of_guesses_is_held_up_while_others_pay(server: Server, session_key: str) -> None:
    public_key = server.credentials.sandbox.public_key
    guesses: list[Reply] = []
    accepted: list[Payment] = []
    is_over, is_turned_away = asyncio.Event(), asyncio.Event()

    async def guess() -> None:
        caller = await Caller.connect(server, FLOOD)
        while not is_over.is_set():
            guesses.append(await caller.pay(make_noise(), make_payment()))
            if guesses[-1].status == 429:
                is_turned_away.set()
        await caller.close()

    async def pay() -> None:
        caller = await Caller.connect(server, SHOP)
        known = encrypt_bearer(session_key, public_key)
        for number in range(PAYMENTS):
            payment = make_payment()
            bearer = known if number % 2 else encrypt_bearer(session_key, public_key)
            reply = await caller.pay(bearer, payment)
            assert (reply.status, reply.code) == (201, "INS-0"), reply
            accepted.append(payment)
        await caller.close()

    async def steps() -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as together:
            for _ in range(FLOOD_CONNECTIONS):
                together.create_task(guess())
            await is_turned_away.wait()
            await pay()
            is_over.set()
        seconds = time.monotonic() - began
        statuses = Counter(reply.status for reply in guesses)
        assert set(statuses) <= {401, 429, 503}, statuses
        # Each is held for a second: no more of them than connections, and as many a second.
        assert statuses[429] <= FLOOD_CONNECTIONS * (seconds * 1_000 / HELD_MS + 1)
        assert all(
            int(reply.headers["retry-after"]) > 0 for reply in guesses if reply.status == 429
        )
        # Not even a bearer of ours is looked at from there, but one that was known before.
        caller = await Caller.connect(server, FLOOD)
        reply = await caller.pay(encrypt_bearer(session_key, public_key), make_payment())
        assert reply.status == 429
        await caller.close()

    run(steps())
    check_books(server, accepted)
    assert len(accepted) == PAYMENTS


def test_a_server_that_is_stopped_in_a_flood_ends_in_time(tmp_path: Path) -> None:
    """With failures that do not count, so that guesses wait for their turn as well."""
    settings = {**SETTINGS, "PESALANGO_FAILED_AUTHENTICATIONS_EXEMPT_LOOPBACK": "true"}
    with Server(tmp_path / "data", settings={**settings, **LONG_WAITS}) as server:
        server.start()

        async def guess(caller: Caller) -> None:
            with contextlib.suppress(OSError, EOFError):
                while True:
                    await caller.pay(make_noise(), make_payment())

        async def steps() -> None:
            callers = [await Caller.connect(server, FLOOD) for _ in range(STOPPED_CONNECTIONS)]
            guessing = [asyncio.create_task(guess(caller)) for caller in callers]
            await asyncio.to_thread(
                wait_until, lambda: is_flooded(server), timeout_s=20, what="a guess that failed"
            )
            await asyncio.to_thread(server.stop)
            for task in guessing:
                task.cancel()
            await asyncio.gather(*guessing, return_exceptions=True)
            for caller in callers:
                with contextlib.suppress(OSError):
                    await caller.close()

        run(steps())
        assert "worker_killed" not in server.read_log()
        assert server.exit_status == 0


def is_flooded(server: Server) -> bool:
    """The first have failed; then the rest wait for their turn, or are held without one."""
    return "not authenticated" in server.read_log()
