"""Asks how many B2C payments and reversals a second the product does, as a share of C2B.

All three move 1 between the same organisation and customers drawn at random. What is reversed are
C2B payments of moments before, each once and in full, in random order; they are made without being
measured.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from bench.books import compare_books, fund_organisation, read_books
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
from bench.load import GeneratorResult, run_generator
from bench.payments import check_answers
from bench.plan import B2C, C2B, CONNECTIONS_TOLD, REVERSAL, Plan
from bench.server import Server, build_load, open_bearer

SPARE_SHARE = 1.3
"""More originals than reversals are expected, lest they run out."""

OPERATIONS = {C2B: "c2b", B2C: "b2c", REVERSAL: "reversal"}


class Operations:
    """The three, and what was accepted of them outside the turns."""

    def __init__(self, server: Server, directory: Path, plan: Plan) -> None:
        self.server, self.plan = server, plan
        self.credentials = server.read_credentials()
        self.bearer = ""
        self.originals = directory / "originals"
        self.unmeasured: list[GeneratorResult] = []
        self.paid_out = 0

    def measure(self, label: str) -> Sample:
        # A session lives an hour, and a long run may take more.
        self.bearer = open_bearer(self.credentials)
        if label == REVERSAL:
            self.make_originals()
        result = self.run(label)
        self.paid_out += 0 if label == C2B else result.accepted
        return sum_up([result])

    def make_originals(self) -> None:
        """C2B payments in plenty for one run of reversals."""
        transactions = self.originals.with_name("transactions")
        self.unmeasured.append(self.run(C2B, length=SPARE_SHARE, transactions=transactions))
        made = transactions.read_text().split()
        random.shuffle(made)
        self.originals.write_text("\n".join(made))
        transactions.unlink()

    def run(
        self, label: str, *, length: float = 1.0, transactions: Path | None = None
    ) -> GeneratorResult:
        load = build_load(
            self.credentials,
            port=self.server.port,
            connections=CONNECTIONS_TOLD,
            seconds=self.plan.turn_seconds * length,
            customers=self.plan.customers,
            operation=OPERATIONS[label],
        )
        return run_generator(
            load,
            bearer=self.bearer,
            transactions=transactions,
            originals=self.originals if label == REVERSAL else None,
        )


def measure_operations(server: Server, directory: Path, plan: Plan) -> Comparison:
    """The customers have to be there already; files of TransactionIDs go into `directory`."""
    operations = Operations(server, directory, plan)
    fund_organisation(operations.credentials)
    before = read_books(server, operations.credentials)
    turns = [Turn(label, partial(operations.measure, label)) for label in OPERATIONS]
    taken = take_turns(turns, rounds=plan.rounds)
    results = [*list_results(taken), *operations.unmeasured]
    return compare(
        turns,
        taken,
        note=f"{CONNECTIONS_TOLD} connections.",
        checks=[
            check_answers(results),
            compare_books(
                before,
                read_books(server, operations.credentials),
                accepted=count_accepted(results),
                paid_out=operations.paid_out,
            ),
        ],
    )
