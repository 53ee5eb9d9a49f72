"""Many connections that are kept, each with several requests on their way at once."""

import asyncio
import contextlib
import json
import re
from collections import Counter
from typing import cast

import uvloop

from tests.api.hostile_requests import Expectation, Sent, Traffic
from tests.unit.http_server import Reply

LANES = 12
SHATTERED_LANES = 24
SHATTERED_EVERY = 40
"""One request in so many has damaged bytes anywhere, on a connection of its own."""

BURSTS = (1, 1, 1, 2, 4, 8)
ANSWER_TIMEOUT_S = 10.0
FAULTS_MAX = 20

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One connection; `exchange` sends bytes and waits for answers."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._replies: list[Reply] = []
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio has it."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        self._received += data
        while (reply := self._take_reply()) is not None:
            self._replies.append(reply)
        if len(self._replies) >= self._wanted:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """As asyncio has it."""
        self.is_open = False
        self._gone.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take_reply(self) -> Reply | None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._received[: end + 2])
        length = _LENGTH.search(head)
        assert length is not None, head
        whole = end + 4 + int(length[1])
        if len(self._received) < whole:
            return None
        body = bytes(self._received[end + 4 : whole])
        del self._received[:whole]
        line, *rest = head.decode("latin-1").removesuffix("\r\n").split("\r\n")
        pairs = (row.partition(":") for row in rest)
        headers = [(name, value.strip()) for name, _, value in pairs]
        return Reply(int(line[9:12]), headers, body)

    async def exchange(self, pieces: list[bytes], *, wanted: int) -> list[Reply]:
        """The answers that came: `wanted` of them, or as many as came before the end."""
        assert self._transport is not None
        self._replies, self._wanted = [], wanted
        self._waiter = asyncio.get_running_loop().create_future()
        for piece in pieces:
            self._transport.write(piece)
        if self.is_open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await self._waiter
        return self._replies

    async def close(self) -> None:
        """Leave, and wait until that is done."""
        if self._transport is not None:
            self._transport.abort()
            await self._gone


class Run:
    """Sends so many requests, and judges every answer."""

    def __init__(self, port: int, traffic: Traffic) -> None:
        self._port = port
        self._traffic = traffic
        self._left = 0
        self.answers: Counter[tuple[str, int, str]] = Counter()
        """By operation (empty: none), status and code (empty: none)."""
        self.faults: list[str] = []

    def send(self, requests: int) -> None:
        """Blocks until all are answered; what was wrong is in `faults`."""
        self._left = requests
        uvloop.run(self._drive(requests))

    async def _drive(self, requests: int) -> None:
        shattered = requests // SHATTERED_EVERY
        self._left -= shattered
        share, rest = divmod(shattered, SHATTERED_LANES)
        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(self._run_lane())
            for number in range(SHATTERED_LANES):
                group.create_task(self._run_shattered(share + (number < rest)))

    async def _connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection, "127.0.0.1", self._port
        )
        return connection

    async def _run_lane(self) -> None:
        while self._goes_on():
            connection = await self._connect()
            try:
                await self._run_connection(connection)
            finally:
                await connection.close()

    def _goes_on(self) -> bool:
        return self._left > 0 and len(self.faults) < FAULTS_MAX

    async def _run_connection(self, connection: Connection) -> None:
        while self._goes_on() and connection.is_open:
            batch = self._draw_batch()
            replies = await connection.exchange(self._cut(batch), wanted=len(batch))
            self._judge(batch, replies)
            if batch[-1].ends:
                return

    def _draw_batch(self) -> list[Sent]:
        size = min(BURSTS[int(self._traffic.draw_share() * len(BURSTS))], self._left)
        batch: list[Sent] = []
        while len(batch) < size and not (batch and batch[-1].ends):
            batch.append(self._traffic.draw())
        self._left -= len(batch)
        return batch

    def _cut(self, batch: list[Sent]) -> list[bytes]:
        """All the bytes at once, one request at a time, or cut anywhere."""
        data = b"".join(sent.data for sent in batch)
        share = self._traffic.draw_share()
        if share < 0.5:
            return [data]
        if share < 0.75:
            return [sent.data for sent in batch]
        place = int(self._traffic.draw_share() * len(data))
        return [data[:place], data[place:]]

    def _judge(self, batch: list[Sent], replies: list[Reply]) -> None:
        if len(replies) != len(batch):
            self._blame(batch[len(replies)], None, f"{len(batch) - len(replies)} not answered")
        for sent, reply in zip(batch, replies, strict=False):
            self._count(sent.expectation, reply)
            fault = sent.expectation.judge(reply)
            if fault:
                self._blame(sent, reply, fault)
            elif sent.remember is not None:
                sent.remember(json.loads(reply.body))

    async def _run_shattered(self, requests: int) -> None:
        for _ in range(requests):
            sent = self._traffic.draw_shattered()
            connection = await self._connect()
            try:
                # More than there can be: until the server ends the connection.
                replies = await connection.exchange([sent.data], wanted=1_000)
                if connection.is_open:
                    self._blame(sent, replies[-1] if replies else None, "never ended")
            finally:
                await connection.close()
            for reply in replies:
                self._count(sent.expectation, reply)
                fault = sent.expectation.judge(reply)
                if fault:
                    self._blame(sent, reply, fault)

    def _count(self, expectation: Expectation, reply: Reply) -> None:
        found = re.search(rb'"output_ResponseCode":"([^"]*)"', reply.body)
        code = found[1].decode() if found else ""
        self.answers[expectation.operation or "", reply.status, code] += 1

    def _blame(self, sent: Sent, reply: Reply | None, fault: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(f"{sent.kind}: {fault}\n  sent {sent.data!r:.1500}\n  got {reply}")
