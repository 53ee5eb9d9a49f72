"""What many callers ask at once: everybody of everybody else, and much of it twice.

    workload = Workload(make_world(), seed=1)
    draft = workload.draw()                 # to be sent now
    workload.end(draft, answer)             # None: it got no answer

Money is scarce in half of the wallets, so that payments race for the last of it; few transactions
are worth reversing at a time, so that reversals race too; and what is under way is sent again.
"""

import random
from collections import deque

import msgspec

from tests.history.model import OUTCOMES
from tests.history.shapes import (
    DUPLICATE,
    SUCCESS,
    Answer,
    Ask,
    Customer,
    Operation,
    Organisation,
    World,
)

FIRST, SECOND = 1, 2
"""Applications, wherever nothing else is known of them."""

RICH_ORGANISATIONS = ("ORG001", "ORG002", "000001")
POOR_ORGANISATIONS = ("POOR01", "POOR02", "POOR03")
OTHERS_ORGANISATION = "OTHERS"
"""Nobody acts for it, but it can be paid."""
RICH_CUSTOMERS = ("255744553111", "254707161122", "233508729395")
POOR_CUSTOMERS = ("255700000011", "255700000012", "255700000013")
BYSTANDING_ORGANISATIONS = ("000000", "112244")
BYSTANDING_CUSTOMER = "000000000001"
"""Of the same ledger, and no concern of anybody's."""
LOCKED_CUSTOMER = "255700000014"
UNKNOWN_CUSTOMER = "255799999999"
UNKNOWN_TRANSACTION = "5fT0kQ2mBx7L"

RICH_ORGANISATION_MINOR, RICH_CUSTOMER_MINOR = 1_000_000_00, 100_000_00
POOR_ORGANISATION_MINOR, POOR_CUSTOMER_MINOR = 25_00, 10_00

_REPEATED_SHARE = 0.22
_REVERSED_SHARE = 0.30
_RECENT_MAX = 24
_TARGET_DRAWS = 12


def make_world(*, first: int = FIRST, second: int = SECOND) -> World:
    """The parties of the workload, and two applications that share some of them."""
    organisations = {
        code: Organisation(RICH_ORGANISATION_MINOR)
        for code in (*RICH_ORGANISATIONS, *BYSTANDING_ORGANISATIONS)
    }
    organisations |= {code: Organisation(POOR_ORGANISATION_MINOR) for code in POOR_ORGANISATIONS}
    customers = {
        msisdn: Customer(RICH_CUSTOMER_MINOR) for msisdn in (*RICH_CUSTOMERS, BYSTANDING_CUSTOMER)
    }
    customers |= {msisdn: Customer(POOR_CUSTOMER_MINOR) for msisdn in POOR_CUSTOMERS}
    return World(
        organisations=organisations | {OTHERS_ORGANISATION: Organisation()},
        customers=customers | {LOCKED_CUSTOMER: Customer(is_active=False)},
        applications={
            first: frozenset((*RICH_ORGANISATIONS, *POOR_ORGANISATIONS)),
            second: frozenset(("ORG001", *POOR_ORGANISATIONS[:2])),
        },
    )


class Draft(msgspec.Struct, frozen=True):
    """A request to be sent: what it wants and its ThirdPartyConversationID."""

    ask: Ask
    reference: str


class Inquiry(msgspec.Struct, frozen=True):
    """A status query to be sent: by whom, and about what (see `Question`)."""

    application: int
    organisation: str
    reference: str


class Workload:
    """Draws requests; knows what is under way and which transactions there are."""

    def __init__(self, world: World, *, seed: int) -> None:
        self._random = random.Random(seed)
        self._applications = world.applications
        self._under_way: list[Draft] = []
        self._recent: deque[Draft] = deque(maxlen=_RECENT_MAX)
        # TransactionIDs with their amounts and who may reverse them.
        self._transactions: deque[tuple[str, Ask]] = deque(maxlen=_RECENT_MAX)
        self._target: tuple[str, Ask] | None = None
        self._target_draws = 0

    def draw(self) -> Draft:
        """The next request, which is under way from now on."""
        draft = self._draw_repeated() or Draft(
            self._draw_reversal() or self._draw_payment(),
            f"{self._random.getrandbits(128):032x}",
        )
        self._under_way.append(draft)
        return draft

    def end(self, draft: Draft, answer: Answer | None) -> None:
        """A request has got its answer, or none."""
        self._under_way.remove(draft)
        self._recent.append(draft)
        if answer is not None and answer.code == SUCCESS:
            self._transactions.append((answer.transaction_id, draft.ask))

    def draw_inquiry(self, luck: random.Random) -> Inquiry | None:
        """About something that is under way or was; None where its caller may not ask.

        By luck of its own, so that requests are drawn as they would be without.
        """
        if self._transactions and luck.random() < 0.5:
            reference, ask = luck.choice(self._transactions)
        else:
            drafts = [*self._under_way, *self._recent]
            if not drafts:
                return None
            draft = luck.choice(drafts)
            reference, ask = draft.reference, draft.ask
        if ask.organisation not in self._applications[ask.application]:
            return None
        return Inquiry(ask.application, ask.organisation, reference)

    def _draw_repeated(self) -> Draft | None:
        """The very request that is under way or was, or another one under its reference."""
        luck = self._random.random()
        if luck > _REPEATED_SHARE or not (self._under_way and self._recent):
            return None
        drafts = self._recent if luck < _REPEATED_SHARE / 4 else self._under_way
        draft = self._random.choice(drafts)
        if luck % 0.01 < 0.001:
            ask = msgspec.structs.replace(draft.ask, amount_minor=draft.ask.amount_minor + 1)
            return Draft(ask, draft.reference)
        return draft

    def _draw_reversal(self) -> Ask | None:
        """Most of the time of the one transaction that everybody has an eye on at present."""
        choose = self._random.choice
        if self._random.random() > _REVERSED_SHARE or not self._transactions:
            return None
        if self._target is None or self._target_draws == 0:
            self._target, self._target_draws = choose(self._transactions), _TARGET_DRAWS
        self._target_draws -= 1
        transaction_id, original = (
            self._target if self._random.random() < 0.7 else choose(self._transactions)
        )
        luck = self._random.random()
        if luck < 0.03:
            transaction_id = UNKNOWN_TRANSACTION
        organisation = original.organisation
        if original.operation is Operation.B2B and luck > 0.5:
            organisation = original.counterparty
        if luck > 0.96:
            organisation = choose(RICH_ORGANISATIONS)
        return Ask(
            self._choose_application(organisation),
            Operation.REVERSAL,
            organisation,
            transaction_id,
            self._draw_reversed_minor(original),
        )

    def _draw_reversed_minor(self, original: Ask) -> int:
        luck = self._random.random()
        amount_minor = original.amount_minor or 50
        if luck < 0.35:
            return 0
        if luck < 0.45:
            return amount_minor + self._random.randint(0, 1)
        return 50 * self._random.randint(1, max(1, amount_minor // 100))

    def _draw_payment(self) -> Ask:
        choose = self._random.choice
        luck = self._random.random()
        organisation = choose(POOR_ORGANISATIONS if luck < 0.6 else RICH_ORGANISATIONS)
        customer = choose(POOR_CUSTOMERS if self._random.random() < 0.5 else RICH_CUSTOMERS)
        if luck < 0.01:
            organisation = OTHERS_ORGANISATION
        elif luck > 0.97:
            customer = choose((LOCKED_CUSTOMER, UNKNOWN_CUSTOMER))
        operation = choose((Operation.C2B, Operation.B2C, Operation.B2C, Operation.B2B))
        counterparty = customer
        if operation is Operation.B2B:
            counterparty = choose((*POOR_ORGANISATIONS, *RICH_ORGANISATIONS, OTHERS_ORGANISATION))
        # Round, so that a wallet often holds exactly what is asked for.
        amount_minor = 50 * self._random.randint(1, 24)
        application = self._choose_application(organisation)
        return Ask(application, operation, organisation, counterparty, amount_minor)

    def _choose_application(self, organisation: str) -> int:
        """One that acts for the organisation, as a rule."""
        acting = [name for name, codes in self._applications.items() if organisation in codes]
        is_foreign = not acting or self._random.random() < 0.03
        return self._random.choice(list(self._applications) if is_foreign else acting)


INTERESTING_CODES = OUTCOMES - {"INS-997"} | {DUPLICATE}
"""What a long enough history of this workload holds."""
