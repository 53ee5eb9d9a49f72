"""Asks how many payments a second go to one organisation, as multiples of pgbench's hot row.

At scale 1 `pgbench` has one branch, which every transaction updates: its 64 clients queue for the
lock of that row. Our connections all pay one organisation, whose balance is the same kind of row;
the engine updates it once a batch. P2 is told at as many connections as pgbench has clients, and at
those where it is at its best.
"""

from __future__ import annotations

from functools import partial

from bench.books import write_out
from bench.comparison import Comparison, Sample, Turn, sum_up
from bench.load import run_generator
from bench.payments import compare_payments
from bench.plan import (
    CONNECTIONS_SHARED,
    CONNECTIONS_TOLD,
    HOT_PGBENCH,
    HOT_ROW,
    HOT_ROW_TOLD,
    Plan,
)
from bench.server import Server, build_load, open_bearer
from bench.yardstick import Yardstick

SCALE = 1
CLIENTS = CONNECTIONS_TOLD


def measure_hot_row(server: Server, yardstick: Yardstick, plan: Plan) -> Comparison:
    """The customers have to be there already; the yardstick is of `SCALE` and `CLIENTS`."""
    credentials = server.read_credentials()

    def pay(connections: int) -> Sample:
        load = build_load(
            credentials,
            port=server.port,
            connections=connections,
            seconds=plan.turn_seconds,
            customers=plan.customers,
        )
        return sum_up([run_generator(load, bearer=open_bearer(credentials))])

    def run_pgbench() -> Sample:
        write_out(server)
        return Sample(value=yardstick.measure(seconds=plan.turn_seconds))

    turns = [
        Turn(HOT_PGBENCH, run_pgbench),
        Turn(HOT_ROW_TOLD, partial(pay, CONNECTIONS_TOLD)),
        Turn(HOT_ROW, partial(pay, CONNECTIONS_SHARED)),
    ]
    return compare_payments(server, turns, plan, note="")
