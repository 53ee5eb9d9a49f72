"""Steps 4 and 5 of the total order: whether a request, taken by itself, is acceptable.

One validator for each operation, market and environment, compiled when this module is imported. A
check does no I/O and knows no state: the same values always get the same answer.
"""

from datetime import date
from typing import Final

from pesalango_server.catalog import codes
from pesalango_server.catalog.model import (
    ENVIRONMENTS,
    EnvironmentName,
    Market,
    Operation,
    Rule,
)
from pesalango_server.catalog.questions import (
    KEEP_AMOUNT,
    KEEP_FLAG,
    KEEP_TEXT,
    Checked,
    Refusal,
    Values,
    accepted_fields,
    compile_questions,
    refuse,
    spell_in_any_case,
)
from pesalango_server.catalog.registry import OPERATIONS
from pesalango_server.catalog.rules import compile_rule
from pesalango_server.catalog.shortcut import compile_shortcut

NESTED: Final = "\x00nested"
"""Stands for an object or a list where a field's text should be. It is recognised by identity, so
that a caller who sends these very characters does not meet it."""


class Validator:
    """The compiled checks of one operation in one market and environment."""

    __slots__ = (
        "_aliases",
        "_countries",
        "_currencies",
        "_mandatory",
        "_names",
        "_nested",
        "_questions",
        "_rules_after_market",
        "_rules_before_market",
        "_shortcut",
        "_wrong_country",
        "_wrong_currency",
    )

    def __init__(self, operation: Operation, market: Market, environment: EnvironmentName) -> None:
        fields = accepted_fields(operation)
        self._aliases = tuple(
            (field.wire_name, alias) for field in fields for alias in field.aliases
        )
        self._names = (
            *(field.wire_name for field in fields),
            *(alias for _, alias in self._aliases),
        )
        self._nested = refuse(operation, codes.INVALID_PARAMETER, "", "a value is nested")
        self._mandatory = tuple(
            (
                field.wire_name,
                refuse(operation, codes.PARAMETER_MISSING, field.wire_name, "missing or empty"),
            )
            for field in fields
            if field.mandatory
        )
        # Plain tuples: unpacking one is faster than reading the attributes of a Question.
        self._questions = tuple(
            (field.wire_name, field.name, question.judge, question.refusal, question.kept_as)
            for field in fields
            for question in compile_questions(operation, field, market, environment)
        )
        names = {field.name for field in fields}
        self._countries = spell_in_any_case(market.country) if "country" in names else None
        self._wrong_country = refuse(
            operation, codes.INVALID_MARKET, "input_Country", "not the market's country"
        )
        self._currencies = spell_in_any_case(market.currency) if "currency" in names else None
        self._wrong_currency = refuse(
            operation, codes.INVALID_CURRENCY, "input_Currency", "not the market's currency"
        )
        rules = [(rule, compile_rule(operation, rule, environment)) for rule in operation.rules]
        self._rules_before_market = tuple(
            check for rule, check in rules if rule is Rule.MANDATE_SCHEDULE
        )
        self._rules_after_market = tuple(
            check for rule, check in rules if rule is not Rule.MANDATE_SCHEDULE
        )
        self._shortcut = compile_shortcut(operation, market, environment)

    def check(self, values: Values, *, today: date | None = None) -> Checked | Refusal:
        """The checked values, or the first fault in the total order of the checks.

        `today`, the market's local date, is needed for new mandates where dates in the past are
        refused (`openapi`), and ignored elsewhere. A response URL counts if it is among the
        values: leave it out where it came in a query string or where the application forbids it.
        """
        if self._shortcut is not None:
            checked = self._shortcut.accept(values)
            if checked is not None:
                return checked
        return self.check_in_order(values, today=today)

    def check_in_order(self, values: Values, *, today: date | None = None) -> Checked | Refusal:
        """What `check` answers, found by asking every question in its turn."""
        if NESTED in values.values() and any(values.get(name) is NESTED for name in self._names):
            return self._nested
        if self._aliases:
            values = self._with_aliases(values)
        get = values.get
        for wire_name, refusal in self._mandatory:
            if not get(wire_name):
                return refusal
        texts: dict[str, str] = {}
        amount_minor: int | None = None
        for wire_name, name, judge, refusal, kept_as in self._questions:
            text = get(wire_name)
            if text:
                verdict = judge(text)
                if not verdict:
                    return refusal
                if kept_as == KEEP_TEXT:
                    texts[name] = text
                elif kept_as == KEEP_AMOUNT and isinstance(verdict, int):
                    amount_minor = verdict
                elif kept_as == KEEP_FLAG:
                    texts[name] = text.capitalize()
        checked = Checked(values=texts, amount_minor=amount_minor)
        return self._check_rules_and_market(checked, today) or checked

    def _check_rules_and_market(self, checked: Checked, today: date | None) -> Refusal | None:
        for rule_check in self._rules_before_market:
            refused = rule_check(checked, today)
            if refused is not None:
                return refused
        if self._countries is not None and checked.values["country"] not in self._countries:
            return self._wrong_country
        if self._currencies is not None and checked.values["currency"] not in self._currencies:
            return self._wrong_currency
        for rule_check in self._rules_after_market:
            refused = rule_check(checked, today)
            if refused is not None:
                return refused
        return None

    def _with_aliases(self, values: Values) -> Values:
        """The values with other spellings moved to the documented one, which wins."""
        moved = {
            wire_name: values.get(alias)
            for wire_name, alias in self._aliases
            if not values.get(wire_name)
        }
        return {**values, **moved} if moved else values


VALIDATORS: Final[dict[tuple[str, str, EnvironmentName], Validator]] = {
    (operation.name, market.path_value, environment): Validator(operation, market, environment)
    for operation in OPERATIONS
    for market in operation.markets
    for environment in ENVIRONMENTS
}
"""By operation's name, market's path value and environment; no entry where not offered."""


def find_validator(
    operation: Operation, market: Market, environment: EnvironmentName
) -> Validator | None:
    """The validator, or None where the market does not offer the operation."""
    return VALIDATORS.get((operation.name, market.path_value, environment))
