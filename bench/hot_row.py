"""Asks how many payments a second go to one organisation, as multiples of pgbench's hot row.

At scale 1 `pgbench` has one branch, which every transaction updates: its 64 clients queue for the
lock of that row. Our 64 connections all pay one organisation, whose balance is the same kind of
row; the engine updates it once a batch.
"""

from __future__ import annotations

from bench.books import compare_books, read_books, write_out
from bench.comparison import (
    Comparison,
    Sample,
    Turn,
    compare,
    count_accepted,
    list_results,
    sum_up,
    take_turns,
)
from bench.load import run_generator
from bench.payments import check_answers
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
    before = read_books(server, credentials)
    taken = take_turns(turns, rounds=plan.rounds)
    results = list_results(taken)
    return compare(
        turns,
        taken,
        note=f"{CONNECTIONS_TOLD} connections.",
        checks=[
            check_answers(results),
            compare_books(
                before, read_books(server, credentials), accepted=count_accepted(results)
            ),
        ],
    )
