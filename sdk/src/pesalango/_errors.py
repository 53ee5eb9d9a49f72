"""Everything that this client raises, and what each says about the money.

    PesalangoError
    ├── ConfigurationError           an address, key, market or file that cannot be used
    ├── JournalError                 the journal cannot be read or written
    ├── KeyReusedError               one key, two different payments
    └── CallError                    a call without success
        ├── NotSentError             certain: the request never left, or no session could be had
        ├── AuthenticationError      key, session, origin or source not accepted; nothing was done
        ├── UnavailableError         nothing was recorded; the same call may be sent later
        │   └── TooManyAttemptsError  `retry_after_s` says when
        ├── RefusedError             the money did not move
        │   ├── InvalidRequestError  something in the request is wrong; nothing was recorded
        │   ├── NotEnabledError      the product is off
        │   ├── LimitExceededError   a limit of the application or the customer
        │   ├── InsufficientBalanceError
        │   └── PaymentRefusedError  a payment with a key has ended without money moving
        └── OutcomeUnknownError      the money may have moved: ask, never assume
            ├── TransactionNotFoundError  nothing is recorded under that reference, so far
            ├── DuplicateError       an earlier request had this ThirdPartyConversationID
            └── PaymentUnsettledError     a payment with a key, unknown for longer than it may take
                └── StatusQueryNotEnabledError

Whoever catches `OutcomeUnknownError` and asks, and treats every other `CallError` as "not paid",
is right.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pesalango._intents import Payment


class PesalangoError(Exception):
    """What this package raises of its own."""

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is pickled by its positional arguments; some of these have others.
        return (_restore, (type(self), self.args, dict(self.__dict__)))


def _restore(
    kind: type[PesalangoError], args: tuple[object, ...], state: dict[str, object]
) -> PesalangoError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(PesalangoError, ValueError):
    """What a client was made with cannot be used. The text says what to put right."""


class JournalError(PesalangoError):
    """The journal cannot be read or written.

    A payment is never sent before its intent is kept. What was kept, or sent, all the same is open
    in the journal: the same key goes on with it, and so does `recover()`.
    """

    settled: "Sequence[Payment]" = ()
    """What `recover()` had settled before the journal failed it."""


class KeyReusedError(PesalangoError, ValueError):
    """The key already belongs to a payment with other values. Nothing was sent."""

    def __init__(self, key: str, names: tuple[str, ...]) -> None:
        self.key = key
        """The key that was given."""
        self.names = names
        """The fields that differ, by their names on the wire."""
        super().__init__(
            f"the key {key!r} belongs to another payment: it differs in {', '.join(names)}. "
            "A key stands for one payment for ever; a new payment needs a new key"
        )


class CallError(PesalangoError):
    """A call that did not succeed.

    Never holds a secret: not the API key, nor the session key, nor a bearer.
    """

    may_have_moved_money = False
    """Whether it must not be assumed that nothing happened."""
    is_retry_safe = False
    """Whether the same call with the same ThirdPartyConversationID may be sent again."""

    def __init__(
        self,
        text: str,
        *,
        operation: str = "",
        code: str | None = None,
        http_status: int | None = None,
        conversation_id: str | None = None,
        third_party_conversation_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.text = text
        """The gateway's own words, or ours where it said nothing."""
        self.operation = operation
        """The name of the method that was called, such as `c2b_single_stage`."""
        self.code = code
        """`INS-…`; None where the answer had no code, or there was none."""
        self.http_status = http_status
        """None where there was no answer."""
        self.conversation_id = conversation_id
        """The gateway's name for the request; None where it gave none."""
        self.third_party_conversation_id = third_party_conversation_id
        """Ours for the request: what the status is asked by."""
        self.retry_after_s = retry_after_s
        """Seconds to wait before the next attempt, where the gateway says so."""
        super().__init__(text)

    def __str__(self) -> str:
        known = [
            part for part in (self.code, self.http_status and f"HTTP {self.http_status}") if part
        ]
        return f"{self.text} ({', '.join(known)})" if known else self.text


class NotSentError(CallError):
    """Certain: the request was not sent. There was no connection, or no session could be had."""

    is_retry_safe = True


class AuthenticationError(CallError):
    """API key, session key, Origin header or source address not accepted; nothing was done.

    An HTTP status 401 with a response code is not this: it is a `RefusedError`.
    """

    is_retry_safe = True


class UnavailableError(CallError):
    """The gateway could not take the request, and recorded nothing (`INS-16`, `INS-989`).

    `INS-1` too, where no money is at stake: of a payment it is `OutcomeUnknownError`, for not every
    gateway that says it has recorded nothing.
    """

    is_retry_safe = True


class TooManyAttemptsError(UnavailableError):
    """Too many bearers from this address were wrong (429). Nothing was looked at."""


class RefusedError(CallError):
    """The gateway said no, and the money did not move."""


class InvalidRequestError(RefusedError):
    """Something in the request is wrong, and nothing was recorded: correct it, send it again."""


class NotEnabledError(RefusedError):
    """The product is off for the application or for the organisation (`INS-997`)."""


class LimitExceededError(RefusedError):
    """A limit of value or number (`INS-990` to `INS-995`)."""


class InsufficientBalanceError(RefusedError):
    """The payer has less than the amount (`INS-2006`)."""


class OutcomeUnknownError(CallError):
    """The money may have moved, or may yet. Ask for the status; never assume."""

    may_have_moved_money = True


class TransactionNotFoundError(OutcomeUnknownError):
    """Nothing is recorded under that reference so far (`INS-23`).

    It does not say that a payment failed: its request may still be on its way.
    """

    is_retry_safe = True


class DuplicateError(OutcomeUnknownError):
    """An earlier request had the same ThirdPartyConversationID, and decides (`INS-10`)."""


class PaymentRefusedError(RefusedError):
    """A payment with a key has ended, and the money did not move. The key stays used."""

    payment: "Payment"


class PaymentUnsettledError(OutcomeUnknownError):
    """Whether the payment happened was not to be learnt in the time given.

    It is in the journal: the same key, or `recover()`, goes on where this left off.
    """

    payment: "Payment"


class StatusQueryNotEnabledError(PaymentUnsettledError):
    """The status query is off for the application (`INS-997`), so the outcome cannot be learnt.

    Have it switched on, then `recover()`.
    """
