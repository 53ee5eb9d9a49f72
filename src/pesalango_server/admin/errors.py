"""How a call of the admin API can fail, and what the caller is told."""

import re
from enum import StrEnum
from typing import Final

import msgspec

from pesalango_server.kernel.message import (
    AnyOutcome,
    Done,
    Fault,
    FaultKind,
    RefusalKind,
    Refused,
)


class ErrorCode(StrEnum):
    """What kind of failure it is, for programs."""

    INVALID = "invalid"
    UNAUTHORISED = "unauthorised"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


HTTP_STATUS: Final = {
    ErrorCode.INVALID: 400,
    ErrorCode.UNAUTHORISED: 401,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.CONFLICT: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INTERNAL: 500,
}

_REFUSALS: Final = {
    RefusalKind.INVALID: ErrorCode.INVALID,
    RefusalKind.NOT_FOUND: ErrorCode.NOT_FOUND,
    RefusalKind.CONFLICT: ErrorCode.CONFLICT,
}


class AdminError(Exception):
    """A call failed; `message` says what to fix, `field` where (empty: nowhere in particular)."""

    def __init__(self, code: ErrorCode, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


def refuse(field: str, message: str) -> AdminError:
    """The error for a value that cannot be used."""
    return AdminError(ErrorCode.INVALID, message, field)


def require_done(outcome: AnyOutcome) -> Done:
    """The outcome of an administrative command that took effect. Raises `AdminError` for others."""
    if isinstance(outcome, Done):
        return outcome
    if isinstance(outcome, Refused):
        raise AdminError(_REFUSALS[outcome.kind], outcome.reason, outcome.field)
    if isinstance(outcome, Fault) and outcome.kind == FaultKind.UNAVAILABLE:
        raise AdminError(
            ErrorCode.UNAVAILABLE, "the database is not available; nothing was changed, try again"
        )
    raise AdminError(
        ErrorCode.INTERNAL, "the server failed at this call; nothing was changed, see its log"
    )


# The texts are msgspec's; what does not look like one of them is passed on as it stands.
_match_place = re.compile(r"(?P<what>.*?)(?: - at `\$?\.?(?P<place>.*)`)?", re.DOTALL).fullmatch
_match_missing = re.compile(r"Object missing required field `(.+)`").fullmatch
_match_unknown = re.compile(r"Object contains unknown field `(.+)`").fullmatch
_match_type = re.compile(r"Expected `(.+)`, got `(.+)`").fullmatch
_match_bound = re.compile(r"Expected `int` (<=|>=) (-?[0-9]+)").fullmatch
_match_length = re.compile(r"Expected `array` of length <= ([0-9]+)").fullmatch

_TYPES: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def explain_document(error: Exception) -> AdminError:
    """What is wrong with a JSON document (or a query), and in which of its fields."""
    if isinstance(error, UnicodeDecodeError):
        return refuse("", "the body is not in UTF-8")
    if not isinstance(error, msgspec.ValidationError):
        return refuse("", f"the body is no JSON document: {error}")
    found = _match_place(str(error))
    what, place = (found["what"], found["place"] or "") if found else (str(error), "")
    if missing := _match_missing(what):
        return refuse(_join(place, missing[1]), f"{missing[1]} is missing")
    if unknown := _match_unknown(what):
        return refuse(_join(place, unknown[1]), f"there is no field {unknown[1]} here; remove it")
    if wrong := _match_type(what):
        wanted = " or ".join(_TYPES.get(name.strip(), name) for name in wrong[1].split("|"))
        return refuse(place, f"expected {wanted}, got {_TYPES.get(wrong[2], wrong[2])}")
    if bound := _match_bound(what):
        side = "most" if bound[1] == "<=" else "least"
        return refuse(place, f"this is at {side} {bound[2]}")
    if length := _match_length(what):
        return refuse(place, f"a list has at most {length[1]} items; send the rest by itself")
    return refuse(place, what)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
