"""C2B in one step: a customer's money goes to an organisation once the customer approves."""

from pesalango_server.catalog.model import Product
from pesalango_server.catalog.operations.c2b_single_stage import OPERATION
from pesalango_server.kernel.invariant import expect
from pesalango_server.kernel.message import PaymentOutcome
from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.ledger.model import NO_ANSWER, Answer, Customer, Organisation
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.commands import TakeC2b
from pesalango_server.payments.taking import (
    NOT_REFUSED,
    Asked,
    PaymentUseCase,
    answer_early,
    move_money,
    plan_taking,
    record_payment,
    refuse_customer,
    refuse_organisation,
)

PRODUCT = Product.C2B.value


def make_take_c2b(asked: Asked) -> TakeC2b:
    """The command for a checked request."""
    values = asked.values
    return TakeC2b(
        *asked.list_common(
            organisation_code=values["service_provider_code"],
            transaction_reference=values["transaction_reference"],
            description=values["purchased_items_description"],
        ),
        values["customer_msisdn"],
        asked.approves_unscripted,
        asked.wait_ms,
    )


def plan_take_c2b(command: TakeC2b, plan: LoadPlan) -> None:
    """What `decide_take_c2b` needs."""
    plan_taking(command, plan)
    plan.customer(command.ledger, command.msisdn)


def decide_take_c2b(command: TakeC2b, book: Book) -> PaymentOutcome:
    """Refuse, complete, or record as waiting for the customer; the first fault is the answer."""
    early = answer_early(command, book)
    if early is not None:
        return early
    organisation = book.organisations.get(command.organisation_code)
    customer = book.customers.get(command.msisdn)
    refusal = refuse_organisation(command, organisation, PRODUCT) or refuse_customer(customer)
    if refusal:
        return record_payment(command, book, *refusal)
    organisation, customer = expect(organisation, NOT_REFUSED), expect(customer, NOT_REFUSED)
    if _has_to_be_asked(command, customer):
        return _ask(command, book, customer, organisation)
    return move_money(command, book, payer=customer.account, payee=organisation.account)


def _has_to_be_asked(command: TakeC2b, customer: Customer) -> bool:
    if customer.answer == NO_ANSWER:
        return not command.approves_unscripted
    return customer.answer != Answer.APPROVE or customer.delay_ms > 0


def _ask(
    command: TakeC2b, book: Book, customer: Customer, organisation: Organisation
) -> PaymentOutcome:
    outcome = record_payment(command, book, Status.PROMPT_WAITING, state=State.PENDING)
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


USE_CASE = PaymentUseCase(OPERATION, TakeC2b, make_take_c2b, plan_take_c2b, decide_take_c2b)
