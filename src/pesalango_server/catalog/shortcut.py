"""The short way through validation, for the request that nearly everybody sends."""

import re
from collections.abc import Callable
from functools import partial
from operator import itemgetter

from msgspec import Struct

from pesalango_server.catalog import kinds
from pesalango_server.catalog.model import EnvironmentName, Field, Market, Operation
from pesalango_server.catalog.questions import (
    MEANINGS,
    Checked,
    Values,
    matched_pattern,
    spell_in_any_case,
)
from pesalango_server.kernel.money import parse_amount_minor


class Shortcut(Struct, frozen=True, kw_only=True):
    """Accepts, in three quarters of the time, a request with all mandatory fields and nothing
    else; what it does not accept is for the ordered checks to judge.

    No pattern admits a newline, so that texts joined by newlines match the joined patterns if and
    only if each text matches its own.
    """

    length: int
    texts_of: Callable[[Values], tuple[str, ...]]
    names: tuple[str, ...]
    match: Callable[[str], re.Match[str] | None]
    amount_wire_name: str | None
    parse_amount: Callable[[str], int | None]

    def accept(self, values: Values) -> Checked | None:
        """The checked values, or None for a request that has to be asked every question."""
        if len(values) != self.length:
            return None
        amount_minor = None
        try:
            texts = self.texts_of(values)
            if self.match("\n".join(texts)) is None:
                return None
            if self.amount_wire_name is not None:
                amount_minor = self.parse_amount(values[self.amount_wire_name] or "")
                if amount_minor is None:
                    return None
        except (KeyError, TypeError):
            # A mandatory field is missing, with another one in its place, or it is null.
            return None
        return Checked(values=dict(zip(self.names, texts, strict=True)), amount_minor=amount_minor)


def compile_shortcut(
    operation: Operation, market: Market, environment: EnvironmentName
) -> Shortcut | None:
    """The shortcut of an operation, or None where its rules need the ordered checks."""
    mandatory = [field for field in operation.fields if field.mandatory]
    fields = [field for field in mandatory if field.kind is not kinds.AMOUNT]
    amounts = [field for field in mandatory if field.kind is kinds.AMOUNT]
    # itemgetter answers a tuple only where it is given two names or more.
    if len(fields) < 2 or operation.rules or any(field.kind in MEANINGS for field in fields):
        return None
    patterns = [_exact_pattern(field, market, environment) for field in fields]
    return Shortcut(
        length=len(mandatory),
        texts_of=itemgetter(*(field.wire_name for field in fields)),
        names=tuple(field.name for field in fields),
        match=re.compile("\n".join(f"(?:{pattern})" for pattern in patterns)).fullmatch,
        amount_wire_name=amounts[0].wire_name if amounts else None,
        parse_amount=partial(parse_amount_minor, decimals=market.decimals),
    )


def _exact_pattern(field: Field, market: Market, environment: EnvironmentName) -> str | None:
    """The pattern with step 5 in it: country and currency are the market's."""
    if field.kind is kinds.COUNTRY:
        return "|".join(spell_in_any_case(market.country))
    if field.kind is kinds.CURRENCY:
        return "|".join(spell_in_any_case(market.currency))
    return matched_pattern(field, market, environment)
