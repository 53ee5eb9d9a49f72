"""Asks how many payments to one organisation a second the product takes, as multiples of pgbench.

P1 is SQLite, P2 PostgreSQL. Yardstick and product take turns within each round, on the same
cores, so that whatever else the machine does meets both; a ratio compares figures of one round.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from bench.books import Check, compare_books, read_books, write_out
from bench.comparison import (
    Comparison,
    Turn,
    compare,
    count_accepted,
    list_results,
    take_turns,
)
from bench.figures import Spread, measure_spread
from bench.load import GeneratorResult, Load, run_generator
from bench.plan import P99_US_MAX, Plan
from bench.progress import say
from bench.server import MARKET, Server, build_load, open_bearer
from bench.yardstick import Yardstick


class PaymentsRound(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the load, and the yardstick of the same round."""

    yardstick_per_second: float
    result: GeneratorResult
    server_cpu_us_per_payment: float
    """CPU time of all the product's processes for each answer, warm-up included."""

    @property
    def ratio(self) -> float:
        return self.result.answers_per_second / self.yardstick_per_second


class ConnectionsFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds with one number of connections."""

    connections: int
    per_second: Spread
    ratio: Spread
    p50_us: float
    p99_us: float
    p999_us: float
    """The three: medians of the rounds."""
    p99_worst_us: int
    server_cpu_us: float
    generator_cpu_us: float


class PaymentsResult(msgspec.Struct, frozen=True, kw_only=True):
    yardstick: Spread
    figures: list[ConnectionsFigures]
    accepted: int = 0
    memory_bytes: int
    """Of all processes together, at the end of the load."""
    checks: list[Check]

    def at(self, connections: int) -> ConnectionsFigures:
        return next(figures for figures in self.figures if figures.connections == connections)

    def best(self) -> ConnectionsFigures | None:
        """The highest median ratio among those whose median p99 is within its bound."""
        quick = [figures for figures in self.figures if figures.p99_us <= P99_US_MAX]
        return max(quick, key=lambda figures: figures.ratio.median, default=None)


def measure_payments(server: Server, yardstick: Yardstick, plan: Plan) -> PaymentsResult:
    """The customers have to be there already."""
    credentials = server.read_credentials()
    before = read_books(server, credentials)
    rounds: list[PaymentsRound] = []
    for number in range(plan.rounds):
        write_out(server)
        yardstick_per_second = yardstick.measure(seconds=plan.seconds)
        say(f"round {number + 1} of {plan.rounds}: pgbench {yardstick_per_second:,.0f}/s")
        # A session lives an hour, and each round begins at another number of connections.
        bearer = open_bearer(credentials)
        first = number % len(plan.connections)
        for connections in (*plan.connections[first:], *plan.connections[:first]):
            load = build_load(
                credentials,
                port=server.port,
                connections=connections,
                seconds=plan.seconds,
                customers=plan.customers,
            )
            rounds.append(measure_round(server, load, bearer, yardstick_per_second))
            say(describe_round(rounds[-1]))
    memory_bytes = server.measure_memory()
    accepted = sum(each.result.accepted for each in rounds)
    return PaymentsResult(
        yardstick=measure_spread([each.yardstick_per_second for each in rounds]),
        figures=[summarise(rounds, connections) for connections in plan.connections],
        accepted=accepted,
        memory_bytes=memory_bytes,
        checks=[
            check_answers([each.result for each in rounds]),
            compare_books(before, read_books(server, credentials), accepted=accepted),
        ],
    )


def measure_round(
    server: Server, load: Load, bearer: str, yardstick_per_second: float
) -> PaymentsRound:
    cpu_before = server.measure_cpu()
    result = run_generator(load, bearer=bearer)
    cpu_seconds = server.measure_cpu() - cpu_before
    return PaymentsRound(
        yardstick_per_second=yardstick_per_second,
        result=result,
        server_cpu_us_per_payment=cpu_seconds * 1e6 / max(1, result.answered),
    )


def describe_round(each: PaymentsRound) -> str:
    result = each.result
    return (
        f"{result.connections:4} connections: {result.answers_per_second:8,.0f}/s, "
        f"{each.ratio:.2f} of pgbench, p99 {result.p99_us / 1000:.1f} ms, "
        f"CPU {each.server_cpu_us_per_payment:.0f} + {result.cpu_us_per_request:.0f} µs"
    )


def summarise(rounds: list[PaymentsRound], connections: int) -> ConnectionsFigures:
    chosen = [each for each in rounds if each.result.connections == connections]
    results = [each.result for each in chosen]
    return ConnectionsFigures(
        connections=connections,
        per_second=measure_spread([result.answers_per_second for result in results]),
        ratio=measure_spread([each.ratio for each in chosen]),
        p50_us=median(result.p50_us for result in results),
        p99_us=median(result.p99_us for result in results),
        p999_us=median(result.p999_us for result in results),
        p99_worst_us=max(result.p99_us for result in results),
        server_cpu_us=median(each.server_cpu_us_per_payment for each in chosen),
        generator_cpu_us=median(result.cpu_us_per_request for result in results),
    )


def check_answers(results: list[GeneratorResult]) -> Check:
    """Whether every request of every run was answered, with 201 and INS-0."""
    others = [result for result in results if not result.has_only_accepted()]
    answered = sum(result.answered for result in results)
    detail = "; ".join(
        f"{result.connections} connections: {result.statuses} {result.codes}, "
        f"{result.unanswered} unanswered, {result.broken} broken"
        for result in others
    )
    return Check(
        subject="no answer other than 201",
        is_met=not others and answered > 0,
        detail=detail or f"{answered} answers",
    )


def compare_payments(
    server: Server,
    turns: Sequence[Turn],
    plan: Plan,
    *,
    note: str,
    markets: Sequence[str] = (MARKET,),
) -> Comparison:
    """Turns whose payments all go into the books of `server`, which have to agree in the end."""
    credentials = server.read_credentials()
    before = read_books(server, credentials, markets=markets)
    taken = take_turns(turns, rounds=plan.rounds)
    results = list_results(taken)
    after = read_books(server, credentials, markets=markets)
    checks = [
        check_answers(results),
        compare_books(before, after, accepted=count_accepted(results)),
    ]
    return compare(turns, taken, note=note, checks=checks)
