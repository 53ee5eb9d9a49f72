"""The scripted gateway does to a caller what its script says."""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.e2e.http_client import TIMEOUT_S, encrypt_bearer
from tests.sdk.scripted_gateway import (
    ScriptedGateway,
    answer,
    cut,
    cut_midway,
    error,
    raw,
    silence,
    status,
)

ROOT = "/sandbox/ipg/v2/vodacomTZN/"
C2B = "c2bPayment/singleStage/"
QUERY = "queryTransactionStatus/"
SESSION = "getSession/"


class Caller:
    """One connection; it opens no second one."""

    def __init__(self, base_url: str) -> None:
        place = urlsplit(base_url)
        self._connection = http.client.HTTPConnection(
            place.hostname or "", place.port, timeout=TIMEOUT_S
        )
        self._connection.connect()
        self._connection.auto_open = 0

    def send(
        self, method: str, operation: str, *, body: Any = None, bearer: str = "", root: str = ROOT
    ) -> None:
        text = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {bearer}", "Origin": "shop.example"}
        self._connection.request(method, root + operation, body=text, headers=headers)

    def receive(self) -> tuple[int, bytes, http.client.HTTPMessage]:
        received = self._connection.getresponse()
        return received.status, received.read(), received.headers

    def call(self, method: str, operation: str, **request: Any) -> tuple[int, Any]:
        self.send(method, operation, **request)
        http_status, content, _ = self.receive()
        return http_status, json.loads(content)

    def pay(self, reference: str = "order1") -> tuple[int, Any]:
        return self.call("POST", C2B, body={"input_ThirdPartyConversationID": reference})

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture
def caller(gateway: ScriptedGateway) -> Iterator[Caller]:
    caller = Caller(gateway.base_url)
    yield caller
    caller.close()


def test_a_session_is_given_for_the_api_key_alone(gateway: ScriptedGateway, caller: Caller) -> None:
    right = encrypt_bearer(gateway.api_key, gateway.public_key)
    wrong = encrypt_bearer("somebody else's", gateway.public_key)

    given, refused = (caller.call("GET", SESSION, bearer=bearer) for bearer in (right, wrong))

    assert given[0] == 200
    assert given[1]["output_ResponseCode"] == "INS-0"
    assert len(bytes.fromhex(given[1]["output_SessionID"])) == 16
    assert refused[0] == 400
    assert refused[1]["output_ResponseCode"] == "INS-989"
    assert "output_SessionID" not in refused[1]
    assert [request.bearer for request in gateway.requests] == [gateway.api_key, "somebody else's"]


def test_a_payment_succeeds_where_nothing_is_scripted(caller: Caller) -> None:
    first_status, first = caller.pay("order1")
    second_status, second = caller.pay("order2")

    assert (first_status, second_status) == (201, 201)
    assert first["output_ResponseCode"] == second["output_ResponseCode"] == "INS-0"
    assert first["output_ThirdPartyConversationID"] == "order1"
    assert second["output_ThirdPartyConversationID"] == "order2"
    assert len(first["output_TransactionID"]) == 12
    assert first["output_TransactionID"] != second["output_TransactionID"]
    assert len(bytes.fromhex(first["output_ConversationID"])) == 16


def test_replies_come_in_order_and_the_last_one_again(
    gateway: ScriptedGateway, caller: Caller
) -> None:
    gateway.script(C2B, answer("INS-16"), answer("INS-10", status=418), answer("INS-4711"))

    replies = [caller.pay() for _ in range(4)]

    assert [(http_status, reply["output_ResponseCode"]) for http_status, reply in replies] == [
        (503, "INS-16"),
        (418, "INS-10"),
        (400, "INS-4711"),
        (400, "INS-4711"),
    ]
    assert replies[0][1]["output_TransactionID"] == "N/A"


def test_outputs_of_a_test_replace_or_remove_the_usual_ones(
    gateway: ScriptedGateway, caller: Caller
) -> None:
    gateway.script(C2B, answer(output_TransactionID="mine", output_ConversationID=None))

    _, reply = caller.pay()

    assert reply["output_TransactionID"] == "mine"
    assert "output_ConversationID" not in reply


def test_a_status_query_is_told_what_the_script_says(
    gateway: ScriptedGateway, caller: Caller
) -> None:
    unscripted_status, unscripted = caller.call("GET", QUERY)
    gateway.script(QUERY, status("Completed", "5fT0kQ2mBx7L"))
    question = urlencode({"input_QueryReference": "order1", "input_ThirdPartyConversationID": "q"})
    found_status, found = caller.call("GET", f"{QUERY}?{question}")

    assert (unscripted_status, unscripted["output_ResponseCode"]) == (400, "INS-23")
    assert found_status == 200
    assert found["output_ResponseTransactionStatus"] == "Completed"
    assert found["output_OriginalTransactionID"] == "5fT0kQ2mBx7L"
    assert found["output_Reversed"] == "False"
    assert found["output_ThirdPartyConversationID"] == "q"
    assert gateway.requests[-1].query["input_QueryReference"] == "order1"


def test_errors_and_any_bytes_are_answered_as_they_are(
    gateway: ScriptedGateway, caller: Caller
) -> None:
    gateway.script(
        C2B,
        error(429, "Too many", {"Retry-After": "7"}),
        raw(502, b"<html>", {"Content-Type": "text/html"}),
    )

    caller.send("POST", C2B)
    refused = caller.receive()
    caller.send("POST", C2B)
    foreign = caller.receive()

    assert (refused[0], json.loads(refused[1])) == (429, {"output_error": "Too many"})
    assert refused[2]["Retry-After"] == "7"
    assert foreign[:2] == (502, b"<html>")
    assert foreign[2]["Content-Type"] == "text/html"


def test_a_request_is_kept_as_it_arrived(gateway: ScriptedGateway, caller: Caller) -> None:
    bearer = encrypt_bearer("a session", gateway.public_key)
    body = {"input_Amount": "10", "input_ThirdPartyConversationID": "order1"}
    caller.call("POST", "c2bpayment/singlestage", body=body, bearer=bearer)
    other = Caller(gateway.base_url)
    other.call("GET", "elsewhere", root="/")
    other.close()

    first, second = gateway.requests
    assert (first.method, first.path) == ("POST", f"{ROOT}c2bpayment/singlestage")
    assert (first.environment, first.market, first.operation) == ("sandbox", "vodacomTZN", C2B)
    assert first.headers["origin"] == "shop.example"
    assert (first.body, first.bearer, first.reference) == (body, "a session", "order1")
    assert (second.operation, second.body, second.bearer) == ("", None, "")
    assert (first.connection, second.connection) == (1, 2)


def test_one_connection_carries_many_requests(gateway: ScriptedGateway, caller: Caller) -> None:
    for _ in range(3):
        caller.pay()

    assert [request.connection for request in gateway.requests] == [1, 1, 1]


def test_a_cut_request_arrives_and_gets_no_byte(gateway: ScriptedGateway, caller: Caller) -> None:
    gateway.script(C2B, cut())

    with pytest.raises(http.client.RemoteDisconnected):
        caller.pay()

    assert len(gateway.requests) == 1


def test_an_answer_that_is_cut_midway_breaks_off(gateway: ScriptedGateway, caller: Caller) -> None:
    gateway.script(C2B, cut_midway())

    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        caller.pay()

    assert len(gateway.requests) == 1


def test_a_silent_gateway_answers_nobody_until_it_is_closed() -> None:
    with ScriptedGateway() as gateway:
        gateway.script(C2B, silence())
        silent, other = Caller(gateway.base_url), Caller(gateway.base_url)
        silent.send("POST", C2B)
        assert other.call("POST", "b2cPayment/")[0] == 201
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        silent.receive()
    silent.close()
    other.close()


def test_held_requests_wait_while_others_are_served(
    gateway: ScriptedGateway, caller: Caller
) -> None:
    replies: list[tuple[int, Any]] = []
    with gateway.hold(C2B) as held:
        waiting = threading.Thread(target=lambda: replies.append(caller.pay()))
        waiting.start()
        assert held.arrived.wait(TIMEOUT_S)
        other = Caller(gateway.base_url)
        assert other.call("POST", "b2cPayment/")[0] == 201
        other.close()
        assert replies == []
    waiting.join(TIMEOUT_S)

    assert [http_status for http_status, _ in replies] == [201]
    assert caller.pay()[0] == 201


def test_a_gateway_ends_with_its_connections_when_a_test_fails() -> None:
    threads = set(threading.enumerate())
    gateway = ScriptedGateway()
    callers = []

    def fail_while_a_request_is_held() -> None:
        with gateway:
            held = gateway.hold(C2B)
            callers.append(Caller(gateway.base_url))
            callers[0].send("POST", C2B)
            assert held.arrived.wait(TIMEOUT_S)
            raise LookupError

    with pytest.raises(LookupError):
        fail_while_a_request_is_held()

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        callers[0].receive()
    callers[0].close()
    assert set(threading.enumerate()) <= threads


def test_a_caller_that_sends_no_json_object_is_reported() -> None:
    gateway = ScriptedGateway()

    def send_a_list() -> None:
        with gateway:
            caller = Caller(gateway.base_url)
            with pytest.raises(http.client.RemoteDisconnected):
                caller.call("POST", C2B, body=["no object"])
            caller.close()

    with pytest.raises(AssertionError, match="not a JSON object"):
        send_a_list()
