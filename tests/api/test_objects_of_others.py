"""Broken object level authorisation: what belongs to others is neither moved, taken back nor found.

Every request here is well-formed, of an application in good standing, and names something that is
there; but it is somebody else's.
"""

import json
from typing import Any

import pytest

from tests.api.gateway_world import C2B, QUERY, Application, World
from tests.e2e.merchant import COUNTRY, CURRENCY, MARKET

B2C, B2B, REVERSAL = "b2cPayment/", "b2bPayment/", "reversal/"
OTHER_MARKET = "vodafoneGHA"


@pytest.fixture
def world(each_world: World) -> World:
    """Each test on both databases."""
    return each_world


def add_organisation(world: World) -> str:
    """A shop with money and every product."""
    code = world.reference().upper()
    body = {"code": code, "name": "Another Shop", "market": MARKET, "balance": "1000"}
    world.admin.call("POST", "organisations", body)
    return code


def add_owner(world: World) -> tuple[str, Application]:
    """An organisation of its own, and the application that acts for it alone."""
    code = add_organisation(world)
    return code, world.add_application(organisations=[code], origins=["*"])


def send(
    world: World, application: Application, method: str, operation: str, fields: dict[str, str]
) -> dict[str, str]:
    """The answer to a request with an id of its own."""
    body = {
        "input_Country": COUNTRY,
        "input_ThirdPartyConversationID": world.reference(),
        **{f"input_{name}": value for name, value in fields.items()},
    }
    reply = world.call(method, operation, headers=world.signed(application), body=body)
    answer: dict[str, str] = json.loads(reply.body)
    return answer


def read_balances(world: World, *codes: str) -> list[str]:
    balances = world.admin.read_organisation_balances()
    return [balances[code] for code in codes]


MONEY = {"Amount": "5", "Currency": CURRENCY, "TransactionReference": "T1"}


def test_nobody_is_charged_paid_or_paid_out_in_the_name_of_another(world: World) -> None:
    theirs, _ = add_owner(world)
    mine, application = add_owner(world)
    before = read_balances(world, theirs, mine)
    customer = {"CustomerMSISDN": world.customer()}
    attempts: list[tuple[str, dict[str, str]]] = [
        (C2B, {**customer, "ServiceProviderCode": theirs, "PurchasedItemsDesc": "Tea"}),
        (B2C, {**customer, "ServiceProviderCode": theirs, "PaymentItemsDesc": "Refund"}),
        (
            B2B,
            {"PrimaryPartyCode": theirs, "ReceiverPartyCode": mine, "PurchasedItemsDesc": "Tea"},
        ),
    ]
    for operation, fields in attempts:
        answer = send(world, application, "POST", operation, {**MONEY, **fields})
        assert (operation, answer["output_ResponseCode"]) == (operation, "INS-13")
    assert read_balances(world, theirs, mine) == before


def test_a_payment_of_others_is_neither_taken_back_nor_found(world: World) -> None:
    theirs, owner = add_owner(world)
    mine, application = add_owner(world)
    _, paid = world.pay(owner, ServiceProviderCode=theirs)
    before = read_balances(world, theirs, mine)

    for code, expected in ((mine, "INS-35"), (theirs, "INS-13")):
        reversal = {
            "TransactionID": paid["output_TransactionID"],
            "ServiceProviderCode": code,
        }
        answer = send(world, application, "PUT", REVERSAL, reversal)
        assert answer["output_ResponseCode"] == expected
    assert read_balances(world, theirs, mine) == before

    ids = ("output_TransactionID", "output_ConversationID", "output_ThirdPartyConversationID")
    for name in ids:
        _, found = world.query(paid[name], application, ServiceProviderCode=mine)
        assert found["output_ResponseCode"] == "INS-23"
        _, found = world.query(paid[name], application, ServiceProviderCode=theirs)
        assert found["output_ResponseCode"] == "INS-13"


def test_the_payee_of_a_b2b_alone_takes_no_more_than_its_own_part_in_it(world: World) -> None:
    payer, owner = add_owner(world)
    payee, _ = add_owner(world)
    _, stranger = add_owner(world)
    fields = {"PrimaryPartyCode": payer, "ReceiverPartyCode": payee, "PurchasedItemsDesc": "Tea"}
    paid = send(world, owner, "POST", B2B, {**MONEY, **fields})
    assert paid["output_ResponseCode"] == "INS-0"
    reversal = {"TransactionID": paid["output_TransactionID"], "ServiceProviderCode": payee}
    answer = send(world, stranger, "PUT", REVERSAL, reversal)
    assert answer["output_ResponseCode"] == "INS-13"


def test_an_id_of_another_market_or_environment_means_nothing(world: World) -> None:
    code, application = add_owner(world)
    _, paid = world.pay(application, ServiceProviderCode=code)
    places: list[tuple[str, str, str]] = [
        ("sandbox", OTHER_MARKET, "GHA"),
        ("openapi", MARKET, COUNTRY),
    ]
    world.change_application(
        application, promoted={"sandbox": True, "openapi": True}, organisations=[code, "ORG001"]
    )
    for environment, market, country in places:
        headers = {"Authorization": world.encrypt(application.api_key, environment), "Origin": "*"}
        made: dict[str, Any] = json.loads(
            world.call(
                "GET", "getSession/", headers=headers, market=market, environment=environment
            ).body
        )
        headers["Authorization"] = world.encrypt(made["output_SessionID"], environment)
        common = {"input_Country": country, "input_ServiceProviderCode": "ORG001"}
        question = {**common, "input_QueryReference": paid["output_TransactionID"]}
        reversal = {**common, "input_TransactionID": paid["output_TransactionID"]}
        for method, operation, body, expected in (
            ("GET", QUERY, question, "INS-23"),
            ("PUT", REVERSAL, reversal, "INS-18"),
        ):
            reply = world.call(
                method,
                operation,
                headers=headers,
                body={**body, "input_ThirdPartyConversationID": world.reference()},
                market=market,
                environment=environment,
            )
            assert json.loads(reply.body)["output_ResponseCode"] == expected


def test_what_is_nobodys_business_is_not_set_from_outside(world: World) -> None:
    """Broken object property level authorisation: names that only we use change nothing."""
    mine, application = add_owner(world)
    theirs, owner = add_owner(world)
    before = read_balances(world, theirs, mine)
    inside = {
        "acts_for": True,
        "organisation_code": theirs,
        "application": owner.id,
        "trigger": 1,
        "approves_unscripted": True,
        "ledger": 1,
        "state": 2,
        "output_TransactionID": "AAAAAAAAAAAA",
        "output_ResponseCode": "INS-0",
    }
    body = {**world.payment(ServiceProviderCode=theirs), **inside}
    reply = world.call("POST", C2B, headers=world.signed(application), body=body)
    assert json.loads(reply.body)["output_ResponseCode"] == "INS-13"

    body = {**world.payment(ServiceProviderCode=mine), **inside}
    reply = world.call("POST", C2B, headers=world.signed(application), body=body)
    answer = json.loads(reply.body)
    assert answer["output_ResponseCode"] == "INS-0"
    assert answer["output_TransactionID"] != "AAAAAAAAAAAA"
    # The documented fields, and no other, come back.
    assert [name for name in answer if not name.startswith("output_")] == []
    assert len(answer) == 5
    after = read_balances(world, theirs, mine)
    assert after[0] == before[0]
    assert float(after[1]) - float(before[1]) == 10
