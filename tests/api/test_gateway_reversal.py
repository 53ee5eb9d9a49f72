"""Reversals over HTTP: money goes back, in full or in part, and never more than was paid."""

import pytest

from tests.api.gateway_world import B2C, REVERSAL, Original, World
from tests.e2e.server import wait_until


@pytest.fixture
def world(each_world: World) -> World:
    """Each test on both databases."""
    return each_world


def reverse(world: World, original: Original, **changes: str | None) -> tuple[int, str]:
    """Status and code of the answer to a reversal of it."""
    status, answer = world.send(
        REVERSAL,
        **{
            "TransactionID": original.transaction_id,
            "ServiceProviderCode": original.organisation,
            **changes,
        },
    )
    return status, answer["output_ResponseCode"]


def is_reversed(world: World, original: Original) -> str:
    _, found = world.query(original.transaction_id, ServiceProviderCode=original.organisation)
    assert found["output_ResponseTransactionStatus"] == "Completed"
    return found["output_Reversed"]


def test_a_reversal_is_answered_with_the_documented_fields(world: World) -> None:
    reference = world.reference()
    status, answer = world.send(REVERSAL, ThirdPartyConversationID=reference)
    assert status == 201
    assert list(answer) == [
        "output_ResponseCode",
        "output_ResponseDesc",
        "output_TransactionID",
        "output_ConversationID",
        "output_ThirdPartyConversationID",
    ]
    assert answer["output_ThirdPartyConversationID"] == reference


def test_a_c2b_without_an_amount_goes_back_in_full(world: World) -> None:
    original = world.make_original()
    assert world.read_balance(original.organisation) == 10
    assert is_reversed(world, original) == "False"

    assert reverse(world, original) == (201, "INS-0")

    assert world.read_balance(original.organisation) == 0
    assert world.read_balance(original.msisdn) == 10
    assert is_reversed(world, original) == "True"
    assert reverse(world, original) == (401, "INS-6")


def test_several_parts_go_back_until_nothing_is_left(world: World) -> None:
    original = world.make_original()
    assert reverse(world, original, ReversalAmount="4") == (201, "INS-0")
    assert is_reversed(world, original) == "False"
    assert reverse(world, original, ReversalAmount="6.01") == (400, "INS-15")
    assert reverse(world, original, ReversalAmount="5.99") == (201, "INS-0")
    assert reverse(world, original) == (201, "INS-0")
    assert is_reversed(world, original) == "True"
    assert reverse(world, original, ReversalAmount="0.01") == (401, "INS-6")
    assert world.read_balance(original.organisation) == 0
    assert world.read_balance(original.msisdn) == 10


def test_a_b2c_goes_back_to_the_organisation(world: World) -> None:
    msisdn = world.make_customer(balance="1")
    before = world.read_balance(world.organisation())
    transaction_id = world.succeed(B2C, CustomerMSISDN=msisdn)
    original = Original(world.organisation(), msisdn, transaction_id)

    assert reverse(world, original) == (201, "INS-0")

    assert world.read_balance(msisdn) == 1
    assert world.read_balance(world.organisation()) == before


def test_a_customer_who_has_spent_it_cannot_give_it_back(world: World) -> None:
    msisdn = world.make_customer(balance="0")
    transaction_id = world.succeed(B2C, CustomerMSISDN=msisdn)
    world.pay(CustomerMSISDN=msisdn, Amount="9.99")
    original = Original(world.organisation(), msisdn, transaction_id)
    assert reverse(world, original) == (422, "INS-2006")
    # What is left of it can.
    assert reverse(world, original, ReversalAmount="0.01") == (201, "INS-0")


@pytest.mark.parametrize("account_status", ["locked", "inactive", "pending_approval"])
def test_a_customer_whose_account_cannot_be_used_receives_all_the_same(
    world: World, account_status: str
) -> None:
    original = world.make_original()
    change = {"market": "vodacomTZN", "status": account_status}
    world.admin.call("POST", f"customers/{original.msisdn}/status", change)
    assert reverse(world, original) == (201, "INS-0")
    assert world.read_balance(original.msisdn) == 10


def test_a_payment_whose_customer_was_asked_can_be_reversed(world: World) -> None:
    """It was completed by a change, not at once; its money is found all the same."""
    msisdn, code = world.make_customer(balance="10"), world.organisation()
    world.admin.script(msisdn, "approve", delay_ms=50)
    _, paid = world.pay(CustomerMSISDN=msisdn)
    assert paid["output_ResponseCode"] == "INS-0"
    assert reverse(world, Original(code, msisdn, paid["output_TransactionID"])) == (201, "INS-0")
    assert world.read_balance(msisdn) == 10


def test_a_reversal_can_be_queried_by_all_its_ids(world: World) -> None:
    original = world.make_original()
    _, answer = world.send(
        REVERSAL,
        TransactionID=original.transaction_id,
        ServiceProviderCode=original.organisation,
    )
    for name in ("TransactionID", "ThirdPartyConversationID", "ConversationID"):
        _, found = world.query(answer[f"output_{name}"], ServiceProviderCode=original.organisation)
        assert found["output_ResponseTransactionStatus"] == "Completed"
        assert found["output_OriginalTransactionID"] == answer["output_TransactionID"]
        assert found["output_Reversed"] == "False"


@pytest.mark.parametrize(
    "transaction_id", ["1", "A1b2C3d4E5f6", "0000000000008", "0000000000000", "zzzzzzzzzzzzz"]
)
def test_a_transaction_that_nobody_made_is_unknown(world: World, transaction_id: str) -> None:
    original = Original(world.organisation(), "", transaction_id)
    assert reverse(world, original) == (400, "INS-18")


@pytest.mark.parametrize(
    ("digit", "status", "code", "found"),
    [
        (1, 201, "INS-0", "Completed"),
        (2, 400, "INS-1", None),
        (3, 401, "INS-6", "Failed"),
        (4, 400, "INS-15", "Failed"),
        (5, 422, "INS-2006", "Failed"),
        (6, 400, "INS-35", "Failed"),
        (7, 503, "INS-16", None),
    ],
)
def test_a_trigger_of_reversal_moves_nothing_and_can_be_queried(
    world: World, digit: int, status: int, code: str, found: str | None
) -> None:
    reference, organisation = world.reference(), world.organisation()
    before = world.read_balance(organisation)
    triggered = {
        "TransactionID": f"000000000000{digit}",
        "ServiceProviderCode": organisation,
        "ThirdPartyConversationID": reference,
        "ReversalAmount": "3",
    }
    answered, answer = world.send(REVERSAL, **triggered)
    assert (answered, answer["output_ResponseCode"]) == (status, code)
    assert world.read_balance(organisation) == before
    _, told = world.query(reference)
    assert told.get("output_ResponseTransactionStatus") == found
    if code == "INS-0":
        assert told["output_OriginalTransactionID"] == answer["output_TransactionID"]
    again = world.send(REVERSAL, **triggered)[1]["output_ResponseCode"]
    assert again == (code if found is None else "INS-10")


def test_the_audit_finds_the_books_in_order(world: World) -> None:
    """After all that was reversed above, by whichever of these tests ran."""
    wait_until(world.server.is_ready, timeout_s=5, what="a ready server")
    audit = world.server.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr
