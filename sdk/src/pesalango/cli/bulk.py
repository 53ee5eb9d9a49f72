"""`pesalango bulk`: pay many customers from a file, each row once, however often it is run."""

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pesalango._client import check_within
from pesalango._errors import ConfigurationError
from pesalango._intents import Payment
from pesalango.cli import USAGE
from pesalango.cli.exits import DONE, REFUSED, UNKNOWN, CommandFailedError, Failure
from pesalango.cli.options import Gateway
from pesalango.cli.output import (
    render_amount,
    render_money,
    show_facts,
    show_json,
    show_line,
    tell,
)
from pesalango.cli.payout_run import BoundedClient, PayoutRun, look_up
from pesalango.cli.payouts_file import Faults, PayoutFile, read_payouts
from pesalango.cli.report import Outcome, check_report, write_report

CONCURRENCY_MAX = 256
_SHOW_EVERY_S = 0.25
_NOT_REACHED = Outcome(state="unpaid", text="not begun")


def pay_bulk(
    gateway: Gateway,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV in UTF-8 with the columns key, amount, customer_msisdn, "
            "transaction_reference, payment_items_description, and service_provider_code if the "
            "setting is not meant. The key is your name for a payment: each is paid once at most.",
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Check the file and the journal, and pay nothing.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Where the report goes, a line for each row; without it, beside the file: "
            "payouts.report.csv for payouts.csv.",
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", min=1, max=CONCURRENCY_MAX, help="Requests at a time."),
    ] = 16,
    within: Annotated[
        float | None,
        typer.Option(
            "--within",
            metavar="SECONDS",
            help="How long to go on with a row; 120 if not given.",
        ),
    ] = None,
) -> int:
    """Pay customers from a CSV file, each row once.

    The whole file is checked before the first payment. Ctrl-C finishes what is being sent; a second
    one stops at once. Run it again to go on: what is paid is not paid again. Status 0: all rows are
    paid; 1: none is open, but some are refused or not paid yet; 3: some are open.
    """
    report = report or file.with_suffix(".report.csv")
    within_s = check_within(within)
    options = gateway.list_client_options()
    bulk = _Bulk(gateway, file, report, within_s=within_s, concurrency=concurrency)
    return asyncio.run(bulk.run(options, is_check=check))


class _Bulk:
    def __init__(
        self, gateway: Gateway, file: Path, report: Path, *, within_s: float, concurrency: int
    ) -> None:
        self._gateway = gateway
        self._file = file
        self._report = report
        self._within_s = within_s
        self._concurrency = concurrency
        self._currency = ""

    async def run(self, options: dict[str, Any], *, is_check: bool) -> int:
        settings = self._gateway.settings
        async with BoundedClient(
            **options, journal=settings.journal, requests_max=self._concurrency
        ) as client:
            self._currency = client.market.currency
            payouts = read_payouts(self._file, client.market, settings.service_provider_code)
            known: list[Payment | None] = [None] * len(payouts.rows)
            # A check leaves nothing behind, not even an empty journal.
            if settings.journal.exists():
                known = await look_up(client, payouts.rows, payouts.faults)
            if payouts.faults.count:
                raise _refuse(self._file, payouts.faults)
            paid_before = sum(payment.state == "completed" for payment in known if payment)
            if is_check:
                self._show_check(payouts, paid_before)
                return DONE
            check_report(self._report, self._file)
            tell(
                f"{self._file}: {len(payouts.rows)} payouts, "
                f"{render_money(payouts.total, self._currency)} in all"
                + (f"; {paid_before} already paid" if paid_before else "")
            )
            run = PayoutRun(
                client,
                payouts.rows,
                known,
                concurrency=self._concurrency,
                within_s=self._within_s,
            )
            if any(outcome is None for outcome in run.outcomes):
                # Where there is no gateway, or no such key, nothing is begun.
                await client.open_session()
                self._gateway.has_begun = True
                await self._pay(run)
        return self._conclude(payouts, run, paid_before)

    async def _pay(self, run: PayoutRun) -> None:
        with _listening(run), _showing_progress(len(run.outcomes), run.done_count) as progress:
            paying = asyncio.ensure_future(run.pay())
            while not paying.done():
                await asyncio.wait([paying], timeout=_SHOW_EVERY_S)
                if progress is not None:
                    progress.update(progress.task_ids[0], completed=run.done_count)
            await paying

    def _show_check(self, payouts: PayoutFile, paid_before: int) -> None:
        if self._gateway.is_json:
            show_json(
                {
                    "file": str(self._file),
                    "rows": len(payouts.rows),
                    "amount": render_amount(payouts.total),
                    "currency": self._currency,
                    "already_paid": paid_before,
                }
            )
            return
        show_line(
            f"{self._file} is in order: {len(payouts.rows)} payouts, "
            f"{render_money(payouts.total, self._currency)} in all, {paid_before} already paid."
        )

    def _conclude(self, payouts: PayoutFile, run: PayoutRun, paid_before: int) -> int:
        outcomes = [outcome or _NOT_REACHED for outcome in run.outcomes]
        counts: Counter[str] = Counter(outcome.state for outcome in outcomes)
        paid = sum(
            (
                Decimal(row.amount)
                for row, outcome in zip(payouts.rows, outcomes, strict=True)
                if outcome.state == "completed"
            ),
            Decimal(0),
        )
        report_problem = self._write_report(payouts, outcomes)
        if run.stopped_by is not None and counts["unpaid"]:
            tell(f"stopped, for none of the rest would have fared better: {run.stopped_by}")
        if counts["unpaid"]:
            tell(f"{counts['unpaid']} rows are left; run the same command again to pay them")
        if counts["open"]:
            tell(
                f"of {counts['open']} rows it is not known yet whether they are paid; run the same "
                "command again, or pesalango recover, to settle them"
            )
        report = None if report_problem else str(self._report)
        if self._gateway.is_json:
            show_json(
                {
                    "file": str(self._file),
                    "rows": len(outcomes),
                    "amount": render_amount(payouts.total),
                    "currency": self._currency,
                    "completed": counts["completed"],
                    "completed_amount": render_amount(paid),
                    "already_paid": paid_before,
                    "refused": counts["refused"],
                    "open": counts["open"],
                    "unpaid": counts["unpaid"],
                    "stopped_by": str(run.stopped_by) if run.stopped_by else None,
                    "report": report,
                }
            )
        else:
            show_facts(
                (
                    ("Completed", _count_paid(counts["completed"], paid_before)),
                    (
                        "Paid",
                        render_money(paid, self._currency)
                        + f" of {render_money(payouts.total, self._currency)}",
                    ),
                    ("Refused", str(counts["refused"])),
                    ("Open", str(counts["open"])),
                    ("Unpaid", str(counts["unpaid"])),
                    ("Report", report),
                )
            )
        if counts["open"]:
            return UNKNOWN
        return DONE if counts["completed"] == len(outcomes) else REFUSED

    def _write_report(self, payouts: PayoutFile, outcomes: Sequence[Outcome]) -> str | None:
        keys = (row.key for row in payouts.rows)
        try:
            write_report(self._report, zip(keys, outcomes, strict=True))
        except ConfigurationError as error:
            # The payments are made, and decide the exit status.
            tell(f"{error}; run the same command again to have it")
            return str(error)
        return None


def _count_paid(completed: int, paid_before: int) -> str:
    return f"{completed} ({paid_before} of them already paid)" if paid_before else str(completed)


def _refuse(file: Path, faults: Faults) -> CommandFailedError:
    count = "1 fault" if faults.count == 1 else f"{faults.count} faults"
    failure = Failure(
        kind="FileError",
        text=f"{file} has {count}; nothing was sent",
        faults=faults.shown,
        fault_count=faults.count,
    )
    return CommandFailedError(failure, USAGE)


@contextlib.contextmanager
def _listening(run: PayoutRun) -> Iterator[None]:
    """Ctrl-C, or SIGTERM, stops the run by and by; once more, at once."""

    def interrupt() -> None:
        if run.is_stopping:
            run.break_off()
            return
        run.stop()
        tell("finishing what is being sent, and beginning nothing new; once more stops at once")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        # The report is still to be written, and takes a moment.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _showing_progress(total: int, done: int) -> Iterator[Progress | None]:
    """A bar on standard error, where somebody watches it."""
    if not sys.stderr.isatty():
        yield None
        return
    with Progress(
        TextColumn("payouts"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=4,
        transient=True,
    ) as progress:
        progress.add_task("payouts", total=total, completed=done)
        yield progress
