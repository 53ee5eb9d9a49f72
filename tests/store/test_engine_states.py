"""Every row of the engine's contract about the states of a payment, on both databases."""

from typing import Any

import pytest

from pesalango_server.kernel.ids import ledger_of
from pesalango_server.kernel.message import (
    Done,
    PaymentOutcome,
    RefusalKind,
    Refused,
)
from pesalango_server.ledger.model import BALANCE_MAX_MINOR, ISSUED_MAX_MINOR, Answer
from pesalango_server.ledger.parties import (
    AddCustomers,
    AddOrganisations,
    FundCustomers,
    FundOrganisations,
    NewCustomer,
    NewOrganisation,
    ScriptCustomer,
    SetCustomerStatus,
    SetOrganisation,
)
from pesalango_server.ledger.statuses import FINAL_STATES, State, Status
from pesalango_server.payments.commands import AnswerPrompt, ExpirePrompt
from tests.store.engine_fixture import (
    LOCKED,
    PAYER,
    PAYER_MINOR,
    POOR,
    POOR_MINOR,
    SHOP,
    SHOP_WITHOUT_PRODUCTS,
    SUSPENDED_SHOP,
    WAIT_MS,
    Rig,
    make_c2b,
    make_open_ledger,
)

SHOP_MINOR = 500_00
LOCKED_STATUS, ACTIVE_STATUS = 3, 1
ORGANISATION_ACTIVE, ORGANISATION_SUSPENDED = 1, 2


def ask(rig: Rig, reference: str = "asked", **changes: Any) -> int:
    """A payment that waits for its customer; its id."""
    outcome = rig.pay(make_c2b(reference=reference, approves_unscripted=False, **changes))
    assert (outcome.state, outcome.status) == (State.PENDING, Status.PROMPT_WAITING)
    return outcome.payment


def answer(rig: Rig, payment: int, what: Answer, attempts: int = 1) -> tuple[State, Status]:
    (outcome,) = rig.run(AnswerPrompt(1, payment, what, attempts))
    assert isinstance(outcome, PaymentOutcome)
    assert outcome.payment == payment
    return State(outcome.state), Status(outcome.status)


def expire(rig: Rig, payment: int, *, is_forced: bool = False) -> tuple[State, Status]:
    (outcome,) = rig.run(ExpirePrompt(1, payment, is_forced))
    assert isinstance(outcome, PaymentOutcome)
    return State(outcome.state), Status(outcome.status)


# --- from new -----------------------------------------------------------------------------------------


def test_a_payment_that_nobody_is_asked_about_is_completed_by_its_batch(rig: Rig) -> None:
    outcome = rig.pay(make_c2b(reference="one", amount_minor=10_00))

    assert (outcome.state, outcome.status) == (State.COMPLETED, Status.COMPLETED)
    assert rig.standing(outcome.payment) == (State.COMPLETED, Status.COMPLETED)
    assert rig.balance_of(PAYER) == PAYER_MINOR - 10_00
    assert rig.balance_of(SHOP) == SHOP_MINOR + 10_00
    assert rig.count("prompts") == rig.count("payment_changes") == 0
    assert rig.observer.batches[-1] == 1


def test_a_customer_who_approves_at_once_is_asked_within_the_batch(rig: Rig) -> None:
    rig.run(ScriptCustomer(1, PAYER, Answer.APPROVE, 0))
    outcome = rig.pay(make_c2b(reference="one", approves_unscripted=False))

    assert outcome.state == State.COMPLETED
    assert rig.count("prompts") == rig.count("payment_changes") == 0


@pytest.mark.parametrize(
    ("changes", "status", "evidence"),
    [
        ({"organisation": "999999"}, Status.ORGANISATION_UNKNOWN, ""),
        ({"organisation": SUSPENDED_SHOP}, Status.ORGANISATION_SUSPENDED, ""),
        ({"acts_for": False}, Status.ORGANISATION_NOT_OF_APPLICATION, ""),
        (
            {"organisation": SHOP_WITHOUT_PRODUCTS},
            Status.ORGANISATION_PRODUCT_DISABLED,
            "c2b",
        ),
        ({"msisdn": "255799999999"}, Status.CUSTOMER_UNKNOWN, ""),
        ({"msisdn": LOCKED}, Status.CUSTOMER_NOT_ACTIVE, "locked"),
        ({"msisdn": POOR}, Status.BALANCE_INSUFFICIENT, f"{POOR_MINOR}"),
        ({"trigger": Status.TRIGGERED_FAILURE}, Status.TRIGGERED_FAILURE, "sandbox trigger"),
        (
            {"trigger": Status.TRIGGERED_AMOUNT_INVALID},
            Status.TRIGGERED_AMOUNT_INVALID,
            "sandbox trigger",
        ),
        (
            {"trigger": Status.TRIGGERED_BALANCE_INSUFFICIENT},
            Status.TRIGGERED_BALANCE_INSUFFICIENT,
            "sandbox trigger",
        ),
    ],
)
def test_a_refusal_past_the_duplicate_check_is_recorded_as_failed_with_its_evidence(
    rig: Rig, changes: dict[str, Any], status: Status, evidence: str
) -> None:
    outcome = rig.pay(make_c2b(reference="refused", **changes))

    assert (outcome.state, outcome.status) == (State.FAILED, status)
    assert rig.standing(outcome.payment) == (State.FAILED, status)
    assert rig.sql("SELECT evidence FROM payments") == [(evidence,)]
    assert rig.count("transfers", "payment <> 0") == 0
    again = rig.pay(make_c2b(reference="refused"))
    assert again == PaymentOutcome(0, State.NONE, Status.DUPLICATE)


def test_a_full_wallet_takes_nothing(rig: Rig) -> None:
    rig.run(FundOrganisations(1, ((SHOP, BALANCE_MAX_MINOR - SHOP_MINOR, "0f" * 16),)))

    outcome = rig.pay(make_c2b(reference="one", amount_minor=1))

    assert (outcome.state, outcome.status) == (State.FAILED, Status.ORGANISATION_WALLET_FULL)
    assert rig.balance_of(SHOP) == BALANCE_MAX_MINOR


def test_a_triggered_expiry_is_recorded_as_expired(rig: Rig) -> None:
    outcome = rig.pay(make_c2b(reference="one", trigger=Status.TRIGGERED_EXPIRY))

    assert rig.standing(outcome.payment) == (State.EXPIRED, Status.TRIGGERED_EXPIRY)


@pytest.mark.parametrize("trigger", [Status.TRIGGERED_INTERNAL_FAULT, Status.TRIGGERED_UNAVAILABLE])
def test_a_triggered_fault_leaves_no_row_and_no_key(rig: Rig, trigger: Status) -> None:
    outcome = rig.pay(make_c2b(reference="one", trigger=trigger))

    assert outcome == PaymentOutcome(0, State.NONE, trigger)
    assert rig.count("payments") == rig.count("duplicates") == 0
    assert rig.pay(make_c2b(reference="one")).state == State.COMPLETED


def test_a_customer_who_has_to_be_asked_leaves_the_payment_pending_with_its_prompt(
    rig: Rig,
) -> None:
    payment = ask(rig, amount_minor=7_00)

    assert rig.standing(payment) == (State.PENDING, Status.PROMPT_WAITING)
    assert rig.sql("SELECT payment, amount_minor, deadline_ms, due_ms FROM prompts") == [
        (payment, 7_00, rig.clock.wall_ms() + WAIT_MS, rig.clock.wall_ms() + WAIT_MS)
    ]
    assert rig.balance_of(PAYER) == PAYER_MINOR
    assert rig.count("transfers", "payment <> 0") == 0


@pytest.mark.parametrize(
    ("script", "delay_ms", "due_ms"),
    [
        (Answer.APPROVE, 3_000, 3_000),
        (Answer.APPROVE, 90_000, WAIT_MS),
        (Answer.DECLINE, 0, 0),
        (Answer.WRONG_PIN, 2_000, 2_000),
        (Answer.NEVER, 0, WAIT_MS),
    ],
)
def test_a_script_says_when_the_prompt_falls_due(
    rig: Rig, script: Answer, delay_ms: int, due_ms: int
) -> None:
    rig.run(ScriptCustomer(1, PAYER, script, delay_ms))
    outcome = rig.pay(make_c2b(reference="one"))

    assert outcome.state == State.PENDING
    assert rig.sql("SELECT answer, due_ms FROM prompts") == [(script, rig.clock.wall_ms() + due_ms)]


def test_a_script_that_is_taken_away_and_set_again_at_once_is_set(rig: Rig) -> None:
    rig.run(ScriptCustomer(1, PAYER, Answer.DECLINE, 0))
    rig.run(ScriptCustomer(1, PAYER, Answer.NONE, 0), ScriptCustomer(1, PAYER, Answer.NEVER, 0))
    assert rig.pay(make_c2b(reference="one")).state == State.PENDING

    rig.run(ScriptCustomer(1, PAYER, Answer.DECLINE, 0), ScriptCustomer(1, PAYER, Answer.NONE, 0))
    assert rig.pay(make_c2b(reference="two")).state == State.COMPLETED


def test_the_last_of_two_changes_in_one_batch_stands(rig: Rig) -> None:
    for first, last in ((LOCKED_STATUS, ACTIVE_STATUS), (ACTIVE_STATUS, LOCKED_STATUS)):
        rig.run(SetCustomerStatus(1, PAYER, first), SetCustomerStatus(1, PAYER, last))
        assert rig.sql(
            "SELECT c.status FROM customers AS c JOIN customer_numbers AS n"
            f" ON n.customer = c.id WHERE n.msisdn = '{PAYER}'"
        ) == [(last,)]
    for first, last in (
        (ORGANISATION_ACTIVE, ORGANISATION_SUSPENDED),
        (ORGANISATION_SUSPENDED, ORGANISATION_ACTIVE),
    ):
        rig.run(SetOrganisation(1, SHOP, first, None), SetOrganisation(1, SHOP, last, "c2b"))
        assert rig.sql(f"SELECT status, products FROM organisations WHERE code = '{SHOP}'") == [
            (last, "c2b")
        ]


# --- from pending -------------------------------------------------------------------------------------


def test_an_approval_completes_the_payment(rig: Rig) -> None:
    payment = ask(rig, amount_minor=10_00)

    assert answer(rig, payment, Answer.APPROVE) == (State.COMPLETED, Status.COMPLETED)
    assert rig.standing(payment) == (State.COMPLETED, Status.COMPLETED)
    assert rig.balance_of(PAYER) == PAYER_MINOR - 10_00
    assert rig.balance_of(SHOP) == SHOP_MINOR + 10_00
    assert rig.count("prompts") == 0
    assert rig.sql("SELECT state FROM payments") == [(State.PENDING,)]


def test_money_is_judged_at_the_approval(rig: Rig) -> None:
    first = ask(rig, "first", amount_minor=PAYER_MINOR)
    second = ask(rig, "second", amount_minor=1)

    assert answer(rig, first, Answer.APPROVE) == (State.COMPLETED, Status.COMPLETED)
    assert answer(rig, second, Answer.APPROVE) == (State.FAILED, Status.BALANCE_INSUFFICIENT)
    assert rig.balance_of(PAYER) == 0


def test_two_approvals_of_one_batch_cannot_spend_the_same_money(rig: Rig) -> None:
    first = ask(rig, "first", amount_minor=PAYER_MINOR)
    second = ask(rig, "second", amount_minor=PAYER_MINOR)

    outcomes = rig.run(
        AnswerPrompt(1, second, Answer.APPROVE), AnswerPrompt(1, first, Answer.APPROVE)
    )

    assert outcomes == [
        PaymentOutcome(second, State.COMPLETED, Status.COMPLETED),
        PaymentOutcome(first, State.FAILED, Status.BALANCE_INSUFFICIENT),
    ]


def test_money_that_came_since_counts_at_the_approval(rig: Rig) -> None:
    payment = ask(rig, msisdn=POOR, amount_minor=POOR_MINOR + 1)
    rig.run(FundCustomers(1, ((POOR, 1, "0a" * 16),)))

    assert answer(rig, payment, Answer.APPROVE) == (State.COMPLETED, Status.COMPLETED)


def test_a_decline_fails_the_payment(rig: Rig) -> None:
    payment = ask(rig)

    assert answer(rig, payment, Answer.DECLINE) == (State.FAILED, Status.PROMPT_DECLINED)
    assert rig.standing(payment) == (State.FAILED, Status.PROMPT_DECLINED)
    assert rig.balance_of(PAYER) == PAYER_MINOR


def test_the_third_wrong_pin_fails_the_payment(rig: Rig) -> None:
    payment = ask(rig)

    for _ in range(2):
        assert answer(rig, payment, Answer.WRONG_PIN) == (State.PENDING, Status.PROMPT_WAITING)
    assert rig.standing(payment) == (State.PENDING, Status.PROMPT_WAITING)
    assert answer(rig, payment, Answer.WRONG_PIN) == (State.FAILED, Status.PROMPT_PINS_EXHAUSTED)
    assert rig.sql("SELECT evidence FROM payment_changes") == [("3",)]


def test_wrong_pins_of_one_batch_are_all_counted(rig: Rig) -> None:
    payment = ask(rig)
    wrong = AnswerPrompt(1, payment, Answer.WRONG_PIN)
    rig.run(wrong, wrong)

    assert rig.sql("SELECT wrong_pins FROM prompts") == [(2,)]
    assert answer(rig, payment, Answer.WRONG_PIN) == (State.FAILED, Status.PROMPT_PINS_EXHAUSTED)


def test_a_right_pin_after_two_wrong_ones_completes_the_payment(rig: Rig) -> None:
    payment = ask(rig)
    answer(rig, payment, Answer.WRONG_PIN, attempts=2)

    assert answer(rig, payment, Answer.APPROVE) == (State.COMPLETED, Status.COMPLETED)


# The balance is judged last, so one that is too small hides nothing.
PAYERS = pytest.mark.parametrize(
    ("msisdn", "amount_minor"), [(PAYER, 1), (POOR, POOR_MINOR + 1)], ids=["payer", "poor"]
)


@PAYERS
def test_a_wallet_that_was_locked_meanwhile_fails_the_payment(
    rig: Rig, msisdn: str, amount_minor: int
) -> None:
    payment = ask(rig, msisdn=msisdn, amount_minor=amount_minor)
    rig.run(SetCustomerStatus(1, msisdn, LOCKED_STATUS))

    assert answer(rig, payment, Answer.APPROVE) == (State.FAILED, Status.CUSTOMER_NOT_ACTIVE)
    assert rig.sql("SELECT evidence FROM payment_changes") == [("locked",)]


@PAYERS
def test_an_organisation_that_was_suspended_meanwhile_fails_the_payment(
    rig: Rig, msisdn: str, amount_minor: int
) -> None:
    payment = ask(rig, msisdn=msisdn, amount_minor=amount_minor)
    rig.run(SetOrganisation(1, SHOP, ORGANISATION_SUSPENDED, None))

    assert answer(rig, payment, Answer.APPROVE) == (State.FAILED, Status.ORGANISATION_UNUSABLE)


def test_a_lock_and_an_approval_in_one_batch_are_decided_in_their_order(rig: Rig) -> None:
    payment, other = ask(rig), ask(rig, reference="other")
    outcomes = rig.run(
        AnswerPrompt(1, payment, Answer.APPROVE),
        SetCustomerStatus(1, PAYER, LOCKED_STATUS),
        AnswerPrompt(1, other, Answer.APPROVE),
    )

    assert [getattr(outcome, "status", None) for outcome in outcomes] == [
        Status.COMPLETED,
        None,
        Status.CUSTOMER_NOT_ACTIVE,
    ]


def test_a_suspension_and_an_approval_in_one_batch_are_decided_in_their_order(rig: Rig) -> None:
    payment = ask(rig)
    _, outcome = rig.run(
        SetOrganisation(1, SHOP, ORGANISATION_SUSPENDED, None),
        AnswerPrompt(1, payment, Answer.APPROVE),
    )

    assert getattr(outcome, "status", None) == Status.ORGANISATION_UNUSABLE


@PAYERS
def test_a_wallet_that_filled_up_meanwhile_fails_the_payment(
    rig: Rig, msisdn: str, amount_minor: int
) -> None:
    payment = ask(rig, msisdn=msisdn, amount_minor=amount_minor)
    rig.run(FundOrganisations(1, ((SHOP, BALANCE_MAX_MINOR - SHOP_MINOR, "0b" * 16),)))

    assert answer(rig, payment, Answer.APPROVE) == (
        State.FAILED,
        Status.ORGANISATION_WALLET_FULL,
    )


def test_a_payment_expires_at_its_deadline_and_not_before(rig: Rig) -> None:
    payment = ask(rig)
    rig.clock.advance(WAIT_MS - 1)
    assert expire(rig, payment) == (State.PENDING, Status.PROMPT_WAITING)

    rig.clock.advance(1)
    assert expire(rig, payment) == (State.EXPIRED, Status.PROMPT_EXPIRED)
    assert rig.standing(payment) == (State.EXPIRED, Status.PROMPT_EXPIRED)
    assert rig.count("prompts") == 0


def test_an_answer_at_the_deadline_is_too_late(rig: Rig) -> None:
    payment = ask(rig)
    rig.clock.advance(WAIT_MS)

    assert answer(rig, payment, Answer.APPROVE) == (State.EXPIRED, Status.PROMPT_EXPIRED)
    assert rig.sql("SELECT evidence FROM payment_changes") == [("answered too late",)]
    assert rig.balance_of(PAYER) == PAYER_MINOR


def test_a_forced_expiry_does_not_wait_for_the_deadline(rig: Rig) -> None:
    payment = ask(rig)

    assert expire(rig, payment, is_forced=True) == (State.EXPIRED, Status.PROMPT_EXPIRED)


# --- to nowhere ---------------------------------------------------------------------------------------


def finish(rig: Rig, how: str) -> int:
    """A payment in one of its last states."""
    if how == "completed at once":
        return rig.pay(make_c2b(reference="final")).payment
    if how == "refused at once":
        return rig.pay(make_c2b(reference="final", msisdn=LOCKED)).payment
    payment = ask(rig, "final")
    if how == "expired":
        expire(rig, payment, is_forced=True)
    else:
        answer(rig, payment, {"approved": Answer.APPROVE, "declined": Answer.DECLINE}[how])
    return payment


@pytest.mark.parametrize(
    "how", ["completed at once", "refused at once", "approved", "declined", "expired"]
)
def test_nothing_leaves_a_last_state(rig: Rig, how: str) -> None:
    payment = finish(rig, how)
    stands = rig.standing(payment)
    assert stands is not None
    assert stands[0] in FINAL_STATES
    changes, transfers = rig.count("payment_changes"), rig.count("transfers")

    for command in (
        AnswerPrompt(1, payment, Answer.APPROVE),
        AnswerPrompt(1, payment, Answer.DECLINE),
        AnswerPrompt(1, payment, Answer.WRONG_PIN, 3),
        ExpirePrompt(1, payment),
        ExpirePrompt(1, payment, is_forced=True),
    ):
        assert rig.run(command) == [PaymentOutcome(payment, *stands)]
    assert rig.standing(payment) == stands
    assert (rig.count("payment_changes"), rig.count("transfers")) == (changes, transfers)


def test_the_first_of_two_answers_in_one_batch_decides(rig: Rig) -> None:
    for number, (first, last) in enumerate(
        (
            (Answer.APPROVE, Answer.DECLINE),
            (Answer.DECLINE, Answer.APPROVE),
        )
    ):
        payment = ask(rig, f"race {number}")
        winner, loser = rig.run(AnswerPrompt(1, payment, first), AnswerPrompt(1, payment, last))
        assert winner == loser
        assert isinstance(winner, PaymentOutcome)
        assert rig.standing(payment) == (winner.state, winner.status)


@pytest.mark.parametrize("approval_first", [True, False])
def test_approval_and_expiry_race_and_both_get_the_winners_state(
    rig: Rig, approval_first: bool
) -> None:
    payment = ask(rig)
    race = [AnswerPrompt(1, payment, Answer.APPROVE), ExpirePrompt(1, payment, is_forced=True)]

    first, second = rig.run(*(race if approval_first else reversed(race)))

    expected = (
        (State.COMPLETED, Status.COMPLETED)
        if approval_first
        else (State.EXPIRED, Status.PROMPT_EXPIRED)
    )
    assert first == second == PaymentOutcome(payment, *expected)
    assert rig.balance_of(SHOP) == SHOP_MINOR + (10_00 if approval_first else 0)


def test_a_prompt_of_nobody_is_unknown(rig: Rig) -> None:
    unknown = PaymentOutcome(12345, State.NONE, Status.PROMPT_UNKNOWN)

    assert rig.run(AnswerPrompt(1, 12345, Answer.APPROVE)) == [unknown]
    assert rig.run(ExpirePrompt(1, 12345)) == [unknown]


# --- one effect at most ---------------------------------------------------------------------------------


def test_a_repeated_conversation_id_is_refused_whatever_became_of_the_first(rig: Rig) -> None:
    repeated = PaymentOutcome(0, State.NONE, Status.DUPLICATE)
    rig.pay(make_c2b(reference="completed"))
    rig.pay(make_c2b(reference="failed", msisdn=LOCKED))
    expired = ask(rig, "expired")
    expire(rig, expired, is_forced=True)
    ask(rig, "pending")
    payments = rig.count("payments")

    for reference in ("completed", "failed", "expired", "pending"):
        assert rig.pay(make_c2b(reference=reference, amount_minor=1)) == repeated
    assert rig.count("payments") == payments
    rig.run(*rig.list_expiries())


def test_a_conversation_id_may_stand_once_in_a_batch(rig: Rig) -> None:
    command = make_c2b(reference="twice")
    first, second, third = rig.run(command, command, make_c2b(reference="once"))

    assert isinstance(first, PaymentOutcome)
    assert first.state == State.COMPLETED
    assert second == PaymentOutcome(0, State.NONE, Status.DUPLICATE)
    assert isinstance(third, PaymentOutcome)
    assert third.state == State.COMPLETED
    assert rig.balance_of(SHOP) == SHOP_MINOR + 2 * 10_00


def test_a_conversation_id_belongs_to_one_application_in_one_market(rig: Rig) -> None:
    assert rig.open_ledger(market="vodacomMOZ") == 2
    for command in (
        make_c2b(reference="shared", application=7),
        make_c2b(reference="shared", application=8),
        make_c2b(reference="shared", application=7, ledger=2),
    ):
        assert rig.pay(command).state == State.COMPLETED


def test_payments_of_one_batch_spend_one_after_the_other(rig: Rig) -> None:
    outcomes = rig.run(
        make_c2b(reference="first", amount_minor=PAYER_MINOR - 1),
        make_c2b(reference="second", amount_minor=2),
        make_c2b(reference="third", amount_minor=1),
    )

    assert [outcome.state for outcome in outcomes if isinstance(outcome, PaymentOutcome)] == [
        State.COMPLETED,
        State.FAILED,
        State.COMPLETED,
    ]
    assert rig.balance_of(PAYER) == 0


# --- money enters ---------------------------------------------------------------------------------------


def test_a_funding_that_is_repeated_funds_once(rig: Rig) -> None:
    key = "0c" * 16
    (first,) = rig.run(FundCustomers(1, ((POOR, 100, key),)))
    (again,) = rig.run(FundCustomers(1, ((POOR, 100, key),)))

    assert isinstance(first, Done)
    assert again == first
    assert rig.balance_of(POOR) == POOR_MINOR + 100


def test_one_key_stands_for_one_funding_within_a_batch_and_a_list(rig: Rig) -> None:
    key = "0d" * 16
    twice = FundCustomers(1, ((POOR, 100, key), (POOR, 100, key)))
    first, again = rig.run(twice, twice)

    assert isinstance(first, Done)
    assert first.ids[0] == first.ids[1]
    assert again == first
    assert rig.balance_of(POOR) == POOR_MINOR + 100


@pytest.mark.parametrize(
    ("bad", "kind", "field"),
    [
        (("255799999999", 1, "0e" * 16), RefusalKind.NOT_FOUND, "msisdn"),
        ((POOR, BALANCE_MAX_MINOR, "0e" * 16), RefusalKind.INVALID, "amount"),
    ],
)
def test_a_list_of_fundings_is_carried_out_whole_or_not_at_all(
    rig: Rig, bad: tuple[str, int, str], kind: RefusalKind, field: str
) -> None:
    (refused,) = rig.run(FundCustomers(1, ((POOR, 100, "1a" * 16), bad)))

    assert isinstance(refused, Refused)
    assert (refused.kind, refused.field) == (kind, field)
    assert rig.balance_of(POOR) == POOR_MINOR
    (funded,) = rig.run(FundCustomers(1, ((POOR, 100, "1a" * 16),)))
    assert isinstance(funded, Done)


def test_a_ledger_issues_no_more_than_its_database_can_add_up(rig: Rig) -> None:
    customers = tuple(
        NewCustomer(f"2557110000{number:02}", "A", "B", amount_minor=BALANCE_MAX_MINOR)
        for number in range(ISSUED_MAX_MINOR // BALANCE_MAX_MINOR)
    )
    too_many, almost_all = rig.run(AddCustomers(1, customers), AddCustomers(1, customers[1:]))
    assert isinstance(too_many, Refused)
    assert (too_many.kind, too_many.field) == (RefusalKind.INVALID, "balance")
    assert isinstance(almost_all, Done)
    assert rig.count("customer_numbers", f"msisdn = '{customers[0].msisdn}'") == 0

    ((issued_minor,),) = rig.sql("SELECT -balance_minor FROM accounts WHERE owner_kind = 0")
    left_minor = ISSUED_MAX_MINOR - issued_minor
    one_more, rest, repeated = rig.run(
        FundCustomers(1, ((POOR, left_minor, "2a" * 16), (PAYER, 1, "2b" * 16))),
        FundCustomers(1, ((POOR, left_minor, "2a" * 16),)),
        FundCustomers(1, ((POOR, left_minor, "2a" * 16),)),
    )
    assert isinstance(one_more, Refused)
    assert (one_more.kind, one_more.field) == (RefusalKind.INVALID, "amount")
    assert "take less, or another world" in one_more.reason
    assert isinstance(rest, Done)
    assert repeated == rest
    refused, penniless, funded = rig.run(
        AddOrganisations(1, (NewOrganisation("NEW001", "New", "c2b", amount_minor=1),)),
        AddOrganisations(1, (NewOrganisation("NEW001", "New", "c2b"),)),
        FundOrganisations(1, ((SHOP, 1, "2c" * 16),)),
    )
    assert isinstance(refused, Refused)
    assert isinstance(penniless, Done)
    assert isinstance(funded, Refused)
    # What is there goes round as before.
    paid = make_c2b(reference="rent", msisdn=customers[1].msisdn, organisation="NEW001")
    assert rig.pay(paid).state == State.COMPLETED


def test_the_same_parties_are_added_once(rig: Rig) -> None:
    customers = AddCustomers(1, (NewCustomer("255711111111", "A", "B", amount_minor=5),))
    organisations = AddOrganisations(1, (NewOrganisation("NEW001", "New", "c2b"),))

    first = rig.run(customers, organisations)
    again = rig.run(customers, organisations)

    assert [outcome.ids != (0,) for outcome in first if isinstance(outcome, Done)] == [True, True]
    assert again == [Done((0,)), Done((0,))]
    assert rig.balance_of("255711111111") == 5
    assert (
        rig.pay(
            make_c2b(reference="new", msisdn="255711111111", organisation="NEW001", amount_minor=5)
        ).state
        == State.COMPLETED
    )


# --- ledgers and ids ------------------------------------------------------------------------------------


def test_a_ledger_is_opened_once_and_keeps_its_number(rig: Rig) -> None:
    again, other, other_again = rig.run(
        make_open_ledger(1, "vodacomTZN"),
        make_open_ledger(2, "vodacomTZN"),
        make_open_ledger(2, "vodacomTZN"),
    )

    assert (again, other, other_again) == (Done((1,)), Done((2,)), Done((2,)))
    assert rig.balance_of(PAYER, ledger=1) == rig.balance_of(PAYER, ledger=2) == PAYER_MINOR


def test_money_of_one_ledger_is_unknown_to_the_other(rig: Rig) -> None:
    rig.open_ledger(2)
    outcomes = rig.run(
        make_c2b(ledger=1, reference="one", amount_minor=PAYER_MINOR),
        make_c2b(ledger=2, reference="one", amount_minor=PAYER_MINOR),
    )

    payments = [outcome for outcome in outcomes if isinstance(outcome, PaymentOutcome)]
    assert [outcome.state for outcome in payments] == [State.COMPLETED, State.COMPLETED]
    assert [ledger_of(outcome.payment) for outcome in payments] == [1, 2]


def test_ids_grow_in_the_order_of_commit_though_the_clock_goes_back(rig: Rig) -> None:
    ids = []
    for number, jump_ms in enumerate((0, -5_000, 3_000, -40_000, 20)):
        rig.clock.jump(jump_ms)
        ids.append(rig.pay(make_c2b(reference=f"jump {number}")).payment)

    assert ids == sorted(set(ids))


def test_ledger_time_never_goes_back(rig: Rig) -> None:
    rig.pay(make_c2b(reference="before"))
    ((before_ms,),) = rig.sql("SELECT last_time_ms FROM ledger_state WHERE ledger = 1")
    rig.clock.jump(-30_000)
    payment = ask(rig, "after")

    assert rig.sql("SELECT last_time_ms FROM ledger_state WHERE ledger = 1") == [(before_ms,)]
    assert rig.sql("SELECT deadline_ms FROM prompts") == [(before_ms + WAIT_MS,)]
    answer(rig, payment, Answer.DECLINE)
