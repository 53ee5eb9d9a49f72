"""A running gateway with whatever applications, organisations and customers a test asks for.

    world.application("source").bearer     # an application with that fault, and its session
    world.organisation("suspended")        # a shortcode
    world.customer("locked", "poor")       # a number

Each combination is made once. What is asked for without a fault is in order.
"""

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from itertools import combinations, count
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
B2C = "b2cPayment/"
B2B = "b2bPayment/"
REVERSAL = "reversal/"
QUERY = "queryTransactionStatus/"
SESSION = "getSession/"

METHODS = {C2B: "POST", B2C: "POST", B2B: "POST", REVERSAL: "PUT", QUERY: "GET", SESSION: "GET"}

ORIGINALS_MAX = 400
"""Organisations that the world's applications act for before there are any."""


class Application(msgspec.Struct, frozen=True):
    """An application with a session; `bearer` is the value of an Authorization header."""

    id: int
    api_key: str
    bearer: str


class Original(msgspec.Struct, frozen=True):
    """A completed payment between an organisation and a customer."""

    organisation: str
    msisdn: str
    transaction_id: str


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
        self._originals: dict[frozenset[str], Original] = {}
        self._original_codes = (f"OLD{number:03d}" for number in range(ORIGINALS_MAX))
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
                settings["products"] = ["beneficiary_name"]
            if "organisation" not in wanted:
                settings["organisations"] = [self.organisation(), *self._list_faulty()]
            if "unpromoted" in wanted:
                settings["promoted"] = {"sandbox": False}
            self._applications[wanted] = self.add_application(**settings)
        return self._applications[wanted]

    def _list_faulty(self) -> list[str]:
        faults = ("suspended", "product", "poor")
        return [
            *(
                self.organisation(*chosen)
                for size in range(1, len(faults) + 1)
                for chosen in combinations(faults, size)
            ),
            "NOBODY",
            *(f"OLD{number:03d}" for number in range(ORIGINALS_MAX)),
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
        """`suspended`, `product` (it has none that is served), `poor`."""
        wanted = frozenset(faults)
        if wanted not in self._organisations:
            code = f"SHOP{next(self._codes)}"
            self._organisations[wanted] = code
            self.add_organisation(code, balance="0" if "poor" in wanted else "1000000")
            self.spoil_organisation(code, wanted)
        return self._organisations[wanted]

    def make_organisation(self, *, balance: str) -> str:
        """One that no application acts for and nobody else knows."""
        code = f"OWN{next(self._codes)}"
        self.add_organisation(code, balance=balance)
        return code

    def add_organisation(self, code: str, *, balance: str) -> None:
        settings = {"code": code, "name": "A Shop", "market": MARKET, "balance": balance}
        self.admin.call("POST", "organisations", settings)

    def spoil_organisation(self, code: str, faults: Collection[str]) -> None:
        """`suspended`, `product`."""
        change: dict[str, Any] = {"market": MARKET}
        if "product" in faults:
            change["products"] = ["beneficiary_name"]
        if "suspended" in faults:
            change["status"] = "suspended"
        if len(change) > 1:
            self.admin.call("PATCH", f"organisations/{code}", change)

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

    def original(self, *faults: str) -> "Original":
        """A completed payment and its organisation, of which 10.00 can be given back.

        `suspended`, `product`: the organisation's; `locked`: the money went to a customer who is;
        `closed`: it went to an organisation that is suspended; `poor`: the organisation has spent it; `reversed`: in full; `reversal`: it is one itself.
        """
        wanted = frozenset(faults)
        if wanted not in self._originals:
            self._originals[wanted] = self.make_original(*faults)
        return self._originals[wanted]

    def make_original(self, *faults: str) -> "Original":
        """One that nobody else knows; see `original`."""
        code = next(self._original_codes)
        is_b2c, is_b2b = "locked" in faults, "closed" in faults
        self.add_organisation(code, balance="10" if is_b2c or is_b2b else "0")
        msisdn = self.make_customer(balance="0" if is_b2c or is_b2b else "10")
        parties = {"ServiceProviderCode": code, "CustomerMSISDN": msisdn}
        receiver = ""
        if is_b2b:
            receiver = next(self._original_codes)
            self.add_organisation(receiver, balance="0")
            between = {"PrimaryPartyCode": code, "ReceiverPartyCode": receiver}
            transaction_id = self.succeed(B2B, **between)
        else:
            transaction_id = self.succeed(B2C if is_b2c else C2B, **parties)
        payment = {"ServiceProviderCode": code, "TransactionID": transaction_id}
        left = "10"
        if "reversed" in faults:
            self.succeed(REVERSAL, **payment)
            left = "0"
        if "reversal" in faults:
            transaction_id = self.succeed(REVERSAL, **payment, ReversalAmount="4")
            left = "6"
        if "poor" in faults and left != "0":
            self.succeed(B2C, **parties, Amount=left)
        if is_b2c:
            self.admin.call(
                "POST", f"customers/{msisdn}/status", {"market": MARKET, "status": "locked"}
            )
        if is_b2b:
            self.spoil_organisation(receiver, frozenset({"suspended"}))
        self.spoil_organisation(code, faults)
        return Original(code, msisdn, transaction_id)

    def make_customer(self, *, balance: str) -> str:
        """One that nobody else knows."""
        msisdn = str(next(self._numbers))
        settings = {
            "msisdn": msisdn,
            "first_name": "Neema",
            "last_name": "Kessy",
            "market": MARKET,
            "balance": balance,
        }
        self.admin.call("POST", "customers", settings)
        return msisdn

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
        """The parameters of a good C2B; None takes one away."""
        return self.parameters(C2B, **changes)

    def parameters(self, operation: str, **changes: str | None) -> dict[str, str]:
        """The parameters of a good request to move money; None takes one away."""
        common = {"input_Country": COUNTRY, "input_ThirdPartyConversationID": self.reference()}
        if operation == REVERSAL:
            if changes.keys() & {"TransactionID", "ServiceProviderCode"}:
                original = Original("", "", "")
            else:
                original = self.make_original()
            return _change(
                {
                    **common,
                    "input_TransactionID": original.transaction_id,
                    "input_ServiceProviderCode": original.organisation,
                },
                changes,
            )
        common |= {
            "input_Amount": "10.00",
            "input_Currency": CURRENCY,
            "input_TransactionReference": "T1",
        }
        if operation == B2B:
            return _change(
                {
                    **common,
                    "input_PrimaryPartyCode": self.organisation(),
                    "input_ReceiverPartyCode": self.receiver(),
                    "input_PurchasedItemsDesc": "Two bags of rice",
                },
                changes,
            )
        items = "input_PaymentItemsDesc" if operation == B2C else "input_PurchasedItemsDesc"
        return _change(
            {
                **common,
                "input_CustomerMSISDN": changes.get("CustomerMSISDN") or self.customer(),
                "input_ServiceProviderCode": self.organisation(),
                items: "Two bags of rice",
            },
            changes,
        )

    def receiver(self, *faults: str) -> str:
        """An organisation that no application acts for; `suspended`."""
        wanted = frozenset({"receiver", *faults})
        if wanted not in self._organisations:
            code = f"MILL{next(self._codes)}"
            self._organisations[wanted] = code
            self.add_organisation(code, balance="0")
            self.spoil_organisation(code, wanted)
        return self._organisations[wanted]

    def send(
        self, operation: str, application: Application | None = None, /, **changes: str | None
    ) -> tuple[int, dict[str, str]]:
        """Status and JSON of the answer to a request to move money."""
        reply = self.call(
            METHODS[operation],
            operation,
            headers=self.signed(application),
            body=self.parameters(operation, **changes),
        )
        return reply.status, json.loads(reply.body)

    def succeed(self, operation: str, **changes: str | None) -> str:
        """The TransactionID of a request that must succeed."""
        _, answer = self.send(operation, **changes)
        assert answer["output_ResponseCode"] == "INS-0", answer
        return answer["output_TransactionID"]

    def read_balance(self, party: str) -> Decimal:
        """What a customer (by number) or an organisation (by code) has."""
        kind = "customers" if len(party) > 10 and party.isdigit() else "organisations"
        found = self.admin.call("GET", f"{kind}/{party}?market={MARKET}")
        return Decimal(found["balance"])

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
        """Status and JSON of the answer to a C2B."""
        return self.send(C2B, application, **changes)

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
