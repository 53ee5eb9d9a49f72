"""Small changes to a true history or its ledger, from which the faults of a test are made.

The books are kept consistent: `rebuild_balances` makes of any transfers what a ledger would have
that believed in them, so that a planted fault shows where it is and nowhere else.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from tests.history.model import OUTCOMES
from tests.history.shapes import (
    NO_TRANSACTION,
    SUCCESS,
    Answer,
    FinalLedger,
    Operation,
    PaymentRow,
    Request,
    TransferRow,
)
from tests.history.simulator import write_conversation_id, write_transaction_id
from tests.history.workload import RICH_CUSTOMERS, RICH_ORGANISATIONS

Row = TypeVar("Row", PaymentRow, TransferRow)


class Case(msgspec.Struct):
    """A history and its ledger, to be changed."""

    history: list[Request]
    ledger: FinalLedger

    # -- what is there ---------------------------------------------------------------------

    def list_plain(self) -> list[tuple[Request, PaymentRow]]:
        """Completed C2Bs between the rich, asked for once and never reversed, earliest first.

        Nobody's luck hangs on them: with or without one, all others end as they did.
        """
        counts: defaultdict[str, int] = defaultdict(int)
        for request in self.history:
            counts[request.reference] += 1
        reversed_ids = {row.original for row in self.ledger.reversals}
        rows = {row.reference: row for row in self.ledger.payments}
        named = {r.ask.counterparty for r in self.history if r.ask.operation is Operation.REVERSAL}
        found = []
        for request in self.history:
            row = rows.get(request.reference)
            if (
                row is not None
                and request.answer is not None
                and request.answer.code == SUCCESS
                and counts[request.reference] == 1
                and request.ask.operation is Operation.C2B
                and request.ask.organisation in RICH_ORGANISATIONS
                and request.ask.counterparty in RICH_CUSTOMERS
                and row.id not in reversed_ids
                and request.answer.transaction_id not in named
            ):
                found.append((request, row))
        return sorted(found, key=lambda pair: pair[1].id)

    def find_request(self, is_wanted: Callable[[Request], bool]) -> Request:
        return next(request for request in self.history if is_wanted(request))

    def find_transfer(self, payment: int) -> TransferRow:
        (found,) = [row for row in self.ledger.transfers if row.payment == payment]
        return found

    # -- what is changed -------------------------------------------------------------------

    def answer(self, request: Request, answer: Answer | None) -> None:
        self.put_request(replace(request, answer=answer))

    def put_request(self, request: Request) -> None:
        (position,) = [i for i, r in enumerate(self.history) if r.number == request.number]
        self.history[position] = request

    def put_payment(self, row: PaymentRow) -> None:
        """In the place of the one with its id."""
        _put(self.ledger.payments, row)

    def put_transfer(self, row: TransferRow) -> None:
        """In the place of the one with its id."""
        _put(self.ledger.transfers, row)

    def remove_transfer(self, payment: int) -> TransferRow:
        transfer = self.find_transfer(payment)
        self.ledger.transfers.remove(transfer)
        return transfer

    def remove_payment(self, row: PaymentRow) -> TransferRow:
        """With the money that it moved."""
        self.ledger.payments.remove(row)
        return self.remove_transfer(row.id)

    def rename(self, new_ids: dict[int, int]) -> None:
        """Give rows other ids, and tell whoever asked."""
        ledger = self.ledger

        def of(row_id: int) -> int:
            return new_ids.get(row_id, row_id)

        ledger.payments[:] = [replace(row, id=of(row.id)) for row in ledger.payments]
        ledger.transfers[:] = [
            replace(row, id=of(row.id), payment=of(row.payment)) for row in ledger.transfers
        ]
        answers = {write_transaction_id(old): make_success(new) for old, new in new_ids.items()}
        self.history[:] = [
            replace(request, answer=answers.get(request.answer.transaction_id, request.answer))
            if request.answer is not None
            else request
            for request in self.history
        ]

    def rebuild_balances(self) -> None:
        """After all transfers, as whoever posted them in the order of their ids would have them."""
        balances: defaultdict[str, int] = defaultdict(int)
        rebuilt = []
        for row in sorted(self.ledger.transfers, key=lambda row: row.id):
            balances[row.payer] -= row.amount_minor
            balances[row.payee] += row.amount_minor
            rebuilt.append(
                replace(
                    row,
                    payer_balance_minor=balances[row.payer],
                    payee_balance_minor=balances[row.payee],
                )
            )
        self.ledger.transfers[:] = rebuilt
        self.ledger.balances.clear()
        self.ledger.balances.update(balances)


def make_success(payment: int) -> Answer:
    return Answer(SUCCESS, write_transaction_id(payment), write_conversation_id(payment))


def make_refusal(code: str, *, payment: int = 0) -> Answer:
    """A recorded one where there is a payment."""
    conversation_id = write_conversation_id(payment) if payment else "f" * 32
    assert (code in OUTCOMES) == bool(payment)
    return Answer(code, NO_TRANSACTION, conversation_id)


def _put(rows: list[Row], row: Row) -> None:
    (position,) = [i for i, there in enumerate(rows) if there.id == row.id]
    rows[position] = row
