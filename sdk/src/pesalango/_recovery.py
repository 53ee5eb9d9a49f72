"""What a program that was killed left open is settled, without I/O."""

import secrets
from collections.abc import Generator, Sequence
from typing import Any

from pesalango._errors import CallError, JournalError
from pesalango._flow import CallOptions, Clock, Pause, Step
from pesalango._intents import Intent, Payment
from pesalango._settlement import Ask, Settling, is_hopeless, tell_problem

_NOT_ASKED = "not come to in the time given"
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


def recover_flow(
    settling: Settling, platform_digest: str, clock: Clock, within_s: float
) -> Generator[Step | Ask, Any, list[Payment]]:
    """Go through all open intents, again and again, until none is left or the time is up.

    What never reached the gateway is sent now. Returns the payments, oldest first, those that stay
    open with the reason. Raises `JournalError`; what a gateway says ends nothing.
    """
    until = clock() + within_s
    found: Sequence[Intent] = yield Ask("list_open", (platform_digest,))
    payments: dict[str, Payment] = {}
    left: Sequence[Intent] = found
    pauses = iter(_PAUSES_S)
    try:
        while left:
            still: list[Intent] = []
            for intent in _from_anywhere(left):
                if clock() > until:
                    payments.setdefault(intent.key, Payment.of(intent, problem=_NOT_ASKED))
                    continue
                try:
                    settled, problem = yield from settling.look(intent, CallOptions())
                except CallError as error:
                    # The ledger and the journal disagree: told of this one, and the rest goes on.
                    payments[intent.key] = Payment.of(intent, problem=str(error))
                    continue
                if settled is None:
                    payments.pop(intent.key, None)
                    continue
                payments[intent.key] = Payment.of(settled, problem=tell_problem(problem))
                if settled.closing is None and not is_hopeless(problem):
                    still.append(settled)
            left = still
            wait_s = next(pauses, _PAUSES_S[-1]) * (0.5 + secrets.randbelow(1000) / 1000)
            if not left or clock() + wait_s > until:
                break
            yield Pause(wait_s)
    except JournalError as error:
        error.settled = [one for one in payments.values() if one.state != "open"]
        raise
    return [payments[intent.key] for intent in found if intent.key in payments]


def _from_anywhere(intents: Sequence[Intent]) -> Sequence[Intent]:
    """Where the time is short, it is not always the same ones that are never come to."""
    first = secrets.randbelow(len(intents))
    return [*intents[first:], *intents[:first]]
