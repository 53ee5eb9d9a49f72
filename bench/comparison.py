"""Lets several things take turns, and tells each as a multiple of the first.

They alternate within each round, in another order each time, so that whatever else the machine does
meets all of them; a ratio compares figures of one round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bench.books import Check
from bench.figures import Spread, measure_spread
from bench.load import GeneratorResult
from bench.plan import name_ratio
from bench.progress import say


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn gave: a rate (or a cost), and the runs of the load that it comes from."""

    value: float
    results: list[GeneratorResult] = []


class Turn(msgspec.Struct, frozen=True):
    """Something that takes turns with others."""

    label: str
    measure: Callable[[], Sample]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """All turns of one contender."""

    label: str
    values: Spread
    ratio: Spread
    """To the first contender, round by round."""
    p99_us: Spread | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The first row is what the others are compared with."""

    rows: list[Row]
    unit: str
    note: str
    rounds: int
    checks: list[Check]
    others: dict[str, Spread] = {}
    """Figures besides rates and their ratios, by name; their units are in the names."""

    @property
    def decimals(self) -> int:
        """Of a value: rates have none, seconds have."""
        return 2 if self.unit == "s" else 0

    def list_figures(self) -> dict[str, Spread]:
        """All that may have a target, by name: ratios as `what ÷ with what`, then the others."""
        first, *rows = self.rows
        return {name_ratio(row.label, first.label): row.ratio for row in rows} | self.others


def sum_up(results: Sequence[GeneratorResult]) -> Sample:
    """Loads that ran at the same time, as one."""
    return Sample(value=sum(result.answers_per_second for result in results), results=list(results))


def take_turns(turns: Sequence[Turn], *, rounds: int) -> list[list[Sample]]:
    """Samples by round, in the order of `turns`; each round begins with another one."""
    taken: list[list[Sample]] = []
    for number in range(rounds):
        order = [(number + at) % len(turns) for at in range(len(turns))]
        samples = {at: turns[at].measure() for at in order}
        taken.append([samples[at] for at in range(len(turns))])
        told = ", ".join(
            f"{turn.label} {sample.value:,.{0 if sample.value > 100 else 2}f}"
            for turn, sample in zip(turns, taken[-1], strict=True)
        )
        say(f"round {number + 1} of {rounds}: {told}")
    return taken


def compare(
    turns: Sequence[Turn],
    taken: Sequence[Sequence[Sample]],
    *,
    checks: Sequence[Check],
    unit: str = "/s",
    note: str = "",
    others: dict[str, Spread] | None = None,
) -> Comparison:
    """What `take_turns` gave, as medians with their spreads."""
    rows = []
    for at, turn in enumerate(turns):
        samples = [each[at] for each in taken]
        p99s = [max(run.p99_us for run in each.results) for each in samples if each.results]
        rows.append(
            Row(
                label=turn.label,
                values=measure_spread([each.value for each in samples]),
                ratio=measure_spread([each[at].value / each[0].value for each in taken]),
                p99_us=measure_spread(p99s) if p99s else None,
            )
        )
    return Comparison(
        rows=rows,
        unit=unit,
        note=note,
        rounds=len(taken),
        checks=list(checks),
        others=others or {},
    )


def list_results(taken: Sequence[Sequence[Sample]]) -> list[GeneratorResult]:
    """Every run of the load in every turn."""
    return [result for samples in taken for sample in samples for result in sample.results]


def count_accepted(results: Sequence[GeneratorResult]) -> int:
    return sum(result.accepted for result in results)
