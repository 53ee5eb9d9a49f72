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
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from bench.against import measure_against
from bench.books import add_customers, check_audit
from bench.calibration import calibrate
from bench.ciphertexts import measure_ciphertexts
from bench.client import measure_client
from bench.comparison import Comparison
from bench.directory import DEFAULT_DIRECTORY, REPOSITORY, make_directory
from bench.engines import measure_engines
from bench.growth import measure_growth
from bench.hot_row import CLIENTS, SCALE, measure_hot_row
from bench.load import GeneratorFailedError
from bench.machine import describe_machine
from bench.markets import measure_markets
from bench.memory import measure_memory
from bench.operations import measure_operations
from bench.overload import measure_flood, measure_overload
from bench.payments import measure_payments
from bench.plan import (
    FULL,
    QUESTION_ENGINES,
    QUESTION_FLOOD_FRESH,
    QUESTION_FLOOD_KNOWN,
    QUESTION_GROWTH,
    QUESTION_HOT_ROW,
    QUESTION_MARKETS,
    QUESTION_MEMORY,
    QUESTION_OPERATIONS,
    QUESTION_OVERLOAD,
    QUESTION_POSTGRES,
    QUESTION_SESSIONS,
    QUESTION_SQLITE,
    SHORT,
    Plan,
    name_database,
)
from bench.postgres import PostgresError
from bench.progress import say
from bench.report import PAGE, Results, render, write_page
from bench.server import ProductError, Server, run_server
from bench.sessions import measure_sessions
from bench.startup import measure_startup
from bench.yardstick import Yardstick, open_yardstick
from pesalango_server.storage.bundled import BundledPostgresError

BUSY_PERCENT_MAX = 5.0
QUESTIONS = (
    *("P1", "P2", "P3", "P3b", "P4", "P7"),
    *("operations", "engines", "hot-row", "markets", "memory", "overload", "client", "against"),
)

SHORT_QUESTIONS = ("P1", "P2", "P3", "P7", "client")
"""Those of a short run, which somebody waits for."""
ON_EITHER = {"operations", "markets", "memory"}
ON_SQLITE = {"P1", "P3", "P3b", "P7", "overload", *ON_EITHER}
ON_POSTGRES = {"P2", "hot-row", *ON_EITHER}


def run_benchmarks(
    plan: Plan, *, questions: set[str], parent: Path, reference: str | None = None
) -> Results:
    """`reference` is the revision that is compared with where `against` is asked."""
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
        if questions & ON_SQLITE:
            measure_with(results, directory / "sqlite", yardstick, questions, database=None)
        if questions & ON_POSTGRES:
            measure_with(results, directory / "postgres", yardstick, questions, database="postgres")
        stack.close()
        measure_alone(results, directory, questions, reference)
    return results


def measure_alone(
    results: Results, directory: Path, questions: set[str], reference: str | None
) -> None:
    """All questions for which servers of their own are started."""
    plan = results.plan
    if "engines" in questions:
        say(QUESTION_ENGINES)
        results.add_comparison(QUESTION_ENGINES, measure_engines(directory, plan))
    for database in (None, "postgres") if "P4" in questions else ():
        question = name_database(QUESTION_GROWTH, database)
        say(question)
        with make_directory(directory / "growth") as place:
            results.add_comparison(question, measure_growth(place, database=database, plan=plan))
    if "client" in questions:
        with make_directory(directory / "client") as place:
            for question, comparison in measure_client(place, plan):
                results.add_comparison(question, comparison)
    if "against" in questions and reference is not None:
        say(f"against {reference}")
        with make_directory(directory / "against") as place:
            for question, comparison in measure_against(reference, place, plan).items():
                results.add_comparison(question, comparison)


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
        if "memory" in questions:
            asked = name_database(QUESTION_MEMORY, database)
            say(asked)
            paid = results.payments.get(question)
            memory = measure_memory(server, plan, served=0 if paid is None else paid.accepted)
            results.memory[asked] = memory
            results.add_checks(asked, memory.checks)
        measure_comparisons(results, server, data_dir.parent, questions)
        say("the audit")
        results.add_checks(tag, [check_audit(server, seconds_max=plan.audit_seconds_max)])
    if "P7" in questions:
        say(f"start on existing data, {question.partition(' ')[2]}")
        results.startups[question] = measure_startup(
            data_dir=data_dir, database=database, plan=plan
        )


def measure_comparisons(
    results: Results, server: Server, directory: Path, questions: set[str]
) -> None:
    """The questions in which operations, markets, sessions or pgbench take turns."""
    plan, database = results.plan, server.database

    def ask_hot_row() -> Comparison:
        with open_yardstick(directory, scale=SCALE, clients=CLIENTS) as hot:
            return measure_hot_row(server, hot, plan)

    asked: list[tuple[str, str, Callable[[], Comparison]]] = [
        (
            "operations",
            name_database(QUESTION_OPERATIONS, database),
            lambda: measure_operations(server, directory, plan),
        ),
        (
            "markets",
            name_database(QUESTION_MARKETS, database),
            lambda: measure_markets(server, plan),
        ),
    ]
    if database is None:
        asked += [
            ("P3b", QUESTION_SESSIONS, lambda: measure_sessions(server, directory, plan)),
            ("overload", QUESTION_OVERLOAD, lambda: measure_overload(server, directory, plan)),
        ]
        asked += [
            ("overload", question, partial(measure_flood, server, directory, plan, is_fresh=fresh))
            for question, fresh in ((QUESTION_FLOOD_KNOWN, False), (QUESTION_FLOOD_FRESH, True))
        ]
    else:
        asked.append(("hot-row", QUESTION_HOT_ROW, ask_hot_row))
    for tag, question, measure in asked:
        if tag in questions:
            say(question)
            results.add_comparison(question, measure())


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="rounds enough to publish")
    parser.add_argument("--write", action="store_true", help="write the page after a short run too")
    parser.add_argument("--rounds", type=int, help="interleaved rounds")
    parser.add_argument("--seconds", type=int, help="seconds of each round")
    parser.add_argument("--turn-seconds", type=int, help="seconds of each turn of a comparison")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=QUESTIONS,
        help=f"questions to ask [all with --full, else {' '.join(SHORT_QUESTIONS)}]",
    )
    parser.add_argument(
        "--against",
        metavar="REVISION",
        help="a tag or commit whose P1, P2, P3 and P7 take turns with those of this checkout",
    )
    parser.add_argument(
        "--directory", type=Path, default=DEFAULT_DIRECTORY, help="where the data lies meanwhile"
    )
    return parser


def main() -> None:
    parser = build_parser()
    flags = parser.parse_args()
    if flags.only and "against" in flags.only and flags.against is None:
        parser.error("say --against which revision")
    asked = flags.only or (QUESTIONS if flags.full else SHORT_QUESTIONS)
    plan = FULL if flags.full else SHORT
    if flags.rounds is not None:
        plan = msgspec.structs.replace(plan, rounds=flags.rounds)
    if flags.seconds is not None:
        plan = msgspec.structs.replace(plan, seconds=flags.seconds)
    if flags.turn_seconds is not None:
        plan = msgspec.structs.replace(plan, turn_seconds=flags.turn_seconds)
    # So that whatever was started is stopped, and the data removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        results = run_benchmarks(
            plan,
            questions={*asked, *(["against"] if flags.against else [])},
            parent=flags.directory,
            reference=flags.against,
        )
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
