"""Asks how many payments a second go into a long ledger, as a share of a short one (P4).

Two data directories with the same customers, filled by `bench/filling.py`, take turns. Every
ThirdPartyConversationID is random, so the keys that the duplicate check looks up and adds lie
scattered over the whole index. The short ledger is a fresh copy in each round, because a round
makes it longer; both servers are started for their turn, and are warm before they are measured.
"""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import msgspec

from bench.books import (
    Books,
    Check,
    add_customers,
    check_audit,
    compare_books,
    find_url,
    read_books,
    write_out,
)
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
from bench.filling import run_filler
from bench.load import run_generator
from bench.payments import check_answers
from bench.plan import CONNECTIONS_TOLD, LONG_LEDGER, SHORT_LEDGER, Plan
from bench.postgres import ask
from bench.progress import say
from bench.server import Server, build_load, open_bearer, run_server

WARM_UP_SECONDS = 3.0
NOTHING = Books(completed_payments=0, organisation_balance=Decimal(0))


class Growth:
    """Both ledgers, and what was booked in them."""

    def __init__(self, directory: Path, *, database: str | None, plan: Plan) -> None:
        self.database, self.plan = database, plan
        self.short, self.long = directory / "short", directory / "long"
        self.copy = directory / "short-copy"
        self.before = self.after = NOTHING
        self.stopped: dict[Path, Server] = {}

    def prepare(self) -> None:
        """Customers once, then as many payments as each ledger begins with."""
        plan = self.plan
        with run_server(data_dir=self.long, database=self.database) as server:
            server.wait_until_ready()
            add_customers(server.read_credentials(), customers=plan.customers)
        shutil.copytree(self.long, self.short, symlinks=True)
        for data_dir, payments in (
            (self.short, plan.growth_start),
            (self.long, find_growth_end(plan, self.database)),
        ):
            run_filler(
                data_dir, database=self.database, payments=payments, customers=plan.customers
            )
            if self.database is not None:
                self.look_after(data_dir)

    def look_after(self, data_dir: Path) -> None:
        """As PostgreSQL itself would have done, had the ledger grown over months."""
        with run_server(data_dir=data_dir, database=self.database) as server:
            server.wait_until_checked()
            seconds_max = self.plan.audit_seconds_max
            ask(find_url(server), "VACUUM (ANALYZE)", seconds_max=seconds_max)

    def measure_short(self) -> Sample:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.short, self.copy, symlinks=True)
        return self.measure(self.copy)

    def measure_long(self) -> Sample:
        return self.measure(self.long)

    def measure(self, data_dir: Path) -> Sample:
        with run_server(data_dir=data_dir, database=self.database) as server:
            server.wait_until_checked()
            credentials = server.read_credentials()
            before = read_books(server, credentials)
            write_out(server)
            load = build_load(
                credentials,
                port=server.port,
                connections=CONNECTIONS_TOLD,
                seconds=self.plan.turn_seconds,
                customers=self.plan.customers,
            )
            load = msgspec.structs.replace(load, warm_up_seconds=WARM_UP_SECONDS)
            result = run_generator(load, bearer=open_bearer(credentials))
            self.before = add_books(self.before, before)
            self.after = add_books(self.after, read_books(server, credentials))
        self.stopped[data_dir] = server
        return sum_up([result])

    def audit(self) -> list[Check]:
        """Both ledgers; the short one as its last round has left it."""
        return [
            msgspec.structs.replace(
                check_audit(server, seconds_max=self.plan.audit_seconds_max),
                subject=f"audit, {data_dir.name}",
            )
            for data_dir, server in self.stopped.items()
        ]


def find_growth_end(plan: Plan, database: str | None) -> int:
    """How many payments the long ledger begins with."""
    return plan.growth_end_sqlite if database is None else plan.growth_end_postgres


def add_books(one: Books, other: Books) -> Books:
    return Books(
        completed_payments=one.completed_payments + other.completed_payments,
        organisation_balance=one.organisation_balance + other.organisation_balance,
    )


def measure_growth(directory: Path, *, database: str | None, plan: Plan) -> Comparison:
    """Everything lies below `directory`, which has to be there."""
    growth = Growth(directory, database=database, plan=plan)
    growth.prepare()
    turns = [Turn(SHORT_LEDGER, growth.measure_short), Turn(LONG_LEDGER, growth.measure_long)]
    taken = take_turns(turns, rounds=plan.rounds)
    results = list_results(taken)
    say("the audits")
    return compare(
        turns,
        taken,
        note=(
            f"{CONNECTIONS_TOLD} connections. Payments at the beginning of a round: "
            f"{plan.growth_start:,} in the short ledger, at least "
            f"{find_growth_end(plan, database):,} in the long one."
        ),
        checks=[
            check_answers(results),
            compare_books(growth.before, growth.after, accepted=count_accepted(results)),
            *growth.audit(),
        ],
    )
