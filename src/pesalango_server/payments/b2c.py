"""B2C: an organisation's money goes to a customer, who is not asked."""

from pesalango_server.catalog.model import Product
from pesalango_server.catalog.operations.b2c_payment import OPERATION
from pesalango_server.kernel.invariant import expect
from pesalango_server.kernel.message import PaymentOutcome
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.payments.commands import TakeB2c
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

PRODUCT = Product.B2C.value


def make_take_b2c(asked: Asked) -> TakeB2c:
    """The command for a checked request."""
    values = asked.values
    return TakeB2c(
        *asked.list_common(
            organisation_code=values["service_provider_code"],
            transaction_reference=values["transaction_reference"],
            description=values["payment_items_description"],
        ),
        values["customer_msisdn"],
    )


def plan_take_b2c(command: TakeB2c, plan: LoadPlan) -> None:
    """What `decide_take_b2c` needs."""
    plan_taking(command, plan)
    plan.customer(command.ledger, command.msisdn)


def decide_take_b2c(command: TakeB2c, book: Book) -> PaymentOutcome:
    """Refuse or complete; the first fault is the answer."""
    early = answer_early(command, book)
    if early is not None:
        return early
    organisation = book.organisations.get(command.organisation_code)
    customer = book.customers.get(command.msisdn)
    refusal = refuse_organisation(command, organisation, PRODUCT) or refuse_customer(customer)
    if refusal:
        return record_payment(command, book, *refusal)
    return move_money(
        command,
        book,
        payer=expect(organisation, NOT_REFUSED).account,
        payee=expect(customer, NOT_REFUSED).account,
    )


USE_CASE = PaymentUseCase(OPERATION, TakeB2c, make_take_b2c, plan_take_b2c, decide_take_b2c)
