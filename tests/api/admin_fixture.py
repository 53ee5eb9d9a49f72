"""A real server for tests of the admin API, on each database in turn, and a caller of it.

    def test_something(admin: AdminCaller) -> None:
        status, answer = admin.call("GET", "customers?market=TZN")

All tests of a run share one server a database, so each makes numbers, codes and names of its own
(`make_msisdn`, `make_code`, `make_name`).
"""

import http.client
import json
import tempfile
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.e2e.http_client import encrypt_bearer
from tests.e2e.server import Credentials, Place, Server
from tests.store.postgres_fixture import PostgresServer

MARKET = "vodacomTZN"
TIMEOUT_S = 30.0

_numbers = count(1)


def make_msisdn() -> str:
    """A number that no other test has."""
    return f"2557100{next(_numbers):05d}"


def make_code() -> str:
    """An organisation's code that no other test has."""
    return f"SHOP{next(_numbers):05d}"


def make_name() -> str:
    """A name, or a reference, that no other test has."""
    return f"name {next(_numbers)}"


class Reply(NamedTuple):
    """One answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class AdminCaller:
    """Calls the admin API, and the operator's API to see what a change did."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.credentials: Credentials = server.credentials

    @property
    def url(self) -> str:
        """Its address, with the path."""
        return self.credentials.admin_url

    @property
    def token(self) -> str:
        return self.credentials.admin_token

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Anything at all; without a token unless `headers` has one. `path` is the whole path."""
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of a call with the token; `path` is what follows the prefix."""
        reply = self.send(
            method,
            f"{urlsplit(self.url).path}/{path}",
            body=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}"},
        )
        return reply.status, json.loads(reply.body)

    def get(self, path: str, body: Any = None, *, method: str = "GET") -> Any:
        """The JSON of a call that must succeed."""
        status, answer = self.call(method, path, body)
        assert 200 <= status < 300, (method, path, status, answer)
        return answer

    def post(self, path: str, **body: Any) -> Any:
        """The JSON of a POST that must succeed, in the tests' market."""
        return self.get(path, {"market": MARKET, **body}, method="POST")

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Status, code and field of a call that must fail; its message must say something."""
        status, answer = self.call(method, path, body)
        assert list(answer) == ["error"], answer
        assert sorted(answer["error"]) == ["code", "field", "message"]
        assert answer["error"]["message"]
        return status, answer["error"]["code"], answer["error"]["field"]

    def read_customer(self, msisdn: str, market: str = MARKET) -> Any:
        return self.get(f"customers/{msisdn}?market={market}")

    def read_organisation(self, code: str, market: str = MARKET) -> Any:
        return self.get(f"organisations/{code}?market={market}")

    def open_session(
        self, api_key: str, *, environment: str = "sandbox", origin: str = "shop.example"
    ) -> tuple[int, dict[str, str]]:
        """What `getSession` answers to an API key."""
        place: Place = getattr(self.credentials, environment)
        reply = self.send(
            "GET",
            f"/{environment}/ipg/v2/{MARKET}/getSession/",
            headers={
                "Authorization": f"Bearer {encrypt_bearer(api_key, place.public_key)}",
                "Origin": origin,
            },
        )
        return reply.status, msgspec.json.decode(reply.body, type=dict[str, str])


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def admin(request: pytest.FixtureRequest) -> Iterator[AdminCaller]:
    """A running `up`, on each database; in the end its books must be right."""
    database = None
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database = server.build_url(server.create_database())
    with (
        tempfile.TemporaryDirectory(prefix="pesalango-admin-") as directory,
        Server(
            Path(directory) / "var",
            database=database,
            settings={"PESALANGO_PLATFORM_KEY_BITS": "2048"},
        ) as running,
    ):
        running.start()
        yield AdminCaller(running)
        audited = running.audit()
        assert audited.returncode == 0, audited.stdout + audited.stderr
