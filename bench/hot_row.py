"""Asks how many payments a second go to one organisation, as multiples of pgbench's hot row.

At scale 1 `pgbench` has one branch, which every transaction updates: its 64 clients queue for the
lock of that row. Our 64 connections all pay one organisation, whose balance is the same kind of
row; the engine updates it once a batch.
"""

from __future__ import annotations

from bench.books import write_out
from bench.comparison import Comparison, Sample, Turn, sum_up
from bench.load import run_generator
from bench.payments import compare_payments
from bench.plan import CONNECTIONS_TOLD, HOT_PGBENCH, HOT_ROW, Plan
from bench.server import Server, build_load, open_bearer
from bench.yardstick import Yardstick

SCALE = 1
CLIENTS = CONNECTIONS_TOLD


def measure_hot_row(server: Server, yardstick: Yardstick, plan: Plan) -> Comparison:
    """The customers have to be there already; the yardstick is of `SCALE` and `CLIENTS`."""
    credentials = server.read_credentials()

    def pay() -> Sample:
        load = build_load(
            credentials,
            port=server.port,
            connections=CONNECTIONS_TOLD,
            seconds=plan.turn_seconds,
            customers=plan.customers,
        )
        return sum_up([run_generator(load, bearer=open_bearer(credentials))])

    def run_pgbench() -> Sample:
        write_out(server)
        return Sample(value=yardstick.measure(seconds=plan.turn_seconds))

    turns = [Turn(HOT_PGBENCH, run_pgbench), Turn(HOT_ROW, pay)]
    return compare_payments(server, turns, plan, note=f"{CONNECTIONS_TOLD} connections.")
