"""What status queries are told is judged too: true answers are no fault, planted ones are found."""

from collections.abc import Callable
from functools import lru_cache

import pytest
from msgspec.structs import replace

from tests.history.checker import find_faults
from tests.history.shapes import (
    NO_TRANSACTION,
    NOT_FOUND,
    SUCCESS,
    FinalLedger,
    PaymentRow,
    Question,
    Request,
    read_transaction_id,
)
from tests.history.simulator import make_inquisitive_history, write_transaction_id
from tests.history.workload import make_world

WORLD = make_world()
REQUESTS = 3_000
AN_HOUR_S = 3_600.0
"""After all that is in the history."""


@lru_cache(maxsize=1)
def make_history() -> tuple[list[Request], FinalLedger, list[Question]]:
    return make_inquisitive_history(WORLD, requests=REQUESTS)


def judge(*questions: Question) -> list[str]:
    history, ledger, true_ones = make_history()
    return find_faults(WORLD, history, ledger, [*true_ones, *questions])


def find_row(is_wanted: Callable[[PaymentRow], bool]) -> PaymentRow:
    return next(row for row in make_history()[1].payments if is_wanted(row))


def find_reversed() -> PaymentRow:
    """A payment that was given back in full, as some query was told."""
    told = next(question for question in make_history()[2] if question.is_reversed)
    number = read_transaction_id(told.transaction_id)
    return find_row(lambda row: row.id == number)


def ask(row: PaymentRow, *, at_s: float = AN_HOUR_S, is_reversed: bool = False) -> Question:
    """A true answer about a payment, long after everything."""
    return Question(
        10_000,
        row.ask.application,
        row.reference,
        at_s,
        at_s + 0.001,
        SUCCESS,
        row.state,
        write_transaction_id(row.id) if row.state == "Completed" else NO_TRANSACTION,
        is_reversed,
    )


def is_plain(row: PaymentRow) -> bool:
    reversed_ids = {reversal.original for reversal in make_history()[1].reversals}
    return row.state == "Completed" and row.id not in reversed_ids


@pytest.mark.parametrize("seed", range(4))
def test_true_answers_have_no_fault(seed: int) -> None:
    history, ledger, questions = make_inquisitive_history(WORLD, requests=REQUESTS, seed=seed)
    assert find_faults(WORLD, history, ledger, questions) == []
    # Or it would say little.
    assert {question.code for question in questions} == {SUCCESS, NOT_FOUND}
    assert {question.is_reversed for question in questions} == {False, True}
    assert {question.state for question in questions} >= {"Completed", "Failed"}
    assert judge(ask(find_row(is_plain)), ask(find_reversed(), is_reversed=True)) == []


def test_a_record_that_a_query_does_not_see_any_more_is_found() -> None:
    lost = replace(ask(find_row(is_plain)), code=NOT_FOUND)
    (fault,) = judge(lost)
    assert "was told INS-23, though payment" in fault


def test_a_record_that_was_seen_once_has_to_be_seen_again() -> None:
    row = find_row(is_plain)
    request = next(
        each
        for each in make_history()[0]
        if each.reference == row.reference
        and each.answer is not None
        and each.answer.code == SUCCESS
    )
    # Before its own caller knows of it.
    seen = ask(row, at_s=request.sent_s + 1e-7)
    seen = replace(seen, ended_s=request.sent_s + 2e-7)
    lost = replace(
        seen, number=10_001, code=NOT_FOUND, sent_s=request.sent_s + 3e-7, ended_s=AN_HOUR_S
    )
    (fault,) = judge(seen, lost)
    assert "query 10001" in fault


def test_a_payment_that_is_found_before_it_was_asked_for_is_found_out() -> None:
    (fault,) = judge(ask(find_row(is_plain), at_s=-1.0))
    assert "before anybody had asked for payment" in fault


def test_a_payment_that_is_not_there_cannot_be_told_of() -> None:
    (fault,) = judge(replace(ask(find_row(is_plain)), reference="f" * 32))
    assert "but the ledger has no such payment" in fault


def test_another_state_or_transaction_is_found() -> None:
    row = find_row(is_plain)
    (fault,) = judge(replace(ask(row), state="Pending"))
    assert f"Pending, but payment {row.id} is Completed" in fault
    (fault,) = judge(replace(ask(row), transaction_id=write_transaction_id(row.id + 4096)))
    assert "with the TransactionID of another payment" in fault
    failed = find_row(lambda row: row.state == "Failed")
    (fault,) = judge(replace(ask(failed), transaction_id=write_transaction_id(failed.id)))
    assert "though no money moved" in fault


def test_a_reversal_that_is_forgotten_or_foreseen_is_found() -> None:
    row = find_reversed()
    (fault,) = judge(ask(row))
    assert "and not reversed, though payment" in fault
    (fault,) = judge(ask(find_row(is_plain), is_reversed=True))
    assert "but something is left of payment" in fault
    request = next(each for each in make_history()[0] if each.reference == row.reference)
    faults = judge(ask(row, at_s=request.sent_s, is_reversed=True))
    assert any("before its last reversal had been asked for" in fault for fault in faults)


def test_another_code_is_no_answer_to_a_query() -> None:
    (fault,) = judge(replace(ask(find_row(is_plain)), code="INS-6"))
    assert "which is no answer to a query" in fault
    assert judge(replace(ask(find_row(is_plain)), code="INS-16")) == []
