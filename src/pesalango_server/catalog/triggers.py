"""Sandbox triggers: values of nothing but zeros and one last digit, that decide the answer."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pesalango_server.catalog.model import Operation, TriggerOutcome
from pesalango_server.catalog.questions import Checked
from pesalango_server.catalog.registry import OPERATIONS


class _CompiledTriggers(Struct, frozen=True, kw_only=True):
    """One field's triggers, by whole value."""

    field: str
    outcomes: Mapping[str, TriggerOutcome]


def _trigger_value(digit: int, length: int) -> str:
    return str(digit).rjust(length, "0")


def _compile(operation: Operation) -> tuple[_CompiledTriggers, ...]:
    outcomes: dict[str, dict[str, TriggerOutcome]] = {}
    for row in operation.triggers:
        of_field = outcomes.setdefault(row.field, {})
        for digit, outcome in row.outcomes.items():
            of_field[_trigger_value(digit, row.length)] = outcome
        if row.nines is not None:
            of_field["9" * row.length] = row.nines
    return tuple(
        _CompiledTriggers(field=field, outcomes=of_field) for field, of_field in outcomes.items()
    )


_TRIGGERS: Final = {operation.name: _compile(operation) for operation in OPERATIONS}


def find_trigger(operation: Operation, checked: Checked) -> TriggerOutcome | None:
    """What the sandbox answers at once to these values, or None for an ordinary request.

    None also for the digits that stand for an ordinary request by a customer who approves. In a
    success `answer` has what the trigger decides; what it does not name is the caller's: fresh
    ids, a token, and the market's date as first payment date.
    """
    for triggers in _TRIGGERS[operation.name]:
        outcome = triggers.outcomes.get(checked.values.get(triggers.field, ""))
        if outcome is not None:
            return _with_details(operation, outcome, checked)
    return None


def _with_details(
    operation: Operation, outcome: TriggerOutcome, checked: Checked
) -> TriggerOutcome:
    if outcome.code != operation.success.code or not operation.trigger_details:
        return outcome
    values = checked.values
    answer = dict(outcome.answer)
    for detail in operation.trigger_details:
        by_value = {
            _trigger_value(digit, detail.length): text for digit, text in detail.values.items()
        }
        answer[detail.answer] = by_value.get(values.get(detail.field, ""), detail.default)
    for name in operation.trigger_echoes:
        if name in values:
            answer[name] = values[name]
    threshold = operation.trigger_threshold
    if (
        threshold is not None
        and values.get(threshold.asked_by) == "True"
        and checked.amount_minor is not None
    ):
        answer[threshold.answer] = str(checked.amount_minor <= threshold.above_minor)
    return replace(outcome, answer=answer)
