"""C2B in one step: a customer's money goes to an organisation once the customer approves."""

from pesalango_server.kernel.message import AnyOutcome, PaymentOutcome
from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.ledger.model import (
    BALANCE_MAX_MINOR,
    Answer,
    Customer,
    CustomerStatus,
    OperationKind,
    Organisation,
    OrganisationStatus,
)
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.commands import TakeC2b

PRODUCT = "c2b"

# A request answered so leaves nothing behind: no row, no key.
_UNRECORDED_TRIGGERS = (Status.TRIGGERED_INTERNAL_FAULT, Status.TRIGGERED_UNAVAILABLE)

_DUPLICATE = PaymentOutcome(0, State.NONE, Status.DUPLICATE)


def plan_take_c2b(command: TakeC2b, plan: LoadPlan) -> None:
    """What `decide_take_c2b` needs."""
    ledger = command.ledger
    plan.duplicate(ledger, command.duplicate_key)
    plan.organisation(ledger, command.organisation_code)
    plan.customer(ledger, command.msisdn)


def decide_take_c2b(command: TakeC2b, book: Book) -> AnyOutcome:
    """Refuse, complete, or record as waiting for the customer; the first fault is the answer."""
    if command.duplicate_key in book.duplicates:
        return _DUPLICATE
    if command.trigger:
        return _answer_trigger(command, book)
    organisation = book.organisations.get(command.organisation_code)
    refused = refuse_organisation(command, organisation)
    if refused:
        return _record(command, book, State.FAILED, *refused)
    customer = book.customers.get(command.msisdn)
    if customer is None:
        return _record(command, book, State.FAILED, Status.CUSTOMER_UNKNOWN, "")
    if customer.status != CustomerStatus.ACTIVE:
        evidence = CustomerStatus(customer.status).name.lower()
        return _record(command, book, State.FAILED, Status.CUSTOMER_NOT_ACTIVE, evidence)
    if organisation is None:
        raise LookupError("an organisation that is not refused is there")
    if _has_to_be_asked(command, customer):
        return _ask(command, book, customer, organisation)
    refused = refuse_wallets(
        available_minor=customer.account.available_minor,
        receiver_minor=organisation.account.balance_minor,
        amount_minor=command.amount_minor,
    )
    if refused:
        return _record(command, book, State.FAILED, *refused)
    # After this point, the payment succeeds.
    outcome = _record(command, book, State.COMPLETED, Status.COMPLETED, "")
    book.post_transfer(
        payment=outcome.payment,
        debit=customer.account,
        credit=organisation.account,
        amount_minor=command.amount_minor,
    )
    return outcome


def refuse_organisation(
    command: TakeC2b, organisation: Organisation | None
) -> tuple[Status, str] | None:
    """Why the organisation cannot be paid: status and evidence, or None if it can."""
    if organisation is None:
        return Status.ORGANISATION_UNKNOWN, ""
    if organisation.status != OrganisationStatus.ACTIVE:
        return Status.ORGANISATION_SUSPENDED, ""
    if not command.acts_for:
        return Status.ORGANISATION_NOT_OF_APPLICATION, ""
    if PRODUCT not in organisation.products:
        return Status.ORGANISATION_PRODUCT_DISABLED, PRODUCT
    return None


def refuse_wallets(
    *, available_minor: int, receiver_minor: int, amount_minor: int
) -> tuple[Status, str] | None:
    """Why the money cannot move between two wallets: status and evidence, or None if it can."""
    if receiver_minor + amount_minor > BALANCE_MAX_MINOR:
        return Status.ORGANISATION_WALLET_FULL, f"{receiver_minor}"
    if available_minor < amount_minor:
        return Status.BALANCE_INSUFFICIENT, f"{available_minor}"
    return None


def _answer_trigger(command: TakeC2b, book: Book) -> PaymentOutcome:
    status = Status(command.trigger)
    if status in _UNRECORDED_TRIGGERS:
        return PaymentOutcome(0, State.NONE, status)
    state = State.EXPIRED if status == Status.TRIGGERED_EXPIRY else State.FAILED
    return _record(command, book, state, status, "sandbox trigger")


def _has_to_be_asked(command: TakeC2b, customer: Customer) -> bool:
    if customer.answer == Answer.NONE:
        return not command.approves_unscripted
    return customer.answer != Answer.APPROVE or customer.delay_ms > 0


def _ask(
    command: TakeC2b, book: Book, customer: Customer, organisation: Organisation
) -> PaymentOutcome:
    outcome = _record(command, book, State.PENDING, Status.PROMPT_WAITING, "")
    deadline_ms = book.now_ms + command.wait_ms
    due_ms = deadline_ms
    if customer.answer in (Answer.APPROVE, Answer.DECLINE, Answer.WRONG_PIN):
        due_ms = min(deadline_ms, book.now_ms + customer.delay_ms)
    book.write(
        store.INSERT_PROMPTS,
        (
            book.ledger,
            outcome.payment,
            customer.id,
            organisation.id,
            command.amount_minor,
            deadline_ms,
            customer.answer,
            due_ms,
            0,
        ),
    )
    return outcome


def _record(
    command: TakeC2b, book: Book, state: State, status: Status, evidence: str
) -> PaymentOutcome:
    payment = book.mint()
    book.payments.append(
        (
            book.ledger,
            payment,
            OperationKind.C2B_SINGLE_STAGE,
            command.application,
            command.organisation_code,
            command.msisdn,
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
    book.writes.add(store.INSERT_DUPLICATES, (book.ledger, command.duplicate_key, payment))
    return PaymentOutcome(payment, state, status)
