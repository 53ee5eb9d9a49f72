"""Asks what is left of the most that the product takes, when far more is asked of it.

Two questions. Overload: four times as many payments as can be taken fall due, each with a fresh
ciphertext, however slow the answers are (`bench/open_loop.py`). Flood: somebody at another address
sends ciphertexts that hold no key, over as many connections, while a merchant pays.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from math import ceil
from pathlib import Path

import msgspec

from bench.books import Check, compare_books, read_books
from bench.ciphertexts import SPARE_SHARE, write_pool
from bench.comparison import (
    Comparison,
    Sample,
    Turn,
    compare,
    count_accepted,
    list_results,
    take_turns,
)
from bench.decryptions import measure_decryptions
from bench.figures import Spread, measure_spread
from bench.load import GeneratorResult, Load, run_generator
from bench.open_loop import (
    OpenLoad,
    Phase,
    PhaseResult,
    finish_open_loop,
    start_open_loop,
)
from bench.payments import check_answers, compare_payments
from bench.plan import (
    ACCEPTED_P99,
    BYTES_PER_MB,
    CONNECTIONS_TOLD,
    FLOODED,
    GROWN,
    MOST_ACCEPTED,
    OVERLOADED,
    REFUSED_P99,
    SETTLED,
    UNDISTURBED,
    Plan,
)
from bench.server import Server, build_load, open_bearer, open_session

TIMES_THE_MOST = 4
CONNECTIONS_OPEN = 1_024
"""More than are ever used at once, so that no request waits for one."""

WARM_UP_SECONDS = 2.0
AFTERWARDS_SECONDS = 5.0
AFTERWARDS_SHARE = 0.25
EARLY_SECONDS = 5.0
LATE_US_MAX = 100_000
ACCEPTED, REFUSED = "201 INS-0", "503 INS-16"

FLOOD_SOURCE = "127.0.0.2"
FLOOD_RATE = 6_000.0
FLOOD_AHEAD_SECONDS = 1.0
FLOOD_SPARE_SECONDS = 6.0
FLOOD_DRAIN_SECONDS = 1.5


class Overload:
    """The most that is accepted, then what becomes of four times as much."""

    def __init__(self, server: Server, directory: Path, plan: Plan) -> None:
        self.server, self.plan = server, plan
        self.credentials = server.read_credentials()
        self.pool = directory / "overload"
        self.decryptions = measure_decryptions(seconds=1.0).decryptions_per_second
        self.most = 0.0
        self.closed: list[GeneratorResult] = []
        self.warm_ups: list[PhaseResult] = []
        self.overloads: list[PhaseResult] = []
        self.afterwards: list[PhaseResult] = []
        self.memory_mb: list[tuple[float, float]] = []

    def build(self, connections: int) -> Load:
        return build_load(
            self.credentials,
            port=self.server.port,
            connections=connections,
            seconds=self.plan.turn_seconds,
            customers=self.plan.customers,
        )

    def write_pool(self, count: float) -> None:
        write_pool(
            self.pool,
            secret=open_session(self.credentials),
            public_key=self.credentials.sandbox.public_key,
            count=ceil(count),
        )

    def measure_most(self) -> Sample:
        load = self.build(CONNECTIONS_TOLD)
        seconds = load.warm_up_seconds + load.seconds
        self.write_pool(self.decryptions * seconds * SPARE_SHARE + load.connections)
        result = run_generator(load, fresh_ciphertexts=self.pool)
        self.pool.unlink()
        self.closed.append(result)
        self.most = result.answers_per_second
        return Sample(value=self.most, results=[result])

    def measure_overload(self) -> Sample:
        rate = TIMES_THE_MOST * self.most
        phases = [
            Phase(seconds=WARM_UP_SECONDS, rate_per_second=rate),
            Phase(seconds=self.plan.overload_seconds, rate_per_second=rate),
            Phase(seconds=AFTERWARDS_SECONDS, rate_per_second=AFTERWARDS_SHARE * self.most),
        ]
        self.write_pool(1.05 * sum(each.seconds * each.rate_per_second for each in phases))
        asked = OpenLoad(load=self.build(CONNECTIONS_OPEN), bearers=str(self.pool), phases=phases)
        running = start_open_loop(asked)
        time.sleep(EARLY_SECONDS)
        early = self.server.measure_memory() / BYTES_PER_MB
        warm_up, overload, afterwards = finish_open_loop(running, asked)
        self.pool.unlink()
        self.memory_mb.append((early, self.server.measure_memory() / BYTES_PER_MB))
        self.warm_ups.append(warm_up)
        self.overloads.append(overload)
        self.afterwards.append(afterwards)
        return Sample(value=overload.accepted_per_second)

    def list_phases(self) -> list[PhaseResult]:
        return [*self.warm_ups, *self.overloads, *self.afterwards]

    def check_outcomes(self) -> Check:
        outcomes: Counter[str] = Counter()
        for phase in self.list_phases():
            outcomes.update(phase.outcomes)
            outcomes["no answer"] += phase.unanswered
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if count)
        return Check(
            subject=f"no answer other than {ACCEPTED} and {REFUSED}",
            is_met=set(+outcomes) <= {ACCEPTED, REFUSED},
            detail=told,
        )

    def check_generator(self) -> Check:
        """Or what it sent late would count for the minute before, and less would be asked for."""
        late_us = max(phase.late_us_max for phase in self.list_phases())
        return Check(
            subject=f"the generator sends within {LATE_US_MAX // 1_000} ms of the due time",
            is_met=late_us <= LATE_US_MAX,
            detail=f"{late_us / 1_000:.0f} ms late at most",
        )

    def list_others(self) -> dict[str, Spread]:
        return {
            ACCEPTED_P99: measure_spread([each.accepted_p99_us / 1_000 for each in self.overloads]),
            REFUSED_P99: measure_spread([each.refused_p99_us / 1_000 for each in self.overloads]),
            SETTLED: measure_spread([each.settled_seconds for each in self.afterwards]),
            GROWN: measure_spread([late - early for early, late in self.memory_mb]),
        }

    def describe(self) -> str:
        half = measure_spread([each.refused_p50_us / 1_000 for each in self.overloads])
        memory = "; ".join(f"{early:.0f}, {late:.0f}" for early, late in self.memory_mb)
        return (
            f"{self.plan.overload_seconds} s of {TIMES_THE_MOST} times the most, open loop; the half "
            f"of the refused are answered within {half.format(1)} ms. Afterwards, at "
            f"{AFTERWARDS_SHARE:.0%} of the most, somebody notices who is refused or waits longer "
            f"than 100 ms. MB of all processes {EARLY_SECONDS:.0f} s after the beginning and after "
            f"the end, round by round: {memory}."
        )


def measure_overload(server: Server, directory: Path, plan: Plan) -> Comparison:
    """The customers have to be there already; pools of ciphertexts go into `directory`."""
    overload = Overload(server, directory, plan)
    before = read_books(server, overload.credentials)
    turns = [
        Turn(MOST_ACCEPTED, overload.measure_most),
        Turn(OVERLOADED, overload.measure_overload),
    ]
    taken = take_turns(turns, rounds=plan.overload_rounds)
    accepted = count_accepted(list_results(taken))
    accepted += sum(phase.accepted for phase in overload.list_phases())
    return compare(
        turns,
        taken,
        note=overload.describe(),
        others=overload.list_others(),
        checks=[
            check_answers(overload.closed),
            overload.check_outcomes(),
            overload.check_generator(),
            compare_books(before, read_books(server, overload.credentials), accepted=accepted),
        ],
    )


class Flood:
    """A merchant who pays, alone and while somebody else guesses."""

    def __init__(self, server: Server, directory: Path, plan: Plan) -> None:
        self.server, self.plan = server, plan
        self.credentials = server.read_credentials()
        self.pool = directory / "flood"
        self.decryptions = measure_decryptions(seconds=1.0).decryptions_per_second
        self.load = build_load(
            self.credentials,
            port=server.port,
            connections=CONNECTIONS_TOLD,
            seconds=plan.turn_seconds,
            customers=plan.customers,
        )
        self.guesses: Counter[str] = Counter()
        self.seconds = 0.0

    def pay(self, *, is_fresh: bool) -> Sample:
        if is_fresh:
            result = run_generator(self.load, fresh_ciphertexts=self.pool)
            self.pool.unlink()
        else:
            result = run_generator(self.load, bearer=open_bearer(self.credentials))
        return Sample(value=result.answers_per_second, results=[result])

    def prepare(self, *, is_fresh: bool) -> None:
        if is_fresh:
            seconds = self.load.warm_up_seconds + self.load.seconds
            write_pool(
                self.pool,
                secret=open_session(self.credentials),
                public_key=self.credentials.sandbox.public_key,
                count=ceil(self.decryptions * seconds * SPARE_SHARE) + self.load.connections,
            )

    def pay_alone(self, *, is_fresh: bool) -> Sample:
        self.prepare(is_fresh=is_fresh)
        return self.pay(is_fresh=is_fresh)

    def pay_beside_flood(self, *, is_fresh: bool) -> Sample:
        self.prepare(is_fresh=is_fresh)
        seconds = FLOOD_AHEAD_SECONDS + self.load.seconds + FLOOD_SPARE_SECONDS
        asked = OpenLoad(
            load=msgspec.structs.replace(self.load, drain_seconds=FLOOD_DRAIN_SECONDS),
            bearers=None,
            source=FLOOD_SOURCE,
            phases=[Phase(seconds=seconds, rate_per_second=FLOOD_RATE)],
        )
        running = start_open_loop(asked)
        time.sleep(FLOOD_AHEAD_SECONDS)
        sample = self.pay(is_fresh=is_fresh)
        for phase in finish_open_loop(running, asked):
            self.guesses.update(phase.outcomes)
            self.seconds += phase.seconds
        return sample

    def check_guesses(self) -> Check:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.guesses.items()))
        return Check(
            subject="every guess is refused",
            is_met=bool(self.guesses) and ACCEPTED not in self.guesses,
            detail=told,
        )

    def describe(self) -> str:
        rate = self.guesses.total() / self.seconds
        return (
            f"{CONNECTIONS_TOLD} connections each. The flood comes from {FLOOD_SOURCE}, whose "
            "failures are not counted, because it is this machine's; on its connections, most of "
            f"which are held at any time, {rate:.0f} guesses a second were answered."
        )


def measure_flood(server: Server, directory: Path, plan: Plan, *, is_fresh: bool) -> Comparison:
    """The customers have to be there already. `is_fresh`: each payment has its own ciphertext."""
    flood = Flood(server, directory, plan)
    turns = [
        Turn(UNDISTURBED, partial(flood.pay_alone, is_fresh=is_fresh)),
        Turn(FLOODED, partial(flood.pay_beside_flood, is_fresh=is_fresh)),
    ]
    comparison = compare_payments(server, turns, plan, note="")
    comparison.checks.append(flood.check_guesses())
    return msgspec.structs.replace(comparison, note=flood.describe())
