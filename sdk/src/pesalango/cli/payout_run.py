"""The payouts of a file, made by a bounded number of tasks that can be stopped at any moment.

What is certain is in the journal, under the keys of the rows; here is only who does what next.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pesalango._answers import Reply
from pesalango._async_client import AsyncClient
from pesalango._catalog import OPERATIONS
from pesalango._errors import (
    AuthenticationError,
    CallError,
    InvalidRequestError,
    JournalError,
    KeyReusedError,
    NotSentError,
    PaymentRefusedError,
    PaymentUnsettledError,
    PesalangoError,
    UnavailableError,
)
from pesalango._flow import Send, fill_in
from pesalango._intents import Intent, Payment
from pesalango._settlement import check_same, utc_now
from pesalango.cli.payouts_file import Faults, Row
from pesalango.cli.report import Outcome

_OPERATION: Final = OPERATIONS["b2c_payment"]
_FINDS_AT_A_TIME: Final = 1000
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_PAYMENTS_PER_REQUEST: Final = 2
"""One is with the gateway while the other is with the journal's disk."""
_WAITING_PER_TASK_MAX: Final = 4
"""Rows that wait for another attempt; while there are more, no new row is begun."""


class BoundedClient(AsyncClient):
    """At most so many requests at a time, however many payments are under way.

    While as many wait for an answer, others are written down by the journal: its disk does not
    hold up the gateway.
    """

    def __init__(self, *, requests_max: int, **options: Any) -> None:
        super().__init__(**options)
        self._places = asyncio.Semaphore(requests_max)

    async def _send(self, send: Send) -> Reply:
        async with self._places:
            return await super()._send(send)


async def look_up(client: AsyncClient, rows: Sequence[Row], faults: Faults) -> list[Payment | None]:
    """What the journal has of each row. A key that belongs to another payment is a fault.

    Raises `JournalError`.
    """
    found: list[Payment | None] = []
    names = {wire_name: name for name, wire_name in _OPERATION.fields.items()}
    journal, digest = client.payments.journal, client._platform.digest  # noqa: SLF001
    for first in range(0, len(rows), _FINDS_AT_A_TIME):
        some = rows[first : first + _FINDS_AT_A_TIME]
        intents = await asyncio.gather(*[journal.find(digest, row.key) for row in some])
        for row, intent in zip(some, intents, strict=True):
            found.append(Payment.of(intent) if intent else None)
            if intent is None:
                continue
            try:
                check_same(_mean(client, row), intent)
            except KeyReusedError as error:
                differing = ", ".join(names.get(name, name) for name in error.names)
                faults.add(
                    row.line,
                    "key",
                    f"belongs to another payment in the journal, which differs in {differing}; a row that "
                    "was refused and corrected needs a new key, that row alone",
                )
    return found


def _mean(client: AsyncClient, row: Row) -> Intent:
    platform = client._platform  # noqa: SLF001
    return Intent(
        platform=platform.digest,
        key=row.key,
        sender=platform.sender,
        operation=_OPERATION.name,
        body=fill_in(platform, _OPERATION, row.list_values(), None),
        created_at=utc_now(),
    )


class PayoutRun:
    """One go at the rows that are neither completed nor refused yet."""

    def __init__(
        self,
        client: AsyncClient,
        rows: Sequence[Row],
        known: Sequence[Payment | None],
        *,
        concurrency: int,
        within_s: float,
    ) -> None:
        self.outcomes: list[Outcome | None] = [
            Outcome.of(payment) if payment and payment.state != "open" else None
            for payment in known
        ]
        """By row; None where it was not come to."""
        self.done_count = sum(outcome is not None for outcome in self.outcomes)
        self.stopped_by: PesalangoError | None = None
        """Why none of the rest would fare better."""
        self._rows = rows
        self._payments = client.payments
        self._within_s = within_s
        self._fresh: Iterator[int] = iter(
            [index for index, outcome in enumerate(self.outcomes) if outcome is None]
        )
        self._sending: set[int] = set()
        self._concurrency = concurrency
        self._waiting_places = asyncio.Semaphore(concurrency * _WAITING_PER_TASK_MAX)
        self._waiting: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._answered_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def is_stopping(self) -> bool:
        """Nothing new is begun any more."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Begin nothing new; what is being sent is brought to its end."""
        self._stopping.set()

    def break_off(self) -> None:
        """Let go of what is being sent; the journal has it."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()

    async def pay(self) -> None:
        """Go through the rows. Afterwards each that was begun has its outcome."""
        self._task = asyncio.ensure_future(self._pay_all())
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        # Let go of, by Ctrl-C or by what nobody foresaw: the journal knows.
        for index in list(self._sending):
            self.outcomes[index] = await self._find_out(index)

    async def _pay_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency * _PAYMENTS_PER_REQUEST):
                    group.create_task(self._work())
            # Those that wait are woken by `stop` too.
            while self._waiting:
                await asyncio.wait(self._waiting)
        finally:
            for task in self._waiting:
                task.cancel()
            if self._waiting:
                await asyncio.wait(self._waiting)

    async def _work(self) -> None:
        for index in self._fresh:
            if self._stopping.is_set():
                return
            until = time.monotonic() + self._within_s
            problem = await self._attempt(index, until)
            if problem is None:
                continue
            await self._waiting_places.acquire()
            task = asyncio.create_task(self._attempt_again(index, until, problem))
            self._waiting.add(task)
            task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._waiting.discard(task)
        self._waiting_places.release()

    async def _attempt_again(self, index: int, until: float, problem: CallError) -> None:
        """A row of which nothing is recorded: again, after growing pauses, until its time is up."""
        began_at = until - self._within_s
        pauses = iter(_PAUSES_S)
        while True:
            pause_s = next(pauses, _PAUSES_S[-1]) * (0.5 + secrets.randbelow(1000) / 1000)
            pause_s = max(pause_s, min(problem.retry_after_s or 0.0, _PAUSES_S[-1]))
            if time.monotonic() + pause_s > until:
                break
            if await self._is_stopped_within(pause_s):
                self._record(index, _leave_unpaid(problem))
                return
            again = await self._attempt(index, until)
            if again is None:
                return
            problem = again
        self._record(index, _leave_unpaid(problem))
        if self._answered_at < began_at:
            self._give_up(problem)

    async def _is_stopped_within(self, pause_s: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return False
        return True

    async def _attempt(self, index: int, until: float) -> CallError | None:
        """One call. Keeps the row's outcome, or returns why there is none yet and nothing recorded."""
        self._sending.add(index)
        row = self._rows[index]
        try:
            payment = await self._payments.pay_out(
                key=row.key,
                amount=row.amount,
                customer_msisdn=row.customer_msisdn,
                service_provider_code=row.service_provider_code,
                transaction_reference=row.transaction_reference,
                payment_items_description=row.payment_items_description,
                within=max(until - time.monotonic(), 0.001),
            )
            outcome = Outcome.of(payment)
        except PaymentRefusedError as error:
            outcome = Outcome.of(error.payment)
        except PaymentUnsettledError as error:
            outcome = Outcome.of(error.payment)
        except (UnavailableError, NotSentError) as error:
            self._sending.discard(index)
            return error
        except InvalidRequestError as error:
            # Nothing is recorded, and the journal has let go of it.
            outcome = _leave_unpaid(error)
        except AuthenticationError as error:
            outcome = _leave_unpaid(error)
            self._give_up(error)
        except CallError as error:
            outcome = Outcome(
                state="open" if error.may_have_moved_money else "refused",
                code=error.code or "",
                text=error.text,
                third_party_conversation_id=error.third_party_conversation_id or "",
            )
        except KeyReusedError as error:
            outcome = Outcome(state="unpaid", text=str(error))
        except JournalError as error:
            # It may have kept the intent, and the payment may have been sent after that.
            outcome = Outcome(state="open", text=str(error))
            self._give_up(error)
        self._sending.discard(index)
        self._record(index, outcome)
        if outcome.state in {"completed", "refused"}:
            self._answered_at = time.monotonic()
        return None

    def _record(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self.done_count += 1

    def _give_up(self, error: PesalangoError) -> None:
        if self.stopped_by is None:
            self.stopped_by = error
        self._stopping.set()

    async def _find_out(self, index: int) -> Outcome:
        """Of a row that was let go of: what the journal has."""
        try:
            payment = await self._payments.find(self._rows[index].key)
        except JournalError as error:
            return Outcome(state="open", text=str(error))
        if payment is None:
            return Outcome(state="unpaid", text="interrupted before it was sent")
        return Outcome.of(payment, text="interrupted")


def _leave_unpaid(error: CallError) -> Outcome:
    return Outcome(state="unpaid", code=error.code or "", text=error.text)
