"""Makes a true history: callers and a gateway that is right by construction, in made-up time.

A request is sent, decided and answered at three moments, each a little after the one before; what
is decided first has the lower id. Some are cut off: before they arrive, or after.
"""

import heapq
import itertools
import random
import string
from typing import Any, NamedTuple

from tests.history.model import Model
from tests.history.shapes import (
    DUPLICATE,
    ISSUANCE,
    NO_TRANSACTION,
    NOT_FOUND,
    SUCCESS,
    Answer,
    Ask,
    FinalLedger,
    Operation,
    PaymentRow,
    Question,
    Request,
    ReversalRow,
    TransferRow,
    World,
    customer_wallet,
    organisation_wallet,
    read_transaction_id,
)
from tests.history.workload import Draft, Inquiry, Workload

LEDGER = 7
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_UNRECORDED_CONVERSATION = "f" * 32


def write_transaction_id(payment: int) -> str:
    """As the gateway writes it, but for the check letter, which is always the same."""
    digits = []
    for _ in range(11):
        payment, digit = divmod(payment, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits)) + "x"


def write_conversation_id(payment: int) -> str:
    return f"{payment:016x}{'0' * 16}"


class Found(NamedTuple):
    """The answer to a status query, as a `Question` has it."""

    code: str
    state: str = ""
    transaction_id: str = NO_TRANSACTION
    is_reversed: bool = False


class Gateway:
    """Decides one request after the other and keeps the books."""

    def __init__(self, world: World) -> None:
        self._model = Model(world)
        self._numbers = itertools.count(1)
        self._keys: set[tuple[int, Operation, str]] = set()
        self.payments: list[PaymentRow] = []
        self.transfers: list[TransferRow] = []
        self.reversals: list[ReversalRow] = []
        for code, organisation in world.organisations.items():
            self._fund(organisation_wallet(code), organisation.money_minor)
        for msisdn, customer in world.customers.items():
            self._fund(customer_wallet(msisdn), customer.money_minor)

    def decide(self, ask: Ask, reference: str) -> Answer:
        """The answer to a request that arrived."""
        key = (ask.application, ask.operation, reference)
        if key in self._keys:
            return Answer(DUPLICATE, NO_TRANSACTION, _UNRECORDED_CONVERSATION)
        self._keys.add(key)
        effect = self._model.decide(ask)
        payment = self._mint()
        is_completed = effect.code == SUCCESS
        if is_completed:
            ask = Ask(
                ask.application,
                ask.operation,
                ask.organisation,
                ask.counterparty,
                effect.amount_minor,
            )
            self._post(
                payment + 1, effect.payer, effect.payee, effect.amount_minor, payment=payment
            )
            if effect.original:
                self.reversals.append(ReversalRow(payment, effect.original, effect.amount_minor))
        self._model.record(payment, ask, effect)
        state = "Completed" if is_completed else "Failed"
        self.payments.append(PaymentRow(payment, ask, reference, state, effect.code))
        return Answer(
            effect.code,
            write_transaction_id(payment) if is_completed else NO_TRANSACTION,
            write_conversation_id(payment),
        )

    def find(self, application: int, reference: str) -> Found:
        """What a status query is told, by TransactionID or ThirdPartyConversationID."""
        number = read_transaction_id(reference)
        for row in reversed(self.payments):
            if row.id == number or (row.ask.application, row.reference) == (application, reference):
                is_completed = row.state == "Completed"
                given_back = sum(
                    reversal.amount_minor
                    for reversal in self.reversals
                    if reversal.original == row.id
                )
                return Found(
                    SUCCESS,
                    row.state,
                    write_transaction_id(row.id) if is_completed else NO_TRANSACTION,
                    is_completed and given_back >= row.ask.amount_minor,
                )
        return Found(NOT_FOUND)

    def close(self) -> FinalLedger:
        """The books."""
        return FinalLedger(
            LEDGER,
            self.payments,
            self.transfers,
            self.reversals,
            dict(self._model.balances),
        )

    def _mint(self) -> int:
        return next(self._numbers) << 22 | LEDGER << 12

    def _fund(self, wallet: str, amount_minor: int) -> None:
        if amount_minor:
            self._post(self._mint(), ISSUANCE, wallet, amount_minor, payment=0)

    def _post(
        self, transfer: int, payer: str, payee: str, amount_minor: int, *, payment: int
    ) -> None:
        self._model.move(payer=payer, payee=payee, amount_minor=amount_minor)
        balances = self._model.balances
        self.transfers.append(
            TransferRow(
                transfer,
                payment,
                payer,
                payee,
                amount_minor,
                balances[payer],
                balances[payee],
            )
        )


class _Callers:
    """Each sends one request after the other; `heap` holds what happens next."""

    def __init__(self, world: World, *, requests: int, callers: int, seed: int) -> None:
        self.gateway = Gateway(world)
        self.history: list[Request] = []
        self.questions: list[Question] = []
        # Queries change nothing, and so they must not change what is drawn.
        self._luck = random.Random(-seed)
        self._left = requests
        self._random = random.Random(seed)
        self._workload = Workload(world, seed=seed)
        self._order = itertools.count()
        self._heap: list[tuple[float, int, str, tuple[Any, ...]]] = []
        for _ in range(callers):
            self._later(0.0, "send", ())

    def run(self) -> None:
        while self._heap:
            now_s, _, what, of = heapq.heappop(self._heap)
            getattr(self, f"_{what}")(now_s, *of)

    def _later(self, now_s: float, what: str, of: tuple[Any, ...]) -> None:
        at_s = now_s + self._random.uniform(0.000_1, 0.01)
        heapq.heappush(self._heap, (at_s, next(self._order), what, of))

    def _send(self, now_s: float) -> None:
        if not self._left:
            return
        self._left -= 1
        draft = self._workload.draw()
        luck = self._random.random()
        if luck < 0.01:
            self._end(now_s, draft, now_s, None, is_sent=False)
        elif luck < 0.03:
            # Lost on its way: whoever sent it cannot know.
            self._later(now_s, "end", (draft, now_s, None))
        elif luck < 0.04:
            answer = Answer("INS-16", NO_TRANSACTION, _UNRECORDED_CONVERSATION)
            self._later(now_s, "end", (draft, now_s, answer))
        else:
            self._later(now_s, "decide", (draft, now_s, luck < 0.08))

    def _decide(self, now_s: float, draft: Draft, sent_s: float, is_cut: bool) -> None:
        answer = self.gateway.decide(draft.ask, draft.reference)
        self._later(now_s, "end", (draft, sent_s, None if is_cut else answer))

    def _end(
        self,
        now_s: float,
        draft: Draft,
        sent_s: float,
        answer: Answer | None,
        is_sent: bool = True,
    ) -> None:
        self._workload.end(draft, answer)
        number = len(self.history) + 1
        self.history.append(
            Request(number, draft.ask, draft.reference, sent_s, now_s, answer, is_sent)
        )
        self._later(now_s, "send", ())
        inquiry = self._workload.draw_inquiry(self._luck) if self._luck.random() < 0.1 else None
        if inquiry is not None:
            self._soon(now_s, "look", (inquiry, now_s))

    def _look(self, now_s: float, inquiry: Inquiry, sent_s: float) -> None:
        found = self.gateway.find(inquiry.application, inquiry.reference)
        self._soon(now_s, "tell", (inquiry, sent_s, found))

    def _tell(self, now_s: float, inquiry: Inquiry, sent_s: float, found: Found) -> None:
        number = len(self.questions) + 1
        self.questions.append(
            Question(number, inquiry.application, inquiry.reference, sent_s, now_s, *found)
        )

    def _soon(self, now_s: float, what: str, of: tuple[Any, ...]) -> None:
        at_s = now_s + self._luck.uniform(0.000_1, 0.005)
        heapq.heappush(self._heap, (at_s, next(self._order), what, of))


def make_true_history(
    world: World, *, requests: int, callers: int = 64, seed: int = 1
) -> tuple[list[Request], FinalLedger]:
    """A history without a fault, and the ledger that it left."""
    return make_inquisitive_history(world, requests=requests, callers=callers, seed=seed)[:2]


def make_inquisitive_history(
    world: World, *, requests: int, callers: int = 64, seed: int = 1
) -> tuple[list[Request], FinalLedger, list[Question]]:
    """The same, and what was asked about it meanwhile."""
    callers_at_work = _Callers(world, requests=requests, callers=callers, seed=seed)
    callers_at_work.run()
    return callers_at_work.history, callers_at_work.gateway.close(), callers_at_work.questions
