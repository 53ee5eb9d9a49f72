"""Payments that wait for their customers: whose callers wait for them, and what falls due."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final

import msgspec

from pesalango_server.engine.engine import Engine
from pesalango_server.kernel.clock import Clock
from pesalango_server.kernel.message import Command, Fault, PaymentOutcome
from pesalango_server.ledger.model import Answer
from pesalango_server.ledger.statuses import FINAL_STATES, State
from pesalango_server.ledger.store import FIND_DUE_PROMPTS, FIND_NEXT_DUE, LOAD_STANDINGS
from pesalango_server.payments.commands import AnswerPrompt, ExpirePrompt, TakeC2b
from pesalango_server.payments.prompts import WRONG_PINS_MAX
from pesalango_server.storage.database import Read

ASK_ELSEWHERE_MS = 200
"""How often one engine asks for all its waiting callers whether another engine decided."""

TAKE_OVER_AFTER_MS = 1_000
"""How long after its time a prompt that another engine recorded is ended by this one."""

_DUE_MAX = 500
_PENDING: Final = State.PENDING
_RETRY_FIRST_MS = 500
_RETRY_MAX_MS = 60_000

_decode_rows = msgspec.json.Decoder(list[tuple[Any, ...]]).decode

Key = tuple[int, int]
"""Ledger and id of a payment."""


@dataclass(slots=True)
class Waiter:
    """A caller who waits for a payment's last state; `until_ms` is monotonic time."""

    channel: Any
    number: int
    until_ms: int


@dataclass(slots=True)
class _Retry:
    not_before_ms: int
    pause_ms: int


class Waiting:
    """What an environment's engine keeps in memory about prompts; the database has the truth.

    After a restart the memory is empty and the prompts go on: they fall due by their rows.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._waiters: dict[Key, Waiter] = {}
        self._own: set[Key] = set()
        self._in_flight: set[Key] = set()
        self._retries: dict[Key, _Retry] = {}
        # (end of the caller's wait, payment), earliest first; some have been decided meanwhile.
        self._ends: list[tuple[int, Key]] = []
        self._look_at_ms = 0
        self._ask_at_ms = 0

    def __len__(self) -> int:
        return len(self._waiters)

    @staticmethod
    def waits_for(command: Command, outcome: Any) -> bool:
        """Whether a further outcome follows this one."""
        return (
            isinstance(command, TakeC2b)
            and isinstance(outcome, PaymentOutcome)
            and outcome.state == _PENDING
        )

    def note_outcome(
        self, command: Command, outcome: Any, *, channel: Any, number: int
    ) -> Waiter | None:
        """Take notice of an outcome; the waiter whose payment reached its last state, if any."""
        if isinstance(command, TakeC2b):
            if self.waits_for(command, outcome):
                key = (command.ledger, outcome.payment)
                self._own.add(key)
                until_ms = self._clock.monotonic_ms() + command.wait_ms
                self._waiters[key] = Waiter(channel, number, until_ms)
                heappush(self._ends, (until_ms, key))
                self._look_at_ms = 0
            return None
        if not isinstance(command, AnswerPrompt | ExpirePrompt):
            return None
        key = (command.ledger, command.payment)
        self._in_flight.discard(key)
        if channel is None and isinstance(outcome, Fault):
            self._put_off(key)
        if not isinstance(outcome, PaymentOutcome):
            return None
        self._look_at_ms = 0
        if outcome.state == _PENDING:
            if channel is None:
                # It is due by this machine's clock and not yet by the database's.
                self._put_off(key)
            return None
        self._retries.pop(key, None)
        self._own.discard(key)
        return self._waiters.pop(key, None)

    def _put_off(self, key: Key) -> None:
        """A decision that faulted, or came too early, is tried again after growing pauses."""
        known = self._retries.get(key)
        pause_ms = min(known.pause_ms * 2, _RETRY_MAX_MS) if known else _RETRY_FIRST_MS
        self._retries[key] = _Retry(self._clock.monotonic_ms() + pause_ms, pause_ms)

    def retries(self, command: Command) -> bool:
        """Whether a command has faulted before: it is tried alone, to spare the others."""
        return (
            isinstance(command, AnswerPrompt | ExpirePrompt)
            and (command.ledger, command.payment) in self._retries
        )

    def find_due(self) -> list[Command]:
        """Commands for what is due now: scripted answers, deadlines, callers who waited enough.

        Raises `StorageError`.
        """
        now_ms = self._clock.monotonic_ms()
        commands = self._end_waits(now_ms)
        if now_ms >= self._look_at_ms:
            commands += self._look_for_due(now_ms)
        taken: list[Command] = []
        for command in commands:
            key = (command.ledger, command.payment)  # type: ignore[attr-defined]
            if key not in self._in_flight:
                self._in_flight.add(key)
                taken.append(command)
        return taken

    def _end_waits(self, now_ms: int) -> list[Command]:
        commands: list[Command] = []
        put_off: list[tuple[int, Key]] = []
        while self._ends and self._ends[0][0] <= now_ms:
            until_ms, key = heappop(self._ends)
            if key not in self._waiters:
                continue
            if self._is_free(key):
                commands.append(ExpirePrompt(*key, is_forced=True))
            # Should that fault, it is tried again.
            put_off.append((until_ms + _RETRY_FIRST_MS, key))
        for entry in put_off:
            heappush(self._ends, entry)
        return commands

    def _is_free(self, key: Key) -> bool:
        retry = self._retries.get(key)
        return key not in self._in_flight and (
            retry is None or retry.not_before_ms <= self._clock.monotonic_ms()
        )

    def _look_for_due(self, now_ms: int) -> list[Command]:
        time_ms = self._engine.time_to_go_by()
        # Those that are put off stand in front, and must not hide the others.
        limit = _DUE_MAX + len(self._retries)
        due_document, next_document = self._engine.writer.read(
            [Read(FIND_DUE_PROMPTS, (time_ms, limit)), Read(FIND_NEXT_DUE, (time_ms,))]
        )
        commands: list[Command] = []
        due = _decode_rows(due_document)
        for ledger, payment, answer, due_ms, now in due:
            key = (ledger, payment)
            is_ours = key in self._own or due_ms + TAKE_OVER_AFTER_MS <= now
            if is_ours and self._is_free(key):
                commands.append(_end_of_wait(ledger, payment, answer))
        if len(due) < limit:
            # Another engine may have decided some of those that faulted here.
            there = {(row[0], row[1]) for row in due}
            self._retries = {k: v for k, v in self._retries.items() if k in there}
        # Another engine may record a prompt at any time, so this one looks once a second at
        # least; its own next one may be due earlier.
        pause_ms = TAKE_OVER_AFTER_MS
        for due_ms, now in _decode_rows(next_document):
            if due_ms > now:
                pause_ms = min(pause_ms, due_ms - now)
            else:
                pause_ms = min(pause_ms, ASK_ELSEWHERE_MS)
        self._look_at_ms = now_ms + max(1, pause_ms)
        return commands

    def find_decided_elsewhere(self) -> Iterator[tuple[Waiter, PaymentOutcome]]:
        """Callers whose payment another engine decided. Raises `StorageError`."""
        now_ms = self._clock.monotonic_ms()
        if self._engine.writer.dialect == "sqlite" or not self._waiters:
            return
        if now_ms < self._ask_at_ms:
            return
        self._ask_at_ms = now_ms + ASK_ELSEWHERE_MS
        keys = [key for key in self._waiters if key not in self._in_flight]
        if not keys:
            return
        (document,) = self._engine.writer.read([Read(LOAD_STANDINGS, rows=keys)])
        for ledger, payment, state, status in _decode_rows(document):
            if state in FINAL_STATES:
                key = (ledger, payment)
                self._own.discard(key)
                yield self._waiters.pop(key), PaymentOutcome(payment, state, status)

    def expire_all(self) -> Sequence[Command]:
        """Commands that end every wait of this engine's callers now: the server stops."""
        keys = [key for key in self._waiters if key not in self._in_flight]
        self._in_flight.update(keys)
        return [ExpirePrompt(*key, is_forced=True) for key in keys]

    def next_look_ms(self) -> int:
        """Milliseconds until something here wants attention."""
        now_ms = self._clock.monotonic_ms()
        pause_ms = self._look_at_ms - now_ms
        if self._waiters:
            earliest = self._ends[0][0] if self._ends else now_ms
            pause_ms = min(pause_ms, max(ASK_ELSEWHERE_MS // 10, earliest - now_ms))
            if self._engine.writer.dialect != "sqlite":
                pause_ms = min(pause_ms, self._ask_at_ms - now_ms)
        return max(0, pause_ms)

    def forget_failed_look(self) -> None:
        """After a failure to read: look again in a while."""
        self._look_at_ms = self._clock.monotonic_ms() + TAKE_OVER_AFTER_MS
        self._ask_at_ms = self._look_at_ms


def _end_of_wait(ledger: int, payment: int, answer: int) -> Command:
    """What a due prompt comes to: its script's answer, or expiry where nobody answers.

    An answer at or after the deadline is decided as expiry, so the order of both is no matter.
    """
    if answer in (Answer.APPROVE, Answer.DECLINE):
        return AnswerPrompt(ledger, payment, answer)
    if answer == Answer.WRONG_PIN:
        return AnswerPrompt(ledger, payment, answer, WRONG_PINS_MAX)
    return ExpirePrompt(ledger, payment)
