"""Many callers at once against one server or several, and the history of all their requests.

    load = ConcurrentLoad(ports, bearers, Workload(world, seed=1))
    history = load.run(requests=3_000, interruptions=[Interruption(after=1_000, do=kill)])

Every caller has one connection, which is kept until it breaks, or until the caller loses patience
and cuts it: before all of a request has left, at once after, or a moment later. A caller whose
connection is refused goes to the next server. Nothing is ever sent twice by itself.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from tests.e2e.merchant import COUNTRY, CURRENCY, ENVIRONMENT, MARKET
from tests.history.shapes import (
    NO_TRANSACTION,
    Answer,
    Ask,
    Operation,
    Question,
    Request,
    write_money,
)
from tests.history.workload import Draft, Inquiry, Workload

ANSWER_TIMEOUT_S = 30.0
SERVER_TIMEOUT_S = 30.0
PATIENCE_MAX_S = 0.02
INQUIRIES_SHARE = 0.15
"""Of all requests, so many are followed by a status query."""

_CONNECT_AGAIN_AFTER_S = 0.02
_ROOT = f"/{ENVIRONMENT}/ipg/v2/{MARKET}"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


class Interruption(msgspec.Struct, frozen=True):
    """Something that happens, in a thread, once so many requests have been drawn."""

    after: int
    do: Callable[[], None]


class _Connection(msgspec.Struct):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def cut(self) -> None:
        """Without a farewell, whatever is under way."""
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class ConcurrentLoad:
    """`ports` are those of the servers, `bearers` the sessions by application.

    Of every connection's requests `cut_share` is not answered for want of patience.
    """

    def __init__(
        self,
        ports: Sequence[int],
        bearers: dict[int, str],
        workload: Workload,
        *,
        connections: int = 64,
        cut_share: float = 0.05,
        first_number: int = 1,
        seed: int = 1,
    ) -> None:
        self._ports = list(ports)
        self._bearers = bearers
        self._workload = workload
        self._connections = connections
        self._cut_share = cut_share
        self._first_number = first_number
        self._random = random.Random(seed)
        self._luck = random.Random(-seed)
        self.questions: list[Question] = []
        """Those that were answered, beside the history that `run` gives."""
        self._left = 0
        self._drawn = 0
        self._is_drawn = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Event]] = []
        self._history: list[Request] = []

    def run(self, *, requests: int, interruptions: Sequence[Interruption] = ()) -> list[Request]:
        """All requests, each with what its caller knows of it. Raises what an interruption does."""
        asyncio.run(self._run(requests, interruptions))
        return self._history

    async def _run(self, requests: int, interruptions: Sequence[Interruption]) -> None:
        self._left = requests
        async with asyncio.TaskGroup() as group:
            for interruption in interruptions:
                reached = asyncio.Event()
                self._waiting.append((interruption.after, reached))
                group.create_task(self._interrupt(reached, interruption.do))
            for number in range(self._connections):
                group.create_task(self._call(number))

    async def _interrupt(self, reached: asyncio.Event, do: Callable[[], None]) -> None:
        await reached.wait()
        await asyncio.to_thread(do)

    # -- one caller ------------------------------------------------------------------------

    async def _call(self, number: int) -> None:
        connection: _Connection | None = None
        place = number
        try:
            while self._left > 0:
                if connection is None:
                    connection, place = await self._connect(place)
                if not (
                    await self._ask(connection, self._draw()) and await self._inquire(connection)
                ):
                    await connection.cut()
                    connection = None
        finally:
            if connection is not None:
                await connection.cut()

    def _draw(self) -> Draft:
        self._left -= 1
        self._drawn += 1
        for after, reached in self._waiting:
            if self._drawn >= after:
                reached.set()
        if self._left <= 0:
            self._is_drawn.set()
        return self._workload.draw()

    async def _connect(self, place: int) -> tuple[_Connection, int]:
        """To the server of `place`, or of the next place where there is one; and that place."""
        until_s = time.monotonic() + SERVER_TIMEOUT_S
        is_told = False
        while True:
            port = self._ports[place % len(self._ports)]
            try:
                return _Connection(*await asyncio.open_connection("127.0.0.1", port)), place
            except OSError:
                if time.monotonic() > until_s:
                    raise
            place += 1
            if not is_told and self._left > 0:
                # Whoever had something to send then could not.
                is_told = True
                self._note(self._draw(), time.monotonic(), None, is_sent=False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_drawn.wait(), _CONNECT_AGAIN_AFTER_S)

    async def _inquire(self, connection: _Connection) -> bool:
        """A status query now and then; whether the connection may be used for another request."""
        if self._luck.random() > INQUIRIES_SHARE:
            return True
        inquiry = self._workload.draw_inquiry(self._luck)
        if inquiry is None:
            return True
        sent_s = time.monotonic()
        connection.writer.write(self._write_inquiry(inquiry))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                values = await _read_values(connection.reader)
        except (OSError, EOFError):
            return False
        self.questions.append(
            Question(
                len(self.questions) + 1,
                inquiry.application,
                inquiry.reference,
                sent_s,
                time.monotonic(),
                values["output_ResponseCode"],
                values.get("output_ResponseTransactionStatus", ""),
                values.get("output_OriginalTransactionID", NO_TRANSACTION),
                values.get("output_Reversed") == "True",
            )
        )
        return True

    def _write_inquiry(self, inquiry: Inquiry) -> bytes:
        values = {
            "input_QueryReference": inquiry.reference,
            "input_ServiceProviderCode": inquiry.organisation,
            "input_ThirdPartyConversationID": f"{self._luck.getrandbits(128):032x}",
            "input_Country": COUNTRY,
        }
        return (
            f"GET {_ROOT}/queryTransactionStatus/?{urlencode(values)} HTTP/1.1\r\n"
            "Host: localhost\r\nOrigin: *\r\n"
            f"Authorization: Bearer {self._bearers[inquiry.application]}\r\n\r\n"
        ).encode()

    async def _ask(self, connection: _Connection, draft: Draft) -> bool:
        """One request; whether the connection may be used for another."""
        content = self._write(draft)
        luck = self._random.random() / self._cut_share
        sent_s = time.monotonic()
        if luck < 0.2:
            # What arrived in part cannot be carried out.
            connection.writer.write(content[: len(content) - self._random.randint(1, 60)])
            self._note(draft, sent_s, None, is_sent=False)
            return False
        connection.writer.write(content)
        patience_s = ANSWER_TIMEOUT_S
        if luck < 1:
            patience_s = 0 if luck < 0.4 else self._random.uniform(0, PATIENCE_MAX_S)
        try:
            async with asyncio.timeout(patience_s):
                answer = await _read_answer(connection.reader)
        except (OSError, EOFError, TimeoutError) as broken:
            if isinstance(broken, TimeoutError) and patience_s == ANSWER_TIMEOUT_S:
                raise
            self._note(draft, sent_s, None)
            return False
        self._note(draft, sent_s, answer)
        return True

    def _note(
        self, draft: Draft, sent_s: float, answer: Answer | None, *, is_sent: bool = True
    ) -> None:
        self._workload.end(draft, answer)
        self._history.append(
            Request(
                self._first_number + len(self._history),
                draft.ask,
                draft.reference,
                sent_s,
                time.monotonic(),
                answer,
                is_sent,
            )
        )

    def _write(self, draft: Draft) -> bytes:
        method, path, values = _make_parts(draft.ask)
        values["input_Country"] = COUNTRY
        values["input_ThirdPartyConversationID"] = draft.reference
        body = _encode(values)
        head = (
            f"{method} {_ROOT}/{path}/ HTTP/1.1\r\nHost: localhost\r\nOrigin: *\r\n"
            f"Authorization: Bearer {self._bearers[draft.ask.application]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def _make_parts(ask: Ask) -> tuple[str, str, dict[str, Any]]:
    """Method, path and what is the operation's own of the body."""
    amount = write_money(ask.amount_minor)
    if ask.operation is Operation.REVERSAL:
        values = {
            "input_TransactionID": ask.counterparty,
            "input_ServiceProviderCode": ask.organisation,
        }
        if ask.amount_minor:
            values["input_ReversalAmount"] = amount
        return "PUT", "reversal", values
    values = {
        "input_Amount": amount,
        "input_Currency": CURRENCY,
        "input_TransactionReference": "T1",
    }
    if ask.operation is Operation.B2B:
        values["input_PrimaryPartyCode"] = ask.organisation
        values["input_ReceiverPartyCode"] = ask.counterparty
        values["input_PurchasedItemsDesc"] = "Flour"
        return "POST", "b2bPayment", values
    values["input_ServiceProviderCode"] = ask.organisation
    values["input_CustomerMSISDN"] = ask.counterparty
    if ask.operation is Operation.B2C:
        values["input_PaymentItemsDesc"] = "Refund"
        return "POST", "b2cPayment", values
    values["input_PurchasedItemsDesc"] = "Tea"
    return "POST", "c2bPayment/singleStage", values


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    """Raises `OSError` or `EOFError` where the connection breaks first."""
    values = await _read_values(reader)
    return Answer(
        values["output_ResponseCode"],
        values["output_TransactionID"],
        values["output_ConversationID"],
    )


async def _read_values(reader: asyncio.StreamReader) -> dict[str, str]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            length = int(value)
    values = _decode(await reader.readexactly(length))
    assert "output_ResponseCode" in values, (head, values)
    return values
