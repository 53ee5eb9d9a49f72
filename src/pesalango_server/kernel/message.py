"""What crosses the link between worker and engine: commands one way, outcomes the other.

Both are small arrays with an integer tag; a package that adds a command takes a free tag.
"""

from enum import StrEnum

import msgspec


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something to decide and record in one ledger; 0 where no ledger is meant yet."""

    ledger: int


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of a command."""


class PaymentOutcome(Outcome, frozen=True, tag=1):
    """State and status of a payment; `payment` is 0 where nothing was recorded."""

    payment: int
    state: int
    status: int


class Done(Outcome, frozen=True, tag=2):
    """An administrative command took effect; `ids` are those it made, in order."""

    ids: tuple[int, ...] = ()


class RefusalKind(StrEnum):
    """Why an administrative command was refused."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"


class Refused(Outcome, frozen=True, tag=3):
    """An administrative command had no effect; `reason` says what to fix in `field`."""

    kind: RefusalKind
    field: str
    reason: str


class FaultKind(StrEnum):
    """What went wrong on our side; in either case nothing was recorded."""

    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"


class Fault(Outcome, frozen=True, tag=4):
    """The engine could not decide or record; nothing was."""

    kind: FaultKind


AnyOutcome = PaymentOutcome | Done | Refused | Fault

FAULT_INTERNAL = Fault(FaultKind.INTERNAL)
FAULT_UNAVAILABLE = Fault(FaultKind.UNAVAILABLE)
