"""Platform keys through the admin API: the public ones for merchants, another one of one's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pesalango_server.applications.platform_keys import encode_public_key, make_platform_key
from tests.api.admin_fixture import MARKET, AdminCaller
from tests.e2e.http_client import encrypt_bearer
from tests.e2e.server import IN_FORCE_S, Server, wait_until

CALLS = 20
"""Each on a connection of its own, so that both workers get some."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminCaller]:
    """A server of two workers whose keys may be changed."""
    settings = {"PESALANGO_PLATFORM_KEY_BITS": "2048", "PESALANGO_WORKERS": "2"}
    data_dir = tmp_path_factory.mktemp("platform-keys") / "var"
    with Server(data_dir, settings=settings) as server:
        server.start()
        yield AdminCaller(server)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[AdminCaller]:
    """A server of one worker, which therefore knows every session in use."""
    settings = {"PESALANGO_PLATFORM_KEY_BITS": "2048", "PESALANGO_WORKERS": "1"}
    with Server(tmp_path / "var", settings=settings) as server:
        server.start()
        yield AdminCaller(server)


def ask_for_sessions(admin: AdminCaller, environment: str, public_key: str) -> set[int]:
    """The different statuses that `getSession` answers to bearers made with that key."""
    api_key = admin.credentials.sandbox.api_key
    return {
        admin.send(
            "GET",
            f"/{environment}/ipg/v2/{MARKET}/getSession/",
            headers={
                "Authorization": f"Bearer {encrypt_bearer(api_key, public_key)}",
                "Origin": "shop.example",
            },
        ).status
        for _ in range(CALLS)
    }


def test_the_public_keys_are_those_that_callers_encrypt_with(admin: AdminCaller) -> None:
    assert admin.get("platform-keys") == {
        "sandbox": admin.credentials.sandbox.public_key,
        "openapi": admin.credentials.openapi.public_key,
    }


def test_another_key_is_in_force_at_every_worker_within_a_second(own: AdminCaller) -> None:
    before = own.get("platform-keys")
    # Another size, too: the length of a bearer is the key's.
    private_key = make_platform_key(3_072)
    public_key = encode_public_key(private_key)

    answer = own.get("platform-keys/openapi", {"private_key": private_key}, method="PUT")

    assert answer == {"sandbox": before["sandbox"], "openapi": public_key}
    wait_until(
        lambda: (
            ask_for_sessions(own, "openapi", public_key) == {200}
            and ask_for_sessions(own, "openapi", before["openapi"]) == {401}
        ),
        timeout_s=IN_FORCE_S,
        what="the new key at both workers",
    )
    assert ask_for_sessions(own, "sandbox", before["sandbox"]) == {200}
    assert own.get("platform-keys") == answer


def test_a_session_in_use_goes_on_where_the_key_is_another_one(alone: AdminCaller) -> None:
    before = alone.get("platform-keys")["sandbox"]
    session = alone.open_session(alone.credentials.sandbox.api_key)[1]["output_SessionID"]
    headers = {"Authorization": f"Bearer {encrypt_bearer(session, before)}", "Origin": "x"}
    path = f"/sandbox/ipg/v2/{MARKET}/queryTransactionStatus/"
    # The query itself lacks everything, which is a 400.
    assert alone.send("GET", path, headers=headers).status == 400

    alone.get("platform-keys/sandbox", {"private_key": make_platform_key(2_048)}, method="PUT")

    wait_until(
        lambda: ask_for_sessions(alone, "sandbox", before) == {401},
        timeout_s=IN_FORCE_S,
        what="the end of the old key",
    )
    again = {alone.send("GET", path, headers=headers).status for _ in range(CALLS)}
    assert again == {400}


def make_pem(*, password: bytes | None = None) -> str:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    key = rsa.generate_private_key(65537, 2_048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def test_a_key_that_cannot_be_used_is_refused_and_repeated_nowhere(admin: AdminCaller) -> None:
    before = admin.get("platform-keys")
    protected = make_pem(password=b"pepper")
    for private_key in ("", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n", protected):
        status, answer = admin.call("PUT", "platform-keys/sandbox", {"private_key": private_key})
        assert (status, answer["error"]["code"]) == (400, "invalid")
        assert answer["error"]["field"] == "private_key"
        assert not private_key or private_key not in str(answer)

    assert admin.get("platform-keys") == before


def test_an_environment_that_is_not_there_has_no_key(admin: AdminCaller) -> None:
    body = {"private_key": make_pem()}

    refused = admin.refused("PUT", "platform-keys/production", body)

    assert refused == (404, "not_found", "environment")


def test_a_private_key_is_neither_answered_nor_logged(own: AdminCaller) -> None:
    private_key = make_pem()
    lines = private_key.splitlines()[1:-1]

    _, answer = own.call("PUT", "platform-keys/sandbox", {"private_key": private_key})
    # A misspelt field is refused with its name, and without what is in it.
    _, refusal = own.call("PUT", "platform-keys/sandbox", {"private_keys": private_key})

    assert refusal["error"]["field"] == "private_keys"
    told = own.server.read_log() + str(answer) + str(refusal)
    assert "/platform-keys/{environment}" in told
    assert not [line for line in lines if line in told]
