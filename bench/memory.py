"""Asks how much memory all processes together need once they have taken a million payments.

The payments of P1 or P2 count, which the same server took; what is missing is paid here.
"""

from __future__ import annotations

import msgspec

from bench.books import Check, compare_books, read_books
from bench.figures import Spread, measure_spread
from bench.load import GeneratorResult, run_generator
from bench.payments import check_answers
from bench.plan import BYTES_PER_MB, CONNECTIONS_TOLD, Plan
from bench.progress import say
from bench.server import Server, build_load, open_bearer

READINGS = 5


class MemoryResult(msgspec.Struct, frozen=True, kw_only=True):
    payments: int
    """That the server had taken since its start."""
    memory_mb: Spread
    processes: int
    checks: list[Check]


def measure_memory(server: Server, plan: Plan, *, served: int) -> MemoryResult:
    """`served` is how many payments of P1 or P2 the server has taken already."""
    credentials = server.read_credentials()
    before = read_books(server, credentials)
    results: list[GeneratorResult] = []
    readings = [server.measure_memory() / BYTES_PER_MB]
    paid = 0
    while served + paid < plan.memory_payments:
        load = build_load(
            credentials,
            port=server.port,
            connections=CONNECTIONS_TOLD,
            seconds=plan.seconds,
            customers=plan.customers,
        )
        results.append(run_generator(load, bearer=open_bearer(credentials)))
        paid += results[-1].accepted
        readings = [server.measure_memory() / BYTES_PER_MB]
        say(f"{served + paid} payments, {readings[0]:.0f} MB")
        if not results[-1].accepted:
            break
    readings += [server.measure_memory() / BYTES_PER_MB for _ in range(READINGS - 1)]
    checks = [compare_books(before, read_books(server, credentials), accepted=paid)]
    if results:
        checks.append(check_answers(results))
    return MemoryResult(
        payments=served + paid,
        memory_mb=measure_spread(readings),
        processes=len(server.find_processes()),
        checks=checks,
    )
