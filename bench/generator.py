"""Asks how many requests a second a gateway answers, and how long they take.

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
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, perf_counter_ns

import msgspec
import uvloop

from bench.figures import pick_quantile
from bench.load import GeneratorResult, Load
from bench.wire import (
    CONVERSATION_ID_LENGTH,
    SESSION_ID,
    TRANSACTION_ID,
    build_request,
    build_session_request,
    find_value,
    parse_answer,
)

CONVERSATION_IDS_PER_BLOCK = 4096
OPENING_AT_ONCE_MAX = 32
HISTOGRAM_BOUNDS_US = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)


class Round:
    """One run of the load: makes the requests, counts the answers."""

    def __init__(
        self,
        load: Load,
        *,
        bearers: Sequence[str],
        are_fresh: bool,
        originals: list[bytes] | None = None,
        keeps_transactions: bool = False,
    ) -> None:
        """One bearer is used for every request, or each of them once; each of `originals`, where
        there are any, is reversed once.
        """
        self.head, self.between, self.before_identifier, self.after = build_request(load)
        prefixes = [self.head + bearer.encode() + self.between for bearer in bearers]
        self.prefix = prefixes[0]
        self.fresh_prefixes = prefixes if are_fresh else None
        self.session_bearers = [bearer.encode() for bearer in bearers] if are_fresh else []
        self.originals = originals
        self.transactions: list[bytes] | None = [] if keeps_transactions else None
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
                self.exhaust()
                return None
            prefix = self.fresh_prefixes.pop()
        if self.originals is None:
            drawn = self.numbers[int(random.random() * len(self.numbers))]
        elif self.originals:
            drawn = self.originals.pop()
        else:
            self.exhaust()
            return None
        return b"".join((prefix, drawn, self.before_identifier, identifier, self.after))

    def make_request_of(self, bearer: bytes, identifier: bytes) -> bytes:
        """A request that carries another bearer than the round's; always one, for it has begun."""
        number = self.numbers[int(random.random() * len(self.numbers))]
        parts = (self.head, bearer, self.between, number, self.before_identifier, identifier)
        return b"".join((*parts, self.after))

    def take_session_bearer(self) -> bytes | None:
        """A bearer to open a session with; None when the round is over."""
        if not self.session_bearers:
            self.exhaust()
            return None
        return self.session_bearers.pop()

    def exhaust(self) -> None:
        """End the round because what every request needs one of has run out."""
        self.is_exhausted = True
        self.stop()

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
        self.take(answer, data, now_ns)

    def take(self, answer: tuple[bytes, bytes], data: bytes, now_ns: int) -> None:
        """One whole answer; the next request follows it."""
        self.is_waiting = False
        shared = self.shared
        shared.latencies_us.append((now_ns - self.sent_at_ns) // 1000)
        shared.outcomes[answer] += 1
        # An answer to somebody else's payment would be a lost one and a doubled one.
        if answer == (b"201", b"INS-0") and self.identifier in data:
            shared.accepted.append(self.identifier)
            if shared.transactions is not None:
                shared.transactions.append(find_value(data, TRANSACTION_ID))
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


class SessionConnection(Connection):
    """Opens a session before each payment, with a bearer of its own; the two count as one."""

    def __init__(self, shared: Round, *, encrypt_session: Callable[[str], str]) -> None:
        super().__init__(shared)
        self.before_bearer, self.after_bearer = build_session_request(shared.load)
        self.encrypt_session = encrypt_session
        self.is_opening = False

    def send(self) -> None:
        shared = self.shared
        bearer = None if shared.is_stopping else shared.take_session_bearer()
        if bearer is None or self.transport is None:
            shared.retire()
            return
        self.is_waiting = self.is_opening = True
        self.sent_at_ns = perf_counter_ns()
        self.transport.write(b"".join((self.before_bearer, bearer, self.after_bearer)))

    def take(self, answer: tuple[bytes, bytes], data: bytes, now_ns: int) -> None:
        session = find_value(data, SESSION_ID) if self.is_opening else b""
        self.is_opening = False
        if not session or self.transport is None:
            # The payment's answer, or that of a session which was refused.
            super().take(answer, data, now_ns)
            return
        self.identifier = identifier = self.shared.make_identifier()
        bearer = self.encrypt_session(session.decode()).encode()
        self.transport.write(self.shared.make_request_of(bearer, identifier))


Connect = Callable[[Round], Connection]


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


async def open_connections(shared: Round, connect: Connect) -> list[Connection]:
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []
    while len(connections) < shared.load.connections:
        count = min(OPENING_AT_ONCE_MAX, shared.load.connections - len(connections))
        opened = await asyncio.gather(
            *(
                loop.create_connection(lambda: connect(shared), shared.load.host, shared.load.port)
                for _ in range(count)
            )
        )
        connections += [protocol for _, protocol in opened]
    return connections


async def drive(shared: Round, connect: Connect = Connection) -> Outcome:
    load = shared.load
    connections = await open_connections(shared, connect)
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
        pool_exhausted=shared.is_exhausted,
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
    parser.add_argument("--transactions", type=Path, help="where to write their TransactionIDs")
    parser.add_argument("--originals", type=Path, help="a TransactionID a line, each reversed once")
    parser.add_argument(
        "--session-key",
        type=Path,
        help="the public key: open a session for each payment, with a fresh ciphertext each",
    )
    return parser


def choose_connection(session_key: Path | None) -> Connect:
    """Those that pay, or those that open a session before they do."""
    if session_key is None:
        return Connection
    from bench.server import encrypt, load_public_key

    key = load_public_key(session_key.read_text())
    return lambda shared: SessionConnection(
        shared, encrypt_session=lambda session: encrypt(session, key)
    )


def write_lines(file: Path | None, lines: Sequence[bytes] | None) -> None:
    if file is not None:
        file.write_bytes(b"".join(line + b"\n" for line in lines or ()))


def main() -> None:
    flags = vars(build_parser().parse_args())
    files = ("fresh_ciphertexts", "accepted", "transactions", "originals", "session_key")
    pool, accepted, transactions, originals, session_key = (flags.pop(name) for name in files)
    bearers = (sys.stdin.read() if pool is None else pool.read_text()).split()
    if not bearers:
        sys.exit("no bearer: give one on standard input, or a file with --fresh-ciphertexts")
    shared = Round(
        msgspec.convert(flags, type=Load),
        bearers=bearers,
        are_fresh=pool is not None,
        originals=None if originals is None else originals.read_bytes().split(),
        keeps_transactions=transactions is not None,
    )
    outcome = uvloop.run(drive(shared, choose_connection(session_key)))
    write_lines(accepted, shared.accepted)
    write_lines(transactions, shared.transactions)
    sys.stdout.buffer.write(msgspec.json.encode(summarise(shared, outcome)) + b"\n")


if __name__ == "__main__":
    main()
