"""B2C, B2B and reversal in the engine, on both databases: what only one batch or no request shows."""

from typing import Any

import pytest

from pesalango_server.kernel.message import Command, PaymentOutcome
from pesalango_server.ledger.model import BALANCE_MAX_MINOR, Answer
from pesalango_server.ledger.parties import (
    FundCustomers,
    FundOrganisations,
    SetCustomerStatus,
    SetOrganisation,
)
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.commands import AnswerPrompt, TakePayment
from tests.store.engine_fixture import (
    LOCKED,
    PAYER,
    PAYER_MINOR,
    POOR,
    POOR_MINOR,
    SHOP,
    SHOP_WITHOUT_PRODUCTS,
    SUSPENDED_SHOP,
    Rig,
    make_b2b,
    make_b2c,
    make_c2b,
    make_reversal,
)

SHOP_MINOR = 500_00
EVERYTHING = "b2b,b2c,c2b,reversal"


def statuses(rig: Rig, *commands: Command) -> list[Status | None]:
    """What became of the payments of one batch; None for a command of another kind."""
    return [
        Status(outcome.status) if isinstance(outcome, PaymentOutcome) else None
        for outcome in rig.run(*commands)
    ]


def evidence_of(rig: Rig, payment: int) -> str:
    ((evidence,),) = rig.sql(f"SELECT evidence FROM payments WHERE ledger = 1 AND id = {payment}")
    return str(evidence)


def test_money_that_came_in_within_a_batch_can_go_out_in_it(rig: Rig) -> None:
    found = statuses(
        rig,
        make_b2c(reference="wages", msisdn=POOR, amount_minor=100_00),
        make_c2b(reference="rent", msisdn=POOR, amount_minor=100_00 + POOR_MINOR),
        make_b2b(reference="flour", amount_minor=SHOP_MINOR + POOR_MINOR),
        make_b2c(reference="nothing left", amount_minor=1),
    )
    assert found == [
        Status.COMPLETED,
        Status.COMPLETED,
        Status.COMPLETED,
        Status.BALANCE_INSUFFICIENT,
    ]
    assert rig.balance_of(POOR) == rig.balance_of(SHOP) == 0
    assert rig.balance_of(SHOP_WITHOUT_PRODUCTS) == SHOP_MINOR + POOR_MINOR


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (make_b2c(reference="x", msisdn=LOCKED), Status.CUSTOMER_NOT_ACTIVE),
        (make_b2c(reference="x", msisdn="255799999999"), Status.CUSTOMER_UNKNOWN),
        (
            make_b2c(reference="x", organisation=SUSPENDED_SHOP),
            Status.ORGANISATION_SUSPENDED,
        ),
        (make_b2b(reference="x", receiver="999999"), Status.RECEIVER_UNKNOWN),
        (make_b2b(reference="x", receiver=SUSPENDED_SHOP), Status.RECEIVER_SUSPENDED),
        (make_b2b(reference="x", receiver=SHOP), Status.RECEIVER_IS_PAYER),
        (
            make_b2b(reference="x", organisation=SHOP_WITHOUT_PRODUCTS, receiver="999999"),
            Status.RECEIVER_UNKNOWN,
        ),
        (
            make_b2b(reference="x", organisation=SHOP_WITHOUT_PRODUCTS, receiver=SHOP),
            Status.ORGANISATION_PRODUCT_DISABLED,
        ),
        (make_reversal(reference="x", original=1 << 30), Status.ORIGINAL_UNKNOWN),
        (make_reversal(reference="x", original=0), Status.ORIGINAL_UNKNOWN),
    ],
)
def test_a_refusal_is_recorded_and_moves_nothing(
    rig: Rig, command: TakePayment, status: Status
) -> None:
    outcome = rig.pay(command)
    assert (outcome.state, outcome.status) == (State.FAILED, status)
    assert rig.standing(outcome.payment) == (State.FAILED, status)
    assert rig.balance_of(SHOP) == SHOP_MINOR


@pytest.mark.parametrize("make", [make_b2c, make_b2b])
@pytest.mark.parametrize("trigger", [Status.TRIGGERED_INTERNAL_FAULT, Status.TRIGGERED_UNAVAILABLE])
def test_a_triggered_fault_leaves_nothing(rig: Rig, make: Any, trigger: Status) -> None:
    outcome = rig.pay(make(reference="again", trigger=trigger))
    assert (outcome.payment, outcome.state, outcome.status) == (0, State.NONE, trigger)
    assert rig.pay(make(reference="again")).state == State.COMPLETED


def test_a_wallet_that_would_hold_too_much_is_not_paid(rig: Rig) -> None:
    room_minor = BALANCE_MAX_MINOR - PAYER_MINOR
    rig.run(
        FundCustomers(1, ((PAYER, room_minor, "cd" * 16),)),
        FundOrganisations(1, ((SHOP_WITHOUT_PRODUCTS, BALANCE_MAX_MINOR, "ce" * 16),)),
    )
    for command, status in (
        (make_b2c(reference="one more", amount_minor=1), Status.CUSTOMER_WALLET_FULL),
        (make_b2b(reference="one more", amount_minor=1), Status.ORGANISATION_WALLET_FULL),
    ):
        outcome = rig.pay(command)
        assert outcome.status == status
        assert evidence_of(rig, outcome.payment) == str(BALANCE_MAX_MINOR)


# --- reversals -----------------------------------------------------------------------------------


def test_of_two_reversals_in_one_batch_the_second_sees_the_first(rig: Rig) -> None:
    original = rig.pay(make_c2b(reference="paid", amount_minor=10_00)).payment
    found = statuses(
        rig,
        make_reversal(reference="part", original=original, amount_minor=6_00),
        make_reversal(reference="too much", original=original, amount_minor=4_01),
        make_reversal(reference="rest", original=original),
        make_reversal(reference="none left", original=original, amount_minor=1),
    )
    assert found == [
        Status.COMPLETED,
        Status.ORIGINAL_EXCEEDED,
        Status.COMPLETED,
        Status.ORIGINAL_NOT_REVERSIBLE,
    ]
    assert rig.balance_of(PAYER) == PAYER_MINOR
    assert rig.sql("SELECT original, sum(amount_minor) FROM reversals GROUP BY original") == [
        (original, 10_00)
    ]


def test_what_is_recorded_of_a_reversal_is_what_it_gave_back(rig: Rig) -> None:
    original = rig.pay(make_c2b(reference="paid", amount_minor=10_00)).payment
    rig.pay(make_reversal(reference="part", original=original, amount_minor=3_00))
    rest = rig.pay(make_reversal(reference="rest", original=original)).payment
    assert rig.sql(f"SELECT amount_minor FROM payments WHERE id = {rest}") == [(7_00,)]


def test_a_payment_that_was_approved_later_can_be_reversed(rig: Rig) -> None:
    waiting = [
        rig.pay(make_c2b(reference=name, approves_unscripted=False)).payment
        for name in ("one", "two", "three")
    ]
    rig.clock.advance(1_000)
    # Several changes in one batch, the transfers between them.
    rig.run(*(AnswerPrompt(1, payment, Answer.APPROVE) for payment in reversed(waiting)))
    found = statuses(
        rig,
        *(make_reversal(reference=f"back {payment}", original=payment) for payment in waiting),
    )
    assert found == [Status.COMPLETED] * 3
    assert rig.balance_of(PAYER) == PAYER_MINOR


@pytest.mark.parametrize(
    ("make_original", "evidence"),
    [
        (lambda rig: rig.pay(make_c2b(reference="o", msisdn=LOCKED)).payment, "failed"),
        (
            lambda rig: rig.pay(make_c2b(reference="o", approves_unscripted=False)).payment,
            "pending",
        ),
        (
            lambda rig: rig.pay(make_c2b(reference="o", trigger=Status.TRIGGERED_EXPIRY)).payment,
            "expired",
        ),
        (
            lambda rig: (
                rig.pay(
                    make_reversal(reference="o", original=0, trigger=Status.TRIGGERED_SUCCESS)
                ).payment
            ),
            "is a reversal",
        ),
    ],
)
def test_what_moved_no_money_cannot_be_reversed(
    rig: Rig, make_original: Any, evidence: str
) -> None:
    outcome = rig.pay(make_reversal(reference="back", original=make_original(rig)))
    assert outcome.status == Status.ORIGINAL_NOT_REVERSIBLE
    assert evidence_of(rig, outcome.payment) == evidence


def test_the_payer_of_a_b2b_may_be_forbidden_to_take_it_back(rig: Rig) -> None:
    rig.run(SetOrganisation(1, SHOP_WITHOUT_PRODUCTS, 1, EVERYTHING))
    original = rig.pay(make_b2b(reference="flour")).payment
    found = statuses(
        rig,
        make_reversal(reference="payer", original=original, b2b_payer_may_reverse=False),
        make_reversal(
            reference="payee",
            original=original,
            organisation=SHOP_WITHOUT_PRODUCTS,
            b2b_payer_may_reverse=False,
        ),
    )
    assert found == [Status.ORIGINAL_OF_OTHERS, Status.COMPLETED]
    # It is about B2B alone.
    paid = rig.pay(make_b2c(reference="wages")).payment
    back = make_reversal(reference="back", original=paid, b2b_payer_may_reverse=False)
    assert rig.pay(back).status == Status.COMPLETED


def test_an_account_that_was_closed_earlier_in_the_batch_gives_nothing_back(rig: Rig) -> None:
    rig.run(SetOrganisation(1, SHOP_WITHOUT_PRODUCTS, 1, EVERYTHING))
    wages = rig.pay(make_b2c(reference="wages")).payment
    flour = rig.pay(make_b2b(reference="flour")).payment
    found = statuses(
        rig,
        SetCustomerStatus(1, PAYER, 3),
        make_reversal(reference="wages back", original=wages),
        SetOrganisation(1, SHOP_WITHOUT_PRODUCTS, 2, None),
        make_reversal(reference="flour back", original=flour),
    )
    assert found == [
        None,
        Status.CUSTOMER_NOT_ACTIVE,
        None,
        Status.ORGANISATION_UNUSABLE,
    ]


def test_an_organisation_that_was_suspended_receives_all_the_same(rig: Rig) -> None:
    rig.run(SetOrganisation(1, SHOP_WITHOUT_PRODUCTS, 1, EVERYTHING))
    flour = rig.pay(make_b2b(reference="flour")).payment
    rig.run(SetOrganisation(1, SHOP, 2, None))
    back = make_reversal(reference="back", original=flour, organisation=SHOP_WITHOUT_PRODUCTS)
    assert rig.pay(back).status == Status.COMPLETED
    assert rig.balance_of(SHOP) == SHOP_MINOR


def test_a_full_wallet_takes_nothing_back(rig: Rig) -> None:
    original = rig.pay(make_c2b(reference="paid", amount_minor=10_00)).payment
    room_minor = BALANCE_MAX_MINOR - PAYER_MINOR + 10_00
    rig.run(FundCustomers(1, ((PAYER, room_minor, "ef" * 16),)))
    outcome = rig.pay(make_reversal(reference="back", original=original))
    assert outcome.status == Status.CUSTOMER_WALLET_FULL


def test_a_payment_of_another_ledger_is_unknown(rig: Rig) -> None:
    assert rig.open_ledger(world=2) == 2
    elsewhere = rig.pay(make_c2b(ledger=2, reference="paid")).payment
    outcome = rig.pay(make_reversal(reference="back", original=elsewhere))
    assert outcome.status == Status.ORIGINAL_UNKNOWN


# --- what the audit finds ------------------------------------------------------------------------

DIGEST = "the digest of a batch is not that of its rows"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            "UPDATE reversals SET amount_minor = 1001 WHERE reversal = {reversal}",
            {
                "a transfer is not what its payment says",
                "more was reversed than was paid: 1001",
            },
        ),
        (
            "DELETE FROM reversals WHERE reversal = {reversal}",
            {"a transfer is not what its payment says"},
        ),
        (
            "INSERT INTO reversals VALUES (1, {original} + 1, {original}, 1)",
            {"a reversal is none, or moved nothing", "more was reversed than was paid: 1001"},
        ),
        (
            "UPDATE reversals SET original = {other} WHERE reversal = {reversal}",
            {"a transfer is not what its payment says", "more was reversed than was paid: 1000"},
        ),
        (
            # Of the same parties and amount: what it names tells.
            "UPDATE reversals SET original = {twin} WHERE reversal = {reversal}",
            {"a transfer is not what its payment says"},
        ),
        (
            (
                "UPDATE transfers SET debit_account = credit_account, credit_account = debit_account"
                " WHERE payment = {reversal}"
            ),
            {
                DIGEST,
                "a transfer is not what its payment says",
                "balances after a transfer do not follow",
                "a balance is not that of its transfers",
            },
        ),
    ],
)
def test_a_reversal_that_is_not_right_is_found(rig: Rig, statement: str, found: set[str]) -> None:
    rig.audits_at_end = False
    other = rig.pay(make_b2c(reference="other", amount_minor=9_99)).payment
    original = rig.pay(make_c2b(reference="paid", amount_minor=10_00)).payment
    twin = rig.pay(make_c2b(reference="twin", amount_minor=10_00)).payment
    reversal = rig.pay(make_reversal(reference="back", original=original)).payment
    assert rig.audit().violations == []

    ids = {"reversal": reversal, "original": original, "other": other, "twin": twin}
    rig.plant(statement.format(**ids))

    assert {violation.what for violation in rig.audit().violations} == found
