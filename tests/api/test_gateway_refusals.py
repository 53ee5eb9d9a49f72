"""Section by section, who is told what, and which of two faults is told.

Each table has the checks of one operation in their order. A request with one fault gets that row's
answer; a request with two gets the earlier row's, for every two rows that one request can have.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.gateway_world import (
    B2B,
    B2C,
    C2B,
    MARKET,
    METHODS,
    ORIGIN,
    QUERY,
    REVERSAL,
    SESSION,
    World,
)
from tests.unit.http_server import Reply


@pytest.fixture
def world(each_world: World) -> World:
    """Each test on both databases."""
    return each_world


NOT_AUTHORISED = "API or Session key is not authorized"


class Request:
    """A request that is in order, until faults are put into it."""

    def __init__(self, world: World, operation: str) -> None:
        self.world = world
        self.operation = operation
        self.method = METHODS[operation]
        self.market = MARKET
        self.path: str | None = None
        self.headers = {"Origin": ORIGIN}
        self.bearer: str | None = None
        self.application: set[str] = set()
        self.organisation: set[str] = set()
        self.customer: set[str] = set()
        self.receiver: set[str] = set()
        self.original: set[str] = set()
        self.parameters: dict[str, Any] = {}
        self.is_unreadable = self.is_list = self.is_too_large = self.is_repeated = False
        self.is_to_itself = False

    def send(self) -> Reply:
        """Make what the request speaks of, and send it."""
        world = self.world
        application = world.application(*self.application)
        parameters = self._make_parameters()
        changed: dict[str, Any] = {**parameters, **self.parameters}
        parameters = {name: text for name, text in changed.items() if text is not None}
        secret = application.bearer
        if self.operation == SESSION:
            secret = world.encrypt(application.api_key)
        self.headers["Authorization"] = secret if self.bearer is None else self.bearer
        body = json.dumps(parameters).encode() if parameters else b""
        if self.is_unreadable:
            body = body[:-1]
        if self.is_list:
            body = b"[" + body + b"]"
        if self.is_too_large:
            body = body.ljust(70_000)
        if self.is_repeated:
            changes = {"ThirdPartyConversationID": parameters["input_ThirdPartyConversationID"]}
            if self.operation == REVERSAL:
                changes["TransactionID"] = "0000000000003"
                changes["ServiceProviderCode"] = "NOBODY"
            world.send(self.operation, application, **changes)
        return world.call(
            self.method,
            self.operation,
            headers=self.headers,
            body=body,
            market=self.market,
            path=self.path,
        )

    def _make_parameters(self) -> dict[str, str]:
        world, operation = self.world, self.operation
        if operation == SESSION:
            return {}
        if operation == REVERSAL:
            original = world.original(*self.original, *self.organisation)
            return world.parameters(
                REVERSAL,
                TransactionID=original.transaction_id,
                ServiceProviderCode=original.organisation,
            )
        organisation = world.organisation(*self.organisation)
        if operation == QUERY:
            return world.question("neverheardof", ServiceProviderCode=organisation)
        if operation == B2B:
            return world.parameters(
                B2B,
                PrimaryPartyCode=organisation,
                ReceiverPartyCode=(
                    organisation if self.is_to_itself else world.receiver(*self.receiver)
                ),
            )
        return world.parameters(
            operation,
            CustomerMSISDN=world.customer(*self.customer),
            ServiceProviderCode=organisation,
        )


class Row:
    """One check: the fault that fails it, and the answer; `touches` is what the fault changes."""

    def __init__(
        self,
        name: str,
        status: int,
        answer: str,
        fault: Callable[[Request], object],
        *touches: str,
    ) -> None:
        self.name = name
        self.status = status
        self.answer = answer
        self.fault = fault
        self.touches = set(touches)

    def __repr__(self) -> str:
        return self.name

    def check(self, reply: Reply) -> None:
        """Fail unless the reply is this row's."""
        content = json.loads(reply.body)
        told = content.get("output_ResponseCode", content.get("output_error"))
        assert (reply.status, told) == (self.status, self.answer)


def set_to(**values: Any) -> Callable[[Request], None]:
    def fault(request: Request) -> None:
        for name, value in values.items():
            setattr(request, name, value)

    return fault


def parameter(name: str, value: Any) -> Callable[[Request], None]:
    def fault(request: Request) -> None:
        request.parameters[f"input_{name}"] = value

    return fault


def add_to(whose: str, fault: str) -> Callable[[Request], None]:
    return lambda request: getattr(request, whose).add(fault)


def without_origin(request: Request) -> None:
    del request.headers["Origin"]


def with_origin(value: str) -> Callable[[Request], None]:
    return lambda request: request.headers.update({"Origin": value})


# A number or a code that stands for nobody cannot be locked, poor or suspended besides.
CUSTOMER = ("msisdn", "locked", "silent", "poor")
ORGANISATION = ("code", "suspended", "unserved", "foreign")
NO_BEARER = "Bearer " + "A" * 342 + "=="

DOOR = (
    Row("no such path", 404, "No such path", set_to(path="/sandbox/ipg/v3/x/"), "path"),
    Row("wrong method", 405, "Method not allowed", set_to(method="DELETE"), "method"),
    Row("too large", 413, "Request body too large", set_to(is_too_large=True), "size"),
    Row("unknown market", 400, "INS-998", set_to(market="vodacomXYZ"), "market"),
    Row("not authorised", 401, NOT_AUTHORISED, set_to(bearer=NO_BEARER), "bearer"),
    Row("no origin", 401, "Origin header is missing", without_origin, "origin"),
    Row("other origin", 401, "Origin not allowed", with_origin("evil.example"), "origin"),
    Row("source", 401, "Source not allowed", add_to("application", "source"), "source"),
)

READ = (
    *DOOR,
    Row("product of application", 400, "INS-997", add_to("application", "product"), "product"),
    Row("unreadable", 400, "INS-21", set_to(is_unreadable=True), "size"),
    Row("no object", 400, "INS-21", set_to(is_list=True), "size"),
)
"""What every operation but the session's asks before it looks at a parameter."""


def nested(name: str, *touches: str) -> Row:
    return Row("nested", 400, "INS-21", parameter(name, {"a": ["b"]}), *touches)


def unfilled(name: str, *touches: str) -> tuple[Row, ...]:
    """What is found of a parameter that has to be there, before what it says."""
    return (
        Row("missing", 400, "INS-20", parameter(name, None), *touches),
        Row("empty", 400, "INS-20", parameter(name, ""), *touches),
    )


CURRENCY = Row("currency", 400, "INS-26", parameter("Currency", "TZ1"), "currency")
REFERENCE = Row(
    "reference", 400, "INS-17", parameter("TransactionReference", "x" * 21), "reference"
)
CONVERSATION = Row(
    "conversation", 400, "INS-28", parameter("ThirdPartyConversationID", "a,b"), "id"
)
BESIDES = (
    Row("response url", 400, "INS-21", parameter("ResponseURL", "ftp://x.example/"), "url"),
    Row("country", 400, "INS-998", parameter("Country", "GHA"), "country"),
)
OTHER_CURRENCY = Row("other currency", 400, "INS-26", parameter("Currency", "GHS"), "currency")
DUPLICATE = Row(
    "duplicate", 409, "INS-10", set_to(is_repeated=True), "id", "product", "source", "foreign"
)
ACTING = (
    Row("suspended", 400, "INS-13", add_to("organisation", "suspended"), "suspended"),
    Row("foreign", 400, "INS-13", add_to("application", "organisation"), "foreign"),
)
PRODUCT = Row(
    "product of organisation", 400, "INS-997", add_to("organisation", "product"), "unserved"
)

C2B_ROWS = (
    *READ,
    nested("Amount", "amount"),
    *unfilled("PurchasedItemsDesc", "items"),
    Row("amount", 400, "INS-15", parameter("Amount", "10.001"), "amount"),
    Row("number", 400, "INS-2051", parameter("CustomerMSISDN", "+255"), *CUSTOMER),
    CURRENCY,
    Row("code", 400, "INS-13", parameter("ServiceProviderCode", "A-1"), *ORGANISATION),
    REFERENCE,
    CONVERSATION,
    Row("items", 400, "INS-30", parameter("PurchasedItemsDesc", "Rice, two"), "items"),
    *BESIDES,
    OTHER_CURRENCY,
    DUPLICATE,
    Row("trigger", 408, "INS-9", parameter("CustomerMSISDN", "000000000002"), *CUSTOMER),
    Row("nobody's code", 400, "INS-13", parameter("ServiceProviderCode", "NOBODY"), *ORGANISATION),
    *ACTING,
    PRODUCT,
    Row("nobody's number", 400, "INS-2051", parameter("CustomerMSISDN", "255999999999"), *CUSTOMER),
    Row("locked", 401, "INS-6", add_to("customer", "locked"), "locked"),
    Row("no approval", 408, "INS-9", add_to("customer", "never"), "silent"),
    Row("balance", 422, "INS-2006", add_to("customer", "poor"), "poor"),
)

# The money of a B2C is the organisation's, so nobody who is paid can be too poor.
PAYEE = ("msisdn", "locked")

B2C_ROWS = (
    *READ,
    nested("Amount", "amount"),
    *unfilled("PaymentItemsDesc", "items"),
    Row("amount", 400, "INS-15", parameter("Amount", "0.00"), "amount"),
    Row("number", 400, "INS-2051", parameter("CustomerMSISDN", "25570"), *PAYEE),
    CURRENCY,
    Row("code", 400, "INS-13", parameter("ServiceProviderCode", "A-1"), *ORGANISATION, "poor"),
    REFERENCE,
    CONVERSATION,
    Row("items", 400, "INS-31", parameter("PaymentItemsDesc", "Rice, two"), "items"),
    *BESIDES,
    OTHER_CURRENCY,
    DUPLICATE,
    Row("trigger", 408, "INS-9", parameter("CustomerMSISDN", "000000000004"), *PAYEE),
    Row("nobody's code", 400, "INS-13", parameter("ServiceProviderCode", "NOBODY"), *ORGANISATION, "poor"),
    *ACTING,
    PRODUCT,
    Row("nobody's number", 400, "INS-2051", parameter("CustomerMSISDN", "255999999999"), *PAYEE),
    Row("locked", 401, "INS-6", add_to("customer", "locked"), "locked"),
    Row("balance", 422, "INS-2006", add_to("organisation", "poor"), "poor"),
)  # fmt: skip

RECEIVER = ("receiver", "closed")

B2B_ROWS = (
    *READ,
    nested("Amount", "amount"),
    *unfilled("PurchasedItemsDesc", "items"),
    Row("amount", 400, "INS-15", parameter("Amount", "10."), "amount"),
    Row("receiver", 400, "INS-13", parameter("ReceiverPartyCode", "A-1"), *RECEIVER),
    CURRENCY,
    Row("code", 400, "INS-13", parameter("PrimaryPartyCode", "A-1"), *ORGANISATION, "poor"),
    REFERENCE,
    CONVERSATION,
    Row("items", 400, "INS-30", parameter("PurchasedItemsDesc", "Rice, two"), "items"),
    *BESIDES,
    OTHER_CURRENCY,
    DUPLICATE,
    Row("trigger", 408, "INS-9", parameter("ReceiverPartyCode", "000004"), *RECEIVER),
    Row("nobody's code", 400, "INS-13", parameter("PrimaryPartyCode", "NOBODY"), *ORGANISATION, "poor"),
    *ACTING,
    Row("nobody's receiver", 400, "INS-13", parameter("ReceiverPartyCode", "NOBODY"), *RECEIVER),
    Row("closed receiver", 400, "INS-13", add_to("receiver", "suspended"), "closed"),
    Row("to itself", 400, "INS-13", set_to(is_to_itself=True), *RECEIVER),
    PRODUCT,
    Row("balance", 422, "INS-2006", add_to("organisation", "poor"), "poor"),
)  # fmt: skip


def of_others(request: Request) -> None:
    """The transaction of another organisation."""
    transaction_id = request.world.original("of others").transaction_id
    request.parameters["input_TransactionID"] = transaction_id


# One TransactionID stands for one payment, and money that went to a customer is not with the shop.
ORIGINAL = ("transaction", "past", "payee")

REVERSAL_ROWS = (
    *READ,
    nested("ReversalAmount", "amount"),
    *unfilled("TransactionID", *ORIGINAL),
    Row("amount", 400, "INS-15", parameter("ReversalAmount", "1e1"), "amount"),
    Row("transaction", 400, "INS-18", parameter("TransactionID", "A-1"), *ORIGINAL),
    Row("code", 400, "INS-13", parameter("ServiceProviderCode", "A-1"), *ORGANISATION),
    CONVERSATION,
    *BESIDES,
    DUPLICATE,
    Row("trigger", 422, "INS-2006", parameter("TransactionID", "0000000000005"), *ORIGINAL),
    Row("nobody's code", 400, "INS-13", parameter("ServiceProviderCode", "NOBODY"), *ORGANISATION),
    *ACTING,
    PRODUCT,
    Row("unknown", 400, "INS-18", parameter("TransactionID", "A1b2C3d4E5f6"), *ORIGINAL),
    Row("of others", 400, "INS-35", of_others, *ORIGINAL),
    Row("reversed", 401, "INS-6", add_to("original", "reversed"), "past"),
    Row("is a reversal", 401, "INS-6", add_to("original", "reversal"), "past"),
    Row("too much", 400, "INS-15", parameter("ReversalAmount", "10.01"), "amount"),
    Row("locked", 401, "INS-6", add_to("original", "locked"), "payee"),
    Row("closed", 401, "INS-6", add_to("original", "closed"), "payee"),
    Row("balance", 422, "INS-2006", add_to("original", "poor"), "payee"),
)

QUERY_ROWS = (
    *READ,
    nested("QueryReference", "question"),
    *unfilled("ServiceProviderCode", *ORGANISATION),
    Row("question", 400, "INS-21", parameter("QueryReference", "a b"), "question"),
    Row("code", 400, "INS-13", parameter("ServiceProviderCode", "A-1"), *ORGANISATION),
    CONVERSATION,
    *BESIDES,
    Row("trigger", 401, "INS-6", parameter("QueryReference", "000000000003"), "question"),
    Row("nobody's code", 400, "INS-13", parameter("ServiceProviderCode", "NOBODY"), *ORGANISATION),
    *ACTING,
    PRODUCT,
    Row("not found", 400, "INS-23", set_to()),
)

SESSION_ROWS = (
    *DOOR,
    Row("unpromoted", 400, "INS-989", add_to("application", "unpromoted"), "unpromoted"),
)

TABLES = {
    C2B: C2B_ROWS,
    B2C: B2C_ROWS,
    B2B: B2B_ROWS,
    REVERSAL: REVERSAL_ROWS,
    QUERY: QUERY_ROWS,
    SESSION: SESSION_ROWS,
}
ONE_FAULT = [(operation, row) for operation, rows in TABLES.items() for row in rows]
TWO_FAULTS = [
    (operation, first, later)
    for operation, rows in TABLES.items()
    for place, first in enumerate(rows)
    if (later := [row for row in rows[place + 1 :] if not first.touches & row.touches])
]
"""Each row, with those of the rows after it that can be had beside it."""


@pytest.mark.parametrize("operation", TABLES)
def test_a_request_without_a_fault_is_served(world: World, operation: str) -> None:
    request = Request(world, operation)
    # Its payment is reversed by that, and no other test's.
    request.original.add("served")
    reply = request.send()
    if operation == QUERY:
        # Nothing can be wrong with it but that there is nothing to find.
        assert json.loads(reply.body)["output_ResponseCode"] == "INS-23"
    else:
        assert json.loads(reply.body)["output_ResponseCode"] == "INS-0"


@pytest.mark.parametrize(("operation", "row"), ONE_FAULT, ids=str)
def test_a_request_with_a_fault_gets_the_answer_of_its_row(
    world: World, operation: str, row: Row
) -> None:
    request = Request(world, operation)
    row.fault(request)
    row.check(request.send())


@pytest.mark.parametrize(
    ("operation", "first", "later"),
    TWO_FAULTS,
    ids=[f"{operation}-{first}" for operation, first, _ in TWO_FAULTS],
)
def test_a_request_with_two_faults_gets_the_answer_of_the_earlier_row(
    world: World, operation: str, first: Row, later: list[Row]
) -> None:
    wrong = []
    for second in later:
        request = Request(world, operation)
        # The later one first: what decides is the gateway's order and not ours.
        second.fault(request)
        first.fault(request)
        try:
            first.check(request.send())
        except AssertionError as error:
            wrong.append(f"beside {second}: {error}")
    assert not wrong, "\n".join(wrong)


# --- what a refusal looks like -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "row"),
    [(operation, row) for operation, row in ONE_FAULT if row.answer.startswith("INS-")],
    ids=str,
)
def test_a_refusal_has_the_fields_of_the_page(world: World, operation: str, row: Row) -> None:
    request = Request(world, operation)
    row.fault(request)
    content = json.loads(request.send().body)
    money = [
        "ResponseCode",
        "ResponseDesc",
        "TransactionID",
        "ConversationID",
        "ThirdPartyConversationID",
    ]
    fields = {
        C2B: money,
        B2C: money,
        B2B: money,
        REVERSAL: money,
        QUERY: [
            "ResponseCode",
            "ResponseDesc",
            "ConversationID",
            "ThirdPartyConversationID",
            "OriginalTransactionID",
        ],
        SESSION: ["ResponseCode", "ResponseDesc", "error"],
    }[operation]
    assert list(content) == [f"output_{name}" for name in fields]
    assert content.get("output_TransactionID", "N/A") == "N/A"
    assert content.get("output_OriginalTransactionID", "N/A") == "N/A"
    if operation != SESSION:
        assert len(content["output_ConversationID"]) == 32


def test_the_id_of_a_refused_request_is_told_as_it_was_sent(world: World) -> None:
    for sent in ("a,b", "", "é\x00", "x" * 500):
        _, answer = world.pay(ThirdPartyConversationID=sent)
        assert answer["output_ThirdPartyConversationID"] == sent


def test_the_id_is_told_by_checks_that_come_before_it_is_looked_at(world: World) -> None:
    application = world.application("product")
    _, answer = world.pay(application, ThirdPartyConversationID="given")
    assert answer["output_ResponseCode"] == "INS-997"
    assert answer["output_ThirdPartyConversationID"] == "given"


def test_the_id_is_empty_where_the_body_was_not_read(world: World) -> None:
    reply = world.call("POST", C2B, headers=world.signed(), body=world.payment(), market="nowhere")
    assert json.loads(reply.body)["output_ThirdPartyConversationID"] == ""


# --- the rest of step 11 -------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["decline", "wrong_pin"])
def test_a_customer_who_does_not_approve_fails_the_payment(world: World, script: str) -> None:
    status, answer = world.pay(CustomerMSISDN=world.customer(script))
    assert (status, answer["output_ResponseCode"]) == (401, "INS-6")


def test_a_wallet_that_is_locked_while_its_owner_thinks_fails_the_payment(world: World) -> None:
    msisdn = world.customer("locked")
    place = {"market": MARKET}
    world.admin.call("POST", f"customers/{msisdn}/status", {**place, "status": "active"})
    world.admin.script(msisdn, "approve", delay_ms=200)
    with world.start_payment(CustomerMSISDN=msisdn) as payment:
        world.admin.call("POST", f"customers/{msisdn}/status", {**place, "status": "locked"})
        status, answer = payment.read()
    world.admin.script(msisdn, "none")
    assert (status, answer["output_ResponseCode"]) == (401, "INS-6")


def test_form_and_query_string_are_checked_like_a_body(world: World) -> None:
    form = urlencode(world.payment(Amount="10.001")).encode()
    reply = world.call("POST", C2B, headers=world.signed(), body=form)
    assert json.loads(reply.body)["output_ResponseCode"] == "INS-15"
