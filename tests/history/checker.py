"""Judges a concurrent history of requests by the ledger that it left behind.

Many callers send requests at once, to several servers, the same one twice, and not all get an
answer. Afterwards two things are on the table: what each caller saw (sent when, answered when and
what, or cut off), and what the ledger holds. `find_faults` says whether any honest gateway can have
produced both:

* **One effect.** Application, operation and ThirdPartyConversationID together name one payment at
  most, however often they were sent, and one that somebody asked for.
* **No lost answer.** What was answered as a success stands there as Completed under the
  TransactionID of the answer, with the amount and the parties of the request; a recorded refusal
  stands there with its code; a duplicate was told so only once there could be another; what was
  answered as unavailable left nothing. What got no answer is there or is not.
* **True answers.** What a status query is told is not behind what was known before it was sent,
  and not ahead of what can have happened (`questions.py`).
* **A serial order.** Trying all orders would take for ever, and is not needed: the ledger itself
  claims one, that of its ids. The claim has to respect real time: if it was known to somebody that
  A is recorded before B was sent, A comes first. And it has to explain everything: `Model`, a
  dictionary of balances, is asked one request after the other in that order, and must come to the
  recorded outcome of every one, to both balances after every transfer, to the sums that were given
  back, and to the final balances.

After a fault the replay follows what the ledger says, so that one fault is one sentence.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain

import msgspec

from tests.history.model import OUTCOMES
from tests.history.questions import find_false_answers
from tests.history.replay import Claim, replay
from tests.history.shapes import (
    DUPLICATE,
    NO_TRANSACTION,
    SUCCESS,
    UNRECORDED,
    Answer,
    Ask,
    FinalLedger,
    Operation,
    PaymentRow,
    Question,
    Request,
    World,
    ledger_of,
    read_conversation_id,
    read_transaction_id,
)

Key = tuple[int, Operation, str]
"""Application, operation and ThirdPartyConversationID."""

TELLING = OUTCOMES | {DUPLICATE}
"""Whoever is answered so knows that a payment of the key is recorded."""

_STATE_BY_CODE = {SUCCESS: "Completed", "INS-9": "Expired"}


def find_faults(
    world: World,
    history: Sequence[Request],
    ledger: FinalLedger,
    questions: Sequence[Question] = (),
) -> list[str]:
    """What cannot be, in sentences; none if the ledger explains the history.

    The history holds all requests that were ever made to this ledger, and those of `questions` that
    were answered; the ledger is one moment of it, after the last answer. Quick enough for 50 000
    requests in a few seconds.
    """
    return list(_Checker(world, history, ledger, questions).run())


class _Told(msgspec.Struct):
    """What is known of a recorded payment besides its row.

    It was recorded after `sent_s` and before `known_s`; `claims` are the requests that may be it.
    """

    row: PaymentRow
    claims: list[Request]
    sent_s: float
    known_s: float


class _Checker:
    def __init__(
        self,
        world: World,
        history: Sequence[Request],
        ledger: FinalLedger,
        questions: Sequence[Question],
    ) -> None:
        self._world = world
        self._questions = questions
        self._ledger = ledger
        self._requests: defaultdict[Key, list[Request]] = defaultdict(list)
        for request in history:
            self._requests[_key_of(request.ask, request.reference)].append(request)
        self._rows: defaultdict[Key, list[PaymentRow]] = defaultdict(list)
        for row in sorted(ledger.payments, key=lambda row: row.id):
            self._rows[_key_of(row.ask, row.reference)].append(row)
        self._payments = {row.id: row for row in ledger.payments}
        self._told: list[_Told] = []

    def run(self) -> Iterator[str]:
        yield from self._judge_ids()
        for key, rows in self._rows.items():
            yield from self._judge_key(key, rows)
        for key, requests in self._requests.items():
            yield from self._judge_requests(key, requests)
        yield from self._judge_real_time()
        windows = {told.row.id: (told.sent_s, told.known_s) for told in self._told}
        yield from find_false_answers(self._questions, self._ledger, windows)
        claims = {told.row.id: _make_claim(told.row, told.claims) for told in self._told}
        yield from replay(self._world, self._ledger, claims)

    # -- ids and keys ----------------------------------------------------------------------

    def _judge_ids(self) -> Iterator[str]:
        seen: set[int] = set()
        if len(self._payments) < len(self._ledger.payments):
            yield "two payments have one id"
        transfers = (transfer.id for transfer in self._ledger.transfers)
        for row_id in chain(self._payments, transfers):
            if row_id in seen:
                yield f"the id {row_id} was given twice"
            seen.add(row_id)
            if ledger_of(row_id) != self._ledger.number:
                yield f"the id {row_id} was not minted in ledger {self._ledger.number}"

    def _judge_key(self, key: Key, rows: list[PaymentRow]) -> Iterator[str]:
        if len(rows) > 1:
            ids = _list(row.id for row in rows)
            yield f"the payments {ids} have one key, {_write_key(key)}: it took effect twice"
        if key not in self._requests:
            yield f"payment {rows[0].id}, {_write_key(key)}, was asked for by nobody"

    # -- answers ---------------------------------------------------------------------------

    def _judge_requests(self, key: Key, requests: list[Request]) -> Iterator[str]:
        """All requests of one key: which of them is the one that is recorded, if any is."""
        rows = self._rows.get(key, [])
        recorded = [r for r in requests if r.answer is not None and r.answer.code in OUTCOMES]
        unanswered = [r for r in requests if r.answer is None and r.is_sent]
        if len(recorded) > 1:
            answers = _list(f"{r.number} ({_code(r)})" for r in recorded)
            yield (
                f"the requests {answers} of one key, {_write_key(key)}, were all answered as if"
                " each were the first"
            )
        for request in recorded:
            yield from self._judge_recorded(key, request, rows)
        claims = recorded or unanswered
        for request in requests:
            if request.answer is not None and request not in recorded:
                yield from self._judge_unrecorded(key, request, rows, claims)
        for row in rows:
            if not claims:
                yield (
                    f"payment {row.id}, {_write_key(key)}, is there, though none of its requests"
                    f" may have left anything: {_write_fates(requests)}"
                )
            elif not recorded and not any(_fits(request.ask, row) for request in claims):
                numbers = _list(request.number for request in claims)
                yield f"payment {row.id} ({row.ask}) is what none of its requests {numbers} asked for"
        if rows:
            self._told.append(_tell(rows[0], claims, requests))

    def _judge_recorded(self, key: Key, request: Request, rows: list[PaymentRow]) -> Iterator[str]:
        """The answer says that this request is recorded, and how."""
        answer = request.answer
        assert answer is not None
        told = f"request {request.number} was answered {answer.code}"
        if not rows:
            yield f"{told} and is lost: the ledger has no payment {_write_key(key)}"
            return
        named = read_conversation_id(answer.conversation_id)
        row = next((row for row in rows if row.id == named), rows[0])
        if answer.code != row.code or row.state != _STATE_BY_CODE.get(answer.code, "Failed"):
            yield f"{told}, but payment {row.id} is recorded as {row.state} ({row.code})"
        if named != row.id:
            whose = self._write_owner(named)
            yield f"{told} with a ConversationID of {whose}, but its payment is {row.id}"
        if answer.code == SUCCESS and read_transaction_id(answer.transaction_id) != row.id:
            whose = self._write_owner(read_transaction_id(answer.transaction_id))
            yield f"{told} with a TransactionID of {whose}, but its payment is {row.id}"
        if answer.code != SUCCESS:
            yield from _judge_no_transaction(request, answer)
        if not _fits(request.ask, row):
            yield f"{told}; it asked for {request.ask}, but payment {row.id} is {row.ask}"

    def _judge_unrecorded(
        self, key: Key, request: Request, rows: list[PaymentRow], claims: list[Request]
    ) -> Iterator[str]:
        """The answer says that this request left nothing; `claims` are others that may have."""
        answer = request.answer
        assert answer is not None
        told = f"request {request.number} was answered {answer.code}"
        yield from _judge_no_transaction(request, answer)
        named = self._payments.get(read_conversation_id(answer.conversation_id))
        if named is not None:
            yield f"{told} with a ConversationID of payment {named.id}, which it is not"
        if answer.code in UNRECORDED:
            return
        if answer.code != DUPLICATE:
            yield f"{told}, which is no outcome of {_write_key(key)}"
        elif not any(claim.sent_s < request.ended_s for claim in claims):
            yield (
                f"{told}, but no other request {_write_key(key)} can have been recorded by then:"
                f" {_write_fates(self._requests[key], but=request)}"
            )
        elif not rows:
            yield f"{told}, but the ledger has no payment {_write_key(key)}"

    def _write_owner(self, payment: int) -> str:
        row = self._payments.get(payment)
        if row is None:
            return "no payment at all"
        return f"payment {payment} ({_write_key(_key_of(row.ask, row.reference))})"

    # -- real time -------------------------------------------------------------------------

    def _judge_real_time(self) -> Iterator[str]:
        """Whoever was known to be recorded before another was sent has the lower id."""
        by_known = sorted(self._told, key=lambda told: told.known_s)
        times = [told.known_s for told in by_known]
        highest = list(accumulate(by_known, _later))
        named: set[int] = set()
        for told in self._told:
            count = bisect_left(times, told.sent_s)
            if not count or highest[count - 1].row.id < told.row.id:
                continue
            before = highest[count - 1]
            if before.row.id in named:
                # It may stand too high above many; once says it.
                continue
            named.add(before.row.id)
            lead_ms = (told.sent_s - before.known_s) * 1000
            yield (
                f"payment {before.row.id} was known {lead_ms:.3f} ms before payment"
                f" {told.row.id} was asked for (requests {_list(r.number for r in before.claims)}"
                f" and {_list(r.number for r in told.claims)}), but its id is the higher one"
            )


def _tell(row: PaymentRow, claims: list[Request], requests: list[Request]) -> _Told:
    """When a payment was recorded, as far as its requests tell."""
    sent_s = min((request.sent_s for request in claims), default=0.0)
    known = [
        request.ended_s
        for request in requests
        if request.answer is not None
        and request.answer.code in TELLING
        # An answer from before it was asked for is told of elsewhere.
        and request.ended_s > sent_s
    ]
    return _Told(row, claims, sent_s, min(known, default=float("inf")))


def _later(one: _Told, other: _Told) -> _Told:
    return one if one.row.id > other.row.id else other


def _make_claim(row: PaymentRow, requests: list[Request]) -> Claim:
    return Claim(requests, [request.ask for request in requests if _fits(request.ask, row)])


def _judge_no_transaction(request: Request, answer: Answer) -> Iterator[str]:
    if answer.transaction_id != NO_TRANSACTION:
        yield (
            f"request {request.number} was answered {answer.code} with the TransactionID"
            f" {answer.transaction_id}, though no money moved"
        )


def _fits(ask: Ask, row: PaymentRow) -> bool:
    """Whether a row is what was asked for; the amount of "all that is left" is the replay's."""
    if ask.amount_minor == 0:
        return msgspec.structs.replace(row.ask, amount_minor=0) == ask
    return row.ask == ask


def _key_of(ask: Ask, reference: str) -> Key:
    return ask.application, ask.operation, reference


def _write_key(key: Key) -> str:
    application, operation, reference = key
    return f"{operation} {reference} of application {application}"


def _write_fates(requests: Sequence[Request], *, but: Request | None = None) -> str:
    told = [f"{r.number} {_code(r)}" for r in requests if r is not but]
    return _list(told) if told else "there is none"


def _code(request: Request) -> str:
    if request.answer is not None:
        return request.answer.code
    return "unanswered" if request.is_sent else "never sent"


def _list(words: Iterator[object] | Sequence[object]) -> str:
    return ", ".join(str(word) for word in words)
