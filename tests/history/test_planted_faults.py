"""The history checker finds what is wrong, says so in one sentence, and is silent otherwise."""

import time
from collections.abc import Callable
from functools import lru_cache

import pytest
from msgspec.structs import replace

from tests.history.checker import find_faults
from tests.history.planting import Case, make_refusal, make_success
from tests.history.shapes import (
    ISSUANCE,
    SUCCESS,
    Ask,
    FinalLedger,
    Operation,
    Request,
    ReversalRow,
    TransferRow,
    World,
)
from tests.history.simulator import Gateway, make_true_history
from tests.history.workload import FIRST, INTERESTING_CODES, make_world

WORLD = make_world()
REQUESTS = 3_000
POOR, SHOP, CUSTOMER = "POOR01", "ORG001", "255744553111"

MANY_REQUESTS = 50_000
MANY_JUDGED_MAX_S = 20.0


@lru_cache(maxsize=1)
def _make_history() -> tuple[tuple[Request, ...], FinalLedger]:
    history, ledger = make_true_history(WORLD, requests=REQUESTS)
    return tuple(history), ledger


@pytest.fixture
def case() -> Case:
    """A long history of many callers at once, to plant a fault in."""
    history, ledger = _make_history()
    return Case(list(history), copy_ledger(ledger))


def copy_ledger(ledger: FinalLedger) -> FinalLedger:
    return FinalLedger(
        ledger.number,
        list(ledger.payments),
        list(ledger.transfers),
        list(ledger.reversals),
        dict(ledger.balances),
    )


def play(*asks: Ask, world: World = WORLD) -> Case:
    """A short history of one caller: one request after the other, all answered."""
    gateway = Gateway(world)
    history = [
        Request(number, ask, f"R{number}", number, number + 0.5, gateway.decide(ask, f"R{number}"))
        for number, ask in enumerate(asks, start=1)
    ]
    return Case(history, gateway.close())


# --- true histories ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_true_history_has_no_fault(seed: int) -> None:
    history, ledger = make_true_history(WORLD, requests=REQUESTS, seed=seed)
    assert find_faults(WORLD, history, ledger) == []
    # Or the histories that faults are planted in would be too simple.
    assert {request.answer.code for request in history if request.answer} >= INTERESTING_CODES
    assert any(request.answer is None for request in history)


def test_a_history_of_many_requests_is_judged_in_seconds() -> None:
    history, ledger = make_true_history(WORLD, requests=MANY_REQUESTS)
    started_s = time.process_time()
    assert find_faults(WORLD, history, ledger) == []
    assert time.process_time() - started_s < MANY_JUDGED_MAX_S


def test_an_answer_that_was_lost_may_mean_either(case: Case) -> None:
    recorded = case.list_plain()[0][0]
    case.answer(recorded, None)
    request, row = case.list_plain()[5]
    case.answer(request, None)
    case.remove_payment(row)
    case.rebuild_balances()
    assert find_faults(WORLD, case.history, case.ledger) == []


# --- planted faults ------------------------------------------------------------------------------


def double_an_effect(case: Case) -> str:
    request, row = case.list_plain()[3]
    transfer = case.find_transfer(row.id)
    twin = transfer.id + 1
    case.ledger.payments.append(replace(row, id=twin))
    case.ledger.transfers.append(replace(transfer, id=twin + 1, payment=twin))
    case.rebuild_balances()
    key = f"c2b {request.reference} of application {request.ask.application}"
    return f"the payments {row.id}, {twin} have one key, {key}: it took effect twice"


def lose_an_accepted_payment(case: Case) -> str:
    request, row = case.list_plain()[3]
    case.remove_payment(row)
    case.rebuild_balances()
    return f"request {request.number} was answered INS-0 and is lost"


def lose_a_recorded_refusal(case: Case) -> str:
    numbers = [request.reference for request in case.history]
    request = case.find_request(
        lambda request: (
            request.answer is not None
            and request.answer.code == "INS-2051"
            and numbers.count(request.reference) == 1
        )
    )
    case.ledger.payments[:] = [
        row for row in case.ledger.payments if row.reference != request.reference
    ]
    return f"request {request.number} was answered INS-2051 and is lost"


def write_a_wrong_balance_after(case: Case) -> str:
    _, row = case.list_plain()[3]
    transfer = case.find_transfer(row.id)
    case.put_transfer(replace(transfer, payer_balance_minor=transfer.payer_balance_minor + 1))
    return f"transfer {transfer.id} says that {transfer.payer} has"


def go_on_from_a_wrong_balance(case: Case) -> str:
    """Somebody's money grew between two transfers, and everything after it builds on that."""
    _, row = case.list_plain()[3]
    first = case.find_transfer(row.id)
    wallet = first.payer

    def grow(transfer: TransferRow) -> TransferRow:
        if transfer.id < first.id:
            return transfer
        return replace(
            transfer,
            payer_balance_minor=transfer.payer_balance_minor + (transfer.payer == wallet),
            payee_balance_minor=transfer.payee_balance_minor + (transfer.payee == wallet),
        )

    case.ledger.transfers[:] = [grow(transfer) for transfer in case.ledger.transfers]
    case.ledger.balances[wallet] += 1
    return f"transfer {first.id} says that {wallet} has"


def write_a_wrong_final_balance(case: Case) -> str:
    case.ledger.balances["organisation ORG001"] -= 1
    return "the final ledger says that organisation ORG001 has"


def name_the_transaction_of_another(case: Case) -> str:
    (request, row), (_, other) = case.list_plain()[3:5]
    wrong = replace(make_success(row.id), transaction_id=make_success(other.id).transaction_id)
    case.answer(request, wrong)
    return f"request {request.number} was answered INS-0 with a TransactionID of payment {other.id}"


def name_a_transaction_of_nobody(case: Case) -> str:
    request, row = case.list_plain()[3]
    wrong = replace(make_success(row.id), transaction_id=make_success(row.id + 9).transaction_id)
    case.answer(request, wrong)
    return f"request {request.number} was answered INS-0 with a TransactionID of no payment at all"


def go_against_real_time(case: Case) -> str:
    """Two payments exchange their places, one of which was over before the other began."""
    plain = case.list_plain()
    first, row = plain[0]
    other = next(other for request, other in plain if request.sent_s > first.ended_s)
    transfer, other_transfer = case.find_transfer(row.id), case.find_transfer(other.id)
    case.rename(
        {
            row.id: other.id,
            other.id: row.id,
            transfer.id: other_transfer.id,
            other_transfer.id: transfer.id,
        }
    )
    case.rebuild_balances()
    return f"payment {other.id} was known"


def refuse_without_a_reason(case: Case) -> str:
    request, row = case.list_plain()[3]
    case.put_payment(replace(row, state="Failed", code="INS-2006"))
    case.remove_transfer(row.id)
    case.answer(request, make_refusal("INS-2006", payment=row.id))
    case.rebuild_balances()
    return (
        f"payment {row.id} (request {request.number}: {row.ask}) is recorded as Failed (INS-2006),"
        " but after all payments before it customer"
    )


def leave_an_effect_after_unavailable(case: Case) -> str:
    request, _ = case.list_plain()[3]
    case.answer(request, make_refusal("INS-16"))
    return f"is there, though none of its requests may have left anything: {request.number} INS-16"


def make_a_payment_of_what_never_arrived(case: Case) -> str:
    request, _ = case.list_plain()[3]
    case.put_request(replace(request, answer=None, is_sent=False))
    return f"none of its requests may have left anything: {request.number} never sent"


def make_a_payment_that_nobody_asked_for(case: Case) -> str:
    request, row = case.list_plain()[3]
    case.history.remove(request)
    return f"payment {row.id}, c2b {row.reference} of application {row.ask.application}, was asked"


def answer_one_key_twice_as_the_first(case: Case) -> str:
    request, _ = case.list_plain()[3]
    twin = replace(request, number=len(case.history) + 1)
    case.history.append(twin)
    return f"the requests {request.number} (INS-0), {twin.number} (INS-0) of one key"


def call_the_only_request_a_duplicate(case: Case) -> str:
    request, row = case.list_plain()[3]
    case.answer(request, make_refusal("INS-10"))
    case.remove_payment(row)
    case.rebuild_balances()
    return f"request {request.number} was answered INS-10, but no other request"


def call_a_request_a_duplicate_of_a_later_one(case: Case) -> str:
    request, _ = case.list_plain()[3]
    early = replace(
        request,
        number=len(case.history) + 1,
        answer=make_refusal("INS-10"),
        sent_s=request.sent_s - 2,
        ended_s=request.sent_s - 1,
    )
    case.history.append(early)
    return f"request {early.number} was answered INS-10, but no other request"


def call_a_request_a_duplicate_of_nothing(case: Case) -> str:
    request, row = case.list_plain()[3]
    case.answer(request, None)
    again = replace(
        request, number=len(case.history) + 1, answer=make_refusal("INS-10"), sent_s=request.ended_s
    )
    case.history.append(again)
    case.remove_payment(row)
    case.rebuild_balances()
    return f"request {again.number} was answered INS-10, but the ledger has no payment"


def take_another_amount(case: Case) -> str:
    request, _ = case.list_plain()[3]
    ask = replace(request.ask, amount_minor=request.ask.amount_minor + 1)
    case.put_request(replace(request, ask=ask))
    return f"request {request.number} was answered INS-0; it asked for {ask}, but payment"


def pay_somebody_else(case: Case) -> str:
    _, row = case.list_plain()[3]
    transfer = case.find_transfer(row.id)
    case.put_transfer(replace(transfer, payee="organisation OTHERS"))
    case.rebuild_balances()
    return f"transfer {transfer.id} moves {transfer.amount_minor // 100}."


def complete_without_money(case: Case) -> str:
    request, row = case.list_plain()[3]
    case.remove_transfer(row.id)
    case.rebuild_balances()
    return f"payment {row.id} (request {request.number}: {row.ask}) is Completed and moved money 0"


def move_money_twice_for_one_payment(case: Case) -> str:
    request, row = case.list_plain()[3]
    transfer = case.find_transfer(row.id)
    case.ledger.transfers.append(replace(transfer, id=transfer.id + 1))
    case.rebuild_balances()
    return f"payment {row.id} (request {request.number}: {row.ask}) is Completed and moved money 2"


def move_money_for_no_payment(case: Case) -> str:
    _, row = case.list_plain()[3]
    case.ledger.transfers.append(
        replace(case.find_transfer(row.id), id=row.id + 5, payment=row.id + 4)
    )
    case.rebuild_balances()
    return f"money moved for payment {row.id + 4}, which is not there"


def make_money(case: Case) -> str:
    _, row = case.list_plain()[3]
    case.ledger.transfers.append(
        TransferRow(row.id + 5, 0, ISSUANCE, "organisation ORG001", 1_00, 0, 0)
    )
    case.rebuild_balances()
    return "organisation ORG001 was given 1000001.00 from outside"


def forget_what_was_given_back(case: Case) -> str:
    case.ledger.reversals.pop()
    return "has 0 rows of what was given back"


def book_what_was_given_back_to_another(case: Case) -> str:
    given_back = case.ledger.reversals.pop()
    _, row = case.list_plain()[3]
    case.ledger.reversals.append(replace(given_back, original=row.id))
    return f"is booked as {given_back.amount_minor // 100}."


def give_one_id_to_two(case: Case) -> str:
    (_, row), (_, other) = case.list_plain()[3:5]
    transfer = case.find_transfer(other.id)
    case.rename({transfer.id: row.id})
    return f"the id {row.id} was given twice"


def use_an_id_of_another_ledger(case: Case) -> str:
    _, row = case.list_plain()[3]
    transfer = case.find_transfer(row.id)
    case.rename({row.id: row.id + 4096, transfer.id: transfer.id + 4096})
    return f"the id {row.id + 4096} was not minted in ledger 7"


PLANTED: list[Callable[[Case], str]] = [
    double_an_effect,
    lose_an_accepted_payment,
    lose_a_recorded_refusal,
    write_a_wrong_balance_after,
    go_on_from_a_wrong_balance,
    write_a_wrong_final_balance,
    name_the_transaction_of_another,
    name_a_transaction_of_nobody,
    go_against_real_time,
    refuse_without_a_reason,
    leave_an_effect_after_unavailable,
    make_a_payment_of_what_never_arrived,
    make_a_payment_that_nobody_asked_for,
    answer_one_key_twice_as_the_first,
    call_the_only_request_a_duplicate,
    call_a_request_a_duplicate_of_a_later_one,
    call_a_request_a_duplicate_of_nothing,
    take_another_amount,
    pay_somebody_else,
    complete_without_money,
    move_money_twice_for_one_payment,
    move_money_for_no_payment,
    make_money,
    forget_what_was_given_back,
    book_what_was_given_back_to_another,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found_and_told_in_one_sentence(
    plant: Callable[[Case], str], case: Case
) -> None:
    expected = plant(case)
    faults = find_faults(WORLD, case.history, case.ledger)
    assert len(faults) == 1, faults
    assert expected in faults[0]


@pytest.mark.parametrize("plant", [give_one_id_to_two, use_an_id_of_another_ledger])
def test_a_wrong_id_is_found_beside_what_follows_from_it(
    plant: Callable[[Case], str], case: Case
) -> None:
    expected = plant(case)
    assert expected in find_faults(WORLD, case.history, case.ledger)


def make_overdrawn() -> tuple[Case, list[str]]:
    """A wallet pays out what it does not have."""
    case = play(
        Ask(FIRST, Operation.B2C, POOR, CUSTOMER, 20_00),
        Ask(FIRST, Operation.B2C, POOR, CUSTOMER, 20_00),
    )
    complete(case, position=1, payer=f"organisation {POOR}", payee=f"customer {CUSTOMER}")
    return case, [
        "has 5.00: it had to be INS-2006",
        f"leaves organisation {POOR} with -15.00",
    ]


def make_reversed_twice() -> tuple[Case, list[str]]:
    """Two reversals that are each right alone, and together more than there was."""
    case = play(Ask(FIRST, Operation.C2B, SHOP, CUSTOMER, 10_00))
    paid = case.history[0].answer
    assert paid is not None
    reversal = Ask(FIRST, Operation.REVERSAL, SHOP, paid.transaction_id, 6_00)
    case = play(Ask(FIRST, Operation.C2B, SHOP, CUSTOMER, 10_00), reversal, reversal)
    third = complete(case, position=2, payer=f"organisation {SHOP}", payee=f"customer {CUSTOMER}")
    original = case.ledger.payments[0].id
    case.ledger.reversals.append(ReversalRow(third, original, 6_00))
    return case, [f"of payment {original} only 4.00 is left: it had to be INS-15"]


def make_reversed_in_part() -> tuple[Case, list[str]]:
    """A reversal of all that is left, which left something."""
    first = Ask(FIRST, Operation.C2B, SHOP, CUSTOMER, 10_00)
    paid = play(first).history[0].answer
    assert paid is not None
    case = play(first, Ask(FIRST, Operation.REVERSAL, SHOP, paid.transaction_id, 0))
    row = case.ledger.payments[1]
    case.put_payment(replace(row, ask=replace(row.ask, amount_minor=9_00)))
    case.put_transfer(replace(case.find_transfer(row.id), amount_minor=9_00))
    case.ledger.reversals[0] = replace(case.ledger.reversals[0], amount_minor=9_00)
    case.rebuild_balances()
    return case, ["is recorded with another amount than the 10.00 that were left"]


def make_reversed_by_a_stranger() -> tuple[Case, list[str]]:
    """A reversal by an organisation that had no part in the payment."""
    first = Ask(FIRST, Operation.C2B, SHOP, CUSTOMER, 10_00)
    paid = play(first).history[0].answer
    assert paid is not None
    case = play(first, Ask(FIRST, Operation.REVERSAL, POOR, paid.transaction_id, 1_00))
    reversal = complete(
        case, position=1, payer=f"organisation {SHOP}", payee=f"customer {CUSTOMER}"
    )
    case.ledger.reversals.append(ReversalRow(reversal, case.ledger.payments[0].id, 1_00))
    return case, [f"{POOR} is no party to payment"]


def complete(case: Case, *, position: int, payer: str, payee: str) -> int:
    """Make a success of a refusal, to the last row and the answer; the payment's id."""
    row, request = case.ledger.payments[position], case.history[position]
    assert row.code != SUCCESS
    case.put_payment(replace(row, state="Completed", code=SUCCESS))
    case.ledger.transfers.append(
        TransferRow(row.id + 1, row.id, payer, payee, row.ask.amount_minor, 0, 0)
    )
    case.answer(request, make_success(row.id))
    case.rebuild_balances()
    return row.id


@pytest.mark.parametrize(
    "make",
    [make_overdrawn, make_reversed_twice, make_reversed_in_part, make_reversed_by_a_stranger],
)
def test_a_success_that_the_payments_before_it_do_not_allow_is_found(
    make: Callable[[], tuple[Case, list[str]]],
) -> None:
    case, expected = make()
    faults = find_faults(WORLD, case.history, case.ledger)
    assert len(faults) == len(expected), faults
    for fault, part in zip(faults, expected, strict=True):
        assert part in fault
