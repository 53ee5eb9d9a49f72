"""Asks what has become slower since another revision: both take turns, on one machine, in one run.

The other revision's `src` is taken out of git and run by the same interpreter with the same
packages; the load generator and all that measures are those of this checkout. Worse by more than
5 % in the median, and in every single round, wants an explanation.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from pathlib import Path

import msgspec

from bench.books import (
    Check,
    add_customers,
    check_audit,
    compare_books,
    read_books,
    write_out,
)
from bench.ciphertexts import SPARE_SHARE, write_pool
from bench.comparison import (
    Comparison,
    Sample,
    Turn,
    compare,
    count_accepted,
    list_results,
    sum_up,
    take_turns,
)
from bench.decryptions import measure_decryptions
from bench.directory import REPOSITORY
from bench.load import run_generator
from bench.payments import check_answers
from bench.plan import (
    CONNECTIONS_SHARED,
    CONNECTIONS_TOLD,
    QUESTION_CIPHERTEXTS,
    QUESTION_POSTGRES,
    QUESTION_SQLITE,
    QUESTION_STARTUP,
    Plan,
)
from bench.progress import say
from bench.server import (
    SOURCE,
    ProductError,
    Server,
    build_environment,
    build_load,
    open_bearer,
    open_session,
    run_server,
)
from bench.startup import start_once

CONNECTIONS = (CONNECTIONS_TOLD, CONNECTIONS_SHARED)
HERE = "this revision"
WORSE_SHARE = 0.05
GIT_SECONDS_MAX = 60.0
PACKAGES = Path("requirements") / "run.txt"


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """The other revision and this one: a source each, in this order."""

    reference: str
    directory: Path
    sources: tuple[Path, Path]

    @property
    def labels(self) -> tuple[str, str]:
        return self.reference, HERE


def take_out(reference: str, directory: Path) -> Path:
    """The `src` of a revision, below `directory`. Raises ProductError."""
    try:
        archive = subprocess.run(
            ["git", "archive", "--format=tar", reference, "src", str(PACKAGES)],
            cwd=REPOSITORY,
            capture_output=True,
            timeout=GIT_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProductError(f"git does not give {reference}: {error}") from error
    if archive.returncode != 0:
        raise ProductError(f"git does not give {reference}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    source = directory / "src"
    check_source(source)
    if (directory / PACKAGES).read_text() != (REPOSITORY / PACKAGES).read_text():
        say(f"{reference} pins other packages; it runs with those of this checkout")
    return source


def check_source(source: Path) -> None:
    """Whether it is what a server would run, whatever is installed. Raises ProductError."""
    found = subprocess.run(
        [sys.executable, "-c", "import pesalango_server; print(pesalango_server.__file__)"],
        env=build_environment(None, source=source),
        cwd=source,
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS_MAX,
        check=False,
    ).stdout.strip()
    if not Path(found or "/").resolve().is_relative_to(source.resolve()):
        raise ProductError(f"the interpreter runs {found or 'nothing'} instead of {source}")


def measure_against(reference: str, directory: Path, plan: Plan) -> dict[str, Comparison]:
    """By question. Everything lies below `directory`, which has to be there."""
    check_source(SOURCE)
    theirs = take_out(reference, directory / "revision")
    pair = Pair(reference=reference, directory=directory, sources=(theirs, SOURCE))
    found: dict[str, Comparison] = {}
    for database, question in ((None, QUESTION_SQLITE), ("postgres", QUESTION_POSTGRES)):
        found |= measure_payments_of(pair, plan, database=database, question=question)
        startups = name_question(pair, f"{QUESTION_STARTUP}, {question.partition(' ')[2]}")
        say(startups)
        found[startups] = measure_startups_of(pair, plan, database=database)
    return found


def name_question(pair: Pair, question: str) -> str:
    return f"{question}, against {pair.reference}"


def name_directory(pair: Pair, at: int, database: str | None) -> Path:
    return pair.directory / f"{database or 'sqlite'}-{at}"


def measure_payments_of(
    pair: Pair, plan: Plan, *, database: str | None, question: str
) -> dict[str, Comparison]:
    """Both run; the one that is not asked has nothing to do."""
    places = [name_directory(pair, at, database) for at in range(2)]
    with (
        run_server(data_dir=places[0], database=database, source=pair.sources[0]) as theirs,
        run_server(data_dir=places[1], database=database, source=pair.sources[1]) as ours,
    ):
        servers = (theirs, ours)
        for server in servers:
            server.wait_until_checked()
            add_customers(server.read_credentials(), customers=plan.customers)
        found: dict[str, Comparison] = {}
        for connections in CONNECTIONS:
            name = name_question(pair, f"{question}, {connections} connections")
            say(name)
            pay = partial(pay_at, connections=connections, plan=plan)
            found[name] = compare_servers(pair, servers, plan, pay)
        if database is None:
            name = name_question(pair, QUESTION_CIPHERTEXTS)
            say(name)
            rate = measure_decryptions(seconds=1.0).decryptions_per_second
            pay = partial(pay_freshly_at, pool=pair.directory / "pool", rate=rate, plan=plan)
            found[name] = compare_servers(pair, servers, plan, pay)
        for label, server in zip(pair.labels, servers, strict=True):
            check = check_audit(server, seconds_max=plan.audit_seconds_max)
            check = msgspec.structs.replace(check, subject=f"audit of {label}")
            next(iter(found.values())).checks.append(check)
    return found


def compare_servers(
    pair: Pair, servers: Sequence[Server], plan: Plan, pay: Callable[[Server], Sample]
) -> Comparison:
    turns = [
        Turn(label, partial(pay, server))
        for label, server in zip(pair.labels, servers, strict=True)
    ]
    before = [read_books(server, server.read_credentials()) for server in servers]
    taken = take_turns(turns, rounds=plan.rounds)
    checks: list[Check] = []
    for at, server in enumerate(servers):
        results = list_results([samples[at : at + 1] for samples in taken])
        after = read_books(server, server.read_credentials())
        checks += [
            check_answers(results),
            compare_books(before[at], after, accepted=count_accepted(results)),
        ]
    return judge(compare(turns, taken, checks=checks))


def pay_at(server: Server, *, connections: int, plan: Plan) -> Sample:
    credentials = server.read_credentials()
    write_out(server)
    load = build_load(
        credentials,
        port=server.port,
        connections=connections,
        seconds=plan.turn_seconds,
        customers=plan.customers,
    )
    return sum_up([run_generator(load, bearer=open_bearer(credentials))])


def pay_freshly_at(server: Server, *, pool: Path, rate: float, plan: Plan) -> Sample:
    """Every payment with a ciphertext of its own; `rate` is what all cores can decrypt a second."""
    credentials = server.read_credentials()
    load = build_load(
        credentials,
        port=server.port,
        connections=CONNECTIONS_TOLD,
        seconds=plan.turn_seconds,
        customers=plan.customers,
    )
    seconds = load.warm_up_seconds + load.seconds
    write_pool(
        pool,
        secret=open_session(credentials),
        public_key=credentials.sandbox.public_key,
        count=ceil(rate * seconds * SPARE_SHARE) + load.connections,
    )
    try:
        return sum_up([run_generator(load, fresh_ciphertexts=pool)])
    finally:
        pool.unlink()


def measure_startups_of(pair: Pair, plan: Plan, *, database: str | None) -> Comparison:
    """Seconds to the first answered payment, on what the payments before have left."""

    def start(at: int) -> Sample:
        started = start_once(
            data_dir=name_directory(pair, at, database),
            database=database,
            source=pair.sources[at],
        )
        return Sample(value=started.payment_seconds)

    turns = [Turn(label, partial(start, at)) for at, label in enumerate(pair.labels)]
    taken = take_turns(turns, rounds=plan.startups)
    return judge(compare(turns, taken, checks=[], unit="s"), is_cost=True)


def judge(comparison: Comparison, *, is_cost: bool = False) -> Comparison:
    """Says in the note whether this revision is worse, beyond what the rounds differ by."""
    ratio = comparison.rows[1].ratio
    is_worse = (
        ratio.median > 1 + WORSE_SHARE and ratio.lowest > 1
        if is_cost
        else ratio.median < 1 - WORSE_SHARE and ratio.highest < 1
    )
    told = "**Worse, beyond the spread.**" if is_worse else "Not worse beyond the spread."
    if comparison.rounds < 2:
        told = "One round has no spread to judge by."
    return msgspec.structs.replace(comparison, note=told)
