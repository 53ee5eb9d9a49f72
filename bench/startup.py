"""Asks how long `up` takes on an existing data directory, and how much memory it needs (P7).

Measured from the start of the process to the first answered payment of a caller who opens a
session as soon as the server is ready; memory is that of all its processes together.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import msgspec

from bench.figures import Spread, measure_spread
from bench.plan import BYTES_PER_MB, Plan
from bench.progress import say
from bench.server import (
    AMOUNT,
    COUNTRY,
    CURRENCY,
    ENVIRONMENT,
    MARKET,
    MSISDN_FIRST,
    Credentials,
    ProductError,
    call,
    open_bearer,
    run_server,
)


class StartupResult(msgspec.Struct, frozen=True, kw_only=True):
    ready_seconds: Spread
    payment_seconds: Spread
    memory_mb: Spread
    processes: int


def measure_startup(*, data_dir: Path, database: str | None, plan: Plan) -> StartupResult:
    """Start, pay, stop, several times. No server may run on the data directory."""
    ready: list[float] = []
    paid: list[float] = []
    memory_mb: list[float] = []
    processes = 0
    for _ in range(plan.startups):
        begun = time.perf_counter()
        with run_server(data_dir=data_dir, database=database) as server:
            server.wait_until_ready()
            ready.append(time.perf_counter() - begun)
            pay_once(server.read_credentials())
            paid.append(time.perf_counter() - begun)
            memory_mb.append(server.measure_memory() / BYTES_PER_MB)
            processes = len(server.find_processes())
        say(f"started in {ready[-1]:.2f} s, paid after {paid[-1]:.2f} s, {memory_mb[-1]:.0f} MB")
    return StartupResult(
        ready_seconds=measure_spread(ready),
        payment_seconds=measure_spread(paid),
        memory_mb=measure_spread(memory_mb),
        processes=processes,
    )


def pay_once(credentials: Credentials) -> None:
    """One payment in a session of its own. Raises ProductError unless it is accepted."""
    bearer = open_bearer(credentials)
    status, answer = call(
        "POST",
        f"{credentials.base_url.rstrip('/')}/{ENVIRONMENT}/ipg/v2/{MARKET}/c2bPayment/singleStage/",
        headers={"Authorization": f"Bearer {bearer}", "Origin": "*"},
        body={
            "input_Amount": AMOUNT,
            "input_Country": COUNTRY,
            "input_Currency": CURRENCY,
            "input_CustomerMSISDN": str(MSISDN_FIRST),
            "input_ServiceProviderCode": credentials.sandbox.service_provider_code,
            "input_TransactionReference": "Benchmark",
            "input_ThirdPartyConversationID": secrets.token_hex(16),
            "input_PurchasedItemsDesc": "Benchmark",
        },
    )
    if status != 201:
        raise ProductError(f"the first payment was answered {status}: {answer}")
