"""Every call of the client, plain and asynchronous, at a real gateway and on the wire."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from pesalango import (
    MARKETS,
    AsyncClient,
    B2bPaymentResult,
    B2cPaymentResult,
    C2bSingleStageResult,
    CallError,
    Client,
    ConfigurationError,
    QueryTransactionStatusResult,
    ReversalResult,
)
from tests.e2e.merchant import make_reference
from tests.e2e.server import Server
from tests.sdk.callers import END_TIMEOUT_S, KINDS, PAYMENT, Caller, Kind, get_class, known
from tests.sdk.scripted_gateway import ScriptedGateway, answer, silence

ENVIRONMENTS = ("sandbox", "openapi")
C2B = "c2bPayment/singleStage/"
MSISDN = "254707161122"
OUT = {
    "amount": "3.50",
    "customer_msisdn": MSISDN,
    "service_provider_code": "ORG001",
    "transaction_reference": "Wages4",
    "payment_items_description": "A day of work",
}
BETWEEN = {
    "amount": "2.00",
    "primary_party_code": "ORG001",
    "receiver_party_code": "ORG002",
    "transaction_reference": "Flour5",
    "purchased_items_description": "A bag of flour",
}

Connect = Callable[..., Caller]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
    with Server(tmp_path_factory.mktemp("gateway") / "data", settings=settings) as server:
        server.start()
        yield server


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def connect(kind: Kind, server: Server) -> Iterator[Connect]:
    """Makes clients of the real gateway; each is closed at the end."""
    with ExitStack() as stack:

        def connect(**options: Any) -> Caller:
            made = get_class(kind).from_credentials(
                server.data_dir / "credentials.json", **{"market": "vodafoneGHA", **options}
            )
            return stack.enter_context(Caller(kind, made))

        yield connect


@pytest.fixture
def caller(kind: Kind, gateway: ScriptedGateway) -> Iterator[Caller]:
    """Of the scripted gateway."""
    with Caller(kind, **known(gateway)) as caller:
        yield caller


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest) -> Iterator[tuple[Caller, ScriptedGateway]]:
    """For tables of cases that leave a client as it was."""
    with ScriptedGateway() as gateway, Caller(request.param, **known(gateway)) as caller:
        yield caller, gateway


def make_http_client(kind: Kind, written: list[httpx2.Request]) -> Any:
    """One of a caller's own, which writes down what it sends."""
    if kind == "threads":
        return httpx2.Client(event_hooks={"request": [written.append]})

    async def write_down(request: httpx2.Request) -> None:
        written.append(request)

    return httpx2.AsyncClient(event_hooks={"request": [write_down]})


def get_close(given: Any) -> Any:
    return given.close if isinstance(given, httpx2.Client) else given.aclose


def sent_by(gateway: ScriptedGateway) -> dict[str, Any]:
    """The fields of the last request."""
    request = gateway.requests[-1]
    return request.query if request.method == "GET" else request.body or {}


# --- at a real gateway ---------------------------------------------------------------------------


@pytest.mark.parametrize("market", MARKETS)
def test_every_call_answers_with_its_own_type_in_every_market(
    connect: Connect, market: str
) -> None:
    caller = connect(market=market)
    paid = caller.pay()
    assert isinstance(paid, C2bSingleStageResult)
    assert (paid.response_code, len(paid.transaction_id)) == ("INS-0", 12)
    paid_out = caller.call("b2c_payment", **OUT)
    assert isinstance(paid_out, B2cPaymentResult)
    between = caller.call("b2b_payment", **BETWEEN)
    assert isinstance(between, B2bPaymentResult)
    given_back = caller.call(
        "reversal",
        transaction_id=paid.transaction_id,
        service_provider_code="ORG001",
        reversal_amount=Decimal("4.00"),
    )
    assert isinstance(given_back, ReversalResult)
    found = caller.call(
        "query_transaction_status",
        query_reference=paid.third_party_conversation_id,
        service_provider_code="ORG001",
    )
    assert isinstance(found, QueryTransactionStatusResult)
    assert (found.transaction_status, found.original_transaction_id, found.reversed) == (
        "Completed",
        paid.transaction_id,
        False,
    )
    references = {each.transaction_id for each in (paid, paid_out, between, given_back)}
    assert len(references) == 4


def test_a_payment_that_is_reversed_in_full_is_found_reversed(connect: Connect) -> None:
    caller = connect()
    paid = caller.pay()
    organisation = {"service_provider_code": "ORG001"}
    caller.call("reversal", transaction_id=paid.transaction_id, **organisation)
    found = caller.call(
        "query_transaction_status", query_reference=paid.transaction_id, **organisation
    )
    assert found.reversed is True


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_both_environments_are_served_by_one_file_of_credentials(
    connect: Connect, environment: str
) -> None:
    caller = connect(environment=environment)
    assert f"/{environment}/" in repr(caller.client)
    assert caller.pay().response_code == "INS-0"


def test_an_id_of_the_callers_own_names_the_payment(connect: Connect) -> None:
    reference = make_reference()
    paid = connect().pay(third_party_conversation_id=reference)
    assert paid.third_party_conversation_id == reference


def test_many_at_once_share_a_client_and_each_payment_is_made_once(connect: Connect) -> None:
    caller = connect()
    references = [make_reference() for _ in range(32)]
    waiting = [caller.start_paying(third_party_conversation_id=each) for each in references]
    paid = [each.result(END_TIMEOUT_S) for each in waiting]
    assert [each.third_party_conversation_id for each in paid] == references
    assert len({each.transaction_id for each in paid}) == 32


def test_a_client_that_was_closed_opens_anew(connect: Connect) -> None:
    caller = connect()
    caller.pay()
    caller.call("close")
    assert caller.pay().response_code == "INS-0"


# --- on the wire ---------------------------------------------------------------------------------


FORKING = """\
import json, os, sys
from pesalango import Client

known, payment = json.load(sys.stdin)
client = Client(**known)
client.c2b_single_stage(**payment, third_party_conversation_id="before")
child = os.fork()
name = "parent" if child else "child"
client.c2b_single_stage(**payment, third_party_conversation_id=name)
if child:
    sys.exit(os.waitpid(child, 0)[1])
client.close()
"""


def test_a_forked_process_has_connections_of_its_own(gateway: ScriptedGateway) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKING],
        input=json.dumps([known(gateway), PAYMENT]),
        capture_output=True,
        text=True,
        timeout=END_TIMEOUT_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    connections = {each.reference: each.connection for each in gateway.requests}
    assert connections["before"] == connections["parent"] != connections["child"]
    # It goes on with its parent's session.
    assert [each.operation for each in gateway.requests].count("getSession/") == 1


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Decimal("10.50"), "10.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.0000001"), "0.0000001"),
        (10, "10"),
        (10**30, "1" + 30 * "0"),
        ("10.5", "10.5"),
        ("ten", "ten"),
    ],
    ids=str,
)
def test_an_amount_is_sent_in_the_digits_that_were_given(
    shared: tuple[Caller, ScriptedGateway], amount: object, written: str
) -> None:
    caller, gateway = shared
    caller.pay(amount=amount)
    assert sent_by(gateway)["input_Amount"] == written


@pytest.mark.parametrize(
    ("changes", "error", "name"),
    [
        ({"amount": 10.0}, TypeError, "amount"),
        ({"amount": True}, TypeError, "amount"),
        ({"amount": None}, TypeError, "amount"),
        ({"amount": b"10"}, TypeError, "amount"),
        ({"amount": math.nan}, TypeError, "amount"),
        ({"amount": Decimal("NaN")}, ValueError, "amount"),
        ({"amount": Decimal("-Infinity")}, ValueError, "amount"),
        ({"amount": ""}, ValueError, "amount"),
        ({"customer_msisdn": 254707161122}, TypeError, "customer_msisdn"),
        ({"customer_msisdn": ""}, ValueError, "customer_msisdn"),
        ({"customer_msisdn": None}, TypeError, "customer_msisdn"),
        ({"country": ""}, ValueError, "country"),
        ({"currency": 1}, TypeError, "currency"),
        ({"third_party_conversation_id": ""}, ValueError, "third_party_conversation_id"),
        ({"transaction_reference": "\ud800"}, ValueError, "transaction_reference"),
        ({"extra_fields": {"input_Amount": 10}}, TypeError, "extra_fields"),
        ({"extra_fields": {1: "10"}}, TypeError, "extra_fields"),
        ({"extra_fields": {"input_More": "\udfff"}}, ValueError, "extra_fields"),
        ({"timeout": 0}, ConfigurationError, "timeout"),
        ({"timeout": math.inf}, ConfigurationError, "timeout"),
        ({"timeout": True}, ConfigurationError, "timeout"),
        ({"timeout": "1"}, ConfigurationError, "timeout"),
        ({"headers": {"X-Shop": "a\nb"}}, ValueError, "headers"),
        ({"headers": {"X-Shop": "ä"}}, ValueError, "headers"),
        ({"headers": {"X Shop": "a"}}, ValueError, "headers"),
        ({"headers": {"": "a"}}, ValueError, "headers"),
        ({"headers": {"X-Shop": 1}}, TypeError, "headers"),
    ],
    ids=str,
)
def test_what_no_request_can_carry_is_refused_before_anything_is_sent(
    shared: tuple[Caller, ScriptedGateway],
    changes: dict[str, Any],
    error: type[Exception],
    name: str,
) -> None:
    caller, gateway = shared
    before = len(gateway.requests)
    with pytest.raises(error, match=name):
        caller.pay(**changes)
    assert len(gateway.requests) == before


def test_values_are_given_by_name_and_none_may_be_missing(caller: Caller) -> None:
    with pytest.raises(TypeError, match="positional"):
        caller.call("c2b_single_stage", "10")
    with pytest.raises(TypeError, match="unknown"):
        caller.pay(unknown="1")
    with pytest.raises(TypeError, match="transaction_id"):
        caller.call("reversal", service_provider_code="ORG001")


@pytest.mark.parametrize("market", MARKETS.values(), ids=lambda market: market.name)
def test_country_and_currency_are_the_markets_where_they_are_left_out(
    kind: Kind, gateway: ScriptedGateway, market: Any
) -> None:
    with Caller(kind, **known(gateway, market=market.name)) as caller:
        caller.pay()
        sent = sent_by(gateway)
        assert (sent["input_Country"], sent["input_Currency"]) == (market.country, market.currency)
        assert caller.client.market == market
        caller.pay(country="AAA", currency="BBB")
        sent = sent_by(gateway)
        assert (sent["input_Country"], sent["input_Currency"]) == ("AAA", "BBB")
        assert gateway.requests[-1].market == market.name


def test_an_id_is_made_where_none_is_given_and_each_is_another(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    made = [caller.pay().third_party_conversation_id for _ in range(2)]
    sent = [request.reference for request in gateway.requests[1:]]
    assert made == sent
    assert len(set(made)) == 2
    assert all(each.isalnum() and len(each) == 32 for each in made)


def test_what_may_be_left_out_of_a_reversal_is_left_out(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    caller.call("reversal", transaction_id="5fT0kQ2mBx7L", service_provider_code="ORG001")
    assert gateway.requests[-1].method == "PUT"
    assert "input_ReversalAmount" not in sent_by(gateway)
    assert "input_Currency" not in sent_by(gateway)


def test_a_question_travels_in_the_address(caller: Caller, gateway: ScriptedGateway) -> None:
    gateway.script("queryTransactionStatus/", answer(output_Reversed="False"))
    caller.call(
        "query_transaction_status",
        query_reference="a b&c=d/é",
        service_provider_code="ORG001",
        extra_fields={"input_More": "1"},
    )
    request = gateway.requests[-1]
    assert (request.method, request.body) == ("GET", None)
    assert request.query["input_QueryReference"] == "a b&c=d/é"
    assert request.query["input_More"] == "1"


def test_extra_fields_win_over_what_the_call_says(caller: Caller, gateway: ScriptedGateway) -> None:
    extra_fields = {
        "input_Amount": "1.234",
        "input_ThirdPartyConversationID": "mine1",
        "input_ConsumerToken": "né",
    }
    paid = caller.pay(extra_fields=extra_fields)
    assert extra_fields.items() <= sent_by(gateway).items()
    assert paid.third_party_conversation_id == "mine1"


def test_headers_of_a_call_reach_the_wire_and_win_whatever_their_case(
    kind: Kind, gateway: ScriptedGateway
) -> None:
    written: list[httpx2.Request] = []
    origins = ("https://shop.example", "https://other.example")
    given = make_http_client(kind, written)
    with Caller(kind, **known(gateway, origin=origins[0], http_client=given)) as caller:
        caller.pay()
        assert [each.headers["origin"] for each in gateway.requests] == 2 * [origins[0]]
        assert gateway.requests[-1].headers["content-type"] == "application/json"
        caller.pay(headers={"X-Shop": "three", "ORIGIN": origins[1]})
        assert gateway.requests[-1].headers["x-shop"] == "three"
        assert written[-1].headers.get_list("origin") == [origins[1]]
        caller.call_function(get_close(given))


def test_a_call_that_has_a_timeout_of_its_own_waits_no_longer(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    gateway.script(C2B, silence())
    with pytest.raises(Exception, match=r"no answer within 0\.05 s"):
        caller.pay(timeout=0.05)


def test_connections_are_used_again(caller: Caller, gateway: ScriptedGateway) -> None:
    for _ in range(3):
        caller.pay()
    assert {request.connection for request in gateway.requests} == {1}


def test_a_client_of_the_callers_own_is_used_and_left_open(
    kind: Kind, gateway: ScriptedGateway
) -> None:
    written: list[httpx2.Request] = []
    given = make_http_client(kind, written)
    with Caller(kind, **known(gateway, http_client=given)) as caller:
        caller.pay()
        caller.call("close")
        assert not given.is_closed
        assert len(written) == len(gateway.requests) == 2
        caller.call_function(get_close(given))
        with pytest.raises(CallError, match="closed"):
            caller.pay()


# --- made with what cannot be used ---------------------------------------------------------------


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"base_url": "gateway.example"}, "base_url"),
        ({"base_url": "ftp://gateway.example"}, "base_url"),
        ({"base_url": "http://name:word@gateway.example"}, "base_url"),
        ({"base_url": "http://gateway.example?a=b"}, "base_url"),
        ({"api_key": ""}, "api_key"),
        ({"api_key": "a\nb"}, "api_key"),
        ({"public_key": ""}, "public_key"),
        ({"public_key": "bm8ga2V5"}, "public_key"),
        ({"public_key": "-----BEGIN PUBLIC KEY-----"}, "public_key"),
        ({"market": "vodafone"}, "market"),
        ({"environment": "production"}, "environment"),
        ({"origin": ""}, "origin"),
        ({"timeout": -1}, "timeout"),
        ({"session_lifetime": 0}, "session_lifetime"),
        ({"certificate_file": "nowhere.pem"}, "certificate_file"),
        ({"certificate_file": __file__}, "certificate_file"),
    ],
    ids=str,
)
def test_what_a_client_cannot_be_made_with_is_told_by_name(
    gateway: ScriptedGateway, make: Callable[..., object], changes: dict[str, Any], name: str
) -> None:
    with pytest.raises(ConfigurationError, match=name):
        make(**known(gateway, **changes))


@pytest.mark.parametrize("make", [Client.from_credentials, AsyncClient.from_credentials])
def test_a_file_of_credentials_that_is_none_is_told_without_what_it_holds(
    tmp_path: Path, make: Callable[..., object]
) -> None:
    path = tmp_path / "credentials.json"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        make(path, market="vodafoneGHA")
    for content in (
        b"{",
        b"[]",
        b"\xff",
        json.dumps(
            {"base_url": "http://gateway.example", "sandbox": {"api_key": "hidden"}}
        ).encode(),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="holds no credentials") as raised:
            make(path, market="vodafoneGHA")
        assert "hidden" not in str(raised.value)
    # What the file says is a default only.
    place = {"public_key": "", "api_key": "hidden"}
    whole = {"base_url": "http://gateway.example", "sandbox": place, "openapi": place}
    path.write_bytes(msgspec.json.encode(whole))
    with pytest.raises(ConfigurationError, match="environment"):
        make(path, market="vodafoneGHA", environment="production")


@pytest.mark.parametrize("kind", KINDS)
def test_the_systems_proxy_is_gone_through_but_for_what_it_is_not_for(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedGateway() as gateway:
        monkeypatch.setenv("http_proxy", gateway.base_url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with Caller(kind, **known(gateway)) as caller:
            caller.pay()
        with Caller(kind, **known(gateway, base_url="http://gateway.invalid")) as caller:
            caller.pay()
    hosts = [request.headers["host"] for request in gateway.requests]
    own = gateway.base_url.removeprefix("http://")
    assert hosts == [own, own, "gateway.invalid", "gateway.invalid"]
