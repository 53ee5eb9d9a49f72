"""B2B over HTTP: one organisation pays another."""

import pytest

from tests.api.gateway_world import B2B, REVERSAL, World


@pytest.fixture
def world(each_world: World) -> World:
    """Each test on both databases."""
    return each_world


def test_a_b2b_moves_the_money_between_the_organisations_once(world: World) -> None:
    payer, payee, reference = world.organisation(), world.receiver(), world.reference()
    before = world.read_balance(payer), world.read_balance(payee)

    status, answer = world.send(B2B, Amount="7", ThirdPartyConversationID=reference)
    again = world.send(B2B, Amount="7", ThirdPartyConversationID=reference)[1]

    assert (status, answer["output_ResponseCode"]) == (201, "INS-0")
    assert list(answer) == [
        "output_ResponseCode",
        "output_ResponseDesc",
        "output_TransactionID",
        "output_ConversationID",
        "output_ThirdPartyConversationID",
    ]
    assert again["output_ResponseCode"] == "INS-10"
    assert (world.read_balance(payer), world.read_balance(payee)) == (before[0] - 7, before[1] + 7)


def test_an_organisation_cannot_pay_itself(world: World) -> None:
    status, answer = world.send(B2B, ReceiverPartyCode=world.organisation())
    assert (status, answer["output_ResponseCode"]) == (400, "INS-13")


def test_the_receiver_need_not_have_the_product(world: World) -> None:
    receiver = world.organisation("product")
    assert world.send(B2B, ReceiverPartyCode=receiver)[0] == 201


def test_both_parties_find_it_the_other_one_by_transaction_id_only(world: World) -> None:
    receiver = world.receiver()
    other = world.add_application(organisations=[receiver], origins=["*"])
    _, paid = world.send(B2B)
    ids = [
        paid[f"output_{name}"]
        for name in ("TransactionID", "ThirdPartyConversationID", "ConversationID")
    ]
    own = [world.query(id_)[1]["output_ResponseCode"] for id_ in ids]
    others = [
        world.query(id_, other, ServiceProviderCode=receiver)[1]["output_ResponseCode"]
        for id_ in ids
    ]
    assert own == ["INS-0"] * 3
    assert others == ["INS-0", "INS-23", "INS-23"]


def test_either_party_may_reverse_it_and_both_find_the_reversal(world: World) -> None:
    receiver = world.receiver()
    other = world.add_application(organisations=[receiver], origins=["*"])
    transaction_id = world.succeed(B2B, Amount="9")
    parts = [
        world.send(
            REVERSAL,
            application,
            TransactionID=transaction_id,
            ServiceProviderCode=code,
            ReversalAmount="4.50",
        )[1]
        for application, code in ((None, world.organisation()), (other, receiver))
    ]
    assert [part["output_ResponseCode"] for part in parts] == ["INS-0", "INS-0"]
    for part in parts:
        reversal = part["output_TransactionID"]
        for application, code in ((None, world.organisation()), (other, receiver)):
            _, found = world.query(reversal, application, ServiceProviderCode=code)
            assert found["output_ResponseTransactionStatus"] == "Completed"
            # A reversal is no payment that could be given back again.
            status, answer = world.send(
                REVERSAL, application, TransactionID=reversal, ServiceProviderCode=code
            )
            assert (status, answer["output_ResponseCode"]) == (401, "INS-6")
    assert world.query(transaction_id)[1]["output_Reversed"] == "True"


def test_an_organisation_that_is_suspended_gives_nothing_back_and_is_given_back(
    world: World,
) -> None:
    suspended = [world.make_organisation(balance="5") for _ in range(2)]
    payer = world.make_organisation(balance="5")
    application = world.add_application(organisations=[payer, suspended[1]], origins=["*"])
    paid = world.send(
        B2B, application, PrimaryPartyCode=payer, ReceiverPartyCode=suspended[0], Amount="2"
    )[1]["output_TransactionID"]
    received = world.send(
        B2B, application, PrimaryPartyCode=suspended[1], ReceiverPartyCode=payer, Amount="2"
    )[1]["output_TransactionID"]
    for code in suspended:
        world.spoil_organisation(code, {"suspended"})

    def reverse(transaction_id: str, code: str) -> str:
        changes = {"TransactionID": transaction_id, "ServiceProviderCode": code}
        return world.send(REVERSAL, application, **changes)[1]["output_ResponseCode"]

    assert reverse(paid, payer) == "INS-6"
    assert reverse(received, suspended[1]) == "INS-13"
    assert reverse(received, payer) == "INS-0"
    assert [world.read_balance(code) for code in suspended] == [7, 5]


@pytest.mark.parametrize("code", ["000000", "000001"])
def test_the_trigger_for_success_and_the_code_without_one_are_ordinary_receivers(
    world: World, code: str
) -> None:
    before, reference = world.read_balance(code), world.reference()
    request = {"ReceiverPartyCode": code, "ThirdPartyConversationID": reference}
    assert world.send(B2B, **request, Amount="3")[1]["output_ResponseCode"] == "INS-0"
    assert world.query(reference)[1]["output_ResponseTransactionStatus"] == "Completed"
    assert world.read_balance(code) == before + 3


@pytest.mark.parametrize(
    ("digit", "status", "code", "found"),
    [
        (2, 400, "INS-1", None),
        (3, 401, "INS-6", "Failed"),
        (4, 408, "INS-9", "Expired"),
        (5, 400, "INS-15", "Failed"),
        (6, 422, "INS-2006", "Failed"),
        (7, 503, "INS-16", None),
        (8, 400, "INS-13", "Failed"),
        (9, 400, "INS-13", "Failed"),
    ],
)
def test_a_trigger_of_b2b_is_answered_at_once_and_can_be_queried(
    world: World, digit: int, status: int, code: str, found: str | None
) -> None:
    reference = world.reference()
    triggered = {"ReceiverPartyCode": f"00000{digit}", "ThirdPartyConversationID": reference}
    answered, answer = world.send(B2B, **triggered)
    assert (answered, answer["output_ResponseCode"]) == (status, code)
    told = world.query(reference)[1].get("output_ResponseTransactionStatus")
    assert told == found
    again = world.send(B2B, **triggered)[1]["output_ResponseCode"]
    assert again == (code if found is None else "INS-10")
