"""The admin API's door: who may come in, what is too much, and how it says no."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pesalango_server.admin.routes import ENDPOINTS
from tests.api.admin_fixture import AdminCaller, make_name
from tests.e2e.server import IN_FORCE_S, wait_until

ADMIN = "/admin/v1"


def authorise(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def read_error(body: bytes) -> dict[str, str]:
    """The error in an answer, which must be nothing but that."""
    answer = json.loads(body)
    assert list(answer) == ["error"]
    error: dict[str, str] = answer["error"]
    assert sorted(error) == ["code", "field", "message"]
    return error


# --- who -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer   "},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer not-a-token"},
        {"Authorization": "Bearer \xff\xfe"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/customers?market=TZN"), ("POST", "/tokens"), ("GET", "/health")],
)
def test_nobody_comes_in_without_a_token(
    admin: AdminCaller, headers: dict[str, str], method: str, path: str
) -> None:
    reply = admin.send(method, ADMIN + path, headers=headers, body=b'{"name":"thief"}')

    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert read_error(reply.body)["code"] == "unauthorised"


def test_neither_an_api_key_nor_a_session_key_administrates(admin: AdminCaller) -> None:
    api_key = admin.credentials.sandbox.api_key
    session_key = admin.open_session(api_key)[1]["output_SessionID"]

    for secret in (api_key, session_key):
        assert admin.send("GET", f"{ADMIN}/health", headers=authorise(secret)).status == 401


def test_the_scheme_is_written_in_any_case(admin: AdminCaller) -> None:
    headers = {"Authorization": f"bearer {admin.token}"}

    assert admin.send("GET", f"{ADMIN}/worlds", headers=headers).status == 200


def test_a_new_token_comes_in_at_once_and_a_replaced_one_no_more(admin: AdminCaller) -> None:
    name = make_name()
    first = admin.get("tokens", {"name": name}, method="POST")
    assert first["name"] == name
    assert admin.refused("POST", "tokens", {"name": name}) == (409, "conflict", "name")
    assert admin.send("GET", f"{ADMIN}/worlds", headers=authorise(first["token"])).status == 200

    second = admin.get("tokens", {"name": name, "replaces": True}, method="POST")

    def ask(token: str) -> int:
        return admin.send("GET", f"{ADMIN}/worlds", headers=authorise(token)).status

    assert ask(second["token"]) == 200
    wait_until(lambda: ask(first["token"]) == 401, timeout_s=IN_FORCE_S, what="the token's end")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "name"), ({"name": ""}, "name"), ({"name": "x", "replaces": "yes"}, "replaces")],
)
def test_a_token_needs_a_name(admin: AdminCaller, body: dict[str, str], field: str) -> None:
    assert admin.refused("POST", "tokens", body) == (400, "invalid", field)


# --- what ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/",
        "/admin/v2/customers",
        ADMIN,
        f"{ADMIN}/",
        f"{ADMIN}/nothing",
        f"{ADMIN}/customers//",
        f"{ADMIN}//customers",
        f"{ADMIN}/customers/1/2/3",
        f"{ADMIN}/organisations/A/b/c",
    ],
)
def test_an_unknown_path_is_not_found_and_told_what_there_is(admin: AdminCaller, path: str) -> None:
    reply = admin.send("GET", path, headers=authorise(admin.token))

    assert reply.status == 404
    error = read_error(reply.body)
    assert error["code"] == "not_found"
    assert error["message"] == (
        "the admin API has no such path; below /admin/v1/ there are customers, organisations, "
        "applications, platform-keys, tokens, worlds, health"
    )


def test_what_only_begins_like_the_admin_api_is_none_of_it(admin: AdminCaller) -> None:
    reply = admin.send("GET", "/administration", headers=authorise(admin.token))

    assert reply.status == 404
    assert "error" not in json.loads(reply.body)


@pytest.mark.parametrize("path", ["/worlds/", "/customers/?market=TZN", "/health/"])
def test_one_slash_at_the_end_makes_no_difference(admin: AdminCaller, path: str) -> None:
    assert admin.send("GET", ADMIN + path, headers=authorise(admin.token)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/customers", "GET, POST"),
        ("GET", "/tokens", "POST"),
        ("PUT", "/applications/1", "GET, PATCH"),
        ("OPTIONS", "/health", "GET"),
    ],
)
def test_another_method_is_refused_with_those_that_work(
    admin: AdminCaller, method: str, path: str, allowed: str
) -> None:
    reply = admin.send(method, ADMIN + path, headers=authorise(admin.token))

    assert reply.status == 405
    assert reply.headers["Allow"] == allowed
    error = read_error(reply.body)
    assert error["code"] == "method_not_allowed"
    assert allowed in error["message"]


def test_head_is_get_without_a_body(admin: AdminCaller) -> None:
    reply = admin.send("HEAD", f"{ADMIN}/worlds", headers=authorise(admin.token))

    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b"[" * 100_000,
        b'{"name":' * 2_000,
        b"[]",
        b"null",
        b'"name"',
        b'{"name": ["x"]}',
        b'{"name": "x", "name ": "y"}',
        b"<html/>",
        b"name=x",
    ],
)
def test_a_body_that_cannot_be_read_is_refused(admin: AdminCaller, body: bytes) -> None:
    reply = admin.send("POST", f"{ADMIN}/tokens", body=body, headers=authorise(admin.token))

    assert reply.status == 400
    assert read_error(reply.body)["code"] == "invalid"


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(
    ("path", "size"),
    [("/tokens", 256 * 1024 + 1), ("/customers?market=TZN", 8 * 1024 * 1024 + 1)],
)
def test_a_body_over_the_bound_is_refused_in_json(
    admin: AdminCaller, path: str, size: int, is_chunked: bool
) -> None:
    place = urlsplit(admin.url)
    head = f"POST {ADMIN}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin.token}\r\n"
    head += "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as wire:
        wire.sendall(f"{head}\r\n\r\n".encode())
        body = b" " * size
        wire.sendall(f"{size:x}\r\n".encode() + body + b"\r\n0\r\n\r\n" if is_chunked else body)
        answer = b""
        while b"\r\n\r\n{" not in answer or not answer.endswith(b"}"):
            received = wire.recv(65_536)
            assert received, answer
            answer += received

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert read_error(answer.partition(b"\r\n\r\n")[2])["code"] == "too_large"


def test_a_body_that_only_just_fits_is_read(admin: AdminCaller) -> None:
    body = json.dumps({"name": make_name()}).encode().ljust(256 * 1024)

    reply = admin.send("POST", f"{ADMIN}/tokens", body=body, headers=authorise(admin.token))

    assert reply.status == 201


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["sandbox", "vodacomTZN", "255700000001", "active", "c2b", "1.00", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_FIELDS = sorted(
    {
        field
        for endpoints in ENDPOINTS.values()
        for endpoint in endpoints.values()
        for body in endpoint.bodies
        for field in body.__struct_fields__
    }
)
_CALLS = [
    (method, path.format(msisdn="255744553111", code="ORG001", id=999_999, environment="openapi"))
    for path, endpoints in ENDPOINTS.items()
    for method, endpoint in endpoints.items()
    if endpoint.bodies
]


@hypothesis_settings(
    max_examples=3 * hypothesis_settings().max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    call=st.sampled_from(_CALLS),
    body=st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=5), _VALUES) | _VALUES,
)
def test_whatever_the_body_says_the_answer_is_no_fault_of_the_server(
    admin: AdminCaller, call: tuple[str, str], body: Any
) -> None:
    method, path = call

    reply = admin.send(
        method,
        f"{ADMIN}{path}?market=vodacomDRC",
        body=json.dumps(body).encode(),
        headers=authorise(admin.token),
    )

    assert reply.status in (200, 201, 400, 404, 409), reply
    if reply.status >= 400:
        assert read_error(reply.body)["message"]


def test_no_answer_may_be_kept_by_a_cache(admin: AdminCaller) -> None:
    for path, status in (("/worlds", 200), ("/nothing", 404)):
        reply = admin.send("GET", ADMIN + path, headers=authorise(admin.token))
        assert reply.status == status
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Content-Type"] == "application/json"


# --- the installation ----------------------------------------------------------------------------


def test_worlds_are_listed_with_the_default_ones(admin: AdminCaller) -> None:
    def names(query: str) -> list[tuple[Any, ...]]:
        worlds = admin.get(f"worlds{query}")["worlds"]
        return [(each["environment"], each["name"], each["is_default"]) for each in worlds]

    assert names("") == [("sandbox", "user", True), ("openapi", "openapi", True)]
    assert ("sandbox", "self-check", False) in names("?hidden=true")


def test_health_tells_what_readiness_hangs_on(admin: AdminCaller) -> None:
    health = admin.get("health")

    assert health["is_ready"] is True
    assert health["is_configuration_fresh"] is True
    assert sorted(health["engines"]) == ["openapi", "platform", "sandbox"]
    assert all(engine["is_ready"] for engine in health["engines"].values())
    assert sorted(health["schema"]) == ["openapi", "platform", "sandbox"]
    assert health["version"]


def test_every_change_is_a_generation_that_health_tells(admin: AdminCaller) -> None:
    before = admin.get("health")["generation"]

    admin.get("tokens", {"name": make_name()}, method="POST")

    assert admin.get("health")["generation"] == before + 1


def test_the_clock_can_be_confirmed_at_any_time(admin: AdminCaller) -> None:
    confirmed = admin.get("health/confirm-clock", method="POST")

    assert sorted(confirmed["engines"]) == ["openapi", "platform", "sandbox"]
    assert admin.get("health")["is_ready"] is True
