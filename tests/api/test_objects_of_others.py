"""Broken object level authorisation: what belongs to others is neither moved, taken back nor found.

Every request here is well-formed, of an application in good standing, and names something that is
there; but it is somebody else's.
"""

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.api.gateway_world import B2B, B2C, C2B, QUERY, REVERSAL, Application, World
from tests.e2e.merchant import COUNTRY, MARKET

OTHER_MARKET = "vodafoneGHA"


@pytest.fixture
def world(each_world: World) -> World:
    """Each test on both databases."""
    return each_world


def add_owner(world: World) -> tuple[str, Application]:
    """An organisation of its own with money, and the application that acts for it alone."""
    code = world.make_organisation(balance="1000")
    return code, world.add_application(organisations=[code], origins=["*"])


def send(
    world: World, application: Application, operation: str, fields: dict[str, str]
) -> dict[str, str]:
    """The answer to a request with an id of its own."""
    return world.send(operation, application, **fields)[1]


def read_balances(world: World, *codes: str) -> list[Decimal]:
    return [world.read_balance(code) for code in codes]


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
        answer = send(world, application, operation, fields)
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
        answer = send(world, application, REVERSAL, reversal)
        assert answer["output_ResponseCode"] == expected
    assert read_balances(world, theirs, mine) == before

    ids = ("output_TransactionID", "output_ConversationID", "output_ThirdPartyConversationID")
    for name in ids:
        _, found = world.query(paid[name], application, ServiceProviderCode=mine)
        assert found["output_ResponseCode"] == "INS-23"
        _, found = world.query(paid[name], application, ServiceProviderCode=theirs)
        assert found["output_ResponseCode"] == "INS-13"


def test_a_stranger_takes_no_b2b_back_in_the_name_of_its_payee(world: World) -> None:
    payer, owner = add_owner(world)
    payee, _ = add_owner(world)
    _, stranger = add_owner(world)
    fields = {"PrimaryPartyCode": payer, "ReceiverPartyCode": payee, "PurchasedItemsDesc": "Tea"}
    paid = send(world, owner, B2B, fields)
    assert paid["output_ResponseCode"] == "INS-0"
    before = read_balances(world, payer, payee)
    reversal = {"TransactionID": paid["output_TransactionID"], "ServiceProviderCode": payee}
    answer = send(world, stranger, REVERSAL, reversal)
    assert answer["output_ResponseCode"] == "INS-13"
    assert read_balances(world, payer, payee) == before


def test_an_id_of_another_market_or_environment_means_nothing(world: World) -> None:
    # An organisation of that name is in every market of both environments.
    application = world.add_application(
        organisations=["ORG001"], origins=["*"], promoted={"sandbox": True, "openapi": True}
    )
    if "ORG001" not in world.admin.read_organisation_balances():
        world.add_organisation("ORG001", balance="0")
    _, paid = world.pay(application, ServiceProviderCode="ORG001")
    at_home = world.query(paid["output_TransactionID"], application, ServiceProviderCode="ORG001")
    assert at_home[1]["output_ResponseCode"] == "INS-0"
    places: list[tuple[str, str, str]] = [
        ("sandbox", OTHER_MARKET, "GHA"),
        ("openapi", MARKET, COUNTRY),
    ]
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
    assert after[1] - before[1] == 10
