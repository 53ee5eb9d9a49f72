"""Rules over several fields of one request."""

from collections.abc import Callable
from datetime import date
from functools import partial

from pesalango_server.catalog import codes
from pesalango_server.catalog.model import EnvironmentName, Operation, Rule
from pesalango_server.catalog.questions import Checked, Refusal, refuse
from pesalango_server.catalog.schedule import find_schedule_fault
from pesalango_server.kernel.invariant import ensure

RuleCheck = Callable[[Checked, date | None], Refusal | None]
"""Takes the values that are checked alone already, and the market's date where it is known."""


def compile_rule(operation: Operation, rule: Rule, environment: EnvironmentName) -> RuleCheck:
    """The check of one rule, with the refusal that the operation's table has for it."""
    if rule is Rule.MANDATE_SCHEDULE:
        return partial(_check_schedule, operation, refuses_the_past=environment == "openapi")
    if rule is Rule.CUSTOMER_GIVEN:
        code = (
            codes.CUSTOMER_MISSING
            if operation.lists(codes.CUSTOMER_MISSING)
            else codes.PARAMETER_MISSING
        )
        return partial(_check_customer_given, refuse(operation, code, "", "no number, no token"))
    missing = refuse(
        operation, codes.BALANCE_AMOUNT_MISSING, "input_BalanceAmount", "missing or empty"
    )
    return partial(_check_balance_amount_given, missing)


def _check_schedule(
    operation: Operation, checked: Checked, today: date | None, *, refuses_the_past: bool
) -> Refusal | None:
    ensure(
        today is not None or not refuses_the_past,
        "a new mandate is checked against the market's date where the past is refused",
    )
    fault = find_schedule_fault(checked.values, today=today if refuses_the_past else None)
    if fault is None:
        return None
    code, name, reason = fault
    wire_name = next(field.wire_name for field in operation.fields if field.name == name)
    return refuse(operation, code, wire_name, reason)


def _check_customer_given(refusal: Refusal, checked: Checked, _: date | None) -> Refusal | None:
    values = checked.values
    return None if "customer_msisdn" in values or "msisdn_token" in values else refusal


def _check_balance_amount_given(
    refusal: Refusal, checked: Checked, _: date | None
) -> Refusal | None:
    asked = checked.values["query_balance_amount"] == "True"
    return refusal if asked and checked.amount_minor is None else None
