"""Asks what two engine processes on one PostgreSQL take, as a share of what one takes (P2).

The second is a second server, as an operator adds it: with a worker, an engine and an address of
its own. Half of the connections go to each; both engines write to the same ledger, whose lock they
pass on. Two load generators run in either case, and no call may be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.books import add_customers, check_audit, write_out
from bench.comparison import Comparison, Sample, Turn, sum_up
from bench.load import run_generators
from bench.payments import compare_payments
from bench.plan import CONNECTIONS_SHARED, ONE_ENGINE, TWO_ENGINES, Plan
from bench.server import Server, build_load, open_bearer, run_server
from pesalango_server.storage.bundled import BundledPostgres

GENERATORS = 2


def measure_engines(directory: Path, plan: Plan) -> Comparison:
    """A PostgreSQL of their own and two servers, all below `directory`."""
    with BundledPostgres.start(directory / "shared") as postgres:
        url = postgres.url
        with run_server(data_dir=directory / "first", database=url) as first:
            first.wait_until_ready()
            add_customers(first.read_credentials(), customers=plan.customers)
            with run_server(data_dir=directory / "second", database=url, is_second=True) as second:
                second.wait_until_ready()
                return compare_engines(first, second, plan)


def compare_engines(first: Server, second: Server, plan: Plan) -> Comparison:
    credentials = first.read_credentials()

    def pay_at(servers: Sequence[Server]) -> Sample:
        write_out(first)
        loads = [
            build_load(
                credentials,
                port=server.port,
                connections=CONNECTIONS_SHARED // len(servers),
                seconds=plan.turn_seconds,
                customers=plan.customers,
            )
            for server in servers
        ]
        bearer = open_bearer(credentials)
        return sum_up(run_generators(loads, bearers=[bearer] * len(loads)))

    turns = [
        Turn(ONE_ENGINE, lambda: pay_at([first] * GENERATORS)),
        Turn(TWO_ENGINES, lambda: pay_at([first, second])),
    ]
    comparison = compare_payments(
        first, turns, plan, note=f"{CONNECTIONS_SHARED} connections in all."
    )
    comparison.checks.append(check_audit(first, seconds_max=plan.audit_seconds_max))
    return comparison
