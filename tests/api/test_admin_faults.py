"""What the admin API answers when engine, database or server fail it.

The door is the real one, over real HTTP; what stands behind it fails on purpose.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
import pytest

from pesalango_server.admin.contract import PREFIX
from pesalango_server.admin.server import make_admin
from pesalango_server.applications.keys import PEPPER_NAMES, CredentialHasher
from pesalango_server.applications.model import AdminToken, Configuration, World
from pesalango_server.http.context import (
    ConfigurationHolder,
    EnvironmentContext,
    WorkerContext,
)
from pesalango_server.kernel.message import (
    FAULT_INTERNAL,
    FAULT_UNAVAILABLE,
    AnyOutcome,
    Command,
    Done,
    RefusalKind,
    Refused,
)
from pesalango_server.ledger.parties import NewCustomer, NewOrganisation
from pesalango_server.link.client import LinkBusy, LinkClient, LinkLost
from pesalango_server.storage.database import Read, StorageUnavailable
from pesalango_server.storage.pool import ReaderPool
from tests.unit.http_server import Reply, Wire, exchange, serve
from tests.unit.manual_clock import ManualClock

TOKEN = "a token of this test"
ENDED = "a token that has ended"


class NoSeed:
    """New ledgers are empty."""

    def seed_for(
        self, environment: str, market: str
    ) -> tuple[tuple[NewCustomer, ...], tuple[NewOrganisation, ...]]:
        del environment, market
        return (), ()


class FailingLink:
    """A link whose engine does as it is told by the test."""

    is_ready = False
    unanswered = 3

    def __init__(self) -> None:
        self.act: Callable[[], AnyOutcome] = Done
        self.submitted: list[Command] = []

    def submit(self, command: Command) -> asyncio.Future[AnyOutcome]:
        self.submitted.append(command)
        future: asyncio.Future[AnyOutcome] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(self.act())
        except LinkLost as lost:
            future.set_exception(lost)
        return future


class FailingReader:
    """A connection for reads that does as it is told by the test; by default nothing is there."""

    def __init__(self) -> None:
        self.act: Callable[[], bytes] = lambda: b"[]"

    def read(self, read: Read) -> bytes:
        # The configuration's own generation, so that nothing has to be loaded again.
        return b"[[1]]" if read.query.name == "find_generation" else self.act()

    def close(self) -> None:
        return


def make_configuration(clock: ManualClock) -> Configuration:
    secrets = {name: name.encode().ljust(32) for name in PEPPER_NAMES}
    hasher = CredentialHasher(secrets["credentials"])
    return Configuration(
        generation=1,
        applications={},
        api_keys={},
        worlds={
            1: World(1, "sandbox", "user", is_hidden=False),
            2: World(2, "openapi", "openapi", is_hidden=False),
        },
        admin_tokens={
            hasher.hash_admin_token(TOKEN): AdminToken("ann", None),
            hasher.hash_admin_token(ENDED): AdminToken("ben", clock.wall_ms()),
        },
        platform_keys={},
        secrets=secrets,
    )


class Door:
    """The admin API over HTTP, and what fails behind it."""

    def __init__(
        self, port: int, link: FailingLink, reader: FailingReader, configuration: Configuration
    ) -> None:
        self.port, self.link, self.reader = port, link, reader
        self.configuration = configuration

    def render(self, method: str, path: str, body: bytes = b"", token: str = TOKEN) -> bytes:
        """The bytes of a request."""
        head = f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def call(self, method: str, path: str, body: bytes = b"", token: str = TOKEN) -> Reply:
        return exchange(self.port, self.render(method, path, body, token))


@pytest.fixture
def door() -> Iterator[Door]:
    """With an empty database and an engine that agrees to everything."""
    clock, link, reader = ManualClock(), FailingLink(), FailingReader()
    readers = ReaderPool(lambda: reader, readers_max=1, waiting_max=10)
    environments = {
        name: EnvironmentContext(
            name=name,
            link=cast("LinkClient", link),
            readers=readers,
            wait_ms=1_000,
            approves_unscripted=name == "sandbox",
            b2b_payer_may_reverse=True,
        )
        for name in ("sandbox", "openapi")
    }
    configuration = make_configuration(clock)
    context = WorkerContext(
        clock=clock,
        configuration=ConfigurationHolder(readers, clock, configuration),
        platform_link=cast("LinkClient", link),
        environments=environments,
    )
    environments["sandbox"].remember_ledger(1, "vodacomTZN", 1)
    environments["openapi"].remember_ledger(2, "vodacomTZN", 2)
    with serve(
        make_admin(context, NoSeed(), schema={"sandbox": "environment/0001_ledger"})
    ) as port:
        yield Door(port, link, reader, configuration)
    readers.close()


STATUS = ("POST", "/customers/255700000001/status?market=TZN", b'{"status":"active"}')


def raise_error(error: Exception) -> Any:
    raise error


def read_error(reply: Reply) -> dict[str, str]:
    answer = msgspec.json.decode(reply.body, type=dict[str, dict[str, str]])
    assert list(answer) == ["error"]
    return answer["error"]


def test_an_engine_without_room_is_a_503_that_may_be_repeated(door: Door) -> None:
    door.link.act = lambda: raise_error(LinkBusy("too many commands are unanswered"))

    reply = door.call(*STATUS)

    assert (reply.status, read_error(reply)["code"]) == (503, "unavailable")
    assert "nothing was changed" in read_error(reply)["message"]
    assert reply.header("Retry-After") == "1"


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (FAULT_UNAVAILABLE, 503, "unavailable"),
        (FAULT_INTERNAL, 500, "internal"),
        (Refused(RefusalKind.INVALID, "status", "no"), 400, "invalid"),
        (Refused(RefusalKind.NOT_FOUND, "msisdn", "no"), 404, "not_found"),
        (Refused(RefusalKind.CONFLICT, "name", "no"), 409, "conflict"),
    ],
)
def test_what_the_engine_says_becomes_a_status(
    door: Door, outcome: AnyOutcome, status: int, code: str
) -> None:
    door.link.act = lambda: outcome

    reply = door.call(*STATUS)

    assert (reply.status, read_error(reply)["code"]) == (status, code)
    if isinstance(outcome, Refused):
        assert read_error(reply)["field"] == outcome.field


def test_a_call_whose_outcome_is_unknown_gets_a_closed_connection_and_no_guess(
    door: Door,
) -> None:
    door.link.act = lambda: raise_error(LinkLost("the engine process ended"))

    with Wire(door.port) as wire:
        wire.send(door.render(*STATUS))
        assert wire.read_to_end() == b""
    assert len(door.link.submitted) == 1


def test_a_database_that_cannot_be_read_is_a_503(door: Door) -> None:
    door.reader.act = lambda: raise_error(StorageUnavailable("gone"))

    reply = door.call("GET", "/customers?market=TZN")

    assert (reply.status, read_error(reply)["code"]) == (503, "unavailable")
    assert reply.header("Retry-After") == "1"


def test_a_defect_is_a_500_that_says_nothing_of_the_inside(door: Door) -> None:
    door.reader.act = lambda: raise_error(RuntimeError("the inside"))

    reply = door.call("GET", "/customers?market=TZN")

    assert (reply.status, read_error(reply)["code"]) == (500, "internal")
    assert b"inside" not in reply.body
    assert door.call("GET", "/worlds").status == 200


def test_a_token_that_has_ended_is_refused(door: Door) -> None:
    reply = door.call("GET", "/worlds", token=ENDED)

    assert (reply.status, read_error(reply)["code"]) == (401, "unauthorised")


def test_an_unready_server_tells_its_health_with_a_503(door: Door) -> None:
    reply = door.call("GET", "/health")

    assert reply.status == 503
    assert msgspec.json.decode(reply.body) == {
        "is_ready": False,
        "version": msgspec.json.decode(reply.body)["version"],
        "generation": 1,
        "is_configuration_fresh": True,
        "engines": {
            "platform": {"is_ready": False, "unanswered": 3},
            "sandbox": {"is_ready": False, "unanswered": 3},
            "openapi": {"is_ready": False, "unanswered": 3},
        },
        "schema": {"sandbox": "environment/0001_ledger"},
    }


def test_an_environment_without_a_world_says_so(door: Door) -> None:
    door.configuration.worlds.clear()

    reply = door.call("GET", "/customers?market=TZN")

    assert (reply.status, read_error(reply)["field"]) == (404, "world")


@pytest.mark.parametrize("answer", ["approve", "decline", "never"])
def test_where_nothing_approves_by_itself_nobody_is_scripted(door: Door, answer: str) -> None:
    path = "/customers/255700000001/script?market=TZN&environment=openapi"

    reply = door.call("POST", path, msgspec.json.encode({"answer": answer}))

    assert (reply.status, read_error(reply)["field"]) == (409, "environment")
    assert door.link.submitted == []


def test_a_list_is_not_begun_when_its_last_item_is_wrong(door: Door) -> None:
    new = {"msisdn": "255700000001", "first_name": "A", "last_name": "B"}
    listed = [new | {"msisdn": f"2557{number:08d}"} for number in range(1_500)] + [new]

    reply = door.call(
        "POST", "/customers?market=TZN", msgspec.json.encode({"customers": [*listed, listed[0]]})
    )

    assert (reply.status, read_error(reply)["code"]) == (400, "invalid")
    assert door.link.submitted == []


def test_a_list_goes_to_the_engine_in_commands_of_500(door: Door) -> None:
    listed = [
        {"msisdn": f"2557{number:08d}", "first_name": "A", "last_name": "B"}
        for number in range(1_200)
    ]

    reply = door.call("POST", "/customers?market=TZN", msgspec.json.encode({"customers": listed}))

    assert reply.status == 200
    sizes = [len(cast("Any", command).customers) for command in door.link.submitted]
    assert sizes == [500, 500, 200]
