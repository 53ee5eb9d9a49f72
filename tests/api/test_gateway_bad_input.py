"""Whatever arrives, the answer is one of the table's or an error in JSON, and nothing breaks.

Good requests are taken and damaged: values, JSON, headers, single bytes.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pesalango_server.catalog.questions import accepted_fields
from pesalango_server.catalog.registry import answerable_codes, find
from pesalango_server.gateway.bearer import parse_bearer
from tests.api.gateway_world import (
    B2B,
    B2C,
    C2B,
    MARKET,
    METHODS,
    QUERY,
    REVERSAL,
    SESSION,
    World,
    run_world,
)
from tests.e2e.server import wait_until
from tests.unit.http_server import Reply, Wire

TRANSPORT = {400, 401, 404, 405, 408, 413, 429, 431}
OPERATIONS = {
    C2B: find("c2b_single_stage"),
    B2C: find("b2c_payment"),
    B2B: find("b2b_payment"),
    REVERSAL: find("reversal"),
    QUERY: find("query_transaction_status"),
    SESSION: find("get_session"),
}
ANSWERS = {
    name: {(row.http_status, row.code) for row in answerable_codes(operation)}
    for name, operation in OPERATIONS.items()
}


@pytest.fixture(scope="module")
def battered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway of its own, which does not wait long for what does not come."""
    directory = tmp_path_factory.mktemp("battered")
    for world in run_world(directory, PESALANGO_REQUEST_DEADLINE_MS="250"):
        world.pay()
        yield world
        # After all of that it is well, the books hold, and no fault of ours was met.
        assert world.pay()[0] == 201
        assert world.call("GET", "", path="/health/ready").status == 200
        log = world.server.read_log()
        assert "Traceback" not in log
        assert "request_faulted" not in log
        audit = world.server.audit()
        assert audit.returncode == 0, audit.stdout + audit.stderr


def check(operation: str, reply: Reply) -> None:
    """Fail unless the answer is one that the page allows."""
    content = json.loads(reply.body)
    assert isinstance(content, dict)
    assert all(isinstance(value, str) for value in content.values())
    assert reply.header("content-type") == "application/json"
    code = content.get("output_ResponseCode")
    if code is None:
        assert list(content) == ["output_error"]
        assert reply.status in TRANSPORT
    else:
        assert (reply.status, code) in ANSWERS[operation]
    text = reply.body.decode()
    for leak in ("Traceback", 'File "', "<html", "<!DOCTYPE", "site-packages"):
        assert leak not in text


# --- damaged values ------------------------------------------------------------------------------

NASTY = st.sampled_from(
    [
        None,
        "",
        " ",
        "\x00",
        "a\x00b",
        "10\n",
        "' OR 1=1 --",
        "<script>",
        "é",
        "１０",
        "\U0001f600",
        "x" * 50_000,
        "0" * 20,
        "-1",
        "NaN",
        "%00",
        "../../etc",
        0,
        -0.0,
        1e308,
        10**40,
        True,
        False,
        [],
        {},
        ["10"],
        {"a": {"b": ["c"]}},
        "000000000005",
        "ORG001\r\nX: y",
    ]
)
VALUES = NASTY | st.text(max_size=30) | st.integers() | st.floats(allow_nan=False)


@st.composite
def damaged_parameters(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    """Changes of up to three parameters, and perhaps one that nobody knows."""
    changed = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
    changes = {name: draw(VALUES) for name in changed}
    if draw(st.booleans()):
        changes[draw(st.text(max_size=10))] = draw(VALUES)
    return changes


NAMES = {
    path: [field.wire_name for field in accepted_fields(operation)]
    for path, operation in OPERATIONS.items()
}
PAYMENTS = (C2B, B2C, B2B, REVERSAL)


def good_parameters(world: World, operation: str) -> dict[str, str]:
    """Of a request that is in order; what a reversal reverses is one payment for all of them."""
    if operation == QUERY:
        return world.question("abc")
    if operation != REVERSAL:
        return world.parameters(operation)
    original = world.original()
    return world.parameters(
        REVERSAL,
        TransactionID=original.transaction_id,
        ServiceProviderCode=original.organisation,
        ReversalAmount="0.01",
    )


bounded = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@bounded
@given(data=st.data(), operation=st.sampled_from(PAYMENTS))
def test_a_payment_with_damaged_values_gets_an_answer_of_the_table(
    battered: World, data: st.DataObject, operation: str
) -> None:
    changes = data.draw(damaged_parameters(NAMES[operation]))
    body = {**good_parameters(battered, operation), **changes}
    reply = battered.call(METHODS[operation], operation, headers=battered.signed(), body=body)
    check(operation, reply)


@bounded
@given(changes=damaged_parameters(NAMES[QUERY]), in_query=st.booleans())
def test_a_query_with_damaged_values_gets_an_answer_of_the_table(
    battered: World, changes: dict[str, Any], in_query: bool
) -> None:
    parameters = {**battered.question("abc"), **changes}
    if not in_query:
        reply = battered.call("GET", QUERY, headers=battered.signed(), body=parameters)
    else:
        pairs = [f"{name}={value}" for name, value in parameters.items()]
        # Only what a request line can hold; the rest of it as it is, encoded by nobody.
        query = "".join(sign for sign in "&".join(pairs) if 33 <= ord(sign) <= 126)
        reply = battered.call(
            "GET", QUERY, headers=battered.signed(), query=f"?{query[:12_000].replace('#', '')}"
        )
    check(QUERY, reply)


# --- damaged bytes -------------------------------------------------------------------------------


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[str, float, int]]:
    """Up to four places (as a share of the length), what to do there, and with which byte."""
    what = st.sampled_from(["change", "lose", "put in", "cut", "double"])
    byte = st.integers(0, 255) | st.sampled_from(list(b"\r\n\x00 :;,\"'{}[]%&="))
    return draw(st.lists(st.tuples(what, st.floats(0, 1), byte), min_size=1, max_size=4))


def damage(data: bytes, steps: list[tuple[str, float, int]]) -> bytes:
    content = bytearray(data)
    for what, share, byte in steps:
        place = min(int(share * len(content)), max(len(content) - 1, 0))
        if what == "put in" or not content:
            content.insert(place, byte)
        elif what == "change":
            content[place] = byte
        elif what == "lose":
            del content[place]
        elif what == "cut":
            del content[place + (len(content) - place) // 2 :]
        else:
            content[place:place] = content[place : place + 200]
    return bytes(content)


@bounded
@given(steps=damages(), operation=st.sampled_from([*PAYMENTS, QUERY]))
def test_a_body_with_damaged_bytes_gets_an_answer_of_the_table(
    battered: World, steps: list[tuple[str, float, int]], operation: str
) -> None:
    body = damage(json.dumps(good_parameters(battered, operation)).encode(), steps)
    reply = battered.call(
        METHODS[operation], operation, headers=battered.signed(), body=body or b"{"
    )
    check(operation, reply)


@bounded
@given(steps=damages(), operation=st.sampled_from(sorted(OPERATIONS)))
def test_a_bearer_with_damaged_bytes_is_not_authorised(
    battered: World, steps: list[tuple[str, float, int]], operation: str
) -> None:
    headers = battered.signed()
    bearer = damage(headers["Authorization"].encode(), steps)
    printable = "".join(chr(byte) for byte in bearer if 32 <= byte <= 126)
    headers["Authorization"] = printable
    reply = battered.call(METHODS[operation], operation, headers=headers, body=battered.payment())
    check(operation, reply)
    # The scheme in other letters, a blank at an end and the bits that base64 leaves over say nothing.
    sent, good = (
        parse_bearer(text.strip().encode(), ciphertext_bytes=256)
        for text in (printable, battered.application().bearer)
    )
    assert good is not None
    if sent != good:
        assert reply.status == 401, printable


@settings(
    max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(steps=damages(), operation=st.sampled_from([*PAYMENTS, QUERY]))
def test_a_request_with_damaged_bytes_anywhere_is_answered_in_json_or_let_go(
    battered: World, steps: list[tuple[str, float, int]], operation: str
) -> None:
    body = json.dumps(good_parameters(battered, operation)).encode()
    path = f"/sandbox/ipg/v2/{MARKET}/{operation}"
    lines = [f"{METHODS[operation]} {path} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in battered.signed().items()]
    request = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
    with Wire(battered.port) as wire, contextlib.suppress(ConnectionError):
        wire.send(damage(request, steps))
        check(operation, wire.read_reply())


# --- one by one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (operation, field.wire_name)
        for operation in (*PAYMENTS, QUERY)
        for field in OPERATIONS[operation].fields
    ],
)
@pytest.mark.parametrize("value", [None, "", "\x00", "é" * 9, "x" * 60_000, [], {}, True, 1.5])
def test_every_field_of_a_request_may_be_anything(
    battered: World, operation: str, name: str, value: Any
) -> None:
    body = {**good_parameters(battered, operation), name: value}
    reply = battered.call(METHODS[operation], operation, headers=battered.signed(), body=body)
    check(operation, reply)
    # Some fields take nearly any text, and no field takes a NUL or something nested; none but the
    # amount of a reversal may be left out.
    may_be_absent = name == "input_ReversalAmount" and not value and isinstance(value, str | None)
    assert reply.status == 400 or value is True or value == 1.5 or may_be_absent


def test_nothing_but_refusals_is_told_of_it_all(battered: World) -> None:
    battered.pay(Amount="0")
    wait_until(
        lambda: '"code":"INS-15"' in battered.server.read_log(), timeout_s=5, what="the refusal"
    )
