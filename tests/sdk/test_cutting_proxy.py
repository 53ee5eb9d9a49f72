"""The proxy does to requests and answers what it says, and counts it."""

import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.http_client import TIMEOUT_S, Connection, Unanswered
from tests.e2e.server import wait_until
from tests.sdk.cutting_proxy import CuttingProxy
from tests.sdk.scripted_gateway import ScriptedGateway, cut

ROOT = "/sandbox/ipg/v2/vodacomTZN/"
C2B = "c2bPayment/singleStage/"
NOTHING = {"drop": 0.0, "cut": 0.0, "cut_half": 0.0, "delay": 0.0, "keep": 0.0}
NEVER_MS = 3_600_000


def start_proxy(gateway: ScriptedGateway, **options: float) -> CuttingProxy:
    port = int(gateway.base_url.rpartition(":")[2])
    return CuttingProxy(port, seed=1, **{**NOTHING, **options})


def pay(connection: Connection, reference: str = "order1") -> tuple[int, Any]:
    body = {"input_ThirdPartyConversationID": reference}
    return connection.request("POST", ROOT + C2B, body=body)


def query(connection: Connection, reference: str) -> tuple[int, Any]:
    question = urlencode({"input_QueryReference": reference})
    return connection.request("GET", f"{ROOT}queryTransactionStatus/?{question}")


def list_payments(gateway: ScriptedGateway) -> list[str]:
    return [request.reference for request in gateway.requests if request.operation == C2B]


def test_requests_pass_untouched_and_connections_are_kept() -> None:
    with ScriptedGateway() as gateway, start_proxy(gateway) as proxy:
        connection = Connection(proxy.base_url)
        for reference in ("order1", "order2"):
            http_status, reply = pay(connection, reference)
            assert http_status == 201
            assert reply["output_ThirdPartyConversationID"] == reference
        connection.close()
    assert list_payments(gateway) == ["order1", "order2"]
    assert {request.connection for request in gateway.requests} == {1}
    assert proxy.counts == {"passed": 2}


@pytest.mark.parametrize(("fate", "count", "arrivals"), [("drop", "dropped", 0), ("cut", "cut", 4)])
def test_a_lost_request_or_answer_is_no_byte_to_the_client(
    fate: str, count: str, arrivals: int
) -> None:
    with ScriptedGateway() as gateway, start_proxy(gateway, **{fate: 1.0}) as proxy:
        connection = Connection(proxy.base_url)
        # Enough of them for both ways in which a connection ends.
        for _ in range(4):
            with pytest.raises(Unanswered, match=r"RemoteDisconnected|ConnectionReset"):
                pay(connection)
    assert len(gateway.requests) == arrivals
    assert proxy.counts == {count: 4}


def test_half_an_answer_breaks_off_after_its_first_bytes() -> None:
    with ScriptedGateway() as gateway, start_proxy(gateway, cut_half=1.0) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=TIMEOUT_S)
        connection.connect()
        wire = connection.sock
        body = json.dumps({"input_ThirdPartyConversationID": "order1"})
        connection.request("POST", ROOT + C2B, body=body)
        content = b""
        try:
            while part := wire.recv(4096):
                content += part
        except ConnectionResetError:
            pass
        connection.close()
    assert len(gateway.requests) == 1
    assert content.startswith(b"HTTP/1.1 201 ")
    assert not content.endswith(b"}")
    assert proxy.counts == {"cut_half": 1}


def test_a_delayed_answer_arrives_whole() -> None:
    with ScriptedGateway() as gateway, start_proxy(gateway, delay=1.0, delay_ms_max=10) as proxy:
        connection = Connection(proxy.base_url)
        assert pay(connection)[0] == 201
        connection.close()
    assert proxy.counts == {"delayed": 1}


def test_an_answer_that_is_delayed_past_its_clients_patience_is_lost_to_it() -> None:
    with (
        ScriptedGateway() as gateway,
        start_proxy(gateway, delay=1.0, delay_ms_max=NEVER_MS) as proxy,
    ):
        with pytest.raises(Unanswered, match=r"[Tt]ime"):
            pay(Connection(proxy.base_url, timeout_s=0.5))
        wait_until(lambda: len(gateway.requests) == 1, timeout_s=TIMEOUT_S, what="the request")
    assert proxy.counts == {"delayed": 1}


def test_a_kept_request_arrives_after_its_client_asked_for_it() -> None:
    options = {"keep": 1.0, "query_factor": 0.0, "late_ms_max": NEVER_MS}
    with ScriptedGateway() as gateway, start_proxy(gateway, **options) as proxy:
        connection = Connection(proxy.base_url)
        for reference in ("order1", "order2"):
            with pytest.raises(Unanswered):
                pay(connection, reference)
        assert query(connection, "order3")[1]["output_ResponseCode"] == "INS-23"
        assert list_payments(gateway) == []

        assert query(connection, "order2")[1]["output_ResponseCode"] == "INS-23"
        wait_until(
            lambda: list_payments(gateway) == ["order2"], timeout_s=TIMEOUT_S, what="the payment"
        )
        connection.close()
        proxy.let_everything_through()
        assert list_payments(gateway) == ["order2", "order1"]
    assert proxy.counts == {
        "kept": 2,
        "query_passed": 2,
        "arrived_after_query": 1,
        "arrived_late": 2,
    }


def test_a_kept_request_arrives_by_itself_in_time() -> None:
    with ScriptedGateway() as gateway, start_proxy(gateway, keep=1.0, late_ms_max=1) as proxy:
        with pytest.raises(Unanswered):
            pay(Connection(proxy.base_url))
        wait_until(lambda: len(gateway.requests) == 1, timeout_s=TIMEOUT_S, what="the payment")
        wait_until(
            lambda: proxy.read_counts()["arrived_late"] == 1, timeout_s=TIMEOUT_S, what="its count"
        )


def test_everything_passes_once_it_is_told_to_and_is_cut_again_after_that() -> None:
    with ScriptedGateway() as gateway, start_proxy(gateway, drop=1.0) as proxy:
        connection = Connection(proxy.base_url)
        proxy.let_everything_through()
        assert pay(connection)[0] == 201
        proxy.cut_again()
        with pytest.raises(Unanswered):
            pay(connection)
    assert proxy.counts == {"passed": 1, "dropped": 1}


def test_one_seed_draws_the_same_fates() -> None:
    def draw_fates(seed: int) -> list[bool]:
        port = int(gateway.base_url.rpartition(":")[2])
        with CuttingProxy(port, seed, **{**NOTHING, "drop": 0.5}) as proxy:
            connection = Connection(proxy.base_url)
            fates = [_is_answered(lambda: pay(connection)) for _ in range(20)]
            connection.close()
        assert proxy.counts["dropped"] == fates.count(False)
        return fates

    with ScriptedGateway() as gateway:
        first = draw_fates(1)
        assert draw_fates(1) == first
        assert draw_fates(2) != first


def test_queries_are_treated_with_a_lower_probability() -> None:
    with ScriptedGateway() as gateway, start_proxy(gateway, drop=1.0, query_factor=0.5) as proxy:
        connection = Connection(proxy.base_url)
        fates = {_is_answered(lambda: query(connection, "order1")) for _ in range(20)}
        connection.close()
    assert fates == {True, False}
    assert proxy.counts["query_dropped"] + proxy.counts["query_passed"] == 20


def test_a_gateway_that_is_gone_or_moved_is_no_fault_of_the_proxy() -> None:
    with ScriptedGateway() as first, ScriptedGateway() as second, start_proxy(first) as proxy:
        first.script(C2B, cut())
        connection = Connection(proxy.base_url)
        with pytest.raises(Unanswered):
            pay(connection)
        proxy.lead_to(int(second.base_url.rpartition(":")[2]))
        assert pay(connection)[0] == 201
        connection.close()
    assert len(second.requests) == 1
    assert proxy.counts == {"gateway_gone": 1, "passed": 2}


def _is_answered(call: Callable[[], object]) -> bool:
    try:
        call()
    except Unanswered:
        return False
    return True
