"""B2C over HTTP: an organisation pays customers."""

from decimal import Decimal

import pytest

from tests.api.gateway_world import B2C, World


@pytest.fixture
def world(each_world: World) -> World:
    """Each test on both databases."""
    return each_world


def test_a_b2c_is_answered_with_the_documented_fields(world: World) -> None:
    reference = world.reference()
    status, answer = world.send(B2C, ThirdPartyConversationID=reference)
    assert status == 201
    assert list(answer.items())[:2] == [
        ("output_ResponseCode", "INS-0"),
        ("output_ResponseDesc", "Request processed successfully"),
    ]
    assert list(answer)[2:] == [
        "output_TransactionID",
        "output_ConversationID",
        "output_ThirdPartyConversationID",
    ]
    assert answer["output_ThirdPartyConversationID"] == reference


def test_a_b2c_moves_the_money_from_the_organisation_to_the_customer_once(world: World) -> None:
    code, msisdn = world.organisation(), world.make_customer(balance="5")
    before = world.read_balance(code)
    request = {"CustomerMSISDN": msisdn, "Amount": "12.34"}
    reference = world.reference()

    assert world.send(B2C, **request, ThirdPartyConversationID=reference)[0] == 201
    assert world.send(B2C, **request, ThirdPartyConversationID=reference)[0] == 409

    assert world.read_balance(code) == before - Decimal("12.34")
    assert world.read_balance(msisdn) == Decimal("17.34")


def test_a_customer_is_not_asked_before_being_paid(world: World) -> None:
    silent = world.customer("never")
    assert world.send(B2C, CustomerMSISDN=silent)[0] == 201


def test_nothing_moves_where_the_organisation_has_too_little(world: World) -> None:
    code, msisdn = world.organisation("poor"), world.make_customer(balance="0")
    status, answer = world.send(B2C, ServiceProviderCode=code, CustomerMSISDN=msisdn)
    assert (status, answer["output_ResponseCode"]) == (422, "INS-2006")
    assert world.read_balance(code) == world.read_balance(msisdn) == 0


def test_one_conversation_id_is_good_for_one_request_of_each_operation(world: World) -> None:
    reference = world.reference()
    assert world.pay(ThirdPartyConversationID=reference)[0] == 201
    _, paid_out = world.send(B2C, ThirdPartyConversationID=reference)
    assert paid_out["output_ResponseCode"] == "INS-0"
    # The newest of them is what the id means from now on.
    _, found = world.query(reference)
    assert found["output_OriginalTransactionID"] == paid_out["output_TransactionID"]


def test_a_b2c_is_found_by_each_of_its_ids(world: World) -> None:
    _, paid = world.send(B2C)
    for name in ("TransactionID", "ThirdPartyConversationID", "ConversationID"):
        _, found = world.query(paid[f"output_{name}"])
        assert found["output_ResponseTransactionStatus"] == "Completed"
        assert found["output_OriginalTransactionID"] == paid["output_TransactionID"]
        assert found["output_Reversed"] == "False"


def test_the_trigger_for_success_is_an_ordinary_customer(world: World) -> None:
    before = world.read_balance("000000000001")
    reference = world.reference()
    request = {"CustomerMSISDN": "000000000001", "ThirdPartyConversationID": reference}
    assert world.send(B2C, **request, Amount="3")[1]["output_ResponseCode"] == "INS-0"
    assert world.query(reference)[1]["output_ResponseTransactionStatus"] == "Completed"
    assert world.read_balance("000000000001") == before + 3


@pytest.mark.parametrize(
    ("digit", "status", "code", "found"),
    [
        (0, 400, "INS-2051", "Failed"),
        (2, 400, "INS-1", None),
        (3, 401, "INS-6", "Failed"),
        (4, 408, "INS-9", "Expired"),
        (5, 400, "INS-15", "Failed"),
        (6, 422, "INS-2006", "Failed"),
        (7, 503, "INS-16", None),
        (8, 400, "INS-2051", "Failed"),
        (9, 400, "INS-2051", "Failed"),
    ],
)
def test_a_trigger_of_b2c_is_answered_at_once_and_can_be_queried(
    world: World, digit: int, status: int, code: str, found: str | None
) -> None:
    reference = world.reference()
    triggered = {"CustomerMSISDN": f"00000000000{digit}", "ThirdPartyConversationID": reference}
    answered, answer = world.send(B2C, **triggered)
    assert (answered, answer["output_ResponseCode"]) == (status, code)
    assert world.query(reference)[1].get("output_ResponseTransactionStatus") == found
    again = world.send(B2C, **triggered)[1]["output_ResponseCode"]
    assert again == (code if found is None else "INS-10")


def test_a_number_with_fourteen_zeros_and_digits_is_no_trigger(world: World) -> None:
    _, answer = world.send(B2C, CustomerMSISDN="00000000000003")
    assert answer["output_ResponseCode"] == "INS-2051"
