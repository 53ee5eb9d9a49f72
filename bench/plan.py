"""How long and how often the benchmarks measure, and what they ought to find."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

CONNECTIONS = (16, 64, 128, 256, 512)
CONNECTIONS_TOLD = 64
"""The number of connections whose figure is told beside the best one."""

CONNECTIONS_SHARED = 256
"""The number of connections where engines or markets share them."""

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
    turn_seconds: int
    """Of each turn where contenders are compared with each other."""
    overload_seconds: int
    overload_rounds: int
    memory_payments: int
    growth_start: int = 10_000
    growth_end_sqlite: int
    growth_end_postgres: int
    client_calls: int
    """Of each side in a round."""
    client_payments: int = 1_000
    """Of each side in a round, and of those whose syncs are counted."""
    client_imports: int


SHORT = Plan(
    rounds=2,
    seconds=5,
    startups=3,
    turn_seconds=2,
    overload_seconds=8,
    overload_rounds=2,
    memory_payments=100_000,
    growth_end_sqlite=200_000,
    growth_end_postgres=100_000,
    client_calls=1_500,
    client_imports=5,
)
FULL = Plan(
    rounds=5,
    seconds=30,
    startups=7,
    turn_seconds=15,
    overload_seconds=60,
    overload_rounds=3,
    memory_payments=1_000_000,
    growth_end_sqlite=10_000_000,
    growth_end_postgres=1_000_000,
    client_calls=10_000,
    client_imports=21,
)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A bound for a figure; `is_floor` tells which side of it is wanted."""

    question: str
    figure: str
    bound: float
    is_floor: bool
    decimals: int = 2

    def is_met_by(self, value: float) -> bool:
        return value >= self.bound if self.is_floor else value < self.bound


def name_ratio(label: str, to: str) -> str:
    """What the quotient of two figures is called, in targets and on the page."""
    return f"{label} ÷ {to}"


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
QUESTION_SESSIONS = "P3b a new session for each payment"
QUESTION_GROWTH = "P4 a long ledger"
QUESTION_OPERATIONS = "Operations"
QUESTION_ENGINES = "P2 with two engines"
QUESTION_HOT_ROW = "P2 on a hot row"
QUESTION_MARKETS = "Five markets"
QUESTION_MEMORY = "Memory"
QUESTION_OVERLOAD = "Overload"
QUESTION_CLIENT_CALL = "Python client, a call"
QUESTION_CLIENT_ASYNC_CALL = "Python client, a call of a task"
QUESTION_CLIENT_BULK = "Python client, payments in bulk"
QUESTION_CLIENT_IMPORT = "Python client, import"
QUESTION_FLOOD_KNOWN = "Flood, beside known ciphertexts"
QUESTION_FLOOD_FRESH = "Flood, beside fresh ciphertexts"

C2B, B2C, REVERSAL = "C2B", "B2C", "reversal"
ONE_ENGINE, TWO_ENGINES = "one engine", "two engines"
ONE_MARKET, ALL_MARKETS = "one market", "five markets"
HOT_PGBENCH = "pgbench, scale 1, 64 clients"
HOT_ROW_TOLD, HOT_ROW = (
    f"payments over {connections} connections"
    for connections in (CONNECTIONS_TOLD, CONNECTIONS_SHARED)
)
DECRYPTIONS, NEW_SESSIONS = "RSA-4096 decryptions", "payments, each in a new session"
MOST_ACCEPTED, OVERLOADED = "the most payments", "accepted of four times as many"
ACCEPTED_P99 = "p99 of the accepted, ms"
REFUSED_P99 = "p99 of the refused, ms"
SETTLED = "seconds until nobody notices any more"
GROWN = "MB of all processes more at the end of a round"
UNDISTURBED, FLOODED = "payments alone", "beside a flood"
SHORT_LEDGER, LONG_LEDGER = "payments into a short ledger", "into a long one"
BARE_CALL, CLIENT_CALL = "httpx2.Client", "Client"
BARE_ASYNC_CALL, CLIENT_ASYNC_CALL = "httpx2.AsyncClient", "AsyncClient"
BARE_BULK, CLIENT_BULK = "a bare loop of httpx2", "payments with keys in a journal"
SYNCS = "syncs of the journal a payment, one at a time"
IMPORT_PACKAGES, IMPORT_CLIENT = "the packages that it needs", "pesalango"
IMPORT_MS = "ms of a fresh interpreter for importing pesalango"

MEMORY_AFTER = "MB of all processes after a million payments"
MEMORY_PAYMENTS = 1_000_000
"""After fewer, memory is told and not compared with its target."""


def name_database(question: str, database: str | None) -> str:
    """A question that is asked of both kinds of database."""
    return f"{question}, {'SQLite' if database is None else 'PostgreSQL'}"


def _list_floors(question: str, label: str, to: str, bound: float) -> list[Target]:
    return [
        Target(
            question=name_database(question, database),
            figure=name_ratio(label, to),
            bound=bound,
            is_floor=True,
        )
        for database in (None, "postgres")
    ]


TARGETS = (
    Target(question=QUESTION_GENERATOR, figure=GENERATOR, bound=15.0, is_floor=False, decimals=1),
    Target(question=QUESTION_SQLITE, figure=AT_TOLD, bound=2.0, is_floor=True),
    Target(question=QUESTION_SQLITE, figure=AT_BEST, bound=3.0, is_floor=True),
    Target(question=QUESTION_POSTGRES, figure=AT_TOLD, bound=1.5, is_floor=True),
    Target(question=QUESTION_POSTGRES, figure=AT_BEST, bound=2.2, is_floor=True),
    Target(question=QUESTION_CIPHERTEXTS, figure=FRESH, bound=0.7, is_floor=True),
    Target(question=QUESTION_STARTUP, figure=STARTUP, bound=2.0, is_floor=False),
    Target(question=QUESTION_STARTUP, figure=MEMORY, bound=200.0, is_floor=False, decimals=0),
    *_list_floors(QUESTION_OPERATIONS, B2C, C2B, 0.85),
    *_list_floors(QUESTION_OPERATIONS, REVERSAL, C2B, 0.7),
    Target(
        question=QUESTION_ENGINES,
        figure=name_ratio(TWO_ENGINES, ONE_ENGINE),
        bound=0.8,
        is_floor=True,
    ),
    Target(
        question=QUESTION_HOT_ROW,
        figure=name_ratio(HOT_ROW, HOT_PGBENCH),
        bound=8.0,
        is_floor=True,
        decimals=1,
    ),
    Target(
        question=QUESTION_SESSIONS,
        figure=name_ratio(NEW_SESSIONS, DECRYPTIONS),
        bound=0.35,
        is_floor=True,
    ),
    Target(
        question=QUESTION_OVERLOAD,
        figure=name_ratio(OVERLOADED, MOST_ACCEPTED),
        bound=0.8,
        is_floor=True,
    ),
    *(
        Target(
            question=QUESTION_OVERLOAD,
            figure=figure,
            bound=bound,
            is_floor=False,
            decimals=decimals,
        )
        for figure, bound, decimals in (
            (ACCEPTED_P99, 1_000.0, 0),
            (REFUSED_P99, 100.0, 0),
            (SETTLED, 1.0, 2),
            (GROWN, 5.0, 1),
        )
    ),
    *(
        Target(question=question, figure=name_ratio(FLOODED, UNDISTURBED), bound=0.7, is_floor=True)
        for question in (QUESTION_FLOOD_KNOWN, QUESTION_FLOOD_FRESH)
    ),
    *_list_floors(QUESTION_GROWTH, LONG_LEDGER, SHORT_LEDGER, 0.9),
    Target(
        question=name_database(QUESTION_MEMORY, None),
        figure=MEMORY_AFTER,
        bound=200.0,
        is_floor=False,
        decimals=0,
    ),
    *_list_floors(QUESTION_MARKETS, ALL_MARKETS, ONE_MARKET, 0.8),
    *(
        Target(question=question, figure=name_ratio(label, to), bound=1.3, is_floor=False)
        for question, label, to in (
            (QUESTION_CLIENT_CALL, CLIENT_CALL, BARE_CALL),
            (QUESTION_CLIENT_ASYNC_CALL, CLIENT_ASYNC_CALL, BARE_ASYNC_CALL),
        )
    ),
    Target(
        question=QUESTION_CLIENT_BULK,
        figure=name_ratio(CLIENT_BULK, BARE_BULK),
        bound=0.8,
        is_floor=True,
    ),
    Target(question=QUESTION_CLIENT_BULK, figure=SYNCS, bound=2.0, is_floor=False),
    Target(
        question=QUESTION_CLIENT_IMPORT,
        figure=IMPORT_MS,
        bound=150.0,
        is_floor=False,
        decimals=0,
    ),
)
