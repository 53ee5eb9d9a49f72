"""B2B: one organisation's money goes to another."""

from pesalango_server.catalog.model import Product
from pesalango_server.catalog.operations.b2b_payment import OPERATION
from pesalango_server.kernel.invariant import expect
from pesalango_server.kernel.message import PaymentOutcome
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.ledger.model import Organisation, OrganisationStatus
from pesalango_server.ledger.statuses import Status
from pesalango_server.payments.commands import TakeB2b
from pesalango_server.payments.taking import (
    NOT_REFUSED,
    Asked,
    PaymentUseCase,
    Refusal,
    answer_early,
    move_money,
    plan_taking,
    record_payment,
    refuse_organisation,
)

PRODUCT = Product.B2B.value


def make_take_b2b(asked: Asked) -> TakeB2b:
    """The command for a checked request."""
    values = asked.values
    return TakeB2b(
        *asked.list_common(
            organisation_code=values["primary_party_code"],
            transaction_reference=values["transaction_reference"],
            description=values["purchased_items_description"],
        ),
        values["receiver_party_code"],
    )


def plan_take_b2b(command: TakeB2b, plan: LoadPlan) -> None:
    """What `decide_take_b2b` needs."""
    plan_taking(command, plan)
    plan.organisation(command.ledger, command.receiver_code)


def decide_take_b2b(command: TakeB2b, book: Book) -> PaymentOutcome:
    """Refuse or complete; the first fault is the answer."""
    early = answer_early(command, book)
    if early is not None:
        return early
    payer = book.organisations.get(command.organisation_code)
    payee = book.organisations.get(command.receiver_code)
    refusal = _refuse(command, payer, payee)
    if refusal:
        return record_payment(command, book, *refusal)
    return move_money(
        command,
        book,
        payer=expect(payer, NOT_REFUSED).account,
        payee=expect(payee, NOT_REFUSED).account,
    )


def _refuse(
    command: TakeB2b, payer: Organisation | None, payee: Organisation | None
) -> Refusal | None:
    refusal = refuse_organisation(command, payer, PRODUCT)
    # That both are there and may take part comes before what the payer has switched on.
    if refusal and refusal[0] != Status.ORGANISATION_PRODUCT_DISABLED:
        return refusal
    if payee is None:
        return Status.RECEIVER_UNKNOWN, ""
    if payee.status != OrganisationStatus.ACTIVE:
        return Status.RECEIVER_SUSPENDED, ""
    if command.receiver_code == command.organisation_code:
        return Status.RECEIVER_IS_PAYER, ""
    return refusal


USE_CASE = PaymentUseCase(OPERATION, TakeB2b, make_take_b2b, plan_take_b2b, decide_take_b2b)
