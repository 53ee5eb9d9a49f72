"""A small concurrent load of payments that remembers, for every request, how far it came.

Each thread is a merchant's program of its own that pays one payment after the other over one
connection, and connects again when that broke. Nothing is ever sent twice by itself.
"""

import itertools
import threading
from enum import Enum
from types import TracebackType
from typing import Self

import msgspec

from tests.e2e.http_client import NotSent, Unanswered
from tests.e2e.merchant import Answer, Merchant, Payment, make_reference
from tests.e2e.server import Credentials

_CONNECT_AGAIN_AFTER_S = 0.05
_UNAVAILABLE = 503
_JOIN_TIMEOUT_S = 90.0


class Fate(Enum):
    """How far a request came, as far as the one who made it knows."""

    NOT_SENT = "not sent"
    UNANSWERED = "unanswered"
    ANSWERED = "answered"


class Record(msgspec.Struct, frozen=True):
    """`answer` is there where the fate is ANSWERED."""

    payment: Payment
    fate: Fate
    answer: Answer | None = None


class Parties(msgspec.Struct, frozen=True):
    """Who pays whom; every combination comes about."""

    msisdns: tuple[str, ...]
    organisations: tuple[str, ...]


class Load:
    """Payments from `threads` merchants until the end of the context, or until `stop`."""

    def __init__(
        self,
        credentials: Credentials,
        bearer: str,
        parties: Parties,
        *,
        threads: int,
        pause_after_refusal_s: float = 0.0,
    ) -> None:
        """Whoever is refused for something of the server's tries something else after a pause."""
        self._credentials = credentials
        self._bearer = bearer
        self._payers = itertools.cycle(parties.msisdns)
        self._payees = itertools.cycle(parties.organisations)
        self._numbers = itertools.count(1)
        self._pause_after_refusal_s = pause_after_refusal_s
        self._changed = threading.Condition()
        self._records: list[Record] = []
        self._waiting: dict[int, str] = {}
        self._failures: list[BaseException] = []
        self._is_stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"load-{number}", daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_stopping.set()
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT_S)
        if error is None:
            assert not any(thread.is_alive() for thread in self._threads), "a request never ended"
            if self._failures:
                raise self._failures[0]

    def wait_for_answers(self, count: int, *, timeout_s: float = 60.0) -> None:
        """Wait until so many requests more than now have been answered."""
        with self._changed:
            target = self._count(Fate.ANSWERED) + count
            enough = self._changed.wait_for(
                lambda: self._count(Fate.ANSWERED) >= target or bool(self._failures), timeout_s
            )
        assert enough, f"there were not {count} answers within {timeout_s} s"
        assert not self._failures, self._failures

    def wait_for_waiting(self, msisdn: str, *, timeout_s: float = 60.0) -> None:
        """Wait until somebody's payment is on its way."""
        with self._changed:
            assert self._changed.wait_for(lambda: msisdn in self._waiting.values(), timeout_s)

    @property
    def records(self) -> list[Record]:
        """All requests that have ended."""
        with self._changed:
            return list(self._records)

    def _count(self, fate: Fate) -> int:
        return sum(record.fate == fate for record in self._records)

    def _draw_payment(self) -> Payment:
        with self._changed:
            return Payment(
                reference=make_reference(),
                msisdn=next(self._payers),
                organisation=next(self._payees),
                amount=1 + next(self._numbers) % 9,
            )

    def _run(self, number: int) -> None:
        merchant = Merchant(self._credentials, bearer=self._bearer)
        try:
            while not self._is_stopping.is_set():
                self._pay_one(merchant, number)
        except BaseException as failure:  # noqa: BLE001 - told to whoever runs the load
            with self._changed:
                self._failures.append(failure)
                self._changed.notify_all()
        finally:
            merchant.close()

    def _pay_one(self, merchant: Merchant, number: int) -> None:
        payment = self._draw_payment()
        with self._changed:
            self._waiting[number] = payment.msisdn
            self._changed.notify_all()
        try:
            record = Record(payment, Fate.ANSWERED, merchant.pay(payment))
        except NotSent:
            record = Record(payment, Fate.NOT_SENT)
        except Unanswered:
            record = Record(payment, Fate.UNANSWERED)
        with self._changed:
            del self._waiting[number]
            self._records.append(record)
            self._changed.notify_all()
        if record.fate is Fate.NOT_SENT:
            self._is_stopping.wait(_CONNECT_AGAIN_AFTER_S)
        if record.answer is not None and record.answer.http_status == _UNAVAILABLE:
            self._is_stopping.wait(self._pause_after_refusal_s)
