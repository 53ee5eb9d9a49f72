"""The few statistics that the benchmarks need."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import median

import msgspec


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure measured several times. The unit is that of the values."""

    median: float
    lowest: float
    highest: float

    def format(self, decimals: int = 0) -> str:
        """As `median (lowest–highest)`, thousands separated by a blank."""
        middle, low, high = (
            f"{value:,.{decimals}f}".replace(",", " ")
            for value in (self.median, self.lowest, self.highest)
        )
        return f"{middle} ({low}–{high})"


def measure_spread(values: Sequence[float]) -> Spread:
    """Raises ValueError when there is no value."""
    return Spread(median=median(values), lowest=min(values), highest=max(values))


def pick_quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest of the ordered values that at least `share` of them do not exceed; 0 of none."""
    if not ordered:
        return 0
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
