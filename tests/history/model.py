"""A ledger as simple as it can be: one request after the other over a dictionary of balances.

It knows the refusals of C2B, B2C, B2B and reversal in the order of the operator's documentation,
from step 7 on (what comes before needs no ledger), and shares no line with the product.
"""

from collections import defaultdict

import msgspec

from tests.history.shapes import (
    ISSUANCE,
    SUCCESS,
    Ask,
    Operation,
    World,
    customer_wallet,
    organisation_wallet,
    read_transaction_id,
    write_money,
)

NOT_PERMITTED = "INS-997"
UNKNOWN_ORGANISATION = "INS-13"
UNKNOWN_CUSTOMER = "INS-2051"
UNKNOWN_ORIGINAL = "INS-18"
NOT_A_PARTY = "INS-35"
FAILED = "INS-6"
WRONG_AMOUNT = "INS-15"
LACKS_MONEY = "INS-2006"

OUTCOMES = frozenset(
    {
        SUCCESS,
        NOT_PERMITTED,
        UNKNOWN_ORGANISATION,
        UNKNOWN_CUSTOMER,
        UNKNOWN_ORIGINAL,
        NOT_A_PARTY,
        FAILED,
        WRONG_AMOUNT,
        LACKS_MONEY,
    }
)
"""All codes with which the model records a request."""


class Effect(msgspec.Struct, frozen=True):
    """What becomes of a request, and why in words; `amount_minor` moves where it is a success.

    `original` is the payment that a reversal gives back, 0 otherwise.
    """

    code: str
    why: str
    payer: str = ""
    payee: str = ""
    amount_minor: int = 0
    original: int = 0


class _Known(msgspec.Struct):
    """A payment that was recorded; `parties` may reverse it, `payer` is empty if nothing moved."""

    operation: Operation
    parties: frozenset[str]
    amount_minor: int
    payer: str = ""
    payee: str = ""
    reversed_minor: int = 0


class Model:
    """Balances, and what may still be reversed. `decide` looks, `record` and `move` change."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[int, _Known] = {}
        self.balances: defaultdict[str, int] = defaultdict(int)

    def decide(self, ask: Ask) -> Effect:
        """What becomes of a request now; nothing is changed."""
        refusal = self._refuse_caller(ask)
        if ask.operation is Operation.B2B:
            return self._decide_b2b(ask, refusal)
        if refusal is not None:
            return refusal
        if ask.operation is Operation.REVERSAL:
            return self._decide_reversal(ask)
        customer = self._world.customers.get(ask.counterparty)
        if customer is None:
            return Effect(UNKNOWN_CUSTOMER, f"there is no customer {ask.counterparty}")
        if not customer.is_active:
            return Effect(FAILED, f"customer {ask.counterparty} is not active")
        theirs = customer_wallet(ask.counterparty)
        ours = organisation_wallet(ask.organisation)
        payer, payee = (theirs, ours) if ask.operation is Operation.C2B else (ours, theirs)
        return self._settle(payer, payee, ask.amount_minor)

    def record(self, payment: int, ask: Ask, effect: Effect) -> None:
        """Remember a request as recorded; where it is a success the money is what it moved."""
        parties = self._find_parties(ask)
        known = _Known(ask.operation, parties, ask.amount_minor)
        if effect.code == SUCCESS:
            known.payer, known.payee = effect.payer, effect.payee
            known.amount_minor = effect.amount_minor
            original = self._known.get(effect.original)
            if original is not None:
                known.parties = original.parties
                original.reversed_minor += effect.amount_minor
        self._known[payment] = known

    def move(self, *, payer: str, payee: str, amount_minor: int) -> None:
        """Move money, whoever then has how much."""
        self.balances[payer] -= amount_minor
        self.balances[payee] += amount_minor

    def fund(self, wallet: str, amount_minor: int) -> None:
        """Money from outside."""
        self.move(payer=ISSUANCE, payee=wallet, amount_minor=amount_minor)

    def _refuse_caller(self, ask: Ask) -> Effect | None:
        organisation = self._world.organisations.get(ask.organisation)
        acts_for = self._world.applications.get(ask.application, frozenset())
        if organisation is None or not organisation.is_active:
            return Effect(UNKNOWN_ORGANISATION, f"{ask.organisation} is no usable organisation")
        if ask.organisation not in acts_for:
            return Effect(
                UNKNOWN_ORGANISATION,
                f"application {ask.application} does not act for {ask.organisation}",
            )
        if ask.operation not in organisation.products:
            return Effect(NOT_PERMITTED, f"{ask.organisation} lacks the product {ask.operation}")
        return None

    def _decide_b2b(self, ask: Ask, refusal: Effect | None) -> Effect:
        # Both have to be there before it counts what the payer has enabled.
        if refusal is not None and refusal.code != NOT_PERMITTED:
            return refusal
        receiver = self._world.organisations.get(ask.counterparty)
        if receiver is None or not receiver.is_active:
            return Effect(UNKNOWN_ORGANISATION, f"{ask.counterparty} is no usable organisation")
        if ask.counterparty == ask.organisation:
            return Effect(UNKNOWN_ORGANISATION, f"{ask.organisation} would pay itself")
        if refusal is not None:
            return refusal
        return self._settle(
            organisation_wallet(ask.organisation),
            organisation_wallet(ask.counterparty),
            ask.amount_minor,
        )

    def _decide_reversal(self, ask: Ask) -> Effect:
        number = read_transaction_id(ask.counterparty)
        original = self._known.get(number)
        if original is None:
            return Effect(UNKNOWN_ORIGINAL, f"no payment has the TransactionID {ask.counterparty}")
        name = f"payment {number}"

        def refuse(code: str, why: str) -> Effect:
            return Effect(code, why, original=number)

        if ask.organisation not in original.parties:
            return refuse(NOT_A_PARTY, f"{ask.organisation} is no party to {name} that may reverse")
        if original.operation is Operation.REVERSAL:
            return refuse(FAILED, f"{name} is a reversal itself")
        if not original.payer:
            return refuse(FAILED, f"{name} was not completed")
        left_minor = original.amount_minor - original.reversed_minor
        if left_minor <= 0:
            return refuse(FAILED, f"{name} was reversed in full")
        if ask.amount_minor > left_minor:
            left = write_money(left_minor)
            return refuse(WRONG_AMOUNT, f"of {name} only {left} is left")
        if not self._may_be_taken_from(original.payee):
            return refuse(FAILED, f"nothing may be taken from {original.payee}")
        return self._settle(
            original.payee, original.payer, ask.amount_minor or left_minor, original=number
        )

    def _find_parties(self, ask: Ask) -> frozenset[str]:
        """Who may reverse it. An operator may forbid it to the payer of a B2B."""
        if ask.operation is not Operation.B2B:
            return frozenset({ask.organisation})
        if self._world.b2b_payer_may_reverse:
            return frozenset({ask.organisation, ask.counterparty})
        return frozenset({ask.counterparty})

    def _may_be_taken_from(self, wallet: str) -> bool:
        kind, _, name = wallet.partition(" ")
        if kind == "customer":
            customer = self._world.customers.get(name)
            return customer is not None and customer.is_active
        organisation = self._world.organisations.get(name)
        return organisation is not None and organisation.is_active

    def _settle(self, payer: str, payee: str, amount_minor: int, *, original: int = 0) -> Effect:
        if self.balances[payee] + amount_minor > self._world.balance_max_minor:
            return Effect(FAILED, f"{payee} cannot hold more", payer, payee, amount_minor, original)
        has = f"{payer} has {write_money(self.balances[payer])}"
        code = LACKS_MONEY if self.balances[payer] < amount_minor else SUCCESS
        return Effect(code, has, payer, payee, amount_minor, original)
