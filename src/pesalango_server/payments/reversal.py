"""Reversal: the money of a completed payment goes back from its payee to its payer."""

from msgspec.structs import replace

from pesalango_server.catalog.model import Product
from pesalango_server.catalog.operations.reversal import OPERATION
from pesalango_server.kernel.invariant import expect
from pesalango_server.kernel.message import PaymentOutcome
from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.ledger.model import OperationKind, OrganisationStatus, Original, OwnerKind
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.commands import TakeReversal
from pesalango_server.payments.taking import (
    NOT_REFUSED,
    Asked,
    PaymentUseCase,
    Refusal,
    answer_early,
    move_money,
    plan_taking,
    record_payment,
    refuse_customer_status,
    refuse_organisation,
)

PRODUCT = Product.REVERSAL.value


def make_take_reversal(asked: Asked) -> TakeReversal:
    """The command for a checked request."""
    transaction_id = asked.values["transaction_id"]
    return TakeReversal(
        *asked.list_common(organisation_code=asked.values["service_provider_code"]),
        transaction_id,
        asked.decode_transaction_id(transaction_id) or 0,
        asked.b2b_payer_may_reverse,
    )


def plan_take_reversal(command: TakeReversal, plan: LoadPlan) -> None:
    """What `decide_take_reversal` needs."""
    plan_taking(command, plan)
    if command.original:
        plan.original(command.ledger, command.original)


def decide_take_reversal(command: TakeReversal, book: Book) -> PaymentOutcome:
    """Refuse or complete; the first fault is the answer."""
    early = answer_early(command, book)
    if early is not None:
        return early
    organisation = book.organisations.get(command.organisation_code)
    original = book.originals.get(command.original)
    refusal = refuse_organisation(command, organisation, PRODUCT) or _refuse_original(
        command, original
    )
    if refusal:
        return record_payment(command, book, *refusal)
    original = expect(original, NOT_REFUSED)
    left_minor = original.amount_minor - original.reversed_minor
    if not command.amount_minor:
        command = replace(command, amount_minor=left_minor)
    refusal = _refuse_amount(command, left_minor) or _refuse_payee(original, book)
    if refusal:
        return record_payment(command, book, *refusal)
    outcome = move_money(
        command,
        book,
        payer=expect(original.payee, NOT_REFUSED),
        payee=expect(original.payer, NOT_REFUSED),
    )
    if outcome.state == State.COMPLETED:
        original.reversed_minor += command.amount_minor
        book.write(
            store.INSERT_REVERSALS,
            (book.ledger, outcome.payment, command.original, command.amount_minor),
        )
    return outcome


def _refuse_original(command: TakeReversal, original: Original | None) -> Refusal | None:
    """Why the payment cannot be reversed by the caller's organisation at all."""
    if original is None:
        return Status.ORIGINAL_UNKNOWN, ""
    if not _is_party(command, original):
        return Status.ORIGINAL_OF_OTHERS, ""
    if original.operation == OperationKind.REVERSAL:
        return Status.ORIGINAL_NOT_REVERSIBLE, "is a reversal"
    if original.payer is None:
        return Status.ORIGINAL_NOT_REVERSIBLE, State(original.state).name.lower()
    if original.reversed_minor >= original.amount_minor:
        return Status.ORIGINAL_NOT_REVERSIBLE, "reversed in full"
    return None


def _is_party(command: TakeReversal, original: Original) -> bool:
    is_between_organisations = original.parties_by == OperationKind.B2B_PAYMENT
    if original.organisation_code == command.organisation_code:
        return not is_between_organisations or command.b2b_payer_may_reverse
    return is_between_organisations and original.counterparty == command.organisation_code


def _refuse_amount(command: TakeReversal, left_minor: int) -> Refusal | None:
    if command.amount_minor > left_minor:
        return Status.ORIGINAL_EXCEEDED, f"{left_minor}"
    return None


def _refuse_payee(original: Original, book: Book) -> Refusal | None:
    """Why nothing can be taken from whom the money went to; giving back is always possible."""
    payee = expect(original.payee, NOT_REFUSED)
    # By id, not from the original: a command before this one in the batch may have changed it.
    status = book.owner_statuses[original.payee_owner]
    if payee.owner_kind == OwnerKind.CUSTOMER:
        return refuse_customer_status(status)
    if status != OrganisationStatus.ACTIVE:
        return Status.ORGANISATION_UNUSABLE, "suspended"
    return None


USE_CASE = PaymentUseCase(
    OPERATION, TakeReversal, make_take_reversal, plan_take_reversal, decide_take_reversal
)
