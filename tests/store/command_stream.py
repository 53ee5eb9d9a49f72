"""Random commands of every kind, as they could arrive at an engine: good, late, twice and wrong."""

import random
from collections.abc import Callable

from pesalango_server.applications.sessions import CreateSession
from pesalango_server.kernel.message import AnyOutcome, Command, PaymentOutcome
from pesalango_server.ledger.model import BALANCE_MAX_MINOR, Answer
from pesalango_server.ledger.parties import (
    AddCustomers,
    AddOrganisations,
    FundCustomers,
    FundOrganisations,
    NewCustomer,
    NewOrganisation,
    ScriptCustomer,
    SetCustomerStatus,
    SetOrganisation,
)
from pesalango_server.ledger.statuses import State
from pesalango_server.payments.commands import AnswerPrompt, ExpirePrompt, TakePayment
from pesalango_server.payments.outcomes import TRIGGERED_STATUSES
from tests.store.engine_fixture import (
    LOCKED,
    PAYER,
    POOR,
    SHOP,
    SHOP_WITHOUT_PRODUCTS,
    SUSPENDED_SHOP,
    WAIT_MS,
    make_b2b,
    make_b2c,
    make_c2b,
    make_open_ledger,
    make_reversal,
)

_TRIGGERS = sorted(TRIGGERED_STATUSES.values())
_MARKETS = ("vodacomTZN", "vodacomMOZ", "vodafoneGHA")


class CommandStream:
    """Draws commands; it is told every outcome, so that later commands can speak of payments."""

    def __init__(self, seed: int, *, ledgers: int) -> None:
        self._chance = random.Random(seed)
        self._ledgers = ledgers
        self._payments: list[tuple[int, int]] = []
        self._asked: list[tuple[int, int]] = []
        self._references = 0
        self._numbers = [PAYER, POOR, LOCKED, "255799999999"]
        self._codes = [SHOP, SHOP, SUSPENDED_SHOP, SHOP_WITHOUT_PRODUCTS, "999999"]
        self._kinds: dict[Callable[[int], Command], int] = {
            self._pay: 40,
            self._pay_out: 10,
            self._pay_supplier: 8,
            self._reverse: 14,
            self._answer: 16,
            self._expire: 8,
            self._script: 6,
            self._set_customer: 4,
            self._fund_customers: 4,
            self._fund_organisations: 5,
            self._add_customers: 3,
            self._add_organisations: 2,
            self._set_organisation: 8,
            self._create_session: 4,
            self._open_ledger: 1,
        }

    def draw(self, commands_max: int) -> list[Command]:
        """Commands of one batch."""
        kinds = self._chance.choices(
            list(self._kinds),
            weights=list(self._kinds.values()),
            k=self._chance.randint(1, commands_max),
        )
        return [kind(self._chance.randint(1, self._ledgers)) for kind in kinds]

    def draw_pause_ms(self) -> int:
        """How much time goes by until the next batch."""
        return self._chance.choice((0, 0, 1, 7, 500, 3_000))

    def note(self, commands: list[Command], outcomes: list[AnyOutcome]) -> None:
        """Remember what was paid."""
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, PaymentOutcome) and outcome.payment:
                self._payments.append((command.ledger, outcome.payment))
                if outcome.state == State.PENDING and isinstance(command, TakePayment):
                    self._asked.append((command.ledger, outcome.payment))

    def _draw_payment(self, ledger: int, among: list[tuple[int, int]]) -> tuple[int, int]:
        if not among or self._chance.random() < 0.05:
            return ledger, self._chance.randrange(1 << 62)
        return self._chance.choice(among[-12:])

    def _pay(self, ledger: int) -> Command:
        chance = self._chance
        return make_c2b(
            ledger=ledger,
            reference=self._reference(),
            msisdn=chance.choice(self._numbers),
            organisation=chance.choice(self._codes),
            amount_minor=chance.choice((1, 5, 999, 10_00, 300_00)),
            application=chance.choice((7, 7, 7, 8)),
            acts_for=chance.random() < 0.95,
            trigger=chance.choice(_TRIGGERS) if chance.random() < 0.1 else 0,
            approves_unscripted=chance.random() < 0.6,
            wait_ms=chance.choice((WAIT_MS, 5_000)),
        )

    def _reference(self) -> str:
        if not self._references or self._chance.random() < 0.9:
            self._references += 1
        return f"reference {self._references} “é”"

    def _pay_out(self, ledger: int) -> Command:
        chance = self._chance
        return make_b2c(
            ledger=ledger,
            reference=self._reference(),
            msisdn=chance.choice(self._numbers),
            organisation=chance.choice(self._codes),
            amount_minor=chance.choice((1, 999, 300_00)),
            trigger=chance.choice(_TRIGGERS) if chance.random() < 0.1 else 0,
        )

    def _pay_supplier(self, ledger: int) -> Command:
        chance = self._chance
        return make_b2b(
            ledger=ledger,
            reference=self._reference(),
            organisation=chance.choice(self._codes),
            receiver=chance.choice(self._codes),
            amount_minor=chance.choice((1, 999, 300_00)),
        )

    def _reverse(self, ledger: int) -> Command:
        chance = self._chance
        of, payment = self._draw_payment(ledger, self._payments)
        return make_reversal(
            ledger=of,
            reference=self._reference(),
            original=payment,
            organisation=chance.choice((SHOP, SHOP, *self._codes)),
            amount_minor=chance.choice((0, 1, 10_00, 400_00)),
            trigger=chance.choice(_TRIGGERS) if chance.random() < 0.1 else 0,
            b2b_payer_may_reverse=chance.random() < 0.8,
        )

    def _answer(self, ledger: int) -> Command:
        answer = self._chance.choice(
            (Answer.APPROVE, Answer.APPROVE, Answer.DECLINE, Answer.WRONG_PIN, Answer.WRONG_PIN)
        )
        return AnswerPrompt(
            *self._draw_payment(ledger, self._asked),
            answer,
            attempts=self._chance.choice((1, 1, 1, 3)),
        )

    def _expire(self, ledger: int) -> Command:
        return ExpirePrompt(
            *self._draw_payment(ledger, self._asked), is_forced=self._chance.random() < 0.5
        )

    def _script(self, ledger: int) -> Command:
        return ScriptCustomer(
            ledger,
            self._chance.choice(self._numbers),
            self._chance.choice(list(Answer)),
            self._chance.choice((0, 0, 1_000, 60_000)),
        )

    def _set_customer(self, ledger: int) -> Command:
        return SetCustomerStatus(
            ledger, self._chance.choice(self._numbers), self._chance.choice((1, 1, 1, 2, 3, 4))
        )

    def _draw_key(self) -> str:
        return f"{self._chance.randrange(400):032x}"

    def _fund_customers(self, ledger: int) -> Command:
        return FundCustomers(
            ledger,
            tuple(
                (
                    self._chance.choice(self._numbers),
                    self._chance.choice((1, 50_00, BALANCE_MAX_MINOR - 1_100_00)),
                    self._draw_key(),
                )
                for _ in range(self._chance.randint(1, 3))
            ),
        )

    def _fund_organisations(self, ledger: int) -> Command:
        return FundOrganisations(
            ledger,
            (
                (
                    self._chance.choice(self._codes),
                    self._chance.choice((1_000_00, BALANCE_MAX_MINOR - 1_000_00)),
                    self._draw_key(),
                ),
            ),
        )

    def _add_customers(self, ledger: int) -> Command:
        numbers = [f"2557{self._chance.randrange(40):08d}" for _ in range(2)]
        self._numbers += numbers
        return AddCustomers(
            ledger,
            tuple(
                NewCustomer(
                    number,
                    'A "quoted" \\ name',
                    "Ωmega, {curly}",
                    amount_minor=self._chance.choice((0, 70_00)),
                    fund_key=self._chance.choice(("", self._draw_key())),
                )
                for number in numbers
            ),
        )

    def _add_organisations(self, ledger: int) -> Command:
        code = f"NEW{self._chance.randrange(10):03d}"
        self._codes.append(code)
        return AddOrganisations(ledger, (NewOrganisation(code, "New", "b2b,b2c,c2b,reversal"),))

    def _set_organisation(self, ledger: int) -> Command:
        return SetOrganisation(
            ledger,
            self._chance.choice((SHOP, SHOP, SUSPENDED_SHOP, self._codes[-1])),
            self._chance.choice((None, 1, 2)),
            self._chance.choice(
                (None, None, "c2b", "b2b,b2c,c2b,reversal", "b2b,b2c,c2b,reversal", "")
            ),
        )

    def _create_session(self, ledger: int) -> Command:
        # Some end a day and more before others are made, so that old ones are purged.
        return CreateSession(
            ledger, 7, f"{self._chance.getrandbits(256):064x}", 0, self._chance.choice((1, 60_000))
        )

    def _open_ledger(self, _: int) -> Command:
        return make_open_ledger(self._chance.randint(1, 2), self._chance.choice(_MARKETS))
