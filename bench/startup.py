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
    SOURCE,
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


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """One start."""

    ready_seconds: float
    payment_seconds: float
    memory_mb: float
    processes: int


def start_once(*, data_dir: Path, database: str | None, source: Path = SOURCE) -> Started:
    """Start, pay, stop. No server may run on the data directory."""
    begun = time.perf_counter()
    with run_server(data_dir=data_dir, database=database, source=source) as server:
        server.wait_until_ready()
        ready_seconds = time.perf_counter() - begun
        pay_once(server.read_credentials())
        return Started(
            ready_seconds=ready_seconds,
            payment_seconds=time.perf_counter() - begun,
            memory_mb=server.measure_memory() / BYTES_PER_MB,
            processes=len(server.find_processes()),
        )


def measure_startup(*, data_dir: Path, database: str | None, plan: Plan) -> StartupResult:
    """`start_once`, several times."""
    starts: list[Started] = []
    for _ in range(plan.startups):
        starts.append(start_once(data_dir=data_dir, database=database))
        say(
            f"started in {starts[-1].ready_seconds:.2f} s, "
            f"paid after {starts[-1].payment_seconds:.2f} s, {starts[-1].memory_mb:.0f} MB"
        )
    return StartupResult(
        ready_seconds=measure_spread([each.ready_seconds for each in starts]),
        payment_seconds=measure_spread([each.payment_seconds for each in starts]),
        memory_mb=measure_spread([each.memory_mb for each in starts]),
        processes=starts[-1].processes,
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
