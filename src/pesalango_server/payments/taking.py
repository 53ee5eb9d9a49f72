"""What all requests to move money have in common: their first checks, and how they are recorded."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pesalango_server.catalog.model import Operation
from pesalango_server.kernel.message import PaymentOutcome
from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.ledger.model import (
    ACTIVE_CUSTOMER,
    ACTIVE_ORGANISATION,
    BALANCE_MAX_MINOR,
    CUSTOMER_OWNER,
    Account,
    Customer,
    CustomerStatus,
    Organisation,
)
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.commands import TakePayment

NOT_REFUSED = "what was not refused is there"

Refusal = tuple[Status, str]
"""Why a payment cannot be made: status and evidence."""

# A request answered so leaves nothing behind: no row, no key.
_UNRECORDED_TRIGGERS = (Status.TRIGGERED_INTERNAL_FAULT, Status.TRIGGERED_UNAVAILABLE)

# See `ledger.model` for why they have names here.
_STATUS_COMPLETED: Final = Status.COMPLETED
_STATE_COMPLETED: Final = State.COMPLETED
_STATE_FAILED: Final = State.FAILED

_DUPLICATE = PaymentOutcome(0, State.NONE, Status.DUPLICATE)

_STATES_OF_TRIGGERS = {
    Status.TRIGGERED_SUCCESS: State.COMPLETED,
    Status.TRIGGERED_EXPIRY: State.EXPIRED,
}


class Asked(NamedTuple):
    """A checked request, and what the gateway knows about it besides, to make a command of."""

    ledger: int
    application: int
    organisations: frozenset[str]
    """Codes of those that the application acts for."""
    values: Mapping[str, str]
    """By the Python names of the operation's fields."""
    amount_minor: int
    """0 where the request has none."""
    duplicate_key: str
    trigger: int
    decode_transaction_id: Callable[[str], int | None]
    approves_unscripted: bool
    wait_ms: int
    b2b_payer_may_reverse: bool

    def list_common(
        self, *, organisation_code: str, transaction_reference: str = "", description: str = ""
    ) -> tuple[int, int, str, bool, int, str, str, str, str, int]:
        """The values of `TakePayment`'s fields, in their order."""
        return (
            self.ledger,
            self.application,
            organisation_code,
            organisation_code in self.organisations,
            self.amount_minor,
            self.values["third_party_conversation_id"],
            transaction_reference,
            description,
            self.duplicate_key,
            self.trigger,
        )


class PaymentUseCase(NamedTuple):
    """One operation that moves money: what it is called, and how its command is made and decided.

    `make` turns a request into the command, `plan` says what `decide` needs to have loaded.
    """

    operation: Operation
    command: type[TakePayment]
    make: Callable[[Asked], TakePayment]
    plan: Callable[..., None]
    decide: Callable[..., PaymentOutcome]


def plan_taking(command: TakePayment, plan: LoadPlan) -> None:
    """What `answer_early` and the caller's organisation need."""
    plan.duplicate(command.ledger, command.duplicate_key)
    plan.organisation(command.ledger, command.organisation_code)


def answer_early(command: TakePayment, book: Book) -> PaymentOutcome | None:
    """The answer to a duplicate and to a sandbox trigger; None where neither is the case."""
    if command.duplicate_key in book.duplicates:
        return _DUPLICATE
    if not command.trigger:
        return None
    status = Status(command.trigger)
    if status in _UNRECORDED_TRIGGERS:
        return PaymentOutcome(0, State.NONE, status)
    state = _STATES_OF_TRIGGERS.get(status, State.FAILED)
    return record_payment(command, book, status, "sandbox trigger", state=state)


def refuse_organisation(
    command: TakePayment, organisation: Organisation | None, product: str
) -> Refusal | None:
    """Why the caller's organisation cannot take part, or None if it can."""
    if organisation is None:
        return Status.ORGANISATION_UNKNOWN, ""
    if organisation.status != ACTIVE_ORGANISATION:
        return Status.ORGANISATION_SUSPENDED, ""
    if not command.acts_for:
        return Status.ORGANISATION_NOT_OF_APPLICATION, ""
    if product not in organisation.products:
        return Status.ORGANISATION_PRODUCT_DISABLED, product
    return None


def refuse_customer(customer: Customer | None) -> Refusal | None:
    """Why a customer can neither pay nor be paid, or None if both are possible."""
    if customer is None:
        return Status.CUSTOMER_UNKNOWN, ""
    return refuse_customer_status(customer.status)


def refuse_customer_status(status: int) -> Refusal | None:
    """Why a customer with that account status cannot take part, or None if it can."""
    if status != ACTIVE_CUSTOMER:
        return Status.CUSTOMER_NOT_ACTIVE, CustomerStatus(status).name.lower()
    return None


def refuse_wallets(*, payer: Account, payee: Account, amount_minor: int) -> Refusal | None:
    """Why the money cannot move between two wallets, or None if it can."""
    if payee.balance_minor + amount_minor > BALANCE_MAX_MINOR:
        status = (
            Status.CUSTOMER_WALLET_FULL
            if payee.owner_kind == CUSTOMER_OWNER
            else Status.ORGANISATION_WALLET_FULL
        )
        return status, f"{payee.balance_minor}"
    if payer.available_minor < amount_minor:
        return Status.BALANCE_INSUFFICIENT, f"{payer.available_minor}"
    return None


def move_money(
    command: TakePayment, book: Book, *, payer: Account, payee: Account
) -> PaymentOutcome:
    """The last step where nobody has to be asked: judge the wallets, then complete or refuse."""
    refusal = refuse_wallets(payer=payer, payee=payee, amount_minor=command.amount_minor)
    if refusal:
        return record_payment(command, book, *refusal)
    # After this point, the payment succeeds.
    outcome = record_payment(command, book, _STATUS_COMPLETED, state=_STATE_COMPLETED)
    book.post_transfer(
        payment=outcome.payment, debit=payer, credit=payee, amount_minor=command.amount_minor
    )
    return outcome


def record_payment(
    command: TakePayment,
    book: Book,
    status: Status,
    evidence: str = "",
    *,
    state: State = _STATE_FAILED,
) -> PaymentOutcome:
    """Record a request for good, with its key."""
    payment = book.mint()
    book.payments.append(
        (
            book.ledger,
            payment,
            command.kind,
            command.application,
            command.organisation_code,
            command.counterparty,
            command.amount_minor,
            command.third_party_conversation_id,
            command.transaction_reference,
            command.description,
            state,
            status,
            evidence,
        )
    )
    book.duplicates[command.duplicate_key] = payment
    book.write(store.INSERT_DUPLICATES, (book.ledger, command.duplicate_key, payment))
    return PaymentOutcome(payment, state, status)
