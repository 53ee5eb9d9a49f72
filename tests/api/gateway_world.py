"""A running gateway with whatever applications, organisations and customers a test asks for.

    world.application("source").bearer     # an application with that fault, and its session
    world.organisation("suspended")        # a shortcode
    world.customer("locked", "poor")       # a number

Each combination is made once. What is asked for without a fault is in order.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.e2e.merchant import Admin
from tests.e2e.server import Server, wait_until
from tests.store.postgres_fixture import PostgresServer
from tests.unit.http_server import Reply, Wire

MARKET = "vodacomTZN"
COUNTRY = "TZN"
CURRENCY = "TZS"
ORIGIN = "https://shop.example"
WAIT_MS = 400
SETTINGS = {
    # A smaller key and a shorter wait: the same gateway, sooner done.
    "PESALANGO_PLATFORM_KEY_BITS": "2048",
    "PESALANGO_WAIT_SANDBOX_MS": str(WAIT_MS),
    "PESALANGO_REQUEST_DEADLINE_MS": "2000",
}

C2B = "c2bPayment/singleStage/"
QUERY = "queryTransactionStatus/"
SESSION = "getSession/"


class Application(msgspec.Struct, frozen=True):
    """An application with a session; `bearer` is the value of an Authorization header."""

    id: int
    api_key: str
    bearer: str


class World:
    """See the module."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.credentials = server.credentials
        self.port = server.port
        self.admin = Admin(self.credentials)
        self._numbers = count(255_700_000_001)
        self._codes = count(1)
        self._references = count(1)
        self._applications: dict[frozenset[str], Application] = {}
        self._organisations: dict[frozenset[str], str] = {}
        self._customers: dict[frozenset[str], str] = {}
        self._public_keys: dict[str, RSAPublicKey] = {}

    # --- who there is ----------------------------------------------------------------------------

    def application(self, *faults: str) -> Application:
        """`source`, `product`, `status_query`, `organisation`, `unpromoted`, `suspended`."""
        wanted = frozenset(faults)
        if wanted not in self._applications:
            settings: dict[str, Any] = {"origins": ["shop.example"]}
            if "source" in wanted:
                settings["sources"] = ["198.51.100.0/24"]
            if "product" in wanted:
                settings["products"] = ["b2c"]
            if "organisation" not in wanted:
                settings["organisations"] = [self.organisation(), *self._list_faulty()]
            if "unpromoted" in wanted:
                settings["promoted"] = {"sandbox": False}
            self._applications[wanted] = self.add_application(**settings)
        return self._applications[wanted]

    def _list_faulty(self) -> list[str]:
        return [
            self.organisation("suspended"),
            self.organisation("product"),
            self.organisation("suspended", "product"),
            "NOBODY",
        ]

    def add_application(self, **settings: Any) -> Application:
        """One more, with these settings of the admin API, and its session if it can have one."""
        made = self.admin.call(
            "POST", "applications", {"name": f"shop-{next(self._codes)}", **settings}
        )
        application = Application(made["application"]["id"], made["api_key"], "")
        if not settings.get("promoted", {}).get("sandbox", True):
            return application
        # Its session is made while it may be used from here.
        sources = settings.get("sources", [])
        if sources:
            self.change_application(application, sources=[])
        application = self.renew(application)
        if sources:
            self.change_application(application, sources=sources)
        return application

    def change_application(self, application: Application, **settings: Any) -> None:
        self.admin.call("PATCH", f"applications/{application.id}", settings)

    def renew(self, application: Application) -> Application:
        """The application with a fresh session."""
        reply = self.get_session(application)
        assert reply.status == 200, reply
        session_key = json.loads(reply.body)["output_SessionID"]
        return msgspec.structs.replace(application, bearer=self.encrypt(session_key))

    def get_session(self, application: Application, **changes: Any) -> Reply:
        headers = {"Authorization": self.encrypt(application.api_key), "Origin": ORIGIN}
        return self.call("GET", SESSION, headers=headers, **changes)

    def organisation(self, *faults: str) -> str:
        """`suspended`, `product` (it has none)."""
        wanted = frozenset(faults)
        if wanted not in self._organisations:
            code = f"SHOP{next(self._codes)}"
            self._organisations[wanted] = code
            settings: dict[str, Any] = {"code": code, "name": "A Shop", "market": MARKET}
            if "product" in wanted:
                settings["products"] = ["b2c"]
            self.admin.call("POST", "organisations", settings)
            if "suspended" in wanted:
                change = {"market": MARKET, "status": "suspended"}
                self.admin.call("PATCH", f"organisations/{code}", change)
        return self._organisations[wanted]

    def customer(self, *faults: str) -> str:
        """`locked`, `never` (answers), `decline`, `wrong_pin`, `poor`."""
        wanted = frozenset(faults)
        if wanted not in self._customers:
            msisdn = str(next(self._numbers))
            self._customers[wanted] = msisdn
            settings = {
                "msisdn": msisdn,
                "first_name": "Asha",
                "last_name": "Mushi",
                "market": MARKET,
                "status": "locked" if "locked" in wanted else "active",
                "balance": "0" if "poor" in wanted else "1000000",
            }
            self.admin.call("POST", "customers", settings)
            for script in wanted & {"never", "decline", "wrong_pin"}:
                self.admin.script(msisdn, script)
        return self._customers[wanted]

    def reference(self) -> str:
        """A ThirdPartyConversationID that nobody has used."""
        return f"reference{next(self._references)}"

    # --- what they say ---------------------------------------------------------------------------

    def encrypt(self, secret: str, environment: str = "sandbox") -> str:
        """The value of an Authorization header; another one each time."""
        if environment not in self._public_keys:
            text = getattr(self.credentials, environment).public_key
            key = load_der_public_key(base64.b64decode(text))
            assert isinstance(key, RSAPublicKey)
            self._public_keys[environment] = key
        ciphertext = self._public_keys[environment].encrypt(secret.encode(), PKCS1v15())
        return f"Bearer {base64.b64encode(ciphertext).decode()}"

    def payment(self, **changes: str | None) -> dict[str, str]:
        """The parameters of a good payment; None takes one away."""
        return _change(
            {
                "input_Amount": "10.00",
                "input_CustomerMSISDN": self.customer(),
                "input_Country": COUNTRY,
                "input_Currency": CURRENCY,
                "input_ServiceProviderCode": self.organisation(),
                "input_TransactionReference": "T1",
                "input_ThirdPartyConversationID": self.reference(),
                "input_PurchasedItemsDesc": "Two bags of rice",
            },
            changes,
        )

    def question(self, query_reference: str, **changes: str | None) -> dict[str, str]:
        """The parameters of a good status query."""
        return _change(
            {
                "input_QueryReference": query_reference,
                "input_Country": COUNTRY,
                "input_ServiceProviderCode": self.organisation(),
                "input_ThirdPartyConversationID": self.reference(),
            },
            changes,
        )

    def call(
        self,
        method: str,
        operation: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Mapping[str, Any] = b"",
        market: str = MARKET,
        environment: str = "sandbox",
        path: str | None = None,
        query: str = "",
    ) -> Reply:
        """One request on a connection of its own."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        path = path or f"/{environment}/ipg/v2/{market}/{operation}"
        lines = [f"{method} {path}{query} HTTP/1.1", "Host: gateway"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with Wire(self.port) as wire:
            wire.send("\r\n".join([*lines, "", ""]).encode() + body)
            return wire.read_reply()

    def signed(self, application: Application | None = None) -> dict[str, str]:
        """The headers of a call with a session."""
        bearer = (application or self.application()).bearer
        return {"Authorization": bearer, "Origin": ORIGIN, "Content-Type": "application/json"}

    def pay(
        self, application: Application | None = None, /, **changes: str | None
    ) -> tuple[int, dict[str, str]]:
        """Status and JSON of the answer to a payment."""
        reply = self.call(
            "POST", C2B, headers=self.signed(application), body=self.payment(**changes)
        )
        return reply.status, json.loads(reply.body)

    def start_payment(self, **changes: str | None) -> "StartedPayment":
        """Send a payment, and do other things before its answer is read."""
        body = json.dumps(self.payment(**changes)).encode()
        lines = [f"POST /sandbox/ipg/v2/{MARKET}/{C2B} HTTP/1.1", "Host: gateway"]
        lines += [f"{name}: {value}" for name, value in self.signed().items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return StartedPayment(self.port, "\r\n".join(lines).encode() + body)

    def query(
        self, reference: str, application: Application | None = None, /, **changes: str | None
    ) -> tuple[int, dict[str, str]]:
        """Status and JSON of the answer to a status query."""
        parameters = self.question(reference, **changes)
        reply = self.call(
            "GET", QUERY, headers=self.signed(application), query=f"?{urlencode(parameters)}"
        )
        return reply.status, json.loads(reply.body)


class StartedPayment:
    """A payment that was sent, and whose answer is to come."""

    def __init__(self, port: int, request: bytes) -> None:
        self._wire = Wire(port)
        self._wire.send(request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    def read(self) -> tuple[int, dict[str, str]]:
        """Status and JSON of the answer."""
        reply = self._wire.read_reply()
        return reply.status, json.loads(reply.body)


def _change(parameters: dict[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """`changes` by name without `input_`."""
    merged: dict[str, str | None] = dict(parameters)
    merged |= {f"input_{name}": value for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value is not None}


def run_world(directory: Path, *, database: str | None = None, **settings: str) -> Iterator[World]:
    """A gateway of its own, with further settings."""
    with Server(directory / "data", database=database, settings={**SETTINGS, **settings}) as server:
        server.start()
        # Its own first payment shall not be counted with ours.
        wait_until(lambda: "Self-check:" in server.read_log(), timeout_s=30, what="the self-check")
        yield World(server)


@pytest.fixture(scope="session")
def sqlite_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One gateway for all tests that leave it as it was."""
    yield from run_world(tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="session")
def postgres_world(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[World]:
    """The same over PostgreSQL."""
    database = postgres_server.build_url(postgres_server.create_database())
    yield from run_world(tmp_path_factory.mktemp("gateway"), database=database)


@pytest.fixture
def world(sqlite_world: World) -> World:
    """For what no database has a part in."""
    return sqlite_world


@pytest.fixture(params=["sqlite", "postgres"])
def each_world(request: pytest.FixtureRequest) -> World:
    """Runs a test on each database."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found
