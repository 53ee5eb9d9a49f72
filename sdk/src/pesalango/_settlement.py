"""How a payment with a key goes, without I/O.

The intent is kept before anything is sent. What the answer to the first sending says is believed
while nobody else has sent it; after that, the status alone says that money did not move, and the
status or a success says that it did. `INS-23` ends nothing: the request may still be on its way, so
the same one is sent again, and has one effect at most.
"""

import contextlib
import secrets
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import Struct

from pesalango._catalog import OPERATIONS
from pesalango._errors import (
    AuthenticationError,
    CallError,
    InvalidRequestError,
    KeyReusedError,
    NotEnabledError,
    NotSentError,
    OutcomeUnknownError,
    PaymentRefusedError,
    PaymentUnsettledError,
    RefusedError,
    StatusQueryNotEnabledError,
    TransactionNotFoundError,
    UnavailableError,
)
from pesalango._flow import (
    TPCID,
    CallOptions,
    Clock,
    Pause,
    Step,
    call_flow,
    check_options,
    fill_in,
    make_conversation_id,
)
from pesalango._intents import Closing, Intent, Payment
from pesalango._model import Operation
from pesalango._transport import Platform

WITHIN_S = 120.0
"""How long a payment may take to be settled, where the caller says nothing."""
KEY_CHARACTERS_MAX = 200
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_QUERY = OPERATIONS["query_transaction_status"]
_ENDED = frozenset({"Failed", "Expired", "Cancelled"})
_NOTHING_RECORDED = (NotSentError, AuthenticationError, UnavailableError, InvalidRequestError)
"""What an answer to the only sending says for certain: the gateway has kept nothing of it."""


class Ask(Struct, frozen=True):
    """Call a method of the journal, and come back with what it returns."""

    method: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any] = {}


Flow = Generator[Step | Ask, Any, Any]
Today = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock, for the eyes of people: nothing is decided by it."""
    return datetime.now(UTC)


def check_key(key: object) -> str:
    """Raises TypeError, ValueError."""
    if not isinstance(key, str):
        raise TypeError(f"key takes a str, not {type(key).__name__}")
    if not 1 <= len(key) <= KEY_CHARACTERS_MAX or not key.isprintable():
        raise ValueError(f"a key has 1 to {KEY_CHARACTERS_MAX} printable characters: {key[:250]!r}")
    return key


class Settling:
    """The payments of one platform: how each goes on from what the journal says."""

    def __init__(self, platform: Platform, clock: Clock) -> None:
        self._platform = platform
        self._clock = clock

    def pay(
        self,
        operation: Operation,
        key: str,
        values: dict[str, object],
        options: CallOptions,
        within_s: float,
    ) -> Generator[Step | Ask, Any, Payment]:
        """Make a payment, or go on with it. Raises `CallError`, `KeyReusedError`, `JournalError`."""
        check_options(options)
        meant = Intent(
            platform=self._platform.digest,
            key=check_key(key),
            sender=self._platform.sender,
            operation=operation.name,
            body=self._fill_in(operation, values, options),
            created_at=utc_now(),
        )
        until = self._clock() + within_s
        has_sent = False
        while True:
            intent: Intent = yield Ask("begin", (meant,))
            check_same(meant, intent)
            is_own = intent.body[TPCID] == meant.body[TPCID]
            if intent.closing is None and is_own and not has_sent:
                has_sent = True
                intent_or_none = yield from self._send_first(intent, options)
            else:
                intent_or_none = intent
            if intent_or_none is not None and intent_or_none.closing is None:
                intent_or_none = yield from self._find_out(intent_or_none, until, options)
            if intent_or_none is not None:
                return _conclude(intent_or_none)
            # Whoever had the key has proven that nothing came of it: it is free again.

    def write_off(self, key: str, reason: str) -> Generator[Step | Ask, Any, Payment]:
        """Close an open payment as refused, by a person's word. Raises `ValueError`."""
        if not reason.strip():
            raise ValueError("a payment is written off for a reason, which the journal keeps")
        closing = Closing(state="refused", text=f"written off: {reason}", closed_at=utc_now())
        platform = self._platform.digest
        before: Intent | None = yield Ask("find", (platform, check_key(key)))
        if before is None or before.closing is not None:
            state = "not in the journal" if before is None else Payment.of(before).state
            raise ValueError(f"the payment {key!r} is {state}: only an open one is written off")
        after = yield from self._close(before, closing, sendings=before.sendings)
        if after is None or after.closing != closing:
            raise ValueError(f"the payment {key!r} is being settled right now: look at it again")
        return Payment.of(after)

    def _fill_in(
        self, operation: Operation, values: dict[str, object], options: CallOptions
    ) -> dict[str, str]:
        if TPCID in (options.extra_fields or {}):
            raise ValueError(f"{TPCID} of a payment with a key is made here: it cannot be given")
        # Made here, whatever `values` has: it must be one that the status can be asked by.
        given = {**values, "third_party_conversation_id": make_conversation_id()}
        return fill_in(self._platform, operation, given, options.extra_fields)

    def _send_first(self, intent: Intent, options: CallOptions) -> Flow:
        """The intent as it then is: closed, or open where that answer leaves it so.

        Raises what the answer was where nothing was recorded: then the intent is gone, and its key
        free.
        """
        try:
            closing = yield from self._send(intent, options)
        except _NOTHING_RECORDED:
            is_gone = yield Ask("forget", (intent.platform, intent.key), {"sendings": 1})
            if is_gone:
                raise
            # Somebody else has sent it too, and that sending may have arrived.
            return (yield Ask("find", (intent.platform, intent.key)))
        except RefusedError as error:
            closing = _refuse(error)
            return (yield from self._close(intent, closing, sendings=1))
        except CallError:
            return intent
        if closing is None:
            return intent
        return (yield from self._close(intent, closing))

    def _send(self, intent: Intent, options: CallOptions) -> Flow:
        """The closing that a success is; None where it only says that the request was accepted."""
        operation = OPERATIONS[intent.operation]
        result: Any = yield from call_flow(
            self._platform, operation, intent.body, options, self._clock
        )
        if not result.transaction_id:
            return None
        return Closing(
            state="completed",
            code=result.response_code,
            text=result.response_description,
            transaction_id=result.transaction_id,
            conversation_id=result.conversation_id,
            closed_at=utc_now(),
        )

    def _close(self, intent: Intent, closing: Closing, *, sendings: int | None = None) -> Flow:
        """The intent as it then is: closed with this, or as somebody else left it."""
        name = (intent.platform, intent.key)
        if (yield Ask("close_intent", (*name, closing), {"sendings": sendings})):
            return msgspec.structs.replace(intent, closing=closing)
        kept: Intent | None = yield Ask("find", name)
        _check_agreement(closing, intent, kept)
        return kept

    def _find_out(self, intent: Intent, until: float, options: CallOptions) -> Flow:
        """Go on until the intent is closed (then it is returned) or gone (then None).

        Raises `PaymentUnsettledError` when the time is up.
        """
        pauses = iter(_PAUSES_S)
        while True:
            settled, problem = yield from self.look(intent, options)
            if settled is None or settled.closing is not None:
                return settled
            intent = settled
            pause_s = next(pauses, _PAUSES_S[-1])
            # Half of it by chance: many that were cut off together do not come back together.
            pause_s *= 0.5 + secrets.randbelow(1000) / 1000
            retry_after_s = problem.retry_after_s if problem else None
            pause_s = max(pause_s, min(retry_after_s or 0.0, _PAUSES_S[-1]))
            if is_hopeless(problem) or self._clock() + pause_s > until:
                raise _leave_open(intent, problem) from problem
            yield Pause(pause_s)

    def look(self, intent: Intent, options: CallOptions) -> Flow:
        """One question, and one more sending where nothing is recorded yet.

        Returns the intent as it then is (None: gone), and what stands in the way of its end.
        """
        problem: CallError | None = None
        try:
            closing = yield from self._ask_status(intent, options)
        except (TransactionNotFoundError, NotEnabledError) as error:
            problem = error
            if intent.sender not in self._platform.senders:
                return intent, _tell_foreign(error)
            counted = yield Ask("count_sending", (intent.platform, intent.key))
            if counted is None or counted.closing is not None:
                return counted, None
            intent = counted
            try:
                closing = yield from self._send(intent, options)
            except CallError as refusal:
                # Of another sending it says nothing about the first: only a status would.
                return intent, problem if isinstance(problem, NotEnabledError) else refusal
        except CallError as error:
            return intent, error
        if closing is None:
            return intent, problem
        return (yield from self._close(intent, closing)), None

    def _ask_status(self, intent: Intent, options: CallOptions) -> Flow:
        """The closing that a final status is; None where the payment waits for its customer."""
        body = fill_in(
            self._platform,
            _QUERY,
            {
                "query_reference": intent.third_party_conversation_id,
                "service_provider_code": intent.body.get("input_ServiceProviderCode")
                or intent.body.get("input_PrimaryPartyCode"),
            },
            None,
        )
        result: Any = yield from call_flow(self._platform, _QUERY, body, options, self._clock)
        if result.transaction_status == "Completed":
            return Closing(
                state="completed",
                text=result.transaction_status,
                transaction_id=result.original_transaction_id,
                closed_at=utc_now(),
            )
        if result.transaction_status in _ENDED:
            return Closing(state="refused", text=result.transaction_status, closed_at=utc_now())
        return None


def check_same(meant: Intent, kept: Intent) -> None:
    """Raises `KeyReusedError` where the key stands for another payment."""
    if kept is meant:
        return
    before, now = _values_of(kept), _values_of(meant)
    differing = tuple(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))
    if differing:
        raise KeyReusedError(meant.key, differing)


def _check_agreement(found: Closing, intent: Intent, kept: Intent | None) -> None:
    """Raises `OutcomeUnknownError` where money moved that the journal says did not."""
    was = kept.closing if kept else None
    if found.state != "completed" or (kept and was is None) or (was and was.state == "completed"):
        return
    said = f"has it as {was.state}: {was.text}" if was else "was told that nothing came of it"
    raise OutcomeUnknownError(
        f"the payment {intent.key!r} is completed ({found.transaction_id}), while the journal {said}. "
        "Correct your own books by hand",
        operation=intent.operation,
        code=found.code or None,
        third_party_conversation_id=intent.third_party_conversation_id,
    )


def _values_of(intent: Intent) -> dict[str, object]:
    """What has to be the same: one amount may be written in several ways."""
    operation = OPERATIONS[intent.operation]
    values: dict[str, object] = {**intent.body, TPCID: "", "operation": intent.operation}
    for name in operation.amounts:
        wire_name = operation.fields[name]
        with contextlib.suppress(KeyError, InvalidOperation):
            values[wire_name] = Decimal(intent.body[wire_name])
    return values


def _refuse(error: CallError) -> Closing:
    return Closing(
        state="refused",
        code=error.code or "",
        text=error.text,
        conversation_id=error.conversation_id or "",
        closed_at=utc_now(),
    )


def _conclude(intent: Intent) -> Payment:
    """A completed payment; raises `PaymentRefusedError` for one that was not."""
    payment = Payment.of(intent)
    if payment.state == "completed":
        return payment
    refusal = PaymentRefusedError(
        f"the payment {payment.key!r} did not happen: {payment.text}",
        operation=payment.operation,
        code=payment.code or None,
        conversation_id=payment.conversation_id or None,
        third_party_conversation_id=payment.third_party_conversation_id,
    )
    refusal.payment = payment
    raise refusal


class _ForeignError(OutcomeUnknownError):
    """A payment of another application's, as far as anybody can tell."""


def _tell_foreign(error: CallError) -> CallError:
    return _ForeignError(
        "it was sent with another API key, and this one does not find it. If both are one "
        "application's, name the key of then in former_api_keys; else have its own client recover it",
        operation=error.operation,
        code=error.code,
        http_status=error.http_status,
    )


def is_hopeless(problem: CallError | None) -> bool:
    """Whether waiting alone changes nothing."""
    return _cannot_ask(problem) or isinstance(problem, _ForeignError)


def _cannot_ask(problem: CallError | None) -> bool:
    """Whether the status query is off; a payment's own product may be on again any time."""
    return isinstance(problem, NotEnabledError) and problem.operation == _QUERY.name


def tell_problem(problem: CallError | None) -> str:
    """Why a payment is open, in one sentence."""
    if _cannot_ask(problem):
        return (
            "the status query is not enabled for this application (INS-997), so nobody can say "
            "whether the money moved: have it enabled, then recover"
        )
    if problem is None:
        return "the customer is still being asked"
    return str(problem)


def _leave_open(intent: Intent, problem: CallError | None) -> PaymentUnsettledError:
    kind = StatusQueryNotEnabledError if _cannot_ask(problem) else PaymentUnsettledError
    text = tell_problem(problem)
    error = kind(
        f"whether the payment {intent.key!r} happened is not known yet: {text}",
        operation=intent.operation,
        code=problem.code if problem else None,
        http_status=problem.http_status if problem else None,
        third_party_conversation_id=intent.third_party_conversation_id,
    )
    error.payment = Payment.of(intent, problem=text)
    return error
