"""Section 1 of the wire: paths, methods, bodies, and that the answer is always JSON."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.gateway_world import C2B, MARKET, QUERY, REVERSAL, SESSION, World
from tests.unit.http_server import Reply, Wire

ROOT = f"/sandbox/ipg/v2/{MARKET}"


def code_of(reply: Reply) -> str:
    content = json.loads(reply.body)
    return str(content.get("output_ResponseCode", content.get("output_error")))


# --- paths and methods ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        "c2bPayment/singleStage/",
        "c2bPayment/singleStage",
        "C2BPAYMENT/SINGLESTAGE/",
        "c2bpayment/singlestage",
        "c2bPayment/singleStage/?",
        "c2bPayment/singleStage/?input_Amount=junk&token=abc",
        "c2bPayment/single%53tage/",
    ],
)
def test_an_operation_is_served_directly_in_every_spelling(world: World, operation: str) -> None:
    reply = world.call("POST", operation, headers=world.signed(), body=world.payment())
    assert reply.status == 201
    assert reply.header("location") is None


@pytest.mark.parametrize(
    "path",
    [
        "/sandbox",
        "/sandbox/",
        f"{ROOT}/",
        f"{ROOT}",
        f"{ROOT}/c2bPayment/",
        f"{ROOT}/c2bPayment/singleStage//",
        f"{ROOT}/c2bPayment//singleStage/",
        f"/{ROOT}/c2bPayment/singleStage/",
        f"/Sandbox/ipg/v2/{MARKET}/getSession/",
        f"/production/ipg/v2/{MARKET}/getSession/",
        f"/sandbox/IPG/v2/{MARKET}/getSession/",
        f"/sandbox/ipg/v1/{MARKET}/getSession/",
        f"{ROOT}/getSession/more",
        f"{ROOT}/directDebitPayment/",
        f"{ROOT}/%2e%2e/getSession/",
        f"{ROOT}/getSession%00/",
        f"/sandbox/ipg/v2/{MARKET.lower()}/nothing/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_path_is_not_there(world: World, path: str, method: str) -> None:
    reply = world.call(method, "", headers=world.signed(), path=path)
    assert reply.status == 404
    assert list(json.loads(reply.body)) == ["output_error"]


@pytest.mark.parametrize("market", [MARKET.lower(), MARKET.upper(), "vodacom", "x", "%20", "..."])
@pytest.mark.parametrize("operation", [C2B, QUERY, SESSION])
def test_a_market_is_exact(world: World, market: str, operation: str) -> None:
    method = "POST" if operation == C2B else "GET"
    assert code_of(world.call(method, operation, market=market)) == "INS-998"


@pytest.mark.parametrize(
    ("operation", "allowed", "method"),
    [
        (operation, allowed, method)
        for operation, allowed in (
            (C2B, "POST"),
            (REVERSAL, "PUT"),
            (QUERY, "GET"),
            (SESSION, "GET"),
        )
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
        if method != allowed
    ],
)
def test_another_method_is_told_the_right_one(
    world: World, operation: str, allowed: str, method: str
) -> None:
    reply = world.call(method, operation, headers={"Origin": "https://shop.example"})
    assert reply.status == 405
    assert reply.header("allow") == allowed
    assert list(json.loads(reply.body)) == ["output_error"]
    # No page of a browser is invited.
    assert not [name for name, _ in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("host", ["", "x", "[::1]:1", "openapi.m-pesa.example", "a b"])
def test_any_host_header_will_do(world: World, host: str) -> None:
    body = json.dumps(world.payment()).encode()
    lines = [f"POST {ROOT}/{C2B} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in world.signed().items()]
    with Wire(world.port) as wire:
        wire.send("\r\n".join([*lines, "", ""]).encode() + body)
        assert wire.read_reply().status == 201


def test_one_connection_takes_many_requests(world: World) -> None:
    with Wire(world.port) as wire:
        for _ in range(5):
            body = json.dumps(world.payment()).encode()
            lines = [f"POST {ROOT}/{C2B} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in world.signed().items()]
            wire.send("\r\n".join([*lines, "", ""]).encode() + body)
            assert wire.read_reply().status == 201


# --- where parameters come from ------------------------------------------------------------------


def encode_json(parameters: dict[str, str]) -> tuple[str, bytes]:
    return "", json.dumps(parameters).encode()


def encode_query(parameters: dict[str, str]) -> tuple[str, bytes]:
    return f"?{urlencode(parameters)}", b""


def encode_both(parameters: dict[str, str]) -> tuple[str, bytes]:
    names = sorted(parameters)
    query = {name: parameters[name] for name in names[:2]}
    # What stands in both is taken from the query string.
    body = {name: parameters[name] for name in names[2:]} | dict.fromkeys(names[:2], "a,b")
    return f"?{urlencode(query)}", json.dumps(body).encode()


@pytest.mark.parametrize("encode", [encode_json, encode_query, encode_both])
def test_a_get_takes_its_parameters_from_query_and_body(
    world: World, encode: Callable[[dict[str, str]], tuple[str, bytes]]
) -> None:
    query, body = encode(world.question("nosuchreference"))
    reply = world.call("GET", QUERY, headers=world.signed(), query=query, body=body)
    assert code_of(reply) == "INS-23"


@pytest.mark.parametrize("query", ["", "?", "?&", "?x"])
def test_a_get_without_parameters_lacks_them(world: World, query: str) -> None:
    assert code_of(world.call("GET", QUERY, headers=world.signed(), query=query)) == "INS-20"


def test_a_response_url_in_a_query_string_does_not_count(world: World) -> None:
    parameters = world.question("nosuchreference") | {"input_ResponseURL": "no url"}
    reply = world.call("GET", QUERY, headers=world.signed(), query=f"?{urlencode(parameters)}")
    assert code_of(reply) == "INS-23"
    reply = world.call("GET", QUERY, headers=world.signed(), body=parameters)
    assert code_of(reply) == "INS-21"


def test_get_session_ignores_whatever_comes_with_it(world: World) -> None:
    application = world.application()
    for query, body in (("?x=%ff", b""), ("", b"{"), ("?input_Amount=1", b"\xff" * 100)):
        assert world.get_session(application, query=query, body=body).status == 200


def test_a_post_ignores_its_query_string(world: World) -> None:
    query = f"?{urlencode({'input_Amount': '10.001', 'input_Country': 'GHA'})}"
    reply = world.call("POST", C2B, headers=world.signed(), body=world.payment(), query=query)
    assert reply.status == 201


def test_a_form_labelled_as_json_is_a_payment(world: World) -> None:
    form = urlencode(world.payment()).encode()
    assert world.call("POST", C2B, headers=world.signed(), body=form).status == 201


@pytest.mark.parametrize("label", ["text/plain", "application/x-www-form-urlencoded", "", "a;;b"])
def test_the_declared_type_of_a_body_is_not_checked(world: World, label: str) -> None:
    headers = world.signed() | {"Content-Type": label}
    assert world.call("POST", C2B, headers=headers, body=world.payment()).status == 201


def test_parameters_of_other_operations_are_ignored(world: World) -> None:
    extra = {"input_MandateID": "x,y", "output_X": {"deep": [1]}, "é": None, "input_amount": "0"}
    assert world.call("POST", C2B, headers=world.signed(), body={**world.payment(), **extra}).status == 201  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Amount", 10),
        ("Amount", 10.5),
        ("CustomerMSISDN", None),
        ("PurchasedItemsDesc", True),
        ("TransactionReference", 12345),
    ],
)
def test_a_value_that_is_no_text_is_read_as_it_was_written(
    world: World, name: str, value: Any
) -> None:
    parameters: dict[str, Any] = world.payment()
    if value is not None:
        parameters[f"input_{name}"] = value
    body = json.dumps(parameters)
    if name == "CustomerMSISDN":
        number = parameters["input_CustomerMSISDN"]
        body = body.replace(f'"{number}"', number)
    assert world.call("POST", C2B, headers=world.signed(), body=body.encode()).status == 201


@pytest.mark.parametrize(
    ("amount", "status"),
    [
        ("10", 201),
        ("0010", 201),
        (".5", 201),
        ("10.00", 201),
        ("10.", 400),
        ("10.000", 400),
        ("1e1", 400),
        ("-1", 400),
        ("0", 400),
        (" 10", 400),
        ("10\\n", 400),
        ("１０", 400),
        ("999999999999.99", 422),
        ("1000000000000", 400),
        ("0" * 31 + "1", 201),
        ("0" * 32 + "1", 400),
    ],
)
def test_amounts_are_read_as_the_page_says(world: World, amount: str, status: int) -> None:
    body = json.dumps(world.payment(Amount="@")).replace("@", amount).encode()
    assert world.call("POST", C2B, headers=world.signed(), body=body).status == status


# --- what every answer has in common -------------------------------------------------------------


@pytest.mark.parametrize(
    "request_line",
    [
        f"GET {ROOT}/getSession/ HTTP/1.1",
        f"PUT {ROOT}/{C2B} HTTP/1.1",
        "GET /nowhere HTTP/1.1",
        "GET / HTTP/3.7",
        f"GET /{'a' * 20_000} HTTP/1.1",
    ],
)
def test_every_answer_is_json_without_quotes_in_its_headers(
    world: World, request_line: str
) -> None:
    with Wire(world.port) as wire:
        wire.send(f"{request_line}\r\nHost: x\r\n\r\n".encode())
        reply = wire.read_reply()
    assert isinstance(json.loads(reply.body), dict)
    assert reply.header("content-type") == "application/json"
    for name, value in reply.headers:
        assert not set(name + value) & {"'", '"'}


def test_every_output_is_text(world: World) -> None:
    _, paid = world.pay()
    _, found = world.query(paid["output_TransactionID"])
    assert all(isinstance(value, str) for value in (*paid.values(), *found.values()))
    assert found["output_Reversed"] == "False"


def test_java_with_its_upgrade_header_can_pay(world: World) -> None:
    headers = world.signed() | {
        "Connection": "Upgrade, HTTP2-Settings",
        "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        "Upgrade": "h2c",
    }
    assert world.call("POST", C2B, headers=headers, body=world.payment()).status == 201


def test_a_body_of_2_mb_is_answered_413(world: World) -> None:
    reply = world.call("POST", C2B, headers=world.signed(), body=b"a" * 2_000_000)
    assert reply.status == 413
    assert list(json.loads(reply.body)) == ["output_error"]


def test_half_a_body_is_answered_408_and_moves_nothing(world: World) -> None:
    reference = world.reference()
    body = json.dumps(world.payment(ThirdPartyConversationID=reference)).encode()
    lines = [f"POST {ROOT}/{C2B} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in world.signed().items()]
    with Wire(world.port) as wire:
        wire.send("\r\n".join([*lines, "", ""]).encode() + body[:-1])
        assert wire.read_reply().status == 408
    assert world.query(reference)[1]["output_ResponseCode"] == "INS-23"
