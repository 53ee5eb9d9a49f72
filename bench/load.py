"""What the load generator is asked to send, and what it answers.

The generator runs in a process of its own; this is the side that starts it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bench.directory import REPOSITORY

START_AND_END_SECONDS_MAX = 60.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, to whom, and for how long. Every field is a flag of the generator."""

    host: str
    port: int
    path: str
    country: str
    currency: str
    service_provider_code: str
    connections: int
    seconds: float
    amount: str
    msisdn_first: int
    customers: int
    operation: str = "c2b"
    """One of `wire.FORMS`."""
    warm_up_seconds: float = 1.0
    drain_seconds: float = 15.0


class GeneratorResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. Rate, latencies and CPU time cover the measured seconds; the counts cover
    everything that was sent, warm-up and draining included.
    """

    connections: int
    measured_seconds: float
    measured_answers: int
    answers_per_second: float
    p50_us: int
    p99_us: int
    p999_us: int
    max_us: int
    histogram: list[tuple[int | None, int]]
    """Pairs of a bound in microseconds (None: no bound) and the answers below it, each once."""
    answered: int
    accepted: int
    """201, INS-0, and the ThirdPartyConversationID of the request."""
    statuses: dict[str, int]
    codes: dict[str, int]
    unanswered: int
    """Requests still without an answer when draining ended."""
    broken: int
    """Connections that the server closed, or whose answer could not be read."""
    pool_exhausted: bool
    """What is used once each (ciphertexts, TransactionIDs) ran out before the time did; rate and
    latencies are those until then."""
    cpu_us_per_request: float
    """The generator's own CPU time, user and system, for each measured answer."""

    def has_only_accepted(self) -> bool:
        """Whether every request sent was answered, and accepted."""
        return self.answered == self.accepted and not self.unanswered and not self.broken


class GeneratorFailedError(Exception):
    """The generator ended without a result; the text is what it said."""


def build_arguments(load: Load) -> list[str]:
    """The flags of `python -m bench.generator` for this load."""
    arguments: list[str] = []
    for name in load.__struct_fields__:
        arguments += ["--" + name.replace("_", "-"), str(getattr(load, name))]
    return arguments


def run_generator(
    load: Load,
    *,
    bearer: str = "",
    fresh_ciphertexts: Path | None = None,
    accepted: Path | None = None,
    transactions: Path | None = None,
    originals: Path | None = None,
    session_key: Path | None = None,
) -> GeneratorResult:
    """Run the load in a process of its own and wait for its end.

    Every request carries `bearer`, or one line each of the file `fresh_ciphertexts`; with
    `session_key` (a file with the public key) each of those opens a session for one payment. The
    accepted ThirdPartyConversationIDs are written to `accepted`, their TransactionIDs to
    `transactions`, one a line. `originals` are TransactionIDs to reverse, each once. Raises
    GeneratorFailedError.
    """
    command = [sys.executable, "-m", "bench.generator", *build_arguments(load)]
    files = {
        "fresh-ciphertexts": fresh_ciphertexts,
        "accepted": accepted,
        "transactions": transactions,
        "originals": originals,
        "session-key": session_key,
    }
    for name, file in files.items():
        if file is not None:
            command += [f"--{name}", str(file.resolve())]
    seconds_max = load.warm_up_seconds + load.seconds + load.drain_seconds
    try:
        ended = subprocess.run(
            command,
            cwd=REPOSITORY,
            input=bearer,
            capture_output=True,
            text=True,
            timeout=seconds_max + START_AND_END_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise GeneratorFailedError(f"the generator did not end within {late.timeout} s") from late
    if ended.returncode != 0:
        raise GeneratorFailedError(ended.stderr.strip() or f"exit status {ended.returncode}")
    return msgspec.json.decode(ended.stdout, type=GeneratorResult)


def run_generators(loads: Sequence[Load], *, bearers: Sequence[str]) -> list[GeneratorResult]:
    """Run several loads at once, each in a process of its own. Raises GeneratorFailedError."""
    with ThreadPoolExecutor(len(loads)) as pool:
        running = [
            pool.submit(run_generator, load, bearer=bearer)
            for load, bearer in zip(loads, bearers, strict=True)
        ]
        return [each.result() for each in running]
