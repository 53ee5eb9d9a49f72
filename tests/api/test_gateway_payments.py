"""Payments over HTTP: answers, duplicates, waiting, triggers, overload."""

import json
from collections.abc import Iterator

import psutil
import pytest

from tests.api.gateway_world import C2B, MARKET, SESSION, WAIT_MS, World, run_world
from tests.api.test_gateway_health import read_metrics
from tests.e2e.server import wait_until


@pytest.fixture
def world(each_world: World) -> World:
    """Each test on both databases."""
    return each_world


LETTERS_AND_DIGITS = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def test_a_payment_is_answered_with_the_documented_fields(world: World) -> None:
    reference = world.reference()
    status, answer = world.pay(ThirdPartyConversationID=reference)
    assert status == 201
    assert list(answer) == [
        "output_ResponseCode",
        "output_ResponseDesc",
        "output_TransactionID",
        "output_ConversationID",
        "output_ThirdPartyConversationID",
    ]
    assert answer["output_ResponseCode"] == "INS-0"
    assert answer["output_ResponseDesc"] == "Request processed successfully"
    assert answer["output_ThirdPartyConversationID"] == reference
    transaction_id = answer["output_TransactionID"]
    assert len(transaction_id) == 12
    assert set(transaction_id) <= LETTERS_AND_DIGITS
    assert not transaction_id.isdigit()
    assert len(answer["output_ConversationID"]) == 32
    assert set(answer["output_ConversationID"]) <= set("0123456789abcdef")


def test_a_payment_moves_the_money_once(world: World) -> None:
    code = world.organisation()
    before = world.admin.read_organisation_balances()[code]
    reference = world.reference()
    assert world.pay(Amount="12.34", ThirdPartyConversationID=reference)[0] == 201
    assert world.pay(Amount="12.34", ThirdPartyConversationID=reference)[0] == 409
    after = world.admin.read_organisation_balances()[code]
    assert round((float(after) - float(before)) * 100) == 1234


def test_the_market_has_its_own_country_and_currency_in_any_case(world: World) -> None:
    assert world.pay(Country="tzn", Currency="tZs")[0] == 201


def test_lesotho_takes_numbers_of_eleven_digits(world: World) -> None:
    application = world.add_application(origins=["*"])
    authorization = {"Authorization": world.encrypt(application.api_key), "Origin": "x"}
    for market, code in (("vodacomLES", "INS-26"), (MARKET, "INS-2051")):
        session = world.call("GET", SESSION, headers=authorization, market=market)
        bearer = world.encrypt(json.loads(session.body)["output_SessionID"])
        reply = world.call(
            "POST",
            C2B,
            headers={"Authorization": bearer, "Origin": "x"},
            body=world.payment(CustomerMSISDN="26658123456", Country="LES", Currency="EUR"),
            market=market,
        )
        # Its number passed where the next check is what fails.
        assert json.loads(reply.body)["output_ResponseCode"] == code


# --- duplicates ----------------------------------------------------------------------------------


def test_a_repeated_conversation_id_is_refused(world: World) -> None:
    reference = world.reference()
    _, first = world.pay(ThirdPartyConversationID=reference)
    status, second = world.pay(ThirdPartyConversationID=reference, Amount="99", TransactionReference="T2")  # fmt: skip
    assert (status, second["output_ResponseCode"]) == (409, "INS-10")
    assert second["output_TransactionID"] == "N/A"
    assert second["output_ConversationID"] != first["output_ConversationID"]
    assert world.query(second["output_ConversationID"])[1]["output_ResponseCode"] == "INS-23"
    assert world.query(reference)[1]["output_OriginalTransactionID"] == first["output_TransactionID"]  # fmt: skip


def test_what_was_refused_past_the_duplicate_check_keeps_its_id_for_ever(world: World) -> None:
    reference = world.reference()
    refused = {"CustomerMSISDN": world.customer("poor"), "ThirdPartyConversationID": reference}
    assert world.pay(**refused)[1]["output_ResponseCode"] == "INS-2006"
    assert world.pay(ThirdPartyConversationID=reference)[1]["output_ResponseCode"] == "INS-10"


def test_what_was_refused_before_the_duplicate_check_may_use_its_id_again(world: World) -> None:
    reference = world.reference()
    assert world.pay(Amount="10.001", ThirdPartyConversationID=reference)[0] == 400
    assert world.pay(ThirdPartyConversationID=reference)[0] == 201


def test_other_applications_may_use_the_same_conversation_id(world: World) -> None:
    other = world.add_application(organisations=[world.organisation()], origins=["*"])
    reference = world.reference()
    assert world.pay(ThirdPartyConversationID=reference)[0] == 201
    assert world.pay(other, ThirdPartyConversationID=reference)[0] == 201


def test_a_transaction_reference_may_repeat(world: World) -> None:
    for _ in range(2):
        assert world.pay(TransactionReference="the shops constant")[0] == 201


# --- triggers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digit", "status", "code", "found"),
    [
        (0, 400, "INS-2051", "Failed"),
        (2, 408, "INS-9", "Expired"),
        (3, 408, "INS-9", "Expired"),
        (4, 401, "INS-6", "Failed"),
        (5, 400, "INS-1", None),
        (6, 401, "INS-6", "Failed"),
        (7, 400, "INS-15", "Failed"),
        (8, 422, "INS-2006", "Failed"),
        (9, 503, "INS-16", None),
    ],
)
def test_a_trigger_is_answered_at_once_and_can_be_queried(
    world: World, digit: int, status: int, code: str, found: str | None
) -> None:
    reference = world.reference()
    triggered = {
        "CustomerMSISDN": f"00000000000{digit}",
        "ThirdPartyConversationID": reference,
    }
    answered, answer = world.pay(**triggered)
    assert (answered, answer["output_ResponseCode"]) == (status, code)
    _, status_answer = world.query(reference)
    assert status_answer.get("output_ResponseTransactionStatus") == found
    # Where nothing was recorded the same request may be sent again; elsewhere it may not.
    again = world.pay(**triggered)[1]["output_ResponseCode"]
    assert again == (code if found is None else "INS-10")


def test_the_trigger_for_success_is_an_ordinary_payment(world: World) -> None:
    bearer = world.encrypt(world.credentials.sandbox.api_key)
    headers = {"Authorization": bearer, "Origin": "x"}
    session = world.call("GET", SESSION, headers=headers)
    headers["Authorization"] = world.encrypt(json.loads(session.body)["output_SessionID"])
    payment = world.payment(CustomerMSISDN="000000000001", ServiceProviderCode="000000")
    reply = world.call("POST", C2B, headers=headers, body=payment)
    assert reply.status == 201


def pay_in_openapi(world: World, msisdn: str) -> tuple[int, str]:
    """Status and code of the answer to a payment to a seeded organisation."""
    place = world.credentials.openapi
    headers = {"Authorization": world.encrypt(place.api_key, "openapi"), "Origin": "x"}
    session = world.call("GET", SESSION, headers=headers, environment="openapi")
    key = json.loads(session.body)["output_SessionID"]
    headers["Authorization"] = world.encrypt(key, "openapi")
    payment = world.payment(CustomerMSISDN=msisdn, ServiceProviderCode=place.service_provider_code)
    reply = world.call("POST", C2B, headers=headers, body=payment, environment="openapi")
    return reply.status, json.loads(reply.body)["output_ResponseCode"]


def test_triggers_belong_to_the_sandbox_alone(world: World) -> None:
    assert pay_in_openapi(world, "000000000004") == (400, "INS-2051")


def test_in_the_demonstration_of_openapi_a_customer_approves_at_once(world: World) -> None:
    assert pay_in_openapi(world, "255744553111") == (201, "INS-0")


# --- waiting -------------------------------------------------------------------------------------


def test_a_payment_that_waits_is_pending_and_then_what_became_of_it(world: World) -> None:
    msisdn, reference = world.customer("slow"), world.reference()
    world.admin.script(msisdn, "approve", delay_ms=WAIT_MS // 2)
    with world.start_payment(CustomerMSISDN=msisdn, ThirdPartyConversationID=reference) as payment:

        def status_of() -> str | None:
            return world.query(reference)[1].get("output_ResponseTransactionStatus")

        wait_until(lambda: status_of() is not None, timeout_s=5, what="the payment")
        assert status_of() in {"Pending", "Completed"}
        status, answer = payment.read()
    assert (status, answer["output_ResponseCode"]) == (201, "INS-0")
    assert world.query(reference)[1]["output_ResponseTransactionStatus"] == "Completed"


def test_a_pending_payment_has_no_transaction_id_yet(world: World) -> None:
    msisdn, reference = world.customer("never"), world.reference()
    with world.start_payment(CustomerMSISDN=msisdn, ThirdPartyConversationID=reference) as payment:
        seen: list[dict[str, str]] = []

        def is_pending() -> bool:
            seen.append(world.query(reference)[1])
            return seen[-1].get("output_ResponseTransactionStatus") == "Pending"

        wait_until(is_pending, timeout_s=5, what="the pending payment")
        assert seen[-1]["output_OriginalTransactionID"] == "N/A"
        assert payment.read()[1]["output_ResponseCode"] == "INS-9"
    expired = world.query(reference)[1]
    assert expired["output_ResponseTransactionStatus"] == "Expired"
    assert expired["output_OriginalTransactionID"] == "N/A"


def test_a_caller_who_leaves_changes_nothing(world: World) -> None:
    msisdn, reference = world.customer("slow"), world.reference()
    world.admin.script(msisdn, "approve", delay_ms=WAIT_MS // 2)

    def status_of() -> str | None:
        return world.query(reference)[1].get("output_ResponseTransactionStatus")

    with world.start_payment(CustomerMSISDN=msisdn, ThirdPartyConversationID=reference):
        wait_until(lambda: status_of() is not None, timeout_s=5, what="the payment")
    wait_until(lambda: status_of() == "Completed", timeout_s=5, what="its completion")


# --- overload ------------------------------------------------------------------------------------


def refuses_payments_and_sessions(world: World, reference: str) -> None:
    """Fail unless both are refused at once, and queries are not."""
    status, answer = world.pay(ThirdPartyConversationID=reference)
    assert (status, answer["output_ResponseCode"]) == (503, "INS-16")
    assert answer["output_ThirdPartyConversationID"] == reference
    session = world.get_session(world.application())
    content = json.loads(session.body)
    assert (session.status, content["output_ResponseCode"]) == (400, "INS-989")
    assert content["output_error"]
    # Queries read, and need no room.
    assert world.query(reference)[1]["output_ResponseCode"] == "INS-23"


def wait_for_gauge(world: World, name: str, value: int) -> None:
    gauge = f'pesalango_{name}{{environment="sandbox"}}'
    wait_until(lambda: read_metrics(world)[gauge] == value, timeout_s=20, what=f"{value} {name}")


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway with room for one command, and for the prompts of two customers."""
    yield from run_world(
        tmp_path_factory.mktemp("crowded"),
        PESALANGO_UNANSWERED_MAX="1",
        PESALANGO_PROMPTS_WAITING_MAX="2",
        # Longer than the tests: no prompt makes room by itself.
        PESALANGO_WAIT_SANDBOX_MS="300000",
        PESALANGO_WAIT_OPENAPI_MS="300",
    )


def test_a_call_too_many_is_refused_at_once_and_leaves_nothing(crowded: World) -> None:
    reference = crowded.reference()
    assert crowded.pay()[0] == 201
    engine: psutil.Process = crowded.server.find_engine()
    engine.suspend()
    try:
        with crowded.start_payment() as waiting:
            wait_for_gauge(crowded, "unanswered", 1)
            refuses_payments_and_sessions(crowded, reference)
            engine.resume()
            assert waiting.read()[0] == 201
    finally:
        engine.resume()
    assert crowded.pay(ThirdPartyConversationID=reference)[0] == 201


def test_many_slow_customers_take_no_room_from_others_until_they_are_too_many(
    crowded: World,
) -> None:
    silent = crowded.customer("never")
    with crowded.start_payment(CustomerMSISDN=silent):
        wait_for_gauge(crowded, "prompts_waiting", 1)
        assert crowded.pay()[0] == 201
        with crowded.start_payment(CustomerMSISDN=silent):
            wait_for_gauge(crowded, "prompts_waiting", 2)
            refuses_payments_and_sessions(crowded, crowded.reference())


def test_openapi_has_a_waiting_time_of_its_own(crowded: World) -> None:
    msisdn = "255744553111"
    crowded.admin.script(msisdn, "never", environment="openapi")
    assert pay_in_openapi(crowded, msisdn) == (408, "INS-9")
