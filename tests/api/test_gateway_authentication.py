"""Section 2 of the wire: bearers, sessions, origins, sources, and failures that are too many."""

import base64
import json
from collections.abc import Iterator

import pytest

from tests.api.gateway_world import C2B, MARKET, ORIGIN, QUERY, SESSION, World, run_world
from tests.e2e.server import wait_until
from tests.unit.http_server import Reply

NOT_AUTHORISED = {"output_error": "API or Session key is not authorized"}
SESSION_KEY_LENGTH = 32


def get_session(world: World, authorization: str, *, market: str = MARKET) -> Reply:
    headers = {"Authorization": authorization, "Origin": ORIGIN}
    return world.call("GET", SESSION, headers=headers, market=market)


def pay_with(
    world: World, authorization: str, *, market: str = MARKET, environment: str = "sandbox"
) -> Reply:
    headers = {"Authorization": authorization, "Origin": ORIGIN}
    return world.call(
        "POST",
        C2B,
        headers=headers,
        body=world.payment(),
        market=market,
        environment=environment,
    )


def is_refused(reply: Reply) -> bool:
    return reply.status == 401 and json.loads(reply.body) == NOT_AUTHORISED


# --- sessions ------------------------------------------------------------------------------------


def test_an_api_key_is_exchanged_for_a_session_key(world: World) -> None:
    reply = world.get_session(world.application())
    content = json.loads(reply.body)
    assert reply.status == 200
    assert list(content) == ["output_ResponseCode", "output_ResponseDesc", "output_SessionID"]
    assert content["output_ResponseCode"] == "INS-0"
    assert len(content["output_SessionID"]) == SESSION_KEY_LENGTH
    assert set(content["output_SessionID"]) <= set("0123456789abcdef")


def test_a_session_is_good_for_ciphertexts_old_and_new(world: World) -> None:
    key = json.loads(world.get_session(world.application()).body)["output_SessionID"]
    bearer = world.encrypt(key)
    for authorization in (bearer, bearer, world.encrypt(key), bearer, world.encrypt(key)):
        assert pay_with(world, authorization).status == 201


def test_a_new_session_ends_none(world: World) -> None:
    application = world.application()
    first, second = world.renew(application), world.renew(application)
    assert pay_with(world, first.bearer).status == 201
    assert pay_with(world, second.bearer).status == 201


def test_a_session_belongs_to_the_market_of_its_path(world: World) -> None:
    bearer = world.renew(world.application()).bearer
    assert is_refused(pay_with(world, bearer, market="vodafoneGHA"))
    assert pay_with(world, bearer).status == 201
    # Also once its ciphertext is known.
    assert is_refused(pay_with(world, bearer, market="vodafoneGHA"))


def test_a_session_belongs_to_its_environment(world: World) -> None:
    application = world.application()
    key = json.loads(world.get_session(application).body)["output_SessionID"]
    assert is_refused(pay_with(world, world.encrypt(key, "openapi"), environment="openapi"))
    assert is_refused(pay_with(world, world.encrypt(key), environment="openapi"))


def test_an_api_key_is_no_session_key_and_the_other_way_round(world: World) -> None:
    application = world.application()
    key = json.loads(world.get_session(application).body)["output_SessionID"]
    assert is_refused(pay_with(world, world.encrypt(application.api_key)))
    assert is_refused(get_session(world, world.encrypt(key)))


def test_a_session_that_is_not_live_yet_says_when_it_will_be(world: World) -> None:
    application = world.add_application(activation_delay_ms=30_000)
    reply = pay_with(world, application.bearer)
    assert is_refused(reply)
    assert 28 <= int(reply.header("retry-after") or 0) <= 30


def test_a_session_becomes_live_after_its_delay(world: World) -> None:
    application = world.add_application(
        activation_delay_ms=600, organisations=[world.organisation()], origins=["*"]
    )
    assert pay_with(world, application.bearer).header("retry-after") == "1"
    wait_until(
        lambda: pay_with(world, application.bearer).status == 201, timeout_s=5, what="the session"
    )


def test_a_suspended_application_loses_its_keys_and_gets_them_back(world: World) -> None:
    application = world.add_application(organisations=[world.organisation()], origins=["*"])
    assert pay_with(world, application.bearer).status == 201
    world.change_application(application, status="suspended")
    assert is_refused(pay_with(world, application.bearer))
    assert is_refused(get_session(world, world.encrypt(application.api_key)))
    world.change_application(application, status="active")
    assert pay_with(world, application.bearer).status == 201


def test_an_application_that_is_no_longer_promoted_loses_its_sessions(world: World) -> None:
    application = world.add_application(organisations=[world.organisation()], origins=["*"])
    world.change_application(application, promoted={"sandbox": False})
    assert is_refused(pay_with(world, application.bearer))
    reply = get_session(world, world.encrypt(application.api_key))
    content = json.loads(reply.body)
    assert reply.status == 400
    assert list(content) == ["output_ResponseCode", "output_ResponseDesc", "output_error"]
    assert content["output_ResponseCode"] == "INS-989"
    assert content["output_ResponseDesc"] == "Session Creation Failed"
    assert "promoted" in content["output_error"]


def test_an_application_without_the_market_is_not_known_there(world: World) -> None:
    application = world.add_application(markets=[MARKET], origins=["*"])
    authorization = world.encrypt(application.api_key)
    assert is_refused(get_session(world, authorization, market="vodafoneGHA"))
    world.change_application(application, markets=["vodafoneGHA"])
    assert get_session(world, authorization, market="vodafoneGHA").status == 200
    assert is_refused(pay_with(world, application.bearer))


def test_a_rotated_api_key_is_good_for_as_long_as_was_said(world: World) -> None:
    application = world.add_application(origins=["*"])
    path = f"applications/{application.id}/rotate"
    kept = world.admin.call("POST", path, {"overlap_s": 600})["api_key"]
    for key in (application.api_key, kept):
        assert get_session(world, world.encrypt(key)).status == 200
    fresh = world.admin.call("POST", path, {"overlap_s": 0})["api_key"]
    assert is_refused(get_session(world, world.encrypt(kept)))
    assert get_session(world, world.encrypt(fresh)).status == 200
    # Sessions live on: the key only makes new ones.
    assert pay_with(world, application.bearer).status in {201, 400}


def test_a_new_application_is_known_at_once_to_every_worker(tmp_path_factory: pytest.TempPathFactory) -> None:  # fmt: skip
    directory = tmp_path_factory.mktemp("workers")
    for world in run_world(directory, PESALANGO_WORKERS="2"):
        for _ in range(6):
            # Its key is asked for, and its session used, at whichever worker takes the connection.
            application = world.add_application(organisations=[world.organisation()], origins=["*"])
            for _ in range(6):
                assert pay_with(world, application.bearer).status == 201


# --- bearers -------------------------------------------------------------------------------------


def make_bearers(world: World) -> Iterator[str]:
    good = world.encrypt("0" * 32)
    ciphertext = base64.b64decode(good.removeprefix("Bearer "))
    yield ""
    yield "Bearer"
    yield "Bearer "
    yield f"Basic {good.removeprefix('Bearer ')}"
    yield good[:-1]
    yield good[:-4]
    yield good + "A"
    yield good.replace("+", " ") if "+" in good else good[:50] + " " + good[51:]
    yield good[:50] + "é" + good[52:]
    yield good[:50] + "_" + good[51:]
    yield f"Bearer {base64.b64encode(ciphertext[:-1]).decode()}"
    yield f"Bearer {base64.b64encode(ciphertext * 2).decode()}"
    yield f"Bearer {base64.b64encode(bytes(256)).decode()}"
    yield f"Bearer {base64.b64encode(bytes([255] * 256)).decode()}"
    yield f"Bearer {base64.b64encode(bytes([0] * 255 + [1])).decode()}"
    yield f"Bearer {base64.b64encode(ciphertext[::-1]).decode()}"
    yield world.encrypt("")
    yield world.encrypt("é\x00" * 20)
    yield world.encrypt("x" * 200)
    yield good


def test_every_bearer_that_is_not_good_gets_one_and_the_same_answer(world: World) -> None:
    bearers = list(make_bearers(world))
    for authorization in bearers:
        for call in (get_session, pay_with):
            reply = call(world, authorization)
            assert is_refused(reply), (authorization, reply)
            assert [name for name, _ in reply.headers] == ["date", "content-type", "content-length"]
    without = world.call("POST", C2B, headers={"Origin": ORIGIN}, body=world.payment())
    assert is_refused(without)


def test_a_secret_never_reaches_the_log(world: World) -> None:
    application = world.renew(world.application())
    key = json.loads(world.get_session(application).body)["output_SessionID"]
    world.call(
        "GET",
        QUERY,
        headers={"Authorization": application.bearer, "Origin": ORIGIN},
        query=f"?token={key}&input_CustomerMSISDN=255744553111",
    )
    pay_with(world, "Bearer " + key)
    # The refusals themselves are told.
    wait_until(lambda: "request_refused" in world.server.read_log(), timeout_s=5, what="a line")
    log = world.server.read_log()
    for secret in (key, application.api_key, application.bearer[7:], "255744553111"):
        assert secret not in log
    assert "Traceback" not in log


# --- origins and sources -------------------------------------------------------------------------


def call_from(world: World, bearer: str, origin: str | None) -> tuple[int, str]:
    headers = {"Authorization": bearer} | ({} if origin is None else {"Origin": origin})
    reply = world.call("POST", C2B, headers=headers, body=world.payment())
    return reply.status, json.loads(reply.body).get("output_error", "")


def test_an_origin_is_mandatory_and_must_be_the_applications(world: World) -> None:
    bearer = world.application().bearer
    for origin in ("shop.example", "http://SHOP.example:80", "https://shop.example:8443"):
        assert call_from(world, bearer, origin)[0] == 201
    for origin in ("*", "https://evil.example", "null"):
        assert call_from(world, bearer, origin) == (401, "Origin not allowed")
    for missing in (None, ""):
        assert call_from(world, bearer, missing) == (401, "Origin header is missing")


def test_an_application_with_a_star_takes_any_origin_but_none(world: World) -> None:
    application = world.add_application(organisations=[world.organisation()], origins=["*"])
    for origin in ("*", "null", "https://anything.example"):
        assert call_from(world, application.bearer, origin)[0] == 201
    assert call_from(world, application.bearer, None)[0] == 401


def test_get_session_asks_for_an_origin_too(world: World) -> None:
    authorization = world.encrypt(world.application().api_key)
    reply = world.call("GET", SESSION, headers={"Authorization": authorization})
    assert json.loads(reply.body) == {"output_error": "Origin header is missing"}


def test_a_wrong_bearer_is_told_before_a_wrong_origin(world: World) -> None:
    reply = world.call("GET", SESSION, headers={"Authorization": "Bearer x"})
    assert is_refused(reply)


def test_trusted_sources_are_checked_against_the_peer(world: World) -> None:
    application = world.add_application(organisations=[world.organisation()], origins=["*"])
    for sources, status in ((["127.0.0.0/8"], 201), (["127.0.0.1"], 201), (["198.51.100.7"], 401)):
        world.change_application(application, sources=sources)
        assert call_from(world, application.bearer, "x")[0] == status


def test_a_forwarded_address_is_not_believed_without_a_trusted_proxy(world: World) -> None:
    application = world.application("source")
    headers = {
        "Authorization": application.bearer,
        "Origin": ORIGIN,
        "X-Forwarded-For": "198.51.100.7",
    }
    reply = world.call("POST", C2B, headers=headers, body=world.payment())
    assert json.loads(reply.body) == {"output_error": "Source not allowed"}


# --- too many failures ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway that believes this machine to be a proxy."""
    yield from run_world(
        tmp_path_factory.mktemp("proxied"),
        PESALANGO_TRUSTED_PROXIES="127.0.0.1",
        PESALANGO_FAILED_AUTHENTICATIONS_PER_MINUTE="5",
    )


def call_as(world: World, address: str, authorization: str, operation: str = C2B) -> Reply:
    headers = {"Authorization": authorization, "Origin": ORIGIN, "X-Forwarded-For": address}
    if operation == SESSION:
        return world.call("GET", SESSION, headers=headers)
    return world.call("POST", C2B, headers=headers, body=world.payment())


def test_too_many_failures_close_the_door_to_unknown_ciphertexts_alone(proxied: World) -> None:
    application = proxied.add_application(organisations=[proxied.organisation()], origins=["*"])
    assert call_as(proxied, "198.51.100.7", application.bearer).status == 201
    for _ in range(5):
        assert call_as(proxied, "198.51.100.7", proxied.encrypt("x" * 32)).status == 401
    refused = call_as(proxied, "198.51.100.200", proxied.encrypt("x" * 32))
    assert refused.status == 429
    assert list(json.loads(refused.body)) == ["output_error"]
    assert 1 <= int(refused.header("retry-after") or 0) <= 60
    # Whoever held a session goes on, and so does the rest of the world.
    assert call_as(proxied, "198.51.100.7", application.bearer).status == 201
    assert call_as(proxied, "203.0.113.7", proxied.encrypt("x" * 32)).status == 401
    key = proxied.encrypt(application.api_key)
    assert call_as(proxied, "198.51.100.7", key, SESSION).status == 429
    assert call_as(proxied, "203.0.113.7", key, SESSION).status == 200


def test_a_session_that_is_not_live_yet_is_no_failure(proxied: World) -> None:
    application = proxied.add_application(activation_delay_ms=30_000, origins=["*"])
    for _ in range(8):
        reply = call_as(proxied, "192.0.2.7", application.bearer)
        assert reply.status == 401
        assert reply.header("retry-after")


def test_a_trusted_proxy_says_which_source_it_is(proxied: World) -> None:
    application = proxied.add_application(
        organisations=[proxied.organisation()], origins=["*"], sources=["198.18.0.0/24"]
    )
    assert call_as(proxied, "198.18.0.77", application.bearer).status == 201
    assert call_as(proxied, "198.18.1.77", application.bearer).status == 401


def test_loopback_may_fail_as_often_as_it_likes(world: World) -> None:
    for _ in range(25):
        assert pay_with(world, world.encrypt("x" * 32)).status == 401
