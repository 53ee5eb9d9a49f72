"""What a call of the client costs its caller's processor, beside a bare call of its HTTP library.

A process of its own, with one connection to `bench/responder.py` for each side. The sides alternate
in short blocks, so that whatever else the machine does meets both; the processor time is that of
the process, in user and kernel mode, and nothing else runs in it. What the bare side sends is ready
before: body, headers and bearer; both decode the answer.

`python -m bench.client_calls SIDES ADDRESS CALLS` prints `CallCosts` as JSON.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from bench.directory import REPOSITORY
from bench.responder import make_public_key
from bench.server import AMOUNT, ENVIRONMENT, MARKET, MSISDN_FIRST, ProductError
from pesalango import AsyncClient, Client
from pesalango._transport import make_headers, make_limits

BLOCK_CALLS = 100
WARM_UP_BLOCKS = 2
SECONDS_MAX = 300.0
PLAIN, TASKS = "plain", "tasks"
PATH = f"/{ENVIRONMENT}/ipg/v2/{MARKET}/c2bPayment/singleStage/"
API_KEY = "0123456789abcdef0123456789abcdef"
PAYMENT: dict[str, Any] = {
    "amount": AMOUNT,
    "customer_msisdn": str(MSISDN_FIRST),
    "service_provider_code": "000000",
    "transaction_reference": "Benchmark",
    "purchased_items_description": "Benchmark",
}
BODY = msgspec.json.encode(
    {
        "input_Amount": AMOUNT,
        "input_CustomerMSISDN": str(MSISDN_FIRST),
        "input_Country": "TZN",
        "input_Currency": "TZS",
        "input_ServiceProviderCode": "000000",
        "input_TransactionReference": "Benchmark",
        "input_ThirdPartyConversationID": "0123456789abcdef0123456789abcdef",
        "input_PurchasedItemsDesc": "Benchmark",
    }
)
HEADERS = {
    # As long as a real one: the base64 of an RSA-4096 ciphertext.
    "Authorization": f"Bearer {'A' * 684}",
    "Origin": "*",
    "Content-Type": "application/json",
}


class CallCosts(msgspec.Struct, frozen=True, kw_only=True):
    """Processor time of the calling process for one call."""

    bare_us: float
    client_us: float


def measure_calls(sides: str, address: str, *, calls: int) -> CallCosts:
    """`calls` of each side, in a process of its own. `sides` is `plain` or `tasks`."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench.client_calls", sides, address, str(calls)],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if ended.returncode != 0:
        raise ProductError(f"the calls ended: {ended.stderr.decode(errors='replace')}")
    return msgspec.json.decode(ended.stdout, type=CallCosts)


def check_answer(answer: dict[str, str]) -> None:
    if answer["output_ResponseCode"] != "INS-0":
        raise ProductError(f"a payment was answered {answer}")


def run_plain(address: str, calls: int) -> CallCosts:
    """Both sides without an event loop."""
    url = address + PATH
    with (
        make_client(address) as client,
        httpx2.Client(headers=make_headers(), limits=make_limits(), timeout=90.0) as bare,
    ):

        def call_bare() -> None:
            for _ in range(BLOCK_CALLS):
                check_answer(bare.post(url, content=BODY, headers=HEADERS).json())

        def call_client() -> None:
            for _ in range(BLOCK_CALLS):
                client.c2b_single_stage(**PAYMENT)

        spent = {call_bare: 0.0, call_client: 0.0}
        blocks = max(1, calls // BLOCK_CALLS)
        for number in range(-WARM_UP_BLOCKS, blocks):
            for block in (call_bare, call_client) if number % 2 else (call_client, call_bare):
                begun = time.process_time()
                block()
                spent[block] += time.process_time() - begun if number >= 0 else 0.0
    return tell_costs(spent[call_bare], spent[call_client], blocks=blocks)


async def run_tasks(address: str, calls: int) -> CallCosts:
    """Both sides in one event loop, one after the other."""
    url = address + PATH
    async with (
        make_async_client(address) as client,
        httpx2.AsyncClient(headers=make_headers(), limits=make_limits(), timeout=90.0) as bare,
    ):

        async def call_bare() -> None:
            for _ in range(BLOCK_CALLS):
                check_answer((await bare.post(url, content=BODY, headers=HEADERS)).json())

        async def call_client() -> None:
            for _ in range(BLOCK_CALLS):
                await client.c2b_single_stage(**PAYMENT)

        spent: dict[Callable[[], Awaitable[None]], float] = {call_bare: 0.0, call_client: 0.0}
        blocks = max(1, calls // BLOCK_CALLS)
        for number in range(-WARM_UP_BLOCKS, blocks):
            for block in (call_bare, call_client) if number % 2 else (call_client, call_bare):
                begun = time.process_time()
                await block()
                spent[block] += time.process_time() - begun if number >= 0 else 0.0
    return tell_costs(spent[call_bare], spent[call_client], blocks=blocks)


def make_client(address: str, *, journal: Path | None = None) -> Client:
    return Client(
        base_url=address,
        api_key=API_KEY,
        public_key=make_public_key(),
        market=MARKET,
        journal=journal,
    )


def make_async_client(address: str) -> AsyncClient:
    return AsyncClient(
        base_url=address, api_key=API_KEY, public_key=make_public_key(), market=MARKET
    )


def tell_costs(bare_seconds: float, client_seconds: float, *, blocks: int) -> CallCosts:
    calls = blocks * BLOCK_CALLS
    return CallCosts(bare_us=bare_seconds * 1e6 / calls, client_us=client_seconds * 1e6 / calls)


def main() -> None:
    sides, address, calls = sys.argv[1:]
    if sides == PLAIN:
        costs = run_plain(address, int(calls))
    else:
        costs = asyncio.run(run_tasks(address, int(calls)))
    sys.stdout.buffer.write(msgspec.json.encode(costs) + b"\n")


if __name__ == "__main__":
    main()
