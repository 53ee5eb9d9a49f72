"""A program for the operator's published SDK runs with its one import changed, and better."""

import base64
import copy
import inspect
import json
import logging
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from pprint import pformat
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pesalango import portalsdk
from pesalango.portalsdk import (
    APIContext,
    APIError,
    APIMethodType,
    APIRequest,
    APIResponse,
    NoAnswer,
    NotSent,
    TimedOut,
    UnreadableAnswer,
)
from tests.api.gateway_world import MARKET, World, run_world
from tests.e2e.server import Server, find_free_port, run_command
from tests.sdk.scripted_server import Answer, ScriptedServer, Silence, Trickle, render

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (Path(__file__).parent / "published_sdk_program.txt").read_text("utf-8")
OLD_IMPORT = "from portalsdk import APIContext, APIMethodType, APIRequest\n"
NEW_IMPORT = "from pesalango.portalsdk import APIContext, APIMethodType, APIRequest\n"

SECRET = "made-up-key-of-a-test"
REFERENCE = "reference-of-a-test"
OK = render({"output_ResponseCode": "INS-0"})
TIMEOUT_S = 0.3


class Key(NamedTuple):
    """A key pair of a platform, and its public half as a portal shows it."""

    private: rsa.RSAPrivateKey
    public: str


@pytest.fixture(scope="module")
def key() -> Key:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Key(private, encode_public_key(private.public_key()))


def encode_public_key(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from run_world(tmp_path_factory.mktemp("portalsdk"))


def make_context(key: Key, port: int, method: APIMethodType = APIMethodType.POST) -> APIContext:
    context = APIContext()
    context.api_key = SECRET
    context.public_key = key.public
    context.method_type = method
    context.address = "127.0.0.1"
    context.port = port
    context.path = "/sandbox/ipg/v2/vodacomTZN/c2bPayment/singleStage/"
    context.add_header("Origin", "*")
    context.add_parameter("input_ThirdPartyConversationID", REFERENCE)
    return context


def decrypt_bearer(key: Key, authorization: str) -> str:
    kind, _, bearer = authorization.partition(" ")
    assert kind == "Bearer"
    return key.private.decrypt(base64.b64decode(bearer), PKCS1v15()).decode()


# --- a stranger's program ------------------------------------------------------------------------


def test_a_program_for_the_published_sdk_runs_with_its_import_changed(
    world: World, tmp_path: Path
) -> None:
    organisation, customer = (
        world.make_organisation(balance="100"),
        world.make_customer(balance="50"),
    )
    shop = world.add_application(name="stranger", organisations=[organisation])
    settings = {
        "public_key": world.credentials.sandbox.public_key,
        "api_key": shop.api_key,
        "ssl": False,
        "address": "127.0.0.1",
        "port": world.port,
        "organisation": organisation,
        "customer": customer,
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings), "utf-8")
    assert PROGRAM.count(OLD_IMPORT) == 1
    (tmp_path / "shop.py").write_text(PROGRAM.replace(OLD_IMPORT, NEW_IMPORT), "utf-8")

    done = subprocess.run(
        [sys.executable, "-W", "error", "shop.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "sdk" / "src"),
            "SHOP_SETTINGS": "settings.json",
            "SHOP_PAUSE": "0",
        },
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.isdigit()] == ["200", "201", "200", "201", "201"]
    assert lines.count("output_ResponseCode: INS-0") == 5
    assert "output_ResponseTransactionStatus: Completed" in lines
    # It printed what it wanted to, and nothing was printed beside that.
    assert all(line.isdigit() or ": " in line for line in lines)
    assert shop.api_key not in done.stdout
    assert world.read_balance(organisation) == Decimal(100 + 10 - 3 - 4)
    assert world.read_balance(customer) == Decimal(50 - 10 + 3 + 4)


def test_a_refusal_is_an_answer_and_true(world: World) -> None:
    context = APIContext(
        SECRET,
        world.credentials.sandbox.public_key,
        False,
        APIMethodType.GET,
        "127.0.0.1",
        world.port,
        f"/sandbox/ipg/v2/{MARKET}/getSession/",
        {"Origin": "*"},
        {},
    )

    response = APIRequest(context).execute()

    assert response
    assert response.status_code == 401
    assert response.body == {"output_error": "API or Session key is not authorized"}
    assert response.headers["Content-Type"] == response.headers["content-type"]


def test_the_names_are_found_where_the_published_sdk_has_them() -> None:
    from pesalango.portalsdk import api

    assert (api.APIContext, api.APIRequest) == (portalsdk.APIContext, portalsdk.APIRequest)
    assert {each.name: each.value for each in APIMethodType} == {
        "GET": 0,
        "POST": 1,
        "PUT": 3,
        "DELETE": 4,
    }
    signature = inspect.signature(APIContext)
    assert {name: each.default for name, each in signature.parameters.items()} == {
        "api_key": "",
        "public_key": "",
        "ssl": False,
        "method_type": APIMethodType.GET,
        "address": "",
        "port": 80,
        "path": "",
        "headers": {},
        "parameters": {},
    }


def test_a_context_and_a_response_are_dictionaries_as_well(key: Key) -> None:
    with ScriptedServer(OK) as server:
        context = make_context(key, server.port)
        context["method_type"] = APIMethodType.PUT
        context.update(path="/elsewhere/")
        response = APIRequest(context).execute()
    assert server.requests[0][:2] == ("PUT", "/elsewhere/")
    assert response["body"]["output_ResponseCode"] == "INS-0"
    assert json.loads(json.dumps(response))["status_code"] == 200


# --- what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ssl", "address", "path", "url"),
    [
        (True, "gateway.example", "/a/b/", "https://gateway.example:443/a/b/"),
        (False, "gateway.example", "a/b/", "http://gateway.example:443/a/b/"),
        (False, "::1", "", "http://[::1]:443/"),
    ],
)
def test_a_url_is_made_of_scheme_address_port_and_path(
    ssl: bool, address: str, path: str, url: str
) -> None:
    assert APIContext(ssl=ssl, address=address, port=443, path=path).get_url() == url


def test_a_get_has_its_parameters_in_the_query_string(key: Key) -> None:
    with ScriptedServer(OK) as server:
        context = make_context(key, server.port, APIMethodType.GET)
        context.add_parameter("input_QueryReference", "T 1&é")
        context.add_parameter("input_QueryBalanceAmount", True)
        context.add_parameter("input_Nothing", None)
        APIRequest(context).execute()
    request = server.requests[0]
    assert (request.method, request.body) == ("GET", b"")
    assert urlsplit(request.target).path == context.path
    assert parse_qs(urlsplit(request.target).query) == {
        "input_ThirdPartyConversationID": [REFERENCE],
        "input_QueryReference": ["T 1&é"],
        "input_QueryBalanceAmount": ["True"],
    }


@pytest.mark.parametrize("method", [APIMethodType.POST, APIMethodType.PUT])
def test_a_post_and_a_put_have_their_parameters_in_a_json_body(
    key: Key, method: APIMethodType
) -> None:
    with ScriptedServer(OK, OK) as server:
        context = make_context(key, server.port, method)
        context.add_parameter("input_Amount", 10)
        APIRequest(context).execute()
        context.parameters = {}
        APIRequest(context).execute()
    request = server.requests[0]
    assert (request.method, request.target) == (method.name, context.path)
    assert json.loads(request.body) == {
        "input_ThirdPartyConversationID": REFERENCE,
        "input_Amount": 10,
    }
    assert json.loads(server.requests[1].body) == {}


def test_the_bearer_is_the_encrypted_key_and_another_one_each_time(key: Key) -> None:
    request = APIRequest(APIContext(api_key=SECRET, public_key=f" {key.public}\n"))
    bearers = [request.create_bearer_token() for _ in range(2)]
    assert bearers[0] != bearers[1]
    assert [decrypt_bearer(key, f"Bearer {bearer.decode()}") for bearer in bearers] == [SECRET] * 2


def test_default_headers_are_set_and_the_programs_own_stay(key: Key) -> None:
    context = make_context(key, 1)
    context.add_header("content-type", "application/json; charset=utf-8")
    headers = APIRequest(context).create_default_headers()
    assert headers is context.get_headers()
    assert decrypt_bearer(key, headers.pop("Authorization")) == SECRET
    assert headers == {
        "Origin": "*",
        "content-type": "application/json; charset=utf-8",
        "Host": "127.0.0.1",
    }


def test_a_context_that_gets_another_key_gets_another_bearer(key: Key) -> None:
    with ScriptedServer(OK, OK, OK) as server:
        context = make_context(key, server.port)
        request = APIRequest(context)
        request.create_default_headers()
        request.execute()
        context.api_key = "another-made-up-key"
        request.execute()
        context.add_header("Authorization", "Bearer my-own")
        request.execute()
    sent = [each.headers["authorization"] for each in server.requests]
    assert [decrypt_bearer(key, each) for each in sent[:2]] == [SECRET, "another-made-up-key"]
    assert sent[2] == "Bearer my-own"


def test_no_operation_is_called_with_delete(key: Key) -> None:
    with (
        ScriptedServer() as server,
        pytest.raises(ValueError, match="no operation of this API is called with DELETE"),
    ):
        APIRequest(make_context(key, server.port, APIMethodType.DELETE)).execute()
    assert server.requests == []


# --- its defects, mended -------------------------------------------------------------------------


def test_nothing_of_one_context_is_in_the_next_one(key: Key) -> None:
    with ScriptedServer(OK, OK) as server:
        APIRequest(make_context(key, server.port, APIMethodType.GET)).execute()
        second = APIContext(
            api_key=SECRET, public_key=key.public, address="127.0.0.1", port=server.port
        )
        APIRequest(second).execute()
    assert "?" in server.requests[0].target
    assert server.requests[1].target == "/"
    assert "origin" not in server.requests[1].headers
    # A call leaves a context as the program has made it.
    assert second.headers == second.parameters == {}


def test_contexts_share_no_dictionary_that_they_are_given() -> None:
    headers, parameters = {"Origin": "*"}, {"input_Country": "TZN"}
    first = APIContext(headers=headers, parameters=parameters)
    second = APIContext()
    second.headers, second.parameters = headers, parameters
    third, fourth = first.copy(), copy.copy(first)
    first.add_header("X-Shop", "1")
    first.add_parameter("input_Amount", "10")
    for context in (second, third, fourth):
        assert (context.headers, context.parameters) == (headers, parameters)
    assert (headers, parameters) == ({"Origin": "*"}, {"input_Country": "TZN"})


def test_nothing_is_printed_and_no_secret_is_logged(
    key: Key, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(OK, OK, Silence.CLOSE) as server:
        for method in (APIMethodType.GET, APIMethodType.POST):
            APIRequest(make_context(key, server.port, method)).execute()
        with pytest.raises(NoAnswer):
            APIRequest(make_context(key, server.port)).execute()
    assert capfd.readouterr() == ("", "")
    said = "\n".join(map(logging.Formatter("%(message)s").format, caplog.records))
    bearers = [
        request.headers["authorization"].removeprefix("Bearer ") for request in server.requests
    ]
    assert len(bearers) == 3
    assert [word for word in (SECRET, REFERENCE, *bearers) if word in said] == []


def test_what_is_shown_of_context_and_response_has_no_secret(key: Key) -> None:
    context = make_context(key, 80)
    context.add_parameter("input_CustomerMSISDN", "255700000001")
    bearer = APIRequest(context).create_default_headers()["Authorization"]
    response = APIResponse(200, {"A": "b"}, {"output_SessionID": "a-session", "output_X": "shown"})
    shown = f"{context} {context!r} {pformat(context)} {response} {pformat(response)}"
    for secret in (SECRET, bearer, bearer[7:], "255700000001", "a-session", key.public):
        assert secret not in shown
    assert "127.0.0.1" in shown
    assert "shown" in shown
    assert context.api_key == SECRET


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"api_key": ""}, "api_key is empty"),
        ({"api_key": f"{SECRET}é"}, "api_key has characters that no key has"),
        ({"api_key": SECRET * 20}, "and public_key room for 245"),
        ({"public_key": SECRET}, "public_key must be one line of base64"),
        ({"public_key": "c2VjcmV0"}, "public_key must be one line of base64"),
        ({"address": ""}, "address must be a host name or IP address"),
        ({"address": "http://127.0.0.1"}, "address must be a host name or IP address"),
        ({"address": "127.0.0.1:80"}, "address, port and path make no URL"),
        ({"port": 0}, "port is 0, and goes from 1 to 65535"),
        ({"port": 70_000}, "port is 70000, and goes from 1 to 65535"),
        ({"headers": {"Origin": "a\r\nb: c"}}, "the header 'Origin' has characters"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(
    key: Key, change: dict[str, Any], told: str
) -> None:
    with ScriptedServer() as server:
        context = make_context(key, server.port)
        context.update(change)
        with pytest.raises(ValueError, match=told) as raised:
            APIRequest(context).execute()
    assert server.requests == []
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_public_key_of_another_kind_is_refused(key: Key) -> None:
    context = make_context(key, 80)
    context.public_key = encode_public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(ValueError, match="public_key must be one line of base64: an RSA"):
        APIRequest(context).create_bearer_token()


def test_quotes_in_a_header_of_the_answer_stay_what_they_are(key: Key) -> None:
    headers = {"ETag": '"it\'s"', "X-Words": "'", "Set-Cookie": 'a="b"'}
    with ScriptedServer(render({"output_ResponseDesc": 'it\'s "fine"'}, headers=headers)) as server:
        response = APIRequest(make_context(key, server.port)).execute()
    assert headers.items() <= response.headers.items()
    assert response.headers["etag"] == response.headers.get("ETAG") == '"it\'s"'
    assert ("x-words" in response.headers, "x-other" in response.headers) == (True, False)
    assert response.headers.get("x-other", "none") == "none"
    with pytest.raises(KeyError):
        response.headers["x-other"]
    assert response.body == {"output_ResponseDesc": 'it\'s "fine"'}


CUT = b"HTTP/1.1 201 Created\r\nContent-Length: 90\r\n\r\n{"
PROXY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\n<html>..."
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
LIST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
DEEP = b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000
LARGE = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (1 << 20) + b"{}"
NO_ZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
MOVED = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
TRICKLE = Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "raised", "builtin"),
    [
        pytest.param(Silence.CLOSE, NoAnswer, ConnectionError, id="closed"),
        pytest.param(CUT, NoAnswer, ConnectionError, id="cut"),
        pytest.param(b"SSH-2.0-x\r\n", NoAnswer, ConnectionError, id="no HTTP"),
        pytest.param(Silence.WAIT, TimedOut, TimeoutError, id="silent"),
        pytest.param(TRICKLE, TimedOut, TimeoutError, id="trickle"),
        pytest.param(PROXY, UnreadableAnswer, ValueError, id="proxy"),
        pytest.param(LIST, UnreadableAnswer, ValueError, id="list"),
        pytest.param(DEEP, UnreadableAnswer, ValueError, id="deep"),
        pytest.param(LARGE, UnreadableAnswer, ValueError, id="large"),
        pytest.param(NO_ZIP, UnreadableAnswer, ValueError, id="no zip"),
        pytest.param(MOVED, UnreadableAnswer, ValueError, id="redirect"),
    ],
)
def test_a_call_without_an_answer_raises_and_is_not_sent_again(
    key: Key, answer: Answer, raised: type[APIError], builtin: type[Exception]
) -> None:
    with ScriptedServer(answer, OK) as server:
        request = APIRequest(make_context(key, server.port), timeout_s=TIMEOUT_S)
        if answer not in (Silence.WAIT, TRICKLE):
            request.timeout_s = 20
        with pytest.raises(raised, match="whether the money has moved is unknown") as found:
            request.execute()
    assert isinstance(found.value, builtin)
    assert found.value.money_may_have_moved
    assert len(server.requests) == 1
    assert SECRET not in "".join(traceback.format_exception(found.value))
    if isinstance(found.value, UnreadableAnswer):
        assert found.value.status_code in (200, 307, 502)


def test_where_nobody_can_be_connected_to_the_money_has_not_moved(key: Key) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        context = make_context(key, bound.getsockname()[1])
        with pytest.raises(NotSent, match="the money has not moved") as found:
            APIRequest(context).execute()
    assert isinstance(found.value, ConnectionError)
    assert not found.value.money_may_have_moved


def test_a_handshake_that_is_not_answered_has_not_moved_the_money(key: Key) -> None:
    with ScriptedServer() as server:
        context = make_context(key, server.port)
        context.ssl = True
        with pytest.raises(NotSent, match=r"timed out.*the money has not moved"):
            APIRequest(context, timeout_s=TIMEOUT_S).execute()
    assert server.requests == []


def test_a_proxy_of_the_environment_is_called_and_one_that_refuses_has_sent_nothing(
    key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ScriptedServer(OK, FORBIDDEN) as proxy, ScriptedServer(OK) as server:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        context = make_context(key, 80)
        context.address = "gateway.example"
        assert APIRequest(context).execute().status_code == 200
        context.ssl = True
        with pytest.raises(NotSent, match="the money has not moved"):
            APIRequest(context).execute()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert APIRequest(make_context(key, server.port)).execute().status_code == 200
    forwarded, tunnel = proxy.requests
    assert forwarded[:2] == ("POST", f"http://gateway.example{context.path}")
    assert forwarded.headers["host"] == "gateway.example"
    assert tunnel[:2] == ("CONNECT", "gateway.example:80")
    assert "authorization" not in tunnel.headers
    assert len(server.requests) == 1


def test_a_connection_that_the_server_has_closed_disturbs_no_later_call(key: Key) -> None:
    keeps = render({"output_ResponseCode": "INS-0"}, headers={"Connection": "keep-alive"})
    with ScriptedServer(keeps, keeps, keeps) as server:
        request = APIRequest(make_context(key, server.port))
        assert [request.execute().status_code for _ in range(3)] == [200] * 3
    assert len(server.requests) == 3


def test_a_call_has_a_timeout_that_outlasts_the_gateways_wait() -> None:
    request = APIRequest(APIContext())
    assert request.timeout_s == 90
    request.timeout_s = 5
    assert request.timeout_s == 5
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="timeout_s must be"):
            request.timeout_s = wrong


# --- types ---------------------------------------------------------------------------------------

WRONG: list[tuple[str, Any, str]] = [
    ("api_key", b"key", "api_key must be a str, not bytes"),
    ("public_key", None, "public_key must be a str, not NoneType"),
    ("ssl", 1, "ssl must be a bool, not int"),
    ("method_type", "GET", "method_type must be an APIMethodType, not str"),
    ("method_type", 0, "method_type must be an APIMethodType, not int"),
    ("address", 127, "address must be a str, not int"),
    ("port", "443", "port must be an int, not str"),
    ("port", True, "port must be an int, not bool"),
    ("path", Path("a"), "path must be a str, not PosixPath"),
    ("headers", [], "headers must be a dict, not list"),
    ("headers", {"A": 1}, r"headers\['A'\] must be a str, not int"),
    ("parameters", "a=b", "parameters must be a dict, not str"),
    ("parameters", {1: "a"}, "the keys of parameters must be str, not int"),
]


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_a_value_of_a_wrong_type_is_refused_with_what_is_expected(
    name: str, value: Any, told: str
) -> None:
    context = APIContext()
    before = context[name]
    with pytest.raises(TypeError, match=told):
        setattr(context, name, value)
    with pytest.raises(TypeError, match=told):
        context[name] = value
    with pytest.raises(TypeError, match=told):
        context.update({name: value})
    with pytest.raises(TypeError, match=told):
        context |= {name: value}
    with pytest.raises(TypeError, match=told):
        APIContext(**{name: value})
    assert context[name] == before


def test_every_property_can_be_read_and_written() -> None:
    context = APIContext()
    values: dict[str, Any] = {
        "api_key": "k",
        "public_key": "p",
        "ssl": True,
        "method_type": APIMethodType.PUT,
        "address": "a",
        "port": 1,
        "path": "/",
        "headers": {"A": "b"},
        "parameters": {"c": 1},
    }
    for name, value in values.items():
        setattr(context, name, value)
    assert {name: getattr(context, name) for name in values} == values
    assert context == APIContext(*values.values()) == APIContext(**values)


def test_wrong_types_are_refused_by_requests_responses_and_methods_too() -> None:
    refused: list[tuple[Any, str]] = [
        (lambda: APIContext().add_header("Origin", 1), "the header Origin must be a str"),  # type: ignore[arg-type]
        (lambda: APIContext().add_header(1, "a"), "the name of a header must be a str"),  # type: ignore[arg-type]
        (lambda: APIContext().add_parameter(1, "a"), "the name of a parameter must be a str"),  # type: ignore[arg-type]
        (lambda: APIRequest({}), "context must be an APIContext, not dict"),  # type: ignore[arg-type]
        (APIRequest().execute, "context must be an APIContext, and there is none"),
        (lambda: APIRequest(timeout_s="9"), "timeout_s must be a number of seconds, not str"),  # type: ignore[arg-type]
        (lambda: APIRequest(certificate_file=1), "certificate_file must be a path or None"),  # type: ignore[arg-type]
        (lambda: APIResponse("200", {}, {}), "status_code must be an int, not str"),  # type: ignore[arg-type]
        (lambda: APIResponse(200, "", {}), "headers must be a dict, not str"),  # type: ignore[arg-type]
        (lambda: APIResponse(200, {}, []), "body must be a dict, not list"),  # type: ignore[arg-type]
    ]
    for call, told in refused:
        with pytest.raises(TypeError, match=told):
            call()


# --- TLS -----------------------------------------------------------------------------------------


def test_over_tls_an_authority_of_ones_own_is_trusted_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    issued = run_command("certificate", "localhost", "--directory", str(tmp_path / "tls"), "--json")
    files = json.loads(issued.stdout)
    port = find_free_port()
    with Server(
        tmp_path / "var",
        settings={
            "PESALANGO_PLATFORM_KEY_BITS": "2048",
            "PESALANGO_TLS_CERTIFICATE": files["tls_certificate"],
            "PESALANGO_TLS_KEY": files["tls_key"],
        },
        listen=("plain:127.0.0.1:{port}", f"tls:127.0.0.1:{port}"),
    ) as server:
        server.start()
        place = server.credentials.openapi
        context = APIContext(place.api_key, place.public_key, True, APIMethodType.GET, "localhost")
        context.port = port
        context.path = f"/openapi/ipg/v2/{MARKET}/getSession/"
        context.add_header("Origin", "*")
        request = APIRequest(context)

        with pytest.raises(NotSent, match="the money has not moved"):
            request.execute()

        request.certificate_file = Path(files["authority"])
        assert request.execute().body["output_ResponseCode"] == "INS-0"
        # It is trusted for its own names alone.
        context.address = "127.0.0.2"
        with pytest.raises(NotSent):
            request.execute()
        context.ssl, context.address, context.port = False, "localhost", server.port
        assert request.execute().status_code == 200
