"""Asks all questions, one after the other, and prints the answers as a page.

A figure that misses its target is told and changes nothing else: exit status 1 is for a check
that does not hold (an answer other than 201, money or payments that do not add up, an audit that
fails), 2 for a run that could not be finished.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

import msgspec

from bench.books import Check, add_customers
from bench.calibration import calibrate
from bench.ciphertexts import measure_ciphertexts
from bench.directory import DEFAULT_DIRECTORY, REPOSITORY, make_directory
from bench.load import GeneratorFailedError
from bench.machine import describe_machine
from bench.payments import measure_payments
from bench.plan import FULL, QUESTION_POSTGRES, QUESTION_SQLITE, SHORT, Plan
from bench.postgres import PostgresError
from bench.progress import say
from bench.report import PAGE, Results, render, write_page
from bench.server import ProductError, Server, run_server
from bench.startup import measure_startup
from bench.yardstick import Yardstick, open_yardstick
from pesalango_server.storage.bundled import BundledPostgresError

BUSY_PERCENT_MAX = 5.0
QUESTIONS = ("P1", "P2", "P3", "P7")


def run_benchmarks(plan: Plan, *, questions: set[str], parent: Path) -> Results:
    with make_directory(parent) as directory, contextlib.ExitStack() as stack:
        machine = describe_machine(directory)
        if machine.busy_percent > BUSY_PERCENT_MAX:
            say(f"the machine is {machine.busy_percent:.0f} % busy with something else")
        say("the load generator, alone")
        results = Results(machine=machine, plan=plan, generator=calibrate(seconds=plan.seconds))
        yardstick: Yardstick | None = None
        if questions & {"P1", "P2"}:
            say("the yardstick, being filled")
            yardstick = stack.enter_context(open_yardstick(directory))
            results.yardstick_settings = yardstick.settings
        if questions & {"P1", "P3", "P7"}:
            measure_with(results, directory / "sqlite", yardstick, questions, database=None)
        if "P2" in questions:
            measure_with(results, directory / "postgres", yardstick, questions, database="postgres")
    return results


def measure_with(
    results: Results,
    data_dir: Path,
    yardstick: Yardstick | None,
    questions: set[str],
    *,
    database: str | None,
) -> None:
    """All questions that are asked of the product on one kind of database."""
    plan = results.plan
    tag, question = ("P1", QUESTION_SQLITE) if database is None else ("P2", QUESTION_POSTGRES)
    with run_server(data_dir=data_dir, database=database) as server:
        say(f"{question}: {plan.customers} customers, being added")
        server.wait_until_ready()
        add_customers(server.read_credentials(), customers=plan.customers)
        if yardstick is not None and tag in questions:
            say(question)
            payments = measure_payments(server, yardstick, plan)
            results.payments[question] = payments
            results.add_checks(tag, payments.checks)
        if database is None and "P3" in questions:
            say("P3, fresh ciphertexts")
            results.ciphertexts = measure_ciphertexts(server, data_dir.parent, plan)
            results.add_checks("P3", results.ciphertexts.checks)
        say("the audit")
        results.add_checks(tag, [audit_books(server, plan)])
    if "P7" in questions:
        say(f"start on existing data, {question.partition(' ')[2]}")
        results.startups[question] = measure_startup(
            data_dir=data_dir, database=database, plan=plan
        )


def audit_books(server: Server, plan: Plan) -> Check:
    """The product's own audit, of the running server."""
    printed, is_met = server.audit(seconds_max=plan.audit_seconds_max)
    return Check(subject="audit", is_met=is_met, detail="; ".join(printed.split("\n")))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="rounds enough to publish")
    parser.add_argument("--write", action="store_true", help="write the page after a short run too")
    parser.add_argument("--rounds", type=int, help="interleaved rounds")
    parser.add_argument("--seconds", type=int, help="seconds of each round")
    parser.add_argument(
        "--only", nargs="+", choices=QUESTIONS, default=QUESTIONS, help="questions to ask"
    )
    parser.add_argument(
        "--directory", type=Path, default=DEFAULT_DIRECTORY, help="where the data lies meanwhile"
    )
    return parser


def main() -> None:
    flags = build_parser().parse_args()
    plan = FULL if flags.full else SHORT
    if flags.rounds is not None:
        plan = msgspec.structs.replace(plan, rounds=flags.rounds)
    if flags.seconds is not None:
        plan = msgspec.structs.replace(plan, seconds=flags.seconds)
    # So that whatever was started is stopped, and the data removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        results = run_benchmarks(plan, questions=set(flags.only), parent=flags.directory)
    except (ProductError, PostgresError, BundledPostgresError, GeneratorFailedError) as error:
        say(f"the benchmarks could not be finished: {error}")
        sys.exit(2)
    page = render(results)
    print(page)
    if flags.write or flags.full:
        write_page(page)
        say(f"written to {PAGE.relative_to(REPOSITORY)}")
    for check in results.find_failures():
        say(f"does not hold: {check.subject}: {check.detail}")
    sys.exit(1 if results.find_failures() else 0)
