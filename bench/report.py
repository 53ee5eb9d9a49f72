"""Writes what was measured as a page, and compares it with what it ought to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.books import Check
from bench.ciphertexts import CiphertextsResult
from bench.comparison import Comparison
from bench.directory import REPOSITORY
from bench.figures import Spread, measure_spread
from bench.load import GeneratorResult
from bench.machine import Machine
from bench.memory import MemoryResult
from bench.payments import PaymentsResult
from bench.plan import (
    AT_BEST,
    AT_TOLD,
    BYTES_PER_MB,
    CONNECTIONS_TOLD,
    FRESH,
    GENERATOR,
    MEMORY,
    MEMORY_AFTER,
    MEMORY_PAYMENTS,
    P99_US_MAX,
    QUESTION_CIPHERTEXTS,
    QUESTION_GENERATOR,
    QUESTION_SQLITE,
    QUESTION_STARTUP,
    STARTUP,
    TARGETS,
    Plan,
)
from bench.startup import StartupResult

PAGE = REPOSITORY / "docs" / "reference" / "benchmarks.md"
NOTES = "## Notes\n"
"""What stands below this line is written by hand, and kept when the page is written anew."""


class Results(msgspec.Struct, kw_only=True):
    """Everything of one run; what was not asked is None."""

    machine: Machine
    plan: Plan
    generator: GeneratorResult
    yardstick_settings: dict[str, str] | None = None
    payments: dict[str, PaymentsResult] = {}
    ciphertexts: CiphertextsResult | None = None
    startups: dict[str, StartupResult] = {}
    comparisons: dict[str, Comparison] = {}
    memory: dict[str, MemoryResult] = {}
    checks: list[Check] = []

    def add_checks(self, question: str, checks: Iterable[Check]) -> None:
        for check in checks:
            subject = f"{question}: {check.subject}"
            self.checks.append(msgspec.structs.replace(check, subject=subject))

    def add_comparison(self, question: str, comparison: Comparison) -> None:
        self.comparisons[question] = comparison
        self.add_checks(question, comparison.checks)

    def find_failures(self) -> list[Check]:
        return [check for check in self.checks if not check.is_met]


def collect_figures(results: Results) -> dict[tuple[str, str], Spread]:
    """What was measured, by question and figure of the targets."""
    cpu_us = results.generator.cpu_us_per_request
    figures = {(QUESTION_GENERATOR, GENERATOR): measure_spread([cpu_us])}
    for question, payments in results.payments.items():
        figures[question, AT_TOLD] = payments.at(CONNECTIONS_TOLD).ratio
        best = payments.best()
        if best is not None:
            figures[question, AT_BEST] = best.ratio
    if results.ciphertexts is not None:
        figures[QUESTION_CIPHERTEXTS, FRESH] = results.ciphertexts.ratio
    startup = results.startups.get(QUESTION_SQLITE)
    if startup is not None:
        figures[QUESTION_STARTUP, STARTUP] = startup.payment_seconds
        figures[QUESTION_STARTUP, MEMORY] = startup.memory_mb
    for question, comparison in results.comparisons.items():
        for figure, ratio in comparison.list_figures().items():
            figures[question, figure] = ratio
    for question, memory in results.memory.items():
        if memory.payments >= MEMORY_PAYMENTS:
            figures[question, MEMORY_AFTER] = memory.memory_mb
    return figures


def render(results: Results) -> str:
    """The page, without the notes."""
    return "\n".join(
        [
            *render_head(results.plan),
            *render_targets(results),
            *render_machine(results),
            *render_payments(results),
            *render_ciphertexts(results),
            *render_startups(results),
            *render_memory(results),
            *render_comparisons(results),
            *render_checks(results),
        ]
    )


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def render_head(plan: Plan) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield (
        "Written by `make bench-full`; `bench/README.md` says how each figure is measured. "
        "Yardstick, load generator and product share the same cores; the product runs with its "
        "defaults, metrics and logs on, and every commit is synced to the disk. All payments go "
        f"to one organisation, from {plan.customers} customers drawn at random. "
        f"{plan.rounds} interleaved rounds of {plan.seconds} s ({plan.turn_seconds} s for each turn "
        "where contenders are compared); figures are the median of the rounds, with the lowest and "
        "the highest."
    )
    yield ""


def render_targets(results: Results) -> Iterator[str]:
    figures = collect_figures(results)
    rows = []
    for target in TARGETS:
        spread = figures.get((target.question, target.figure))
        verdict = "not measured"
        if spread is not None:
            verdict = "met" if target.is_met_by(spread.median) else "**missed**"
        rows.append(
            (
                target.question,
                target.figure,
                f"{'at least' if target.is_floor else 'under'} {target.bound:g}",
                "–" if spread is None else spread.format(target.decimals),
                verdict,
            )
        )
    yield "## Targets"
    yield ""
    yield from render_table(("question", "figure", "target", "measured", ""), rows)


def render_machine(results: Results) -> Iterator[str]:
    machine = results.machine
    sync = machine.sync
    facts = {
        "measured": f"{machine.measured_at}, commit {machine.commit}",
        "processor": f"{machine.cpu}, {machine.cores} cores, {machine.busy_percent:.0f} % busy before",
        "memory": f"{machine.memory_gib:.1f} GiB",
        "kernel": machine.kernel,
        "file system": machine.file_system,
        "sync of an appended page": (
            f"{sync.p50_us} µs (p99 {sync.p99_us}, lowest {sync.lowest_us}, "
            f"highest {sync.highest_us})"
        ),
        "versions": ", ".join(f"{name} {text}" for name, text in machine.versions.items()),
    }
    if results.yardstick_settings is not None:
        facts["yardstick"] = ", ".join(
            f"{name} {text}" for name, text in results.yardstick_settings.items()
        )
    yield "## Machine"
    yield ""
    yield from render_table(("", ""), facts.items())


def render_payments(results: Results) -> Iterator[str]:
    head = (
        "connections",
        "payments/s",
        "÷ pgbench",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "worst p99 ms",
        "CPU µs, product",
        "CPU µs, generator",
    )
    for question, payments in results.payments.items():
        best = payments.best()
        told = "none" if best is None else f"{best.connections} connections"
        yield f"## {question}"
        yield ""
        yield (
            f"`pgbench`: {payments.yardstick.format()} transactions/s. Best with a p99 of at most "
            f"{P99_US_MAX // 1000} ms: {told}. All processes of the product after the load: "
            f"{payments.memory_bytes / BYTES_PER_MB:.0f} MB."
        )
        yield ""
        yield from render_table(
            head,
            (
                (
                    str(figures.connections),
                    figures.per_second.format(),
                    figures.ratio.format(2),
                    f"{figures.p50_us / 1000:.1f}",
                    f"{figures.p99_us / 1000:.1f}",
                    f"{figures.p999_us / 1000:.1f}",
                    f"{figures.p99_worst_us / 1000:.1f}",
                    f"{figures.server_cpu_us:.1f}",
                    f"{figures.generator_cpu_us:.1f}",
                )
                for figures in payments.figures
            ),
        )


def render_ciphertexts(results: Results) -> Iterator[str]:
    ciphertexts = results.ciphertexts
    if ciphertexts is None:
        return
    yield f"## {QUESTION_CIPHERTEXTS}"
    yield ""
    yield (
        f"All cores together, {ciphertexts.openssl}: "
        f"{ciphertexts.decryptions_per_second.format()} RSA-4096 decryptions/s. Payments over "
        f"{ciphertexts.connections} connections: {ciphertexts.per_second.format()}/s, "
        f"{ciphertexts.ratio.format(2)} of that."
    )
    yield ""


def render_startups(results: Results) -> Iterator[str]:
    if not results.startups:
        return
    yield f"## {QUESTION_STARTUP}"
    yield ""
    yield from render_table(
        ("database", "ready s", "first payment s", "memory MB", "processes"),
        (
            (
                question.partition(" ")[2],
                startup.ready_seconds.format(2),
                startup.payment_seconds.format(2),
                startup.memory_mb.format(),
                str(startup.processes),
            )
            for question, startup in results.startups.items()
        ),
    )


def render_memory(results: Results) -> Iterator[str]:
    if not results.memory:
        return
    yield "## Memory"
    yield ""
    yield from render_table(
        ("database", "payments since the start", "MB of all processes", "processes"),
        (
            (
                question.partition(", ")[2],
                f"{memory.payments:,}".replace(",", " "),
                memory.memory_mb.format(),
                str(memory.processes),
            )
            for question, memory in results.memory.items()
        ),
    )


def render_comparisons(results: Results) -> Iterator[str]:
    for question, comparison in results.comparisons.items():
        first = comparison.rows[0]
        yield f"## {question}"
        yield ""
        if comparison.note:
            yield comparison.note
            yield ""
        yield from render_table(
            ("", comparison.unit, f"÷ {first.label}", "p99 ms"),
            (
                (
                    row.label,
                    row.values.format(comparison.decimals),
                    "" if row is first else row.ratio.format(2),
                    "–" if row.p99_us is None else f"{row.p99_us.median / 1000:.1f}",
                )
                for row in comparison.rows
            ),
        )


def render_checks(results: Results) -> Iterator[str]:
    yield "## Checks"
    yield ""
    yield from render_table(
        ("what has to hold", "", ""),
        (
            (check.subject, "holds" if check.is_met else "**does not hold**", check.detail)
            for check in results.checks
        ),
    )


def write_page(text: str, page: Path = PAGE) -> None:
    """Write the page; the notes below its last heading stay as they are."""
    notes = ""
    if page.exists():
        _, heading, kept = page.read_text().partition(NOTES)
        notes = heading + kept
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text + (notes or f"{NOTES}\nNone.\n"))
