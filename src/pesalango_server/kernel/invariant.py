"""Checks that stay in force under `python -O`, which drops `assert`."""

from typing import TypeVar

T = TypeVar("T")


class InvariantViolated(Exception):
    """A statement that must always hold did not: a defect of ours, never the caller's fault."""


def ensure(condition: bool, message: str) -> None:
    """Raise `InvariantViolated(message)` unless `condition` holds."""
    if not condition:
        raise InvariantViolated(message)


def expect(value: T | None, message: str) -> T:
    """`value`, which must be there; raise `InvariantViolated(message)` if it is None."""
    if value is None:
        raise InvariantViolated(message)
    return value
