"""Judges what status queries were told by the ledger and by what everybody knew when they asked.

A query reads; it has no place in the serial order. But it may not be behind what was known to
somebody before it was sent, nor ahead of what can have happened before its answer arrived.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tests.history.shapes import (
    NO_TRANSACTION,
    NOT_FOUND,
    SUCCESS,
    UNRECORDED,
    FinalLedger,
    PaymentRow,
    Question,
    read_transaction_id,
)

Window = tuple[float, float]
"""A payment was recorded after the first moment, and known to somebody at the second."""

TRANSACTION_ID_LENGTH = 12


def find_false_answers(
    questions: Sequence[Question], ledger: FinalLedger, windows: Mapping[int, Window]
) -> Iterator[str]:
    """What a query cannot have been told, in sentences. `windows` by payment."""
    yield from _Judge(questions, ledger, windows).run()


class _Judge:
    def __init__(
        self, questions: Sequence[Question], ledger: FinalLedger, windows: Mapping[int, Window]
    ) -> None:
        self._windows = windows
        self._by_id = {row.id: row for row in ledger.payments}
        self._by_reference = {(row.ask.application, row.reference): row for row in ledger.payments}
        self._reversals: defaultdict[int, list[int]] = defaultdict(list)
        given_back: defaultdict[int, int] = defaultdict(int)
        for reversal in ledger.reversals:
            self._reversals[reversal.original].append(reversal.reversal)
            given_back[reversal.original] += reversal.amount_minor
        self._reversed = {
            payment
            for payment, amount_minor in given_back.items()
            if payment in self._by_id and amount_minor >= self._by_id[payment].ask.amount_minor
        }
        # When somebody was first told so.
        self._found_s: dict[int, float] = {}
        self._reversed_s: dict[int, float] = {}
        self._questions = sorted(questions, key=lambda question: question.ended_s)
        for question in self._questions:
            row = self._find_row(question)
            if row is not None and question.code == SUCCESS:
                self._found_s.setdefault(row.id, question.ended_s)
                if question.is_reversed:
                    self._reversed_s.setdefault(row.id, question.ended_s)

    def run(self) -> Iterator[str]:
        for question in self._questions:
            told = f"query {question.number} about {question.reference} was told {question.code}"
            row = self._find_row(question)
            if question.code in UNRECORDED:
                continue
            if question.code == NOT_FOUND:
                yield from self._judge_not_found(told, question, row)
            elif question.code != SUCCESS:
                yield f"{told}, which is no answer to a query"
            elif row is None:
                yield f"{told}, but the ledger has no such payment"
            else:
                yield from self._judge_found(told, question, row)

    def _find_row(self, question: Question) -> PaymentRow | None:
        if len(question.reference) == TRANSACTION_ID_LENGTH:
            return self._by_id.get(read_transaction_id(question.reference))
        return self._by_reference.get((question.application, question.reference))

    def _find_window(self, payment: int) -> Window:
        """Anything may be, of a payment that the checker finds fault with already."""
        return self._windows.get(payment, (float("-inf"), float("inf")))

    def _judge_not_found(
        self, told: str, question: Question, row: PaymentRow | None
    ) -> Iterator[str]:
        if row is None:
            return
        known_s = min(self._find_window(row.id)[1], self._found_s.get(row.id, float("inf")))
        if known_s < question.sent_s:
            lead_ms = (question.sent_s - known_s) * 1_000
            yield f"{told}, though payment {row.id} was known {lead_ms:.3f} ms before it was sent"

    def _judge_found(self, told: str, question: Question, row: PaymentRow) -> Iterator[str]:
        if self._find_window(row.id)[0] > question.ended_s:
            yield f"{told} before anybody had asked for payment {row.id}"
        # Every payment here ends in the state that it begins in.
        if question.state != row.state:
            yield f"{told} and {question.state}, but payment {row.id} is {row.state}"
        if row.state == "Completed":
            if read_transaction_id(question.transaction_id) != row.id:
                yield f"{told} with the TransactionID of another payment than {row.id}"
        elif question.transaction_id != NO_TRANSACTION:
            yield f"{told} with a TransactionID, though no money moved for payment {row.id}"
        yield from self._judge_reversed(told, question, row)

    def _judge_reversed(self, told: str, question: Question, row: PaymentRow) -> Iterator[str]:
        reversals = self._reversals[row.id]
        if question.is_reversed:
            if row.id not in self._reversed:
                yield f"{told} and reversed, but something is left of payment {row.id}"
            elif self._find_window(max(reversals))[0] > question.ended_s:
                yield f"{told} and reversed before its last reversal had been asked for"
        elif row.id in self._reversed:
            known_s = min(
                max(self._find_window(reversal)[1] for reversal in reversals),
                self._reversed_s.get(row.id, float("inf")),
            )
            if known_s < question.sent_s:
                lead_ms = (question.sent_s - known_s) * 1_000
                yield (
                    f"{told} and not reversed, though payment {row.id} was known to be, "
                    f"{lead_ms:.3f} ms before it was sent"
                )
