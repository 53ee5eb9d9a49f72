"""A bad network between a client and a gateway: a proxy process that loses, cuts and delays.

    with CuttingProxy(server.port, seed=1, keep=0.1) as proxy:
        ...                                 # a client is used at proxy.base_url
        proxy.let_everything_through()      # what was kept back has arrived then
    assert proxy.counts["kept"] > 0

For each request a seeded generator draws one fate, in the order of arrival:

    drop      the connection is closed, and the request never reaches the gateway
    cut       the gateway answers, and the connection is closed before a byte goes back
    cut_half  half of the answer goes back, then the connection is closed
    delay     the answer goes back up to `delay_ms_max` later
    keep      the connection is closed, and the request reaches the gateway after that: once the
              gateway has answered a status query about it, at the latest `late_ms_max` later
    pass      whatever is left of 1: nothing happens to it

A connection is closed in the ordinary way or reset, which is drawn too. For GET, which is sessions
and status queries, every probability is multiplied by `query_factor`. As a process:

    python -m tests.sdk.cutting_proxy --to 127.0.0.1:8080 --seed 1 --drop 0.05 …

prints its port; each line on standard input (`passing`, `cutting`, `to HOST:PORT`, `counts`) is
answered with the counts so far as a line of JSON. It ends with SIGTERM, or with its standard input,
and prints the counts again. They have the fates above in the past (`dropped`, `cut`, `cut_half`,
`delayed`, `kept`, `passed`), with `query_` in front for GET; `arrived_late` of those kept, and
`arrived_after_query` of these; `gateway_gone` where the gateway gave no answer, and `faults`, of
the proxy itself or where somebody does not speak HTTP.
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.sdk.http_stream import (
    HEAD_BYTES_MAX,
    BadMessage,
    Message,
    close,
    read_message,
    reset,
)

END_TIMEOUT_S = 20.0
LATE_ANSWER_TIMEOUT_S = 30.0
_ROOT = Path(__file__).parents[2]
_FATES = {
    "drop": "dropped",
    "cut": "cut",
    "cut_half": "cut_half",
    "delay": "delayed",
    "keep": "kept",
}
_PASSED = "passed"


class GatewayGone(Exception):
    """The gateway could not be reached, or closed the connection without a whole answer."""


class Upstream:
    """A connection to the gateway, kept between requests; opened again once it is over."""

    def __init__(self) -> None:
        self._place = ("", 0)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, place: tuple[str, int], request: Message) -> Message:
        """The gateway's answer. Raises `GatewayGone`; then the request may have arrived."""
        try:
            if self._reader is None or self._reader.at_eof() or self._place != place:
                await self.close()
                self._reader, self._writer = await asyncio.open_connection(
                    *place, limit=HEAD_BYTES_MAX
                )
                self._place = place
            assert self._writer is not None
            self._writer.write(request.content)
            await self._writer.drain()
            answer = await read_message(self._reader)
        except (OSError, EOFError) as error:
            await self.close()
            raise GatewayGone(repr(error)) from error
        if answer is None:
            await self.close()
            raise GatewayGone("closed without an answer")
        if answer.is_last:
            await self.close()
        return answer

    async def close(self) -> None:
        if self._writer is not None:
            await close(self._writer)
        self._reader = self._writer = None


class Proxy:
    """The proxy within its process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.counts: Counter[str] = Counter()
        self._place = read_place(options.to)
        self._options = options
        self._random = random.Random(options.seed)
        self._passes = False
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._kept: dict[asyncio.Task[None], tuple[str, asyncio.Event]] = {}

    async def run(self) -> None:
        """Until SIGTERM, or the end of standard input."""
        loop = asyncio.get_running_loop()
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
        tell(listener.sockets[0].getsockname()[1])
        obeying = asyncio.create_task(self._obey())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, obeying.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await obeying
        listener.close()
        tasks = [*self._open, *self._kept]
        for writer in self._open.values():
            writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tell(self.counts)

    async def _obey(self) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        try:
            while line := await reader.readline():
                match line.decode().split():
                    case ["passing"]:
                        self._passes = True
                        await self._deliver_all()
                    case ["cutting"]:
                        self._passes = False
                    case ["to", place]:
                        self._place = read_place(place)
                    case ["counts"]:
                        pass
                    case _:
                        raise SystemExit(f"not understood: {line!r}")
                tell(self.counts)
        finally:
            transport.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = Upstream()
        try:
            while request := await read_message(reader):
                if not await self._treat(request, upstream, writer) or request.is_last:
                    return
        except GatewayGone:
            self.counts["gateway_gone"] += 1
        except (OSError, EOFError):
            pass  # The client has gone.
        except Exception as fault:  # noqa: BLE001 - whatever it is, a test has to learn of it
            self.counts["faults"] += 1
            sys.stderr.write(f"{fault!r}\n")
        finally:
            await close(writer)
            await upstream.close()

    async def _treat(
        self, request: Message, upstream: Upstream, writer: asyncio.StreamWriter
    ) -> bool:
        """Let a request have its fate; whether the connection goes on."""
        method, target = request.split_request_line()
        fate, share, is_reset = self._draw_fate(method)
        self._count(method, _FATES.get(fate, _PASSED))
        if fate == "drop":
            return self._end(writer, is_reset)
        if fate == "keep":
            self._keep(request, share, is_reset, writer)
            return False
        answer = await upstream.ask(self._place, request)
        self._deliver_asked_for(target)
        if fate == "cut":
            return self._end(writer, is_reset)
        if fate == "cut_half":
            writer.write(answer.content[: len(answer.content) // 2])
            await writer.drain()
            return self._end(writer, is_reset)
        if fate == "delay":
            await asyncio.sleep(share * self._options.delay_ms_max / 1000)
        writer.write(answer.content)
        await writer.drain()
        return not answer.is_last

    def _draw_fate(self, method: str) -> tuple[str, float, bool]:
        """The fate, a share of 1 for its time, and whether a connection that ends is reset."""
        drawn, share, is_reset = (self._random.random() for _ in range(3))
        factor = self._options.query_factor if method == "GET" else 1.0
        if not self._passes:
            for fate in _FATES:
                drawn -= getattr(self._options, fate) * factor
                if drawn < 0:
                    return fate, share, is_reset < 0.5
        return "", share, False

    def _count(self, method: str, what: str) -> None:
        self.counts[f"query_{what}" if method == "GET" else what] += 1

    def _end(self, writer: asyncio.StreamWriter, is_reset: bool) -> bool:
        if is_reset:
            reset(writer)
        return False

    # --- what is kept back -----------------------------------------------------------------------

    def _keep(
        self, request: Message, share: float, is_reset: bool, writer: asyncio.StreamWriter
    ) -> None:
        self._end(writer, is_reset)
        due = asyncio.Event()
        late_s = share * self._options.late_ms_max / 1000
        task = asyncio.create_task(self._deliver_late(request, late_s, due, writer))
        self._kept[task] = (find_reference(request), due)
        task.add_done_callback(self._kept.pop)

    async def _deliver_late(
        self, request: Message, late_s: float, due: asyncio.Event, writer: asyncio.StreamWriter
    ) -> None:
        # Only then may it arrive: its client has been told that there is no answer.
        await close(writer)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(due.wait(), late_s)
        upstream = Upstream()
        try:
            await asyncio.wait_for(upstream.ask(self._place, request), LATE_ANSWER_TIMEOUT_S)
        except (GatewayGone, TimeoutError):
            self.counts["gateway_gone"] += 1
        except BadMessage as fault:
            self.counts["faults"] += 1
            sys.stderr.write(f"{fault!r}\n")
        else:
            self.counts["arrived_late"] += 1
        finally:
            await upstream.close()

    def _deliver_asked_for(self, target: str) -> None:
        """Have those arrive of which a client was just told that there is nothing yet."""
        for reference in parse_qs(urlsplit(target).query).get("input_QueryReference", []):
            for kept_reference, due in self._kept.values():
                if kept_reference == reference and not due.is_set():
                    self.counts["arrived_after_query"] += 1
                    due.set()

    async def _deliver_all(self) -> None:
        for _, due in self._kept.values():
            due.set()
        await asyncio.gather(*self._kept)


def find_reference(request: Message) -> str:
    """A payment's ThirdPartyConversationID; empty if it has none."""
    try:
        values = json.loads(request.body)
    except ValueError:
        return ""
    return str(values.get("input_ThirdPartyConversationID", ""))


def read_place(text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def tell(what: Any) -> None:
    """One line of JSON on standard output, at once."""
    sys.stdout.write(f"{json.dumps(what, sort_keys=True)}\n")
    sys.stdout.flush()


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--seed", type=int, required=True)
    for fate in _FATES:
        parser.add_argument(f"--{fate.replace('_', '-')}", type=float, default=0.05)
    parser.add_argument("--query-factor", type=float, default=0.3)
    parser.add_argument("--delay-ms-max", type=int, default=200)
    parser.add_argument("--late-ms-max", type=int, default=2_000)
    return parser.parse_args(arguments)


class CuttingProxy:
    """The proxy as a process of its own, on 127.0.0.1. Not for several threads.

    `options` are the command's: `CuttingProxy(port, seed=1, cut_half=0.2, delay_ms_max=50)`.
    `counts` are complete once it is left.
    """

    def __init__(self, target_port: int, seed: int, **options: float) -> None:
        self.port = 0
        self.counts: Counter[str] = Counter()
        self._command = [
            *(sys.executable, "-m", "tests.sdk.cutting_proxy"),
            *("--to", f"127.0.0.1:{target_port}", "--seed", str(seed)),
        ]
        for name, value in options.items():
            self._command += [f"--{name.replace('_', '-')}", str(value)]
        self._process: subprocess.Popen[str] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        # A session of its own: Ctrl-C at the terminal reaches it through these tests alone.
        self._process = subprocess.Popen(
            self._command,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self.port = int(self._read_line())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        output = self._stop()
        if error is None:
            self.counts = Counter(json.loads(output.splitlines()[-1]))
            assert not self.counts["faults"], self.counts

    def let_everything_through(self) -> None:
        """From now on nothing is lost; returns once what was kept back has been answered."""
        self._tell("passing")

    def cut_again(self) -> None:
        """The end of `let_everything_through`."""
        self._tell("cutting")

    def lead_to(self, port: int) -> None:
        """For a gateway that was started again, at another port of 127.0.0.1."""
        self._tell(f"to 127.0.0.1:{port}")

    def read_counts(self) -> Counter[str]:
        """What was done so far."""
        self._tell("counts")
        return self.counts

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the proxy was not started"
        return self._process

    def _tell(self, line: str) -> None:
        assert self._running.stdin is not None
        self._running.stdin.write(f"{line}\n")
        self._running.stdin.flush()
        self.counts = Counter(json.loads(self._read_line()))

    def _read_line(self) -> str:
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        assert line, f"the proxy ended with {self._running.wait(END_TIMEOUT_S)}"
        return line

    def _stop(self) -> str:
        """What it printed last."""
        self._running.terminate()
        try:
            output, _ = self._running.communicate(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.communicate()
            raise
        return output


if __name__ == "__main__":
    asyncio.run(Proxy(parse_options()).run())
