"""The model that judges histories, against what the operator's pages say of each refusal."""

import pytest

from tests.history.shapes import (
    SUCCESS,
    Answer,
    Ask,
    Customer,
    Operation,
    Organisation,
    World,
    read_conversation_id,
    read_transaction_id,
)
from tests.history.simulator import Gateway, write_conversation_id, write_transaction_id

OURS, OTHERS = 1, 2
EVERYTHING = frozenset(Operation)
WORLD = World(
    organisations={
        "SHOP": Organisation(100_00),
        "MILL": Organisation(50_00),
        "FULL": Organisation(990_00),
        "THEIRS": Organisation(10_00),
        "CLOSED": Organisation(10_00, is_active=False),
        "BARRED": Organisation(10_00, products=frozenset()),
    },
    customers={
        "255700000001": Customer(20_00),
        "255700000002": Customer(20_00, is_active=False),
    },
    applications={
        OURS: frozenset({"SHOP", "MILL", "FULL", "CLOSED", "BARRED", "GHOST"}),
        OTHERS: frozenset({"THEIRS"}),
    },
    balance_max_minor=1_000_00,
)
CUSTOMER, LOCKED = "255700000001", "255700000002"
C2B, B2C, B2B, REVERSAL = Operation.C2B, Operation.B2C, Operation.B2B, Operation.REVERSAL


def play(gateway: Gateway, *asks: Ask) -> list[Answer]:
    start = len(gateway.payments)
    return [gateway.decide(ask, f"{number}") for number, ask in enumerate(asks, start)]


@pytest.mark.parametrize(
    ("operation", "organisation", "counterparty", "amount_minor", "code"),
    [
        (C2B, "SHOP", CUSTOMER, 20_00, "INS-0"),
        (C2B, "SHOP", CUSTOMER, 20_01, "INS-2006"),
        (C2B, "SHOP", LOCKED, 1, "INS-6"),
        (C2B, "SHOP", "255700000009", 1, "INS-2051"),
        (C2B, "FULL", CUSTOMER, 10_00, "INS-0"),
        (C2B, "FULL", CUSTOMER, 10_01, "INS-6"),
        (C2B, "FULL", CUSTOMER, 20_01, "INS-6"),
        (C2B, "GHOST", LOCKED, 1, "INS-13"),
        (C2B, "CLOSED", LOCKED, 1, "INS-13"),
        (C2B, "THEIRS", LOCKED, 1, "INS-13"),
        (C2B, "BARRED", LOCKED, 1, "INS-997"),
        (B2C, "SHOP", CUSTOMER, 100_00, "INS-0"),
        (B2C, "SHOP", CUSTOMER, 100_01, "INS-2006"),
        (B2C, "SHOP", LOCKED, 1, "INS-6"),
        (B2C, "BARRED", LOCKED, 1, "INS-997"),
        (B2B, "SHOP", "THEIRS", 100_00, "INS-0"),
        (B2B, "SHOP", "THEIRS", 100_01, "INS-2006"),
        (B2B, "SHOP", "FULL", 10_01, "INS-6"),
        (B2B, "SHOP", "GHOST", 1, "INS-13"),
        (B2B, "SHOP", "CLOSED", 1, "INS-13"),
        (B2B, "SHOP", "SHOP", 1, "INS-13"),
        (B2B, "BARRED", "BARRED", 1, "INS-13"),
        (B2B, "BARRED", "SHOP", 1, "INS-997"),
        (REVERSAL, "GHOST", "5fT0kQ2mBx7L", 0, "INS-13"),
        (REVERSAL, "BARRED", "5fT0kQ2mBx7L", 0, "INS-997"),
        (REVERSAL, "SHOP", "5fT0kQ2mBx7L", 0, "INS-18"),
        (REVERSAL, "SHOP", "short", 0, "INS-18"),
    ],
)
def test_a_first_request_is_refused_by_the_first_check_that_it_fails(
    operation: Operation, organisation: str, counterparty: str, amount_minor: int, code: str
) -> None:
    (answer,) = play(Gateway(WORLD), Ask(OURS, operation, organisation, counterparty, amount_minor))
    assert answer.code == code


@pytest.mark.parametrize(
    ("reversals", "codes"),
    [
        # What each organisation takes back of a payment of 12.00 from SHOP to MILL.
        ([("SHOP", 0)], ["INS-0"]),
        ([("MILL", 0)], ["INS-0"]),
        ([("FULL", 0)], ["INS-35"]),
        ([("SHOP", 12_01)], ["INS-15"]),
        ([("SHOP", 12_00), ("MILL", 1)], ["INS-0", "INS-6"]),
        ([("SHOP", 5_00), ("MILL", 7_00), ("SHOP", 0)], ["INS-0", "INS-0", "INS-6"]),
        ([("SHOP", 5_00), ("SHOP", 7_01), ("SHOP", 0)], ["INS-0", "INS-15", "INS-0"]),
    ],
)
def test_a_payment_goes_back_to_its_parties_and_never_more_of_it_than_there_was(
    reversals: list[tuple[str, int]], codes: list[str]
) -> None:
    gateway = Gateway(WORLD)
    (paid,) = play(gateway, Ask(OURS, B2B, "SHOP", "MILL", 12_00))
    answers = play(
        gateway,
        *(
            Ask(OURS, REVERSAL, organisation, paid.transaction_id, amount_minor)
            for organisation, amount_minor in reversals
        ),
    )
    assert [answer.code for answer in answers] == codes
    given_back = sum(row.amount_minor for row in gateway.reversals)
    balances = gateway.close().balances
    assert balances["organisation SHOP"] == 88_00 + given_back
    assert balances["organisation MILL"] == 62_00 - given_back
    assert sum(balances.values()) == 0


def test_an_operator_may_forbid_the_reversal_to_who_paid() -> None:
    strict = World(
        WORLD.organisations, WORLD.customers, WORLD.applications, b2b_payer_may_reverse=False
    )
    gateway = Gateway(strict)
    (paid,) = play(gateway, Ask(OURS, B2B, "SHOP", "MILL", 12_00))
    by_payer, by_payee = play(
        gateway,
        Ask(OURS, REVERSAL, "SHOP", paid.transaction_id, 0),
        Ask(OURS, REVERSAL, "MILL", paid.transaction_id, 0),
    )
    assert (by_payer.code, by_payee.code) == ("INS-35", "INS-0")


def test_a_reversal_is_not_reversed_and_takes_only_what_is_there() -> None:
    gateway = Gateway(WORLD)
    paid, spent = play(
        gateway,
        Ask(OURS, B2C, "SHOP", CUSTOMER, 30_00),
        Ask(OURS, C2B, "MILL", CUSTOMER, 45_00),
    )
    lacking, partly = play(
        gateway,
        Ask(OURS, REVERSAL, "SHOP", paid.transaction_id, 0),
        Ask(OURS, REVERSAL, "SHOP", paid.transaction_id, 5_00),
    )
    (again,) = play(gateway, Ask(OURS, REVERSAL, "SHOP", partly.transaction_id, 0))
    assert spent.code == partly.code == SUCCESS
    assert (lacking.code, again.code) == ("INS-2006", "INS-6")


def test_the_second_request_of_a_key_is_a_duplicate_of_its_application_and_operation() -> None:
    gateway = Gateway(WORLD)
    ask = Ask(OURS, C2B, "GHOST", CUSTOMER, 1)
    assert gateway.decide(ask, "one").code == "INS-13"
    assert gateway.decide(Ask(OURS, C2B, "SHOP", CUSTOMER, 2), "one").code == "INS-10"
    assert gateway.decide(Ask(OURS, B2C, "SHOP", CUSTOMER, 2), "one").code == "INS-0"
    assert gateway.decide(Ask(OTHERS, C2B, "THEIRS", CUSTOMER, 2), "one").code == "INS-0"


def test_references_are_read_as_they_are_written() -> None:
    for number in (1, 7 << 12, 1 << 62):
        assert read_transaction_id(write_transaction_id(number)) == number
        assert read_conversation_id(write_conversation_id(number)) == number
    assert read_transaction_id("N/A") == read_conversation_id("") == 0
