"""What is asked of each parameter, in order, and what answers a request that fails it."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Final

from msgspec import Struct

from pesalango_server.catalog import codes, kinds
from pesalango_server.catalog.fields import RESPONSE_URL
from pesalango_server.catalog.model import EnvironmentName, Field, Kind, Market, Operation
from pesalango_server.catalog.registry import answer
from pesalango_server.catalog.response_url import is_usable_response_url
from pesalango_server.catalog.schedule import is_date, is_day, is_frequency
from pesalango_server.kernel.money import parse_amount_minor


class Refusal(Struct, frozen=True, kw_only=True):
    """The first fault of a request."""

    code: str
    http_status: int
    text: str
    field: str
    """Wire name of the field at fault; empty where no single one is."""
    reason: str
    """For the log and the trace; never holds a value that was sent."""


class Checked(Struct, kw_only=True):
    """The values of an acceptable request. Absent ones have no key."""

    values: dict[str, str]
    """Text by Python name of the field, as it was sent. Flags are `True` or `False`."""
    amount_minor: int | None
    """The operation's one amount, in minor units; None where it is absent or there is none."""


Values = Mapping[str, str | None]
"""Text by wire name, as received: numbers as their literal text, booleans as `True` or `False`,
null as None, objects and lists as `NESTED`. What the operation does not know is ignored."""

KEEP_TEXT, KEEP_AMOUNT, KEEP_FLAG, KEEP_NOTHING = range(4)


class Question(Struct, frozen=True, kw_only=True):
    """One question about one field that has a value."""

    field: Field
    judge: Callable[[str], object]
    """What it answers is falsy for a value that is refused."""
    refusal: Refusal
    kept_as: int


def refuse(operation: Operation, code: str, field: str, reason: str) -> Refusal:
    """A refusal with the operation's own status and text for the code. `reason` names no value."""
    http_status, text = answer(operation, code)
    return Refusal(code=code, http_status=http_status, text=text, field=field, reason=reason)


def accepted_fields(operation: Operation) -> tuple[Field, ...]:
    """All parameters of an operation in the order of their checks: those of its table, and last
    the response URL, which no table has.
    """
    if operation.can_be_asynchronous:
        return (*operation.fields, RESPONSE_URL)
    return operation.fields


def malformed_code(operation: Operation, field: Field) -> str:
    """The code for a value that does not fit: the kind's own, where the operation lists it."""
    if operation.lists(field.kind.malformed_code):
        return field.kind.malformed_code
    return codes.INVALID_PARAMETER


def matched_pattern(field: Field, market: Market, environment: EnvironmentName) -> str | None:
    """The pattern, without anchors, that a field's value must match as a whole here."""
    pattern = field.kind.pattern
    if field.kind is kinds.MSISDN:
        pattern = f"[0-9]{{{market.msisdn_digits_min},14}}"
    if field.sandbox_pattern is not None and environment == "sandbox":
        return f"(?:{pattern}|{field.sandbox_pattern})"
    return pattern


def spell_in_any_case(word: str) -> frozenset[str]:
    """All mixes of capitals and small letters. A set, because comparing without case would also
    take letters outside ASCII whose capital is one inside, such as a long s.
    """
    choices = ((letter.upper(), letter.lower()) for letter in word)
    return frozenset("".join(letters) for letters in product(*choices))


MEANINGS: Final[dict[Kind, tuple[Callable[[str], bool], str]]] = {
    kinds.AGREED_TERMS: (lambda text: text == "1", "the customer did not agree"),
    kinds.FIRST_PAYMENT_DATE: (is_date, "no such date"),
    kinds.EXPIRY_DATE: (is_date, "no such date"),
    kinds.FREQUENCY: (is_frequency, "no such frequency"),
    kinds.START_OF_RANGE: (is_day, "no such day of a month"),
    kinds.END_OF_RANGE: (is_day, "no such day of a month"),
}
"""What is asked of a value whose pattern fits, and the reason if the answer is no."""


def compile_questions(
    operation: Operation, field: Field, market: Market, environment: EnvironmentName
) -> list[Question]:
    """What is asked of one field, in order."""
    code = malformed_code(operation, field)

    def question(judge: Callable[[str], object], reason: str, kept_as: int = KEEP_TEXT) -> Question:
        refusal = refuse(operation, code, field.wire_name, reason)
        return Question(field=field, judge=judge, refusal=refusal, kept_as=kept_as)

    as_amount = partial(parse_amount_minor, decimals=market.decimals)
    if field.kind is kinds.AMOUNT:
        return [question(as_amount, "no acceptable amount", KEEP_AMOUNT)]
    if field.kind is kinds.RESPONSE_URL:
        usable = partial(is_usable_response_url, loopback_allowed=environment == "sandbox")
        return [question(usable, "not usable")]
    pattern = matched_pattern(field, market, environment)
    # Without a pattern anything passes: the country is compared with the market's, in step 5.
    fits = bool if pattern is None else re.compile(pattern).fullmatch
    malformed = "does not fit its pattern"
    if field.kind is kinds.FLAG:
        return [question(fits, malformed, KEEP_FLAG)]
    if field.kind is kinds.BALANCE_AMOUNT:
        # The one code that its table has twice: the second row is for what is well formed.
        second_row = [row for row in operation.codes if row.code == code][1]
        useless = Refusal(
            code=code,
            http_status=second_row.http_status,
            text=second_row.text,
            field=field.wire_name,
            reason="zero, too precise or too large",
        )
        return [
            question(fits, malformed, KEEP_NOTHING),
            Question(field=field, judge=as_amount, refusal=useless, kept_as=KEEP_AMOUNT),
        ]
    if field.kind in MEANINGS:
        means_something, reason = MEANINGS[field.kind]
        return [question(fits, malformed), question(means_something, reason)]
    return [question(fits, malformed)]
