"""Asks what the Python client costs the program that uses it.

* a call, in processor time of the caller, beside a bare one of its HTTP library (`client_calls.py`);
* a payment with a key, in syncs of the journal (`client_syncs.py`);
* many payments at once, in time, beside a bare loop of the same (`client_bulk.py`), both against the
  real gateway on SQLite;
* an import (`client_imports.py`).

Each is a question of its own on the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.books import (
    add_customers,
    check_audit,
    compare_books,
    fund_organisation,
    read_books,
)
from bench.client_bulk import Order, Paid, pay_in_bulk
from bench.client_calls import PLAIN, TASKS, measure_calls
from bench.client_imports import CLIENT, PACKAGES, measure_imports
from bench.client_syncs import count_syncs
from bench.comparison import Comparison, Sample, Turn, compare, take_turns
from bench.figures import measure_spread
from bench.plan import (
    BARE_ASYNC_CALL,
    BARE_BULK,
    BARE_CALL,
    CLIENT_ASYNC_CALL,
    CLIENT_BULK,
    CLIENT_CALL,
    IMPORT_CLIENT,
    IMPORT_MS,
    IMPORT_PACKAGES,
    QUESTION_CLIENT_ASYNC_CALL,
    QUESTION_CLIENT_BULK,
    QUESTION_CLIENT_CALL,
    QUESTION_CLIENT_IMPORT,
    SYNCS,
    Plan,
)
from bench.progress import say
from bench.responder import run_responder
from bench.server import Server, open_bearer, run_server

MICROSECONDS_OF_CPU = "µs of CPU a call"


def measure_client(directory: Path, plan: Plan) -> Iterator[tuple[str, Comparison]]:
    """All four questions, each as soon as it is answered."""
    with run_responder() as address:
        for question, sides, labels in (
            (QUESTION_CLIENT_CALL, PLAIN, (BARE_CALL, CLIENT_CALL)),
            (QUESTION_CLIENT_ASYNC_CALL, TASKS, (BARE_ASYNC_CALL, CLIENT_ASYNC_CALL)),
        ):
            say(question)
            yield question, compare_calls(address, sides, labels, plan)
        say(SYNCS)
        counts = count_syncs(address, directory / "syncs.db", payments=plan.client_payments)
    say(QUESTION_CLIENT_BULK)
    bulk = measure_bulk(directory, plan)
    bulk.others[SYNCS] = measure_spread([counts.per_payment])
    yield QUESTION_CLIENT_BULK, bulk
    say(QUESTION_CLIENT_IMPORT)
    yield QUESTION_CLIENT_IMPORT, compare_imports(plan)


def compare_calls(address: str, sides: str, labels: tuple[str, str], plan: Plan) -> Comparison:
    """One process a round, in which both sides alternate."""
    taken = []
    for number in range(plan.rounds):
        costs = measure_calls(sides, address, calls=plan.client_calls)
        say(
            f"round {number + 1} of {plan.rounds}: {labels[0]} {costs.bare_us:.0f}, "
            f"{labels[1]} {costs.client_us:.0f}"
        )
        taken.append([Sample(value=costs.bare_us), Sample(value=costs.client_us)])
    return compare(
        [name_turn(label) for label in labels],
        taken,
        checks=[],
        unit=MICROSECONDS_OF_CPU,
        note=f"{plan.client_calls} calls of each over one connection, in alternating blocks of one "
        "process.",
    )


def name_turn(label: str) -> Turn:
    """For what was measured already."""
    return Turn(label, lambda: Sample(value=0.0))


class Bulk:
    """Payments out in bulk, and how many there were."""

    def __init__(self, server: Server, directory: Path, plan: Plan) -> None:
        self.directory, self.plan = directory, plan
        self.credentials = server.read_credentials()
        self.paid: list[Paid] = []

    def pay_bare(self) -> Sample:
        return self.pay(self.build_order(bearer=open_bearer(self.credentials)))

    def pay_through_client(self) -> Sample:
        # New for each turn, as the keys in it begin anew.
        journal = self.directory / f"journal-{len(self.paid)}.db"
        return self.pay(self.build_order(journal=str(journal)))

    def build_order(self, *, bearer: str | None = None, journal: str | None = None) -> Order:
        access = self.credentials.sandbox
        return Order(
            base_url=self.credentials.base_url,
            api_key=access.api_key,
            public_key=access.public_key,
            service_provider_code=access.service_provider_code,
            payments=self.plan.client_payments,
            bearer=bearer,
            journal=journal,
        )

    def pay(self, order: Order) -> Sample:
        paid = pay_in_bulk(order)
        self.paid.append(paid)
        return Sample(value=paid.per_second)


def measure_bulk(directory: Path, plan: Plan) -> Comparison:
    """Against a server of its own, on SQLite."""
    with run_server(data_dir=directory / "gateway", database=None) as server:
        server.wait_until_checked()
        bulk = Bulk(server, directory, plan)
        add_customers(bulk.credentials, customers=plan.client_payments)
        fund_organisation(bulk.credentials)
        before = read_books(server, bulk.credentials)
        turns = [Turn(BARE_BULK, bulk.pay_bare), Turn(CLIENT_BULK, bulk.pay_through_client)]
        taken = take_turns(turns, rounds=plan.rounds)
        accepted = sum(paid.payments for paid in bulk.paid)
        books = compare_books(
            before, read_books(server, bulk.credentials), accepted=accepted, paid_out=accepted
        )
        audit = check_audit(server, seconds_max=plan.audit_seconds_max)
    return compare(
        turns,
        taken,
        checks=[books, audit],
        note=f"{plan.client_payments} payments out a turn, {len(taken)} turns each.",
    )


def compare_imports(plan: Plan) -> Comparison:
    """Fresh interpreters; what one takes that imports nothing is taken off, round by round."""
    rounds = measure_imports(plan.client_imports)
    codes = (PACKAGES, CLIENT)
    wall, cpu = (
        {code: measure_spread([getattr(each[code], name) for each in rounds]) for code in codes}
        for name in ("wall_ms", "cpu_ms")
    )
    return compare(
        [name_turn(label) for label in (IMPORT_PACKAGES, IMPORT_CLIENT)],
        [[Sample(value=each[code].wall_ms) for code in codes] for each in rounds],
        checks=[],
        unit="ms",
        note=f"{plan.client_imports} fresh interpreters each. In CPU: {cpu[CLIENT].format()} ms, "
        f"{cpu[PACKAGES].format()} ms of it the packages.",
        others={IMPORT_MS: wall[CLIENT]},
    )
