"""Queries of a status: by which id, for whom, and what they tell."""

import json

import pytest

from tests.api.gateway_world import QUERY, World


@pytest.fixture
def world(each_world: World) -> World:
    """Each test on both databases."""
    return each_world


def ids_of(answer: dict[str, str]) -> list[str]:
    return [
        answer["output_TransactionID"],
        answer["output_ThirdPartyConversationID"],
        answer["output_ConversationID"],
    ]


def test_a_payment_is_found_by_each_of_its_three_ids(world: World) -> None:
    _, paid = world.pay()
    for reference in ids_of(paid):
        own = world.reference()
        status, found = world.query(reference, ThirdPartyConversationID=own)
        assert status == 200
        assert list(found) == [
            "output_ResponseCode",
            "output_ResponseDesc",
            "output_ResponseTransactionStatus",
            "output_ConversationID",
            "output_ThirdPartyConversationID",
            "output_OriginalTransactionID",
            "output_Reversed",
        ]
        assert found["output_ResponseCode"] == "INS-0"
        assert found["output_ResponseTransactionStatus"] == "Completed"
        assert found["output_OriginalTransactionID"] == paid["output_TransactionID"]
        assert found["output_ThirdPartyConversationID"] == own
        assert found["output_Reversed"] == "False"


@pytest.mark.parametrize(
    ("customer", "status"),
    [("poor", "Failed"), ("locked", "Failed"), ("decline", "Failed"), ("never", "Expired")],
)
def test_a_payment_that_failed_is_found_without_a_transaction_id(
    world: World, customer: str, status: str
) -> None:
    _, refused = world.pay(CustomerMSISDN=world.customer(customer))
    for reference in ids_of(refused)[1:]:
        _, found = world.query(reference)
        assert found["output_ResponseTransactionStatus"] == status
        assert found["output_OriginalTransactionID"] == "N/A"


def test_a_payment_to_nobody_is_found_by_nobody(world: World) -> None:
    _, refused = world.pay(ServiceProviderCode="NOBODY")
    assert refused["output_ResponseCode"] == "INS-13"
    assert world.query(refused["output_ConversationID"])[1]["output_ResponseCode"] == "INS-23"


def test_what_was_not_recorded_is_not_found(world: World) -> None:
    _, refused = world.pay(Amount="10.001")
    for reference in ids_of(refused)[1:]:
        assert world.query(reference)[1]["output_ResponseCode"] == "INS-23"


def test_a_query_is_not_found_itself_and_may_repeat_its_id(world: World) -> None:
    _, paid = world.pay()
    own = world.reference()
    answers = [
        world.query(paid["output_TransactionID"], ThirdPartyConversationID=own)[1] for _ in range(2)
    ]
    assert [answer["output_ResponseCode"] for answer in answers] == ["INS-0", "INS-0"]
    found = answers[-1]
    for reference in (own, found["output_ConversationID"]):
        assert world.query(reference)[1]["output_ResponseCode"] == "INS-23"


def test_other_applications_of_the_organisation_find_it_by_transaction_id_only(
    world: World,
) -> None:
    _, paid = world.pay()
    other = world.add_application(organisations=[world.organisation()], origins=["*"])
    codes = [world.query(id_, other)[1]["output_ResponseCode"] for id_ in ids_of(paid)]
    assert codes == ["INS-0", "INS-23", "INS-23"]


def test_an_organisation_that_is_no_party_does_not_find_it(world: World) -> None:
    stranger = "STRANGER"
    world.admin.call(
        "POST", "organisations", {"code": stranger, "name": "Stranger", "market": "vodacomTZN"}
    )
    codes = [world.organisation(), stranger]
    application = world.add_application(organisations=codes, origins=["*"])
    _, paid = world.pay(application)
    for reference in ids_of(paid):
        _, found = world.query(reference, application, ServiceProviderCode=stranger)
        assert found["output_ResponseCode"] == "INS-23"


def test_ids_are_compared_letter_by_letter(world: World) -> None:
    _, paid = world.pay(ThirdPartyConversationID="Mixed" + world.reference())
    for reference in ids_of(paid):
        swapped = reference.swapcase()
        assert swapped != reference
        assert world.query(swapped)[1]["output_ResponseCode"] == "INS-23"


def test_a_transaction_id_comes_before_a_conversation_id_of_the_same_text(world: World) -> None:
    _, first = world.pay()
    # Somebody uses a TransactionID that they were given as the next request's own id.
    _, second = world.pay(ThirdPartyConversationID=first["output_TransactionID"])
    _, found = world.query(first["output_TransactionID"])
    assert found["output_OriginalTransactionID"] == first["output_TransactionID"]
    # And a ConversationID comes last.
    _, third = world.pay(ThirdPartyConversationID=second["output_ConversationID"])
    _, found = world.query(second["output_ConversationID"])
    assert found["output_OriginalTransactionID"] == third["output_TransactionID"]


def test_a_payment_of_another_market_is_not_found(world: World) -> None:
    _, paid = world.pay()
    headers = world.signed() | {
        "Authorization": world.encrypt(
            json.loads(world.get_session(world.application(), market="vodafoneGHA").body)[
                "output_SessionID"
            ]
        )
    }
    code = world.organisation()
    world.admin.call(
        "POST", "organisations", {"code": code, "name": "Abroad", "market": "vodafoneGHA"}
    )
    for reference in ids_of(paid):
        reply = world.call(
            "GET",
            QUERY,
            headers=headers,
            body=world.question(reference, Country="GHA"),
            market="vodafoneGHA",
        )
        assert json.loads(reply.body)["output_ResponseCode"] == "INS-23"


@pytest.mark.parametrize(
    "reference",
    ["0", "z" * 12, "0" * 31 + "a", "f" * 32, "0" * 32, "zzzzzzzzzzzz", "A" * 32, "1" * 20],
)
def test_junk_is_not_found(world: World, reference: str) -> None:
    assert world.query(reference)[1]["output_ResponseCode"] == "INS-23"


@pytest.mark.parametrize("suffix", ["x" * 24, " a", "_a", "+a"])
def test_some_references_that_a_payment_may_have_cannot_be_asked_for(
    world: World, suffix: str
) -> None:
    reference = world.reference() + suffix
    assert world.pay(ThirdPartyConversationID=reference)[0] == 201
    assert world.query(reference)[1]["output_ResponseCode"] == "INS-21"
    assert world.pay(ThirdPartyConversationID=reference)[0] == 409


# --- triggers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        ("000000000002", 400, "INS-1"),
        ("000000000003", 401, "INS-6"),
        ("000000000007", 503, "INS-16"),
        ("000000000000000000002", 400, "INS-45"),
        ("000000000000000000003", 400, "INS-1"),
        ("000000000000000000004", 401, "INS-6"),
        ("000000000000000000005", 503, "INS-16"),
        ("000000000004", 400, "INS-23"),
        ("000000000000", 400, "INS-23"),
        ("000000000000000000006", 400, "INS-23"),
    ],
)
def test_a_triggered_query_answers_what_the_table_says(
    world: World, reference: str, status: int, code: str
) -> None:
    # Before the parties: no such organisation is asked for, unless it is no trigger.
    changes = {} if code == "INS-23" else {"ServiceProviderCode": "NOBODY"}
    answered, answer = world.query(reference, **changes)
    assert (answered, answer["output_ResponseCode"]) == (status, code)


@pytest.mark.parametrize(
    ("reference", "is_reversed"), [("000000000001", "False"), ("000000000000000000001", "True")]
)
def test_a_triggered_success_has_ids_that_are_nobodys(
    world: World, reference: str, is_reversed: str
) -> None:
    _, answer = world.query(reference)
    assert answer["output_ResponseCode"] == "INS-0"
    assert answer["output_ResponseTransactionStatus"] == "Completed"
    assert answer["output_Reversed"] == is_reversed
    transaction_id = answer["output_OriginalTransactionID"]
    assert len(transaction_id) == 12
    assert transaction_id != world.query(reference)[1]["output_OriginalTransactionID"]
    assert world.query(transaction_id)[1]["output_ResponseCode"] == "INS-23"
