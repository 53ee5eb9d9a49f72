"""Checks that stay in force under `python -O`, which drops `assert`."""


class InvariantViolated(Exception):
    """A statement that must always hold did not: a defect of ours, never the caller's fault."""


def ensure(condition: bool, message: str) -> None:
    """Raise `InvariantViolated(message)` unless `condition` holds."""
    if not condition:
        raise InvariantViolated(message)
