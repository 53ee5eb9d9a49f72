"""How a call goes, without I/O.

A flow is a generator: it yields a step, and is sent what came of it, or thrown the `CallError` that
did. The plain client and the asynchronous one differ in how they carry out a step, and in nothing
else.
"""

import re
import secrets
from collections.abc import Callable, Generator, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from pesalango._answers import (
    Reply,
    find_code,
    make_error,
    read_answer,
    read_retry_after,
    tell_refusal,
)
from pesalango._catalog import GET_SESSION
from pesalango._errors import (
    AuthenticationError,
    CallError,
    InvalidRequestError,
    NotSentError,
    OutcomeUnknownError,
)
from pesalango._fields import render_fields
from pesalango._model import Operation
from pesalango._results import Result
from pesalango._session import NOT_LIVE_MAX_S, Session
from pesalango._transport import Platform, check_seconds, make_headers

TPCID = "input_ThirdPartyConversationID"
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
_ABOUT_THE_CALLER = re.compile(r"\b(origin|source)", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class CallOptions(msgspec.Struct, frozen=True):
    """What every call takes beside its fields."""

    extra_fields: Mapping[str, str] | None = None
    """By their names on the wire; they win over what the call says itself."""
    timeout_s: float | None = None
    headers: Mapping[str, str] | None = None


def check_options(options: CallOptions) -> None:
    """Raises TypeError or ValueError for what no request can carry."""
    if options.timeout_s is not None:
        check_seconds("timeout", options.timeout_s)
    for name, value in (options.headers or {}).items():
        given: tuple[object, object] = (name, value)
        if not all(isinstance(part, str) for part in given):
            raise TypeError("headers takes names and values, both str")
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers: no header can have the name {name!r}")
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            raise ValueError(f"headers: the value of {name} holds what no header can")


class Send(msgspec.Struct, frozen=True):
    """Send one HTTP request, and come back with a `Reply`.

    Thrown instead: `NotSentError` where it is certain that nothing left, `OutcomeUnknownError`
    where it is not.
    """

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    timeout_s: float

    def __repr__(self) -> str:
        # It stands in the frames of a traceback, which some programs report with their variables.
        return f"Send({self.method} {self.url})"


class NeedSession(msgspec.Struct, frozen=True):
    """Come back with a `Session` other than `refused`."""

    refused: Session | None


class Pause(msgspec.Struct, frozen=True):
    """Come back after a while."""

    seconds: float


Step = Send | NeedSession | Pause
Clock = Callable[[], float]


def make_conversation_id() -> str:
    """A new ThirdPartyConversationID: 32 letters and digits, which the status can be asked by."""
    return secrets.token_hex(16)


def fill_in(
    platform: Platform,
    operation: Operation,
    values: dict[str, object],
    extra_fields: Mapping[str, str] | None,
) -> dict[str, str]:
    """The request's fields on the wire, with what client and market know. TypeError, ValueError."""
    filled = dict(values)
    if filled.get("third_party_conversation_id") is None:
        filled["third_party_conversation_id"] = make_conversation_id()
    if filled.get("country") is None:
        filled["country"] = platform.market.country
    if "currency" in operation.fields and filled.get("currency") is None:
        filled["currency"] = platform.market.currency
    return render_fields(operation, filled, extra_fields)


def call_flow(
    platform: Platform,
    operation: Operation,
    body: Mapping[str, str],
    options: CallOptions,
    clock: Clock,
) -> Generator[Step, Any, Result]:
    """Send one request of an operation, in a session that is live. Raises `CallError`.

    Only a request that was not looked at, for its session was not accepted, is sent again.
    """
    conversation_id = body.get(TPCID)
    try:
        return (yield from _call(platform, operation, body, options, clock))
    except CallError as error:
        error.operation = error.operation or operation.name
        error.third_party_conversation_id = error.third_party_conversation_id or conversation_id
        raise


def _call(
    platform: Platform,
    operation: Operation,
    body: Mapping[str, str],
    options: CallOptions,
    clock: Clock,
) -> Generator[Step, Any, Result]:
    conversation_id = body.get(TPCID)
    refused: Session | None = None
    pauses = iter(_PAUSES_S)
    while True:
        session: Session = yield NeedSession(refused)
        reply, fields, said, used = yield from _send_in(
            platform, operation, body, options, session, clock
        )
        if said is None:
            if find_code(fields) is not None:
                used.was_accepted = True
            return read_answer(operation, reply, fields, conversation_id)
        error = AuthenticationError(
            said,
            operation=operation.name,
            http_status=reply.status,
            third_party_conversation_id=conversation_id,
            retry_after_s=read_retry_after(reply),
        )
        if _is_about_the_caller(said):
            raise error
        left_s = session.fetched_at + NOT_LIVE_MAX_S - clock()
        if session.was_accepted or left_s <= 0:
            # It was good once, or should be by now, so it has ended; a second one that ends at
            # once is no accident.
            if refused is not None:
                raise error
            refused = session
            continue
        pause_s = error.retry_after_s or next(pauses, _PAUSES_S[-1])
        if pause_s > left_s:
            raise error
        yield Pause(pause_s)


def _send_in(
    platform: Platform,
    operation: Operation,
    body: Mapping[str, str],
    options: CallOptions,
    session: Session,
    clock: Clock,
) -> Generator[Step, Any, tuple[Reply, dict[str, Any], str | None, Session]]:
    """One attempt, and one more in the session before where this one is not live yet."""
    send = make_send(platform, operation, body, options, session.bearer)
    reply: Reply = yield send
    fields = reply.fields()
    said = tell_refusal(reply, fields)
    before = session.previous
    if said is None or before is None or clock() >= before.ends_at:
        return reply, fields, said, session
    reply = yield make_send(platform, operation, body, options, before.bearer)
    fields = reply.fields()
    again = tell_refusal(reply, fields)
    return reply, fields, again, before if again is None else session


def _is_about_the_caller(said: str) -> bool:
    """Whether a new session would change nothing: the Origin header, or the address."""
    return bool(_ABOUT_THE_CALLER.search(said))


def make_send(
    platform: Platform,
    operation: Operation,
    body: Mapping[str, str],
    options: CallOptions,
    bearer: str,
) -> Send:
    """The HTTP request of an operation."""
    headers = make_headers()
    headers["Authorization"] = f"Bearer {bearer}"
    headers["Origin"] = platform.origin
    url = platform.root + operation.path
    content = None
    if operation.method == "GET":
        if body:
            url += "?" + urlencode(body)
    else:
        headers["Content-Type"] = "application/json"
        content = msgspec.json.encode(body)
    if options.headers:
        # A header that is sent twice, in two spellings, is one too many.
        theirs = {name.lower() for name in options.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in theirs}
        headers.update(options.headers)
    timeout_s = platform.timeout_s if options.timeout_s is None else options.timeout_s
    return Send(operation.method, url, headers, content, timeout_s)


def session_flow(platform: Platform) -> Generator[Step, Any, str]:
    """Ask for a session key, and encrypt it: the bearer of the requests to come.

    Raises `CallError`, and never one that leaves open whether money moved: none was asked to.
    """
    try:
        reply: Reply = yield make_send(
            platform, GET_SESSION, {}, CallOptions(), platform.encrypt(platform.api_key)
        )
        fields = reply.fields()
        key = fields.get("output_SessionID")
        if (
            fields.get("output_ResponseCode") in GET_SESSION.success
            and isinstance(key, str)
            and key
        ):
            return platform.encrypt(key)
        raise make_error(GET_SESSION, reply, fields, None)
    except InvalidRequestError as error:
        if error.code is None:
            raise _not_sent(error) from error
        raise
    except OutcomeUnknownError as error:
        raise _not_sent(error) from error


def _not_sent(error: CallError) -> NotSentError:
    return NotSentError(
        f"there is no session: {error.text}",
        operation=GET_SESSION.name,
        code=error.code,
        http_status=error.http_status,
        retry_after_s=error.retry_after_s,
    )
