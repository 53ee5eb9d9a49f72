"""How long and how often the benchmarks measure, and what they ought to find."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

CONNECTIONS = (16, 64, 128, 256, 512)
CONNECTIONS_TOLD = 64
"""The number of connections whose figure is told beside the best one."""

P99_US_MAX = 100_000
"""Slower than this, a figure does not count as the best."""


BYTES_PER_MB = 1_000_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    rounds: int
    seconds: int
    startups: int
    customers: int = 100_000
    connections: Sequence[int] = CONNECTIONS
    audit_seconds_max: float = 3_600.0


SHORT = Plan(rounds=2, seconds=5, startups=3)
FULL = Plan(rounds=5, seconds=30, startups=7)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A bound for a figure; `is_floor` tells which side of it is wanted."""

    question: str
    figure: str
    bound: float
    is_floor: bool
    decimals: int = 2

    def is_met_by(self, value: float) -> bool:
        return value >= self.bound if self.is_floor else value < self.bound


AT_TOLD = f"payments a second at {CONNECTIONS_TOLD} connections ÷ pgbench"
AT_BEST = f"payments a second at the best of {CONNECTIONS[0]} to {CONNECTIONS[-1]} ÷ pgbench"
FRESH = "payments a second, each with a fresh ciphertext ÷ RSA-4096 decryptions a second"
GENERATOR = "µs of its own CPU for a request, beside a responder that does nothing"
STARTUP = "seconds from the start to the first answered payment"
MEMORY = "MB of all processes after the first payment"

QUESTION_GENERATOR = "Load generator"
QUESTION_SQLITE = "P1 SQLite"
QUESTION_POSTGRES = "P2 PostgreSQL"
QUESTION_CIPHERTEXTS = "P3 fresh ciphertexts"
QUESTION_STARTUP = "P7 start on existing data"

TARGETS = (
    Target(question=QUESTION_GENERATOR, figure=GENERATOR, bound=15.0, is_floor=False, decimals=1),
    Target(question=QUESTION_SQLITE, figure=AT_TOLD, bound=2.0, is_floor=True),
    Target(question=QUESTION_SQLITE, figure=AT_BEST, bound=3.0, is_floor=True),
    Target(question=QUESTION_POSTGRES, figure=AT_TOLD, bound=1.5, is_floor=True),
    Target(question=QUESTION_POSTGRES, figure=AT_BEST, bound=2.2, is_floor=True),
    Target(question=QUESTION_CIPHERTEXTS, figure=FRESH, bound=0.7, is_floor=True),
    Target(question=QUESTION_STARTUP, figure=STARTUP, bound=2.0, is_floor=False),
    Target(question=QUESTION_STARTUP, figure=MEMORY, bound=200.0, is_floor=False, decimals=0),
)
