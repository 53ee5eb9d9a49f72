"""What each answer, and each way of having none, is to a caller: one table, for both clients."""

import copy
import datetime as dt
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

import pesalango
from pesalango import (
    AuthenticationError,
    CallError,
    ConfigurationError,
    DuplicateError,
    InsufficientBalanceError,
    InvalidRequestError,
    JournalError,
    KeyReusedError,
    LimitExceededError,
    NotEnabledError,
    NotSentError,
    OutcomeUnknownError,
    Payment,
    PaymentRefusedError,
    PaymentUnsettledError,
    PesalangoError,
    RefusedError,
    StatusQueryNotEnabledError,
    TooManyAttemptsError,
    TransactionNotFoundError,
    UnavailableError,
)
from pesalango_server.catalog import registry
from pesalango_server.catalog.codes import CODES
from tests.e2e.server import find_free_port
from tests.sdk.callers import KINDS, PAYMENT, Caller, Kind, known
from tests.sdk.scripted_gateway import (
    Reply,
    ScriptedGateway,
    answer,
    cut,
    cut_midway,
    error,
    raw,
    silence,
)

C2B = "c2bPayment/singleStage/"
PAYMENTS: dict[str, dict[str, str]] = {
    "c2b_single_stage": PAYMENT,
    "b2c_payment": {
        "amount": "3.50",
        "customer_msisdn": "254707161122",
        "service_provider_code": "ORG001",
        "transaction_reference": "Wages4",
        "payment_items_description": "A day of work",
    },
    "b2b_payment": {
        "amount": "2.00",
        "primary_party_code": "ORG001",
        "receiver_party_code": "ORG002",
        "transaction_reference": "Flour5",
        "purchased_items_description": "A bag of flour",
    },
    "reversal": {"transaction_id": "5fT0kQ2mBx7L", "service_provider_code": "ORG001"},
}


def _number(*numbers: int) -> list[str]:
    return [f"INS-{number}" for number in numbers]


EXPECTED: dict[type[CallError], list[str]] = {
    OutcomeUnknownError: [*_number(1, 9), "INS-GAR-0"],
    DuplicateError: _number(10),
    UnavailableError: _number(16, 989),
    TransactionNotFoundError: _number(23),
    InvalidRequestError: _number(
        *(17, 19, 20, 26, 28, 30, 31, 32, 36, 39, 40, 41, 42, 43, 45, 54, 55, 57, 996, 998)
    ),
    RefusedError: _number(6, 13, 15, 18, 21, 35, 50, 51, 52, 56, 58, 2051),
    LimitExceededError: _number(990, 991, 992, 993, 994, 995),
    NotEnabledError: _number(997),
    InsufficientBalanceError: _number(2006),
}
"""Of a payment, by the only thing that decides: the code."""
ERRORS = {code: kind for kind, codes in EXPECTED.items() for code in codes}
MAY_HAVE_MOVED = (OutcomeUnknownError, DuplicateError, TransactionNotFoundError)
RETRY_SAFE = (
    NotSentError,
    AuthenticationError,
    UnavailableError,
    TooManyAttemptsError,
    TransactionNotFoundError,
)

Pair = tuple[Caller, ScriptedGateway]


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A client of a scripted gateway, which every test scripts anew."""
    with ScriptedGateway() as gateway, Caller(request.param, **known(gateway)) as caller:
        caller.call("open_session")
        yield caller, gateway


def fail(pair: Pair, *replies: Reply, method: str = "c2b_single_stage", **changes: Any) -> Any:
    """The error that a payment ends with, if that is how the gateway answers."""
    caller, gateway = pair
    gateway.script(registry.find(method).path, *replies)
    with pytest.raises(CallError) as raised:
        caller.call(method, **{**PAYMENTS[method], **changes})
    found = raised.value
    assert found.operation == method
    assert found.third_party_conversation_id == gateway.requests[-1].reference != ""
    return found


def check_promise(found: CallError) -> None:
    """That an error says of the money what its type says."""
    assert found.may_have_moved_money is (type(found) in MAY_HAVE_MOVED)
    assert found.is_retry_safe is (type(found) in RETRY_SAFE)


# --- with a code ---------------------------------------------------------------------------------


def test_every_code_of_the_catalog_is_in_the_table() -> None:
    assert sorted(ERRORS) == sorted(row.code for row in CODES if row.code != "INS-0")


@pytest.mark.parametrize("code", ERRORS)
def test_a_code_decides_which_error_it_is_whatever_the_status(pair: Pair, code: str) -> None:
    for method in PAYMENTS:
        status, text = registry.answer(registry.find(method), code)
        found = fail(pair, answer(code), method=method)
        assert type(found) is ERRORS[code]
        check_promise(found)
        assert (found.code, found.http_status, found.text) == (code, status, text)
        assert str(found) == f"{text} ({code}, HTTP {status})"
        assert len(found.conversation_id or "") == 32
    assert type(fail(pair, answer(code, status=200))) is ERRORS[code]


@pytest.mark.parametrize("status", [200, 201, 400, 401, 409, 422, 500])
@pytest.mark.parametrize("code", ["INS-12345", "INS-0 ", "ins-6", "0"])
def test_a_code_that_nobody_knows_promises_nothing(pair: Pair, code: str, status: int) -> None:
    found = fail(pair, answer(code, status=status))
    assert type(found) is OutcomeUnknownError
    check_promise(found)
    assert found.code == code


def test_an_answer_that_explains_itself_is_quoted_in_full(pair: Pair) -> None:
    found = fail(pair, answer("INS-21", output_error="input_Amount is not an amount"))
    assert found.text.endswith("input_Amount is not an amount")
    found = fail(pair, answer("INS-6", output_ResponseDesc=None, output_ConversationID=None))
    assert (found.text, found.conversation_id) == ("Transaction Failed", None)


@pytest.mark.parametrize("code", ["INS-0", "INS-6", "INS-10", "INS-16"])
def test_an_answer_to_another_request_says_nothing_of_this_one(pair: Pair, code: str) -> None:
    found = fail(pair, answer(code, output_ThirdPartyConversationID="another"))
    assert type(found) is OutcomeUnknownError
    assert (found.code, found.text) == (None, "the answer belongs to another request")


def test_an_answer_that_names_no_request_is_this_ones(pair: Pair) -> None:
    caller, gateway = pair
    gateway.script(C2B, answer(output_ThirdPartyConversationID=None, output_ConversationID=None))
    paid = caller.pay()
    assert (len(paid.transaction_id), paid.third_party_conversation_id) == (12, "")


# --- without a code ------------------------------------------------------------------------------

HTML = b"<html><body>Something is wrong</body></html>"
HTML_HEADERS = {"Content-Type": "text/html"}


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 431])
def test_the_gateways_own_refusal_of_a_request_is_certain(pair: Pair, status: int) -> None:
    found = fail(pair, error(status, "It cannot be read"))
    assert type(found) is InvalidRequestError
    check_promise(found)
    assert (found.code, found.http_status) == (None, status)
    assert str(found) == f"It cannot be read (HTTP {status})"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 405, 413, 431])
def test_a_page_of_somebody_on_the_way_promises_nothing(pair: Pair, status: int) -> None:
    before = len(pair[1].requests)
    found = fail(pair, raw(status, HTML, {**HTML_HEADERS, "Location": "/elsewhere"}))
    assert type(found) is OutcomeUnknownError
    assert found.http_status == status
    assert "Something is wrong" not in str(found)
    # Nothing is followed, and nothing is sent twice.
    assert len(pair[1].requests) == before + 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_fault_without_a_code_promises_nothing(pair: Pair, status: int) -> None:
    for reply in (error(status, "Try again"), raw(status, HTML, HTML_HEADERS), raw(status, b"")):
        found = fail(pair, reply)
        assert type(found) is OutcomeUnknownError
        check_promise(found)


@pytest.mark.parametrize(
    "reply",
    [
        error(429, "Too many failures", {"Retry-After": "7"}),
        raw(429, HTML, {"Retry-After": "7"}),
    ],
    ids=["JSON", "HTML"],
)
def test_too_many_attempts_say_when_to_come_back(pair: Pair, reply: Reply) -> None:
    found = fail(pair, reply)
    assert type(found) is TooManyAttemptsError
    check_promise(found)
    assert found.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0.0),
        ("0.25", 0.25),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("", None),
    ],
)
def test_a_code_comes_with_the_time_to_wait_where_there_is_one(
    pair: Pair, written: str, seconds: float | None
) -> None:
    body = json.dumps({"output_ResponseCode": "INS-16"}).encode()
    found = fail(pair, raw(503, body, {"Retry-After": written}))
    assert type(found) is UnavailableError
    assert found.retry_after_s == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"INS-0"',
        b'{"output_ResponseCode": 0}',
        b'{"output_ResponseCode": ""}',
        b'{"output_ResponseCode": ["INS-0"]}',
        b'{"output_ResponseCode": "INS-0"',
        b'{"output_ResponseCode": "INS-\xff"}',
        b"[" * 100_000,
        HTML,
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
@pytest.mark.parametrize("status", [200, 201])
def test_a_success_without_a_code_is_none(pair: Pair, status: int, body: bytes) -> None:
    found = fail(pair, raw(status, body))
    assert type(found) is OutcomeUnknownError
    check_promise(found)
    assert (found.code, found.http_status) == (None, status)


# --- without an answer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "changes"),
    [(cut(), {}), (cut_midway(), {}), (silence(), {"timeout": 0.05})],
    ids=["cut", "cut midway", "silence"],
)
def test_a_request_without_an_answer_may_have_been_carried_out(
    pair: Pair, reply: Reply, changes: dict[str, Any]
) -> None:
    before = len(pair[1].requests)
    found = fail(pair, reply, **changes)
    assert type(found) is OutcomeUnknownError
    check_promise(found)
    assert (found.code, found.http_status) == (None, None)
    assert len(pair[1].requests) == before + 1


@pytest.mark.parametrize(
    "body", [b"not what it says", b""], ids=["in no such encoding", "of another length"]
)
def test_an_answer_that_is_garbled_may_have_been_one(pair: Pair, body: bytes) -> None:
    headers = {"Content-Encoding": "gzip"} if body else {"Content-Length": "many"}
    assert type(fail(pair, raw(200, body, headers))) is OutcomeUnknownError


def test_an_answer_without_end_is_not_read_to_its_end(pair: Pair) -> None:
    found = fail(pair, raw(200, b" " * (1 << 20) + b"{}"))
    assert type(found) is OutcomeUnknownError
    assert "longer than 1048576 bytes" in str(found)


@pytest.mark.parametrize("kind", KINDS)
def test_who_cannot_be_connected_to_was_sent_nothing(kind: Kind) -> None:
    with ScriptedGateway() as gateway:
        options = known(gateway)
        with Caller(kind, **options) as caller:
            caller.pay()
            caller.call("close")
            options["base_url"] = f"http://127.0.0.1:{find_free_port()}"
        with Caller(kind, **options) as caller, pytest.raises(NotSentError) as raised:
            caller.pay(third_party_conversation_id="mine")
    check_promise(raised.value)
    assert raised.value.third_party_conversation_id == "mine"


@pytest.mark.parametrize("kind", KINDS)
def test_a_gateway_that_has_gone_after_the_session_was_sent_nothing(kind: Kind) -> None:
    with ScriptedGateway() as gateway:
        caller = Caller(kind, **known(gateway))
        caller.pay()
        caller.call("close")
    with caller, pytest.raises(NotSentError) as raised:
        caller.pay()
    check_promise(raised.value)
    assert raised.value.operation == "c2b_single_stage"


# --- errors as values ----------------------------------------------------------------------------

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
SETTLED = Payment(
    key="order-1",
    operation="c2b_single_stage",
    state="open",
    amount=None,
    third_party_conversation_id="mine",
    transaction_id="",
    conversation_id="",
    code="",
    text="",
    created_at=NOON,
    closed_at=None,
)


def make_errors() -> Iterator[PesalangoError]:
    """One of each type."""
    yield ConfigurationError("of no use")
    yield JournalError("not to be read")
    yield KeyReusedError("order-1", ("input_Amount", "operation"))
    for name in pesalango.__all__:
        kind = getattr(pesalango, name)
        if isinstance(kind, type) and issubclass(kind, CallError):
            made = kind(
                "in words",
                operation="c2b_single_stage",
                code="INS-9",
                http_status=408,
                conversation_id="theirs",
                third_party_conversation_id="mine",
                retry_after_s=1.5,
            )
            if issubclass(kind, PaymentRefusedError | PaymentUnsettledError):
                made.payment = SETTLED  # type: ignore[attr-defined]
            yield made


@pytest.mark.parametrize("original", list(make_errors()), ids=lambda error: type(error).__name__)
def test_an_error_survives_being_copied_and_sent_to_another_process(
    original: PesalangoError,
) -> None:
    original.add_note("in the second attempt")
    for made in (
        pickle.loads(pickle.dumps(original)),
        copy.copy(original),
        copy.deepcopy(original),
    ):
        assert type(made) is type(original)
        assert (str(made), made.args, vars(made)) == (
            str(original),
            original.args,
            vars(original),
        )


def test_errors_are_caught_by_what_they_say_of_the_money() -> None:
    for original in make_errors():
        if isinstance(original, CallError):
            is_certain = not isinstance(original, OutcomeUnknownError)
            assert original.may_have_moved_money is not is_certain
    assert issubclass(StatusQueryNotEnabledError, PaymentUnsettledError)
    assert issubclass(PaymentRefusedError, RefusedError)
    # They are wrong values too, to whoever knows Python's own errors only.
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(KeyReusedError, ValueError)


# --- secrets -------------------------------------------------------------------------------------

SESSION_KEY = "5e5510".ljust(32, "0")


def fail_in_every_way(kind: Kind, gateway: ScriptedGateway) -> Iterator[CallError]:
    """Errors of calls and of sessions, each with a client of its own."""
    answers = {
        C2B: [cut(), cut_midway(), silence(), raw(502, HTML), answer("INS-6"), error(404, "no")],
        "getSession/": [
            *(cut(), silence(), error(401, "Unknown key"), answer("INS-989"), raw(200, b"{}")),
        ],
    }
    for operation, replies in answers.items():
        for reply in replies:
            gateway.script("getSession/", answer(output_SessionID=SESSION_KEY))
            gateway.script(operation, reply)
            with Caller(kind, **known(gateway, timeout=0.2)) as caller:
                with pytest.raises(CallError) as raised:
                    caller.pay()
                yield raised.value
    options = known(gateway, base_url=f"http://127.0.0.1:{find_free_port()}")
    with Caller(kind, **options) as caller, pytest.raises(CallError) as raised:
        caller.pay()
    yield raised.value
    gateway.script("getSession/", answer(output_SessionID=SESSION_KEY))
    gateway.script(C2B, error(401, "Origin not allowed"))
    with Caller(kind, **known(gateway)) as caller, pytest.raises(CallError) as raised:
        caller.pay()
    yield raised.value


def list_chain(found: BaseException | None) -> Iterator[BaseException]:
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def tell_all(found: BaseException) -> str:
    """Whatever a program prints or reports of an error, our own variables included."""
    told = [*traceback.format_exception(found)]
    for each in list_chain(found):
        told += [str(each), repr(each), repr(vars(each)), repr(each.args)]
        frames = traceback.TracebackException.from_exception(each, capture_locals=True).stack
        told += [repr(frame.locals) for frame in frames if "/pesalango/" in frame.filename]
    return "\n".join(told)


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_told_logged_or_printed(
    kind: Kind, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.NOTSET)
    told = ""
    with ScriptedGateway() as gateway:
        for found in fail_in_every_way(kind, gateway):
            told += tell_all(found)
        with Caller(kind, **known(gateway)) as caller:
            told += repr(caller.client) + repr(vars(caller.client))
    bearers = [each.headers["authorization"].split()[1] for each in gateway.requests]
    assert len(bearers) > 15
    assert SESSION_KEY in {each.bearer for each in gateway.requests}
    secrets = [gateway.api_key, SESSION_KEY, *bearers]
    logged = "\n".join(f"{each.getMessage()} {each.args}" for each in caplog.records)
    # What the libraries below say is heard: it has no secrets, and would be found if it had.
    assert "127.0.0.1" in logged
    for secret in secrets:
        assert secret not in told
        assert secret not in logged
    assert not [each for each in caplog.records if each.name.startswith("pesalango")]
    assert capfd.readouterr() == ("", "")
