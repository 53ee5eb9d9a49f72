"""Pays many customers at once, as a program of a user's would: through the client, or without it.

`python -m bench.client_bulk` reads an `Order` from standard input and prints `Paid` as JSON. Both
sides pay over as many connections as there are workers. The bare one has all bodies and its bearer
ready, keeps nothing, and reads the answers; the client keeps each payment in a journal.

The clock runs from the first payment to the last: an interpreter's start is no payment's.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import httpx2
import msgspec

from bench.client_calls import SECONDS_MAX, check_answer
from bench.directory import REPOSITORY
from bench.server import AMOUNT, COUNTRY, CURRENCY, ENVIRONMENT, MARKET, MSISDN_FIRST, ProductError
from pesalango._transport import make_headers, make_limits
from pesalango.cli.payout_run import BoundedClient, PayoutRun
from pesalango.cli.payouts_file import Row

WORKERS = 16
"""What `pesalango bulk` has at a time."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be paid, and how. On no command line: it holds secrets."""

    base_url: str
    api_key: str
    public_key: str
    service_provider_code: str
    payments: int
    bearer: str | None = None
    """Of a session, for the bare side; None: through the client."""
    journal: str | None = None


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    payments: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.payments / self.seconds


def pay_in_bulk(order: Order) -> Paid:
    """In a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench.client_bulk"],
        cwd=REPOSITORY,
        input=msgspec.json.encode(order),
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if ended.returncode != 0:
        raise ProductError(f"the payments ended: {ended.stderr.decode(errors='replace')}")
    return msgspec.json.decode(ended.stdout, type=Paid)


async def share_out(payments: int, pay: Callable[[int], Awaitable[None]]) -> Paid:
    """Every number below `payments` once, by workers that take the next one each."""
    numbers: Iterator[int] = iter(range(payments))
    done = count()

    async def work() -> None:
        for number in numbers:
            await pay(number)
            next(done)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(work())
    return Paid(payments=next(done), seconds=time.perf_counter() - begun)


def build_body(order: Order, number: int) -> bytes:
    return msgspec.json.encode(
        {
            "input_Amount": AMOUNT,
            "input_CustomerMSISDN": str(MSISDN_FIRST + number),
            "input_Country": COUNTRY,
            "input_Currency": CURRENCY,
            "input_ServiceProviderCode": order.service_provider_code,
            "input_TransactionReference": "Benchmark",
            "input_ThirdPartyConversationID": secrets.token_hex(16),
            "input_PaymentItemsDesc": "Benchmark",
        }
    )


async def pay_bare(order: Order) -> Paid:
    url = f"{order.base_url.rstrip('/')}/{ENVIRONMENT}/ipg/v2/{MARKET}/b2cPayment/"
    bodies = [build_body(order, number) for number in range(order.payments)]
    headers = {
        "Authorization": f"Bearer {order.bearer}",
        "Origin": "*",
        "Content-Type": "application/json",
    }
    async with httpx2.AsyncClient(
        headers=make_headers(), limits=make_limits(), timeout=90.0
    ) as bare:

        async def pay(number: int) -> None:
            check_answer((await bare.post(url, content=bodies[number], headers=headers)).json())

        return await share_out(order.payments, pay)


async def pay_through_client(order: Order) -> Paid:
    """As `pesalango bulk` does, from its first payment to its last."""
    async with BoundedClient(
        base_url=order.base_url,
        api_key=order.api_key,
        public_key=order.public_key,
        market=MARKET,
        journal=order.journal,
        requests_max=WORKERS,
    ) as client:
        rows = [
            Row(
                line=number + 2,
                key=f"payment-{number}",
                amount=AMOUNT,
                customer_msisdn=str(MSISDN_FIRST + number),
                service_provider_code=order.service_provider_code,
                transaction_reference="Benchmark",
                payment_items_description="Benchmark",
            )
            for number in range(order.payments)
        ]
        await client.open_session()
        run = PayoutRun(client, rows, [None] * len(rows), concurrency=WORKERS, within_s=SECONDS_MAX)
        begun = time.perf_counter()
        await run.pay()
        seconds = time.perf_counter() - begun
    states = Counter(outcome.state if outcome else "not begun" for outcome in run.outcomes)
    if states != {"completed": order.payments}:
        raise ProductError(f"the payouts are {dict(states)}")
    return Paid(payments=order.payments, seconds=seconds)


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    paid = asyncio.run(pay_bare(order) if order.bearer else pay_through_client(order))
    sys.stdout.buffer.write(msgspec.json.encode(paid) + b"\n")


if __name__ == "__main__":
    main()
