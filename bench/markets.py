"""Asks how many payments a second the product takes in five markets at once, as a share of one.

Each market has a ledger of its own, with its own lock and chain, so a batch of the engine does the
work of up to five. As many load generators run in either case, on as many connections, and the
same number of customers pays.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.books import add_customers
from bench.comparison import Comparison, Sample, Turn, sum_up
from bench.load import run_generators
from bench.payments import compare_payments
from bench.plan import ALL_MARKETS, CONNECTIONS_SHARED, ONE_MARKET, Plan
from bench.server import MARKET, Server, build_load, open_bearer
from pesalango_server.catalog.markets import MARKETS


def measure_markets(server: Server, plan: Plan) -> Comparison:
    """The customers of the first market have to be there already."""
    credentials = server.read_credentials()
    markets = [market.path_value for market in MARKETS]
    customers = plan.customers // len(markets)
    for market in markets:
        if market != MARKET:
            add_customers(credentials, customers=customers, market=market)

    def pay_in(chosen: Sequence[str], each: int) -> Sample:
        loads = [
            build_load(
                credentials,
                port=server.port,
                connections=CONNECTIONS_SHARED // len(chosen),
                seconds=plan.turn_seconds,
                customers=each,
                market=market,
            )
            for market in chosen
        ]
        bearers = [open_bearer(credentials, market=market) for market in chosen]
        return sum_up(run_generators(loads, bearers=bearers))

    turns = [
        Turn(ONE_MARKET, lambda: pay_in([MARKET] * len(markets), customers * len(markets))),
        Turn(ALL_MARKETS, lambda: pay_in(markets, customers)),
    ]
    return compare_payments(
        server,
        turns,
        plan,
        note=f"{len(markets)} load generators of {CONNECTIONS_SHARED // len(markets)} connections.",
        markets=markets,
    )
