"""The gateway between a request and an engine that does not always answer."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from structlog.testing import capture_logs

from pesalango_server.gateway.app import WAIT_MARGIN_MS, Gateway, make_gateway
from pesalango_server.gateway.waits import SLOT_MS
from pesalango_server.http.context import EnvironmentContext, WorkerContext
from pesalango_server.http.protocol import CLOSE_EXTENSION
from pesalango_server.kernel.message import (
    FAULT_INTERNAL,
    FAULT_UNAVAILABLE,
    AnyOutcome,
    Command,
    Done,
    PaymentOutcome,
)
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.link.client import LinkBusy, LinkLost, OutcomeOverdue
from pesalango_server.sandbox.seed import Seed
from pesalango_server.settings import Settings
from pesalango_server.telemetry import Metrics
from tests.unit.test_gateway_auth import API_KEY, APPLICATION, MARKET, SESSION_KEY, Desk

WAIT_MS = 25_000
PAYMENT_ID = 123_456_789_012_345_678
BODY = {
    "input_Amount": "10",
    "input_CustomerMSISDN": "255744553111",
    "input_Country": "TZN",
    "input_Currency": "TZS",
    "input_ServiceProviderCode": "ORG001",
    "input_TransactionReference": "T1",
    "input_ThirdPartyConversationID": "reference1",
    "input_PurchasedItemsDesc": "Shoes",
}
C2B = f"/sandbox/ipg/v2/{MARKET}/c2bPayment/singleStage/"
SESSION = f"/sandbox/ipg/v2/{MARKET}/getSession/"
QUERY = f"/sandbox/ipg/v2/{MARKET}/queryTransactionStatus/"

Engine = Callable[[Command], AnyOutcome | BaseException | None]
"""What the engine says to a command: an outcome, an error of the link, or nothing yet."""


class Link:
    """The worker's end of a link to an engine that does as the test says."""

    unanswered = 0
    prompts_waiting = 0
    is_ready = True

    def __init__(self, engine: Engine, refusal: Exception | None) -> None:
        self._engine = engine
        self._refusal = refusal
        self.asked = asyncio.Event()
        self._sent: list[asyncio.Future[AnyOutcome]] = []

    @property
    def last_number(self) -> int:
        return len(self._sent)

    def give_up(self, *, up_to: int) -> None:
        for future in self._sent[:up_to]:
            if not future.done():
                future.set_exception(OutcomeOverdue("no outcome came in time"))

    def submit(self, command: Command) -> asyncio.Future[AnyOutcome]:
        if self._refusal is not None:
            raise self._refusal
        self.asked.set()
        future: asyncio.Future[AnyOutcome] = asyncio.get_running_loop().create_future()
        self._sent.append(future)
        outcome = self._engine(command)
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        elif outcome is not None:
            future.set_result(outcome)
        return future


class Call:
    """One request to the gateway, and what came of it."""

    def __init__(
        self, path: str, key: rsa.RSAPrivateKey, *, query: bytes = b"", body: bytes | None = None
    ) -> None:
        secret = API_KEY if path == SESSION else SESSION_KEY
        ciphertext = key.public_key().encrypt(secret.encode(), PKCS1v15())
        if body is None:
            body = json.dumps(BODY).encode()
        self._message = {"type": "http.request", "body": body, "more_body": False}
        self.sent: list[dict[str, Any]] = []
        self.is_closed = False
        self.scope = {
            "type": "http",
            "method": "POST" if path == C2B else "GET",
            "path": path,
            "query_string": query,
            "client": ("127.0.0.1", 5),
            "headers": [
                (b"authorization", b"Bearer " + base64.b64encode(ciphertext)),
                (b"origin", b"x"),
            ],
            "extensions": {CLOSE_EXTENSION: self._close},
        }

    def _close(self) -> None:
        self.is_closed = True

    async def receive(self) -> dict[str, Any]:
        return self._message

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def make(self, gateway: Gateway) -> None:
        await gateway(self.scope, self.receive, self.send)

    @property
    def answer(self) -> tuple[int, dict[str, str]]:
        start, body = self.sent
        return start["status"], json.loads(body["body"])


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def make_context(desk: Desk, link: Link) -> WorkerContext:
    """A worker's context with the sandbox alone, whose ledger is known."""
    sandbox = EnvironmentContext(
        name="sandbox",
        link=link,  # type: ignore[arg-type]
        readers=desk.readers,  # type: ignore[arg-type]
        wait_ms=WAIT_MS,
        approves_unscripted=True,
        b2b_payer_may_reverse=True,
    )
    sandbox.remember_ledger(1, MARKET, 4)
    return WorkerContext(
        clock=desk.clock,
        configuration=desk.holder,  # type: ignore[arg-type]
        platform_link=link,  # type: ignore[arg-type]
        environments={"sandbox": sandbox},
    )


def run(
    key: rsa.RSAPrivateKey,
    engine: Engine,
    *,
    path: str = C2B,
    query: bytes = b"",
    body: bytes | None = None,
    prepare: Callable[[Desk], None] = lambda _desk: None,
    refusal: Exception | None = None,
    meanwhile: Callable[[Gateway, asyncio.Task[None]], Any] | None = None,
) -> Call:
    """One request from its beginning to its end."""
    desk = Desk(key)
    products = frozenset({"c2b", "status_query"})
    desk.change(products=products, organisations=frozenset({"ORG001"}))
    prepare(desk)

    async def main() -> Call:
        link = Link(engine, refusal)
        gateway = make_gateway(
            make_context(desk, link),
            settings=Settings(),
            seeder=Seed(seeds_openapi=False),
            metrics=Metrics(),
        )
        gateway.start()
        call = Call(path, key, query=query, body=body)
        task = asyncio.create_task(call.make(gateway))
        if meanwhile is not None:
            await asyncio.wait_for(link.asked.wait(), 10)
            meanwhile(gateway, task)
        try:
            await asyncio.wait_for(task, 10)
        except asyncio.CancelledError:
            assert task.cancelled()
        gateway.close()
        return call

    return asyncio.run(main())


def test_a_completed_payment_is_a_success(key: rsa.RSAPrivateKey) -> None:
    commands: list[Command] = []

    def engine(command: Command) -> AnyOutcome:
        commands.append(command)
        return PaymentOutcome(PAYMENT_ID, State.COMPLETED, Status.COMPLETED)

    status, answer = run(key, engine).answer
    assert (status, answer["output_ResponseCode"]) == (201, "INS-0")
    (command,) = commands
    assert command.ledger == 4
    assert getattr(command, "amount_minor", None) == 1_000
    assert getattr(command, "acts_for", None) is True
    assert getattr(command, "application", None) == APPLICATION.id


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [(FAULT_UNAVAILABLE, 503, "INS-16"), (FAULT_INTERNAL, 400, "INS-1")],
)
def test_a_fault_of_the_engine_has_its_code(
    key: rsa.RSAPrivateKey, outcome: AnyOutcome, status: int, code: str
) -> None:
    answered, answer = run(key, lambda _command: outcome).answer
    assert (answered, answer["output_ResponseCode"]) == (status, code)
    assert answer["output_ThirdPartyConversationID"] == "reference1"
    assert answer["output_ConversationID"][0] in "89abcdef"


@pytest.mark.parametrize("refusal", [LinkBusy("no room"), LinkLost("the engine has ended")])
@pytest.mark.parametrize(("path", "status", "code"), [(C2B, 503, "INS-16"), (SESSION, 400, "INS-989")])  # fmt: skip
def test_what_was_never_sent_is_refused_at_once(
    key: rsa.RSAPrivateKey, refusal: Exception, path: str, status: int, code: str
) -> None:
    answered, answer = run(key, lambda _command: None, path=path, refusal=refusal).answer
    assert (answered, answer["output_ResponseCode"]) == (status, code)


@pytest.mark.parametrize("path", [C2B, SESSION])
def test_a_link_that_breaks_before_the_outcome_ends_the_connection_without_an_answer(
    key: rsa.RSAPrivateKey, path: str
) -> None:
    call = run(key, lambda _command: LinkLost("the engine process ended"), path=path)
    assert call.sent == []
    assert call.is_closed


def test_an_overdue_outcome_ends_the_connection_without_an_answer(key: rsa.RSAPrivateKey) -> None:
    def wait(gateway: Gateway, task: asyncio.Task[None]) -> None:
        for _ in range((WAIT_MS + WAIT_MARGIN_MS) // SLOT_MS):
            gateway.tick()
        assert not task.done()
        gateway.tick()

    call = run(key, lambda _command: None, meanwhile=wait)
    assert call.sent == []
    assert call.is_closed


def test_a_call_that_is_cut_off_ends_its_connection_without_an_answer(
    key: rsa.RSAPrivateKey,
) -> None:
    call = run(key, lambda _command: None, meanwhile=lambda _gateway, task: task.cancel())
    assert call.sent == []
    assert call.is_closed


@pytest.mark.parametrize(
    "outcome",
    [
        Done((1,)),
        PaymentOutcome(PAYMENT_ID, State.COMPLETED, 999),
        PaymentOutcome(PAYMENT_ID, State.PENDING, Status.PROMPT_WAITING),
    ],
)
def test_an_outcome_that_cannot_be_told_is_no_refusal(
    key: rsa.RSAPrivateKey, outcome: AnyOutcome
) -> None:
    with capture_logs() as lines:
        call = run(key, lambda _command: outcome)
    assert call.sent == []
    assert call.is_closed
    assert [line["event"] for line in lines] == ["answer_not_made"]


def test_a_fault_before_anything_was_sent_is_told_as_ours_and_logged(
    key: rsa.RSAPrivateKey,
) -> None:
    def engine(_command: Command) -> AnyOutcome:
        raise ZeroDivisionError("a defect")

    with capture_logs() as lines:
        status, answer = run(key, engine).answer
    assert (status, answer["output_ResponseCode"]) == (400, "INS-1")
    assert answer["output_ThirdPartyConversationID"] == "reference1"
    (line,) = [line for line in lines if line["event"] == "request_faulted"]
    assert isinstance(line["exc_info"], ZeroDivisionError)


def break_store(desk: Desk) -> None:
    desk.readers.is_down = True


def break_sessions(desk: Desk) -> None:
    desk.readers.rows = None  # type: ignore[assignment]


def take_products(desk: Desk) -> None:
    desk.change(products=frozenset())


OWN_ID = b"input_ThirdPartyConversationID=mine"
OWN_ID_IN_BODY = b'{"input_ThirdPartyConversationID": "mine"}'


@pytest.mark.parametrize(
    ("prepare", "status", "code"),
    [(break_store, 503, "INS-16"), (break_sessions, 400, "INS-1"), (take_products, 400, "INS-997")],
)
@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        (C2B, b"", OWN_ID_IN_BODY),
        (C2B, OWN_ID.replace(b"mine", b"not+mine"), OWN_ID_IN_BODY),
        (QUERY, OWN_ID, b""),
        (QUERY, b"", OWN_ID_IN_BODY),
        (QUERY, OWN_ID, OWN_ID_IN_BODY.replace(b"mine", b"not mine")),
        (QUERY, OWN_ID, b"{"),
        (QUERY, b"input_Country=%ff", OWN_ID_IN_BODY),
    ],
)
def test_the_callers_own_id_is_told_wherever_it_stands_and_whatever_fails(
    key: rsa.RSAPrivateKey,
    prepare: Callable[[Desk], None],
    status: int,
    code: str,
    path: str,
    query: bytes,
    body: bytes,
) -> None:
    call = run(key, lambda _: None, path=path, query=query, body=body, prepare=prepare)
    answered, answer = call.answer
    assert (answered, answer["output_ResponseCode"]) == (status, code)
    assert answer["output_ThirdPartyConversationID"] == "mine"


@pytest.mark.parametrize(
    ("query", "body"), [(OWN_ID, b"{"), (b"input_Country=%ff", OWN_ID_IN_BODY)]
)
def test_the_callers_own_id_is_told_though_half_of_a_query_cannot_be_read(
    key: rsa.RSAPrivateKey, query: bytes, body: bytes
) -> None:
    status, answer = run(key, lambda _: None, path=QUERY, query=query, body=body).answer
    assert (status, answer["output_ResponseCode"]) == (400, "INS-21")
    assert answer["output_ThirdPartyConversationID"] == "mine"


def test_a_customer_has_as_long_to_answer_as_the_environment_says(key: rsa.RSAPrivateKey) -> None:
    commands: list[Command] = []

    def engine(command: Command) -> AnyOutcome:
        commands.append(command)
        return PaymentOutcome(PAYMENT_ID, State.EXPIRED, Status.PROMPT_EXPIRED)

    status, answer = run(key, engine).answer
    assert (status, answer["output_ResponseCode"]) == (408, "INS-9")
    assert [getattr(command, "wait_ms", None) for command in commands] == [WAIT_MS]


@pytest.mark.parametrize(("workers", "failures"), [(0, 20), (1, 20), (4, 5), (64, 1)])
def test_each_worker_lets_its_share_of_the_failures_pass(
    key: rsa.RSAPrivateKey, workers: int, failures: int
) -> None:
    settings = Settings(workers=workers, failed_authentications_exempt_loopback=False)

    async def main() -> None:
        desk = Desk(key)
        gateway = make_gateway(
            make_context(desk, Link(lambda _: None, None)),
            settings=settings,
            seeder=Seed(seeds_openapi=False),
            metrics=Metrics(),
        )
        statuses = []
        for _ in range(failures + 1):
            call = Call(C2B, key)
            call.scope["headers"] = [(b"authorization", b"Bearer junk"), (b"origin", b"x")]
            await call.make(gateway)
            statuses.append(call.answer[0])
        gateway.close()
        assert statuses == [401] * failures + [429]

    asyncio.run(main())


def test_a_session_that_could_not_be_stored_says_why(key: rsa.RSAPrivateKey) -> None:
    status, answer = run(key, lambda _command: FAULT_UNAVAILABLE, path=SESSION).answer
    assert (status, answer["output_ResponseCode"]) == (400, "INS-989")
    assert "output_SessionID" not in answer
    assert "stored" in answer["output_error"]
