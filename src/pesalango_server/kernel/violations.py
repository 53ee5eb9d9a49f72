"""What an audit finds: statements that must always hold, and do not."""

import msgspec


class Violation(msgspec.Struct, frozen=True):
    """A broken invariant, by its number in ARCHITECTURE.md, and the rows that show it.

    `ledger` is 0 where a finding is about no single ledger.
    """

    ledger: int
    invariant: int
    what: str
    ids: tuple[int, ...]


class Violations:
    """Gathers what is found; of a book that is wrong throughout, only the first `kept_max`."""

    def __init__(self, *, kept_max: int) -> None:
        self._kept_max = kept_max
        self.found = 0
        self.kept: list[Violation] = []

    def add(self, ledger: int, invariant: int, what: str, *ids: int) -> None:
        """Take a finding down."""
        self.found += 1
        if len(self.kept) < self._kept_max:
            self.kept.append(Violation(ledger, invariant, what, ids))
