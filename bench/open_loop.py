"""Asks how a gateway answers requests that come at their own times, however slow its answers are.

An open-loop load generator: requests fall due at random moments of a given rate, phase after
phase, and a latency counts from the moment that a request was due, so that a gateway which keeps
callers waiting does not get fewer of them.

`python -m bench.open_loop` takes an `OpenLoad` as JSON on standard input, and gives a list of
`PhaseResult` as JSON on standard output.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import random
import secrets
import subprocess
import sys
from array import array
from collections import Counter, deque
from pathlib import Path
from time import perf_counter

import msgspec
import uvloop

from bench.directory import REPOSITORY
from bench.figures import pick_quantile
from bench.load import START_AND_END_SECONDS_MAX, GeneratorFailedError, Load
from bench.wire import CONVERSATION_ID_LENGTH, build_request, parse_answer

OPENING_AT_ONCE_MAX = 32
TICK_SECONDS = 0.001
IDENTIFIERS_PER_BLOCK = 4096
ACCEPTED = (b"201", b"INS-0")
NOISE_BYTES = 512
"""As long as an RSA-4096 ciphertext, and nobody's."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float
    rate_per_second: float


class OpenLoad(msgspec.Struct, frozen=True, kw_only=True):
    """`load` says what is sent to whom over how many connections, which are opened before."""

    load: Load
    phases: list[Phase]
    bearers: str | None
    """A file, a bearer a line, each used for one request; None: noise that is no ciphertext."""
    source: str = "127.0.0.1"
    """The address that the connections come from."""
    quick_us: int = 100_000
    """Whoever is accepted within this time notices nothing."""


class PhaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """Of the requests that were due in one phase."""

    seconds: float
    sent: int
    accepted: int
    outcomes: dict[str, int]
    """By status and ResponseCode, `503 INS-16`."""
    accepted_p50_us: int
    accepted_p99_us: int
    accepted_max_us: int
    refused_p50_us: int
    refused_p99_us: int
    refused_max_us: int
    settled_seconds: float
    """From the beginning of the phase to the last request that was not accepted quickly."""
    late_us_max: int
    """How late the generator itself was at most, or had no connection left to send on."""
    unanswered: int
    """Without an answer when draining ended, or whose connection broke."""

    @property
    def accepted_per_second(self) -> float:
        return self.accepted / self.seconds if self.seconds else 0.0


class Tally:
    """What becomes of the requests of one phase."""

    def __init__(self, phase: Phase, begins_at: float) -> None:
        self.phase = phase
        self.begins_at = begins_at
        self.sent = 0
        self.late = 0.0
        self.settled_seconds = 0.0
        self.accepted_us = array("Q")
        self.refused_us = array("Q")
        self.outcomes: Counter[tuple[bytes, bytes]] = Counter()

    def sum_up(self) -> PhaseResult:
        accepted, refused = sorted(self.accepted_us), sorted(self.refused_us)
        return PhaseResult(
            seconds=self.phase.seconds,
            sent=self.sent,
            accepted=len(accepted),
            outcomes={
                b" ".join(outcome).decode("ascii", "replace").strip(): count
                for outcome, count in self.outcomes.items()
            },
            accepted_p50_us=pick_quantile(accepted, 0.5),
            accepted_p99_us=pick_quantile(accepted, 0.99),
            accepted_max_us=accepted[-1] if accepted else 0,
            refused_p50_us=pick_quantile(refused, 0.5),
            refused_p99_us=pick_quantile(refused, 0.99),
            refused_max_us=refused[-1] if refused else 0,
            settled_seconds=self.settled_seconds,
            late_us_max=int(self.late * 1e6),
            unanswered=self.sent - len(accepted) - len(refused),
        )


class Arrivals:
    """Makes requests fall due, and sends each on a connection that is idle."""

    def __init__(self, asked: OpenLoad) -> None:
        self.asked = asked
        self.head, self.between, self.before_identifier, self.after = build_request(asked.load)
        self.bearers = None if asked.bearers is None else Path(asked.bearers).read_bytes().split()
        first = asked.load.msisdn_first
        self.numbers = [b"%d" % number for number in range(first, first + asked.load.customers)]
        self.identifiers: list[bytes] = []
        self.idle: list[Connection] = []
        self.due: deque[tuple[Tally, float]] = deque()
        self.outstanding = 0
        self.drained = asyncio.Event()
        self.tallies: list[Tally] = []

    async def run(self) -> list[PhaseResult]:
        await self.open_connections()
        gc.collect()
        gc.disable()
        begins_at = perf_counter()
        for phase in self.asked.phases:
            tally = Tally(phase, begins_at)
            self.tallies.append(tally)
            begins_at += phase.seconds
            await self.run_phase(tally, ends_at=begins_at)
        self.drained.clear()
        if self.outstanding or self.due:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.asked.load.drain_seconds):
                    await self.drained.wait()
        return [tally.sum_up() for tally in self.tallies]

    async def run_phase(self, tally: Tally, *, ends_at: float) -> None:
        rate = tally.phase.rate_per_second
        next_at = tally.begins_at
        while True:
            now = perf_counter()
            while next_at <= min(now, ends_at):
                self.due.append((tally, next_at))
                tally.sent += 1
                next_at += random.expovariate(rate)
            self.send()
            if now >= ends_at:
                return
            await asyncio.sleep(TICK_SECONDS)

    async def open_connections(self) -> None:
        load = self.asked.load
        loop = asyncio.get_running_loop()
        while len(self.idle) < load.connections:
            count = min(OPENING_AT_ONCE_MAX, load.connections - len(self.idle))
            opened = await asyncio.gather(
                *(
                    loop.create_connection(
                        lambda: Connection(self),
                        load.host,
                        load.port,
                        local_addr=(self.asked.source, 0),
                    )
                    for _ in range(count)
                )
            )
            self.idle += [connection for _, connection in opened]

    def send(self) -> None:
        """What is due, as far as there are connections for it."""
        while self.due and self.idle:
            tally, due_at = self.due.popleft()
            tally.late = max(tally.late, perf_counter() - due_at)
            identifier = self.make_identifier()
            number = self.numbers[int(random.random() * len(self.numbers))]
            request = b"".join(
                (
                    self.head,
                    self.draw_bearer(),
                    self.between,
                    number,
                    self.before_identifier,
                    identifier,
                    self.after,
                )
            )
            self.outstanding += 1
            self.idle.pop().send(request, identifier, tally, due_at)

    def retire(self) -> None:
        """A request has its answer, or will never get one."""
        self.outstanding -= 1
        if not self.outstanding and not self.due:
            self.drained.set()

    def draw_bearer(self) -> bytes:
        if self.bearers is None:
            return base64.b64encode(secrets.token_bytes(NOISE_BYTES))
        if not self.bearers:
            raise GeneratorFailedError("there are fewer bearers than requests")
        return self.bearers.pop()

    def make_identifier(self) -> bytes:
        if not self.identifiers:
            size = CONVERSATION_ID_LENGTH
            digits = secrets.token_hex(size // 2 * IDENTIFIERS_PER_BLOCK).encode()
            self.identifiers = [digits[at : at + size] for at in range(0, len(digits), size)]
        return self.identifiers.pop()

    def note(
        self, answer: tuple[bytes, bytes], tally: Tally, due_at: float, *, is_own: bool
    ) -> None:
        took = perf_counter() - due_at
        tally.outcomes[answer] += 1
        # An answer to somebody else's payment would be a lost one and a doubled one.
        is_accepted = answer == ACCEPTED and is_own
        (tally.accepted_us if is_accepted else tally.refused_us).append(int(took * 1e6))
        if not is_accepted or took * 1e6 > self.asked.quick_us:
            tally.settled_seconds = max(tally.settled_seconds, due_at - tally.begins_at)


class Connection(asyncio.Protocol):
    """One connection with at most one request outstanding."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.transport: asyncio.Transport | None = None
        self.waiting: tuple[Tally, float] | None = None
        self.identifier = b""
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's, always

    def send(self, request: bytes, identifier: bytes, tally: Tally, due_at: float) -> None:
        self.identifier = identifier
        self.waiting = (tally, due_at)
        if self.transport is not None:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        answer = parse_answer(self.received)
        if answer is None or self.waiting is None:
            return
        (tally, due_at), self.waiting = self.waiting, None
        self.arrivals.note(answer, tally, due_at, is_own=self.identifier in self.received)
        self.received = b""
        self.arrivals.idle.append(self)
        self.arrivals.send()
        self.arrivals.retire()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.transport = None
        if self.waiting is not None:
            self.arrivals.retire()
        elif self in self.arrivals.idle:
            self.arrivals.idle.remove(self)


def start_open_loop(asked: OpenLoad) -> subprocess.Popen[bytes]:
    """Run the load in a process of its own; `finish_open_loop` waits for its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.open_loop"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if process.stdin is not None:
        process.stdin.write(msgspec.json.encode(asked))
        process.stdin.close()
        process.stdin = None
    return process


def finish_open_loop(process: subprocess.Popen[bytes], asked: OpenLoad) -> list[PhaseResult]:
    """What the load gave, by phase. Raises GeneratorFailedError."""
    seconds_max = sum(phase.seconds for phase in asked.phases) + asked.load.drain_seconds
    try:
        printed, told = process.communicate(timeout=seconds_max + START_AND_END_SECONDS_MAX)
    except subprocess.TimeoutExpired as late:
        process.kill()
        process.communicate()
        raise GeneratorFailedError(f"the generator did not end within {late.timeout} s") from late
    if process.returncode != 0:
        raise GeneratorFailedError(told.decode(errors="replace").strip())
    return msgspec.json.decode(printed, type=list[PhaseResult])


def run_open_loop(asked: OpenLoad) -> list[PhaseResult]:
    """Run the load in a process of its own and wait for its end. Raises GeneratorFailedError."""
    return finish_open_loop(start_open_loop(asked), asked)


def main() -> None:
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=OpenLoad)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(Arrivals(asked).run())) + b"\n")


if __name__ == "__main__":
    main()
