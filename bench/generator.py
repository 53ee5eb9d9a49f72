"""Asks how many payments a second a gateway answers, and how long they take.

A closed-loop load generator: a fixed number of keep-alive connections, each with exactly one
request outstanding. It shares the machine with what it measures, so it has to be cheap: raw
protocols on uvloop, requests of constant length glued from prebuilt bytes, and answers parsed
only for their status, their length and their ResponseCode. It reports its own CPU time, so that
a reader can see what it took away from the server.

`python -m bench.generator --help` names the flags. Bearer tokens come from standard input or a
file, never from the command line; the result is one JSON object on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import resource
import secrets
import sys
from array import array
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from time import perf_counter, perf_counter_ns

import msgspec
import uvloop

from bench.figures import pick_quantile
from bench.load import GeneratorResult, Load
from bench.wire import CONVERSATION_ID_LENGTH, build_request, parse_answer

CONVERSATION_IDS_PER_BLOCK = 4096
OPENING_AT_ONCE_MAX = 32
HISTOGRAM_BOUNDS_US = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)


class Round:
    """One run of the load: makes the requests, counts the answers."""

    def __init__(self, load: Load, *, bearers: list[str], are_fresh: bool) -> None:
        """One bearer is used for every request, or each of them once."""
        head, between, self.before_identifier, self.after = build_request(load)
        prefixes = [head + bearer.encode() + between for bearer in bearers]
        self.prefix = prefixes[0]
        self.fresh_prefixes = prefixes if are_fresh else None
        first = load.msisdn_first
        self.numbers = [str(number).encode() for number in range(first, first + load.customers)]
        self.load = load
        self.identifiers: list[bytes] = []
        self.accepted: list[bytes] = []
        self.outcomes: Counter[tuple[bytes, bytes]] = Counter()
        self.latencies_us = array("Q")
        self.outstanding = 0
        self.broken = 0
        self.is_exhausted = False
        self.is_stopping = False
        self.stopped = asyncio.Event()
        self.drained = asyncio.Event()

    def make_identifier(self) -> bytes:
        if not self.identifiers:
            size = CONVERSATION_ID_LENGTH
            digits = secrets.token_hex(size // 2 * CONVERSATION_IDS_PER_BLOCK).encode()
            self.identifiers = [digits[at : at + size] for at in range(0, len(digits), size)]
        return self.identifiers.pop()

    def make_request(self, identifier: bytes) -> bytes | None:
        """The next request; None when the round is over."""
        if self.is_stopping:
            return None
        prefix = self.prefix
        if self.fresh_prefixes is not None:
            if not self.fresh_prefixes:
                self.is_exhausted = True
                self.stop()
                return None
            prefix = self.fresh_prefixes.pop()
        number = self.numbers[int(random.random() * len(self.numbers))]
        return b"".join((prefix, number, self.before_identifier, identifier, self.after))

    def stop(self) -> None:
        """Let no request follow those that are outstanding."""
        self.is_stopping = True
        self.stopped.set()

    def retire(self) -> None:
        """A connection sends nothing more. When none is left, the round is over."""
        self.outstanding -= 1
        if not self.outstanding:
            self.stop()
            self.drained.set()


class Connection(asyncio.Protocol):
    """One connection with one request outstanding."""

    def __init__(self, shared: Round) -> None:
        self.shared = shared
        self.transport: asyncio.Transport | None = None
        self.identifier = b""
        self.sent_at_ns = 0
        self.is_waiting = False
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's, always

    def begin(self) -> None:
        self.shared.outstanding += 1
        self.send()

    def send(self) -> None:
        self.identifier = identifier = self.shared.make_identifier()
        request = self.shared.make_request(identifier)
        if request is None or self.transport is None:
            self.shared.retire()
            return
        self.is_waiting = True
        self.sent_at_ns = perf_counter_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        now_ns = perf_counter_ns()
        if self.received:
            data = self.received + data
        try:
            answer = parse_answer(data)
        except ValueError:
            self.close()
            return
        if answer is None:
            self.received = data
            return
        self.received = b""
        self.is_waiting = False
        shared = self.shared
        shared.latencies_us.append((now_ns - self.sent_at_ns) // 1000)
        shared.outcomes[answer] += 1
        # An answer to somebody else's payment would be a lost one and a doubled one.
        if answer == (b"201", b"INS-0") and self.identifier in data:
            shared.accepted.append(self.identifier)
        self.send()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.transport = None
        if self.is_waiting:
            self.is_waiting = False
            self.shared.broken += 1
            self.shared.retire()


class Mark(msgspec.Struct, frozen=True):
    """Where a round stood at one moment."""

    seconds: float
    cpu_seconds: float
    answers: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The marks around the measured seconds, and the requests that were never answered."""

    begun: Mark
    ended: Mark
    unanswered: int


def take_mark(shared: Round) -> Mark:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Mark(perf_counter(), usage.ru_utime + usage.ru_stime, len(shared.latencies_us))


async def open_connections(shared: Round) -> list[Connection]:
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []
    while len(connections) < shared.load.connections:
        count = min(OPENING_AT_ONCE_MAX, shared.load.connections - len(connections))
        opened = await asyncio.gather(
            *(
                loop.create_connection(
                    lambda: Connection(shared), shared.load.host, shared.load.port
                )
                for _ in range(count)
            )
        )
        connections += [protocol for _, protocol in opened]
    return connections


async def drive(shared: Round) -> Outcome:
    load = shared.load
    connections = await open_connections(shared)
    gc.collect()
    gc.disable()
    for connection in connections:
        connection.begin()
    begun = await mark_after(shared, load.warm_up_seconds)
    ended = await mark_after(shared, load.seconds)
    shared.stop()
    try:
        async with asyncio.timeout(load.drain_seconds):
            await shared.drained.wait()
    except TimeoutError:
        pass
    unanswered = sum(connection.is_waiting for connection in connections)
    for connection in connections:
        connection.is_waiting = False
        connection.close()
    return Outcome(begun=begun, ended=ended, unanswered=unanswered)


async def mark_after(shared: Round, seconds: float) -> Mark:
    """A mark taken when so many seconds have passed, or the load has stopped by itself."""
    try:
        async with asyncio.timeout(seconds):
            await shared.stopped.wait()
    except TimeoutError:
        pass
    return take_mark(shared)


def summarise(shared: Round, outcome: Outcome) -> GeneratorResult:
    begun, ended = outcome.begun, outcome.ended
    ordered = array("Q", sorted(shared.latencies_us[begun.answers : ended.answers]))
    seconds = ended.seconds - begun.seconds
    below = [0] * (len(HISTOGRAM_BOUNDS_US) + 1)
    for latency_us in ordered:
        below[bisect_right(HISTOGRAM_BOUNDS_US, latency_us)] += 1
    statuses: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for (status, code), count in shared.outcomes.items():
        statuses[status.decode("ascii", "replace")] += count
        codes[code.decode("ascii", "replace")] += count
    return GeneratorResult(
        connections=shared.load.connections,
        measured_seconds=seconds,
        measured_answers=len(ordered),
        answers_per_second=len(ordered) / seconds if seconds > 0 else 0.0,
        p50_us=pick_quantile(ordered, 0.5),
        p99_us=pick_quantile(ordered, 0.99),
        p999_us=pick_quantile(ordered, 0.999),
        max_us=ordered[-1] if ordered else 0,
        histogram=list(zip((*HISTOGRAM_BOUNDS_US, None), below, strict=True)),
        answered=shared.outcomes.total(),
        accepted=len(shared.accepted),
        statuses=dict(statuses),
        codes=dict(codes),
        unanswered=outcome.unanswered,
        broken=shared.broken,
        ciphertexts_exhausted=shared.is_exhausted,
        cpu_us_per_request=(ended.cpu_seconds - begun.cpu_seconds) * 1e6 / max(1, len(ordered)),
    )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.generator", description=__doc__)
    for field in msgspec.structs.fields(Load):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=field.type,
            required=field.required,
            default=None if field.required else field.default,
        )
    parser.add_argument(
        "--fresh-ciphertexts", type=Path, help="a bearer a line, each used for one request"
    )
    parser.add_argument(
        "--accepted", type=Path, help="where to write the ThirdPartyConversationIDs accepted"
    )
    return parser


async def run_load(load: Load, *, bearers: list[str], are_fresh: bool) -> tuple[Round, Outcome]:
    shared = Round(load, bearers=bearers, are_fresh=are_fresh)
    return shared, await drive(shared)


def main() -> None:
    flags = vars(build_parser().parse_args())
    pool: Path | None = flags.pop("fresh_ciphertexts")
    accepted: Path | None = flags.pop("accepted")
    bearers = (sys.stdin.read() if pool is None else pool.read_text()).split()
    if not bearers:
        sys.exit("no bearer: give one on standard input, or a file with --fresh-ciphertexts")
    load = msgspec.convert(flags, type=Load)
    shared, outcome = uvloop.run(run_load(load, bearers=bearers, are_fresh=pool is not None))
    if accepted is not None:
        accepted.write_bytes(b"".join(identifier + b"\n" for identifier in shared.accepted))
    result = summarise(shared, outcome)
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main()
