"""What each failure means to the caller: one sentence or one JSON object, and an exit status.

The statuses tell what a program needs to know about the money, and nothing finer.
"""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from pesalango._errors import (
    CallError,
    JournalError,
    PaymentUnsettledError,
    PesalangoError,
    TransactionNotFoundError,
)
from pesalango.cli import INTERRUPTED, USAGE

DONE: Final = 0
REFUSED: Final = 1
UNKNOWN: Final = 3

STATUSES: Final = """
Exit status: 0 done; 1 no money moved by this: refused, or the gateway was not reached or did not
accept the key (of bulk: no row is open, and not all are paid); 2 a mistake in call, settings or file,
or no journal: nothing was sent; 3 the outcome is not known yet: the money may have moved; 130
interrupted before anything was sent.
"""


class Fault(Struct, frozen=True):
    """What is wrong in a file of payouts."""

    line: int
    """Of the file, counted from 1."""
    column: str
    """Empty where it is the line as a whole."""
    text: str

    def __str__(self) -> str:
        return (
            f"line {self.line}, {self.column}: {self.text}"
            if self.column
            else (f"line {self.line}: {self.text}")
        )


class Failure(Struct, frozen=True, kw_only=True):
    """Why a command did not do what it was asked. This is what `--json` prints, as `error`."""

    kind: str
    """The name of the class of the error, as a Python program would see it."""
    code: str | None = None
    """The gateway's; None where it gave none."""
    text: str
    may_have_moved_money: bool = False
    key: str | None = None
    """Of the payment."""
    third_party_conversation_id: str | None = None
    conversation_id: str | None = None
    http_status: int | None = None
    faults: list[Fault] | UnsetType = UNSET
    """Of a file, the first ones."""
    fault_count: int | UnsetType = UNSET


class CommandFailedError(Exception):
    """A failure that is told as it stands."""

    def __init__(self, failure: Failure, status: int) -> None:
        super().__init__(failure.text)
        self.failure = failure
        self.status = status


def explain(
    error: PesalangoError | CommandFailedError, *, key: str | None, may_have_sent: bool
) -> CommandFailedError:
    """What an error of the client's means here.

    `may_have_sent`: a payment's intent was in the journal when it was raised.
    """
    if isinstance(error, CommandFailedError):
        return error
    if isinstance(error, CallError):
        failure = Failure(
            kind=type(error).__name__,
            code=error.code,
            text=_tell(error, key),
            may_have_moved_money=error.may_have_moved_money,
            key=key,
            third_party_conversation_id=error.third_party_conversation_id,
            conversation_id=error.conversation_id,
            http_status=error.http_status,
        )
        return CommandFailedError(failure, UNKNOWN if error.may_have_moved_money else REFUSED)
    if isinstance(error, JournalError) and may_have_sent:
        text = f"{error}. {tell_to_go_on(key)}"
        failure = Failure(kind=type(error).__name__, text=text, may_have_moved_money=True, key=key)
        return CommandFailedError(failure, UNKNOWN)
    return CommandFailedError(Failure(kind=type(error).__name__, text=str(error), key=key), USAGE)


def explain_interruption(*, key: str | None, may_have_sent: bool) -> CommandFailedError:
    """What Ctrl-C means: nothing, unless a payment may be under way."""
    kind = "Interrupted"
    if not may_have_sent:
        return CommandFailedError(
            Failure(kind=kind, text="interrupted; nothing was sent", key=key), INTERRUPTED
        )
    text = f"interrupted, and what became of it is not known. {tell_to_go_on(key)}"
    failure = Failure(kind=kind, text=text, may_have_moved_money=True, key=key)
    return CommandFailedError(failure, UNKNOWN)


def tell_to_go_on(key: str | None) -> str:
    """How an open payment is settled."""
    again = f"the same command with --key {key}, or " if key else ""
    return f"It is in the journal: {again}pesalango recover goes on with it"


def _tell(error: CallError, key: str | None) -> str:
    if isinstance(error, PaymentUnsettledError):
        return f"{error}. {tell_to_go_on(key)}"
    if isinstance(error, TransactionNotFoundError):
        return f"{error}. That does not say that it failed: it may still be on its way"
    return str(error)
