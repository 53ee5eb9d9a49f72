"""What became of an earlier request: reads only, and leaves nothing behind."""

from secrets import randbits
from typing import Final

import msgspec

from pesalango_server.applications.model import Application
from pesalango_server.catalog.codes import (
    INVALID_SHORTCODE,
    PRODUCT_NOT_ENABLED,
    TRANSACTION_NOT_FOUND,
)
from pesalango_server.catalog.model import NOT_AVAILABLE
from pesalango_server.catalog.operations.query_transaction_status import OPERATION
from pesalango_server.catalog.questions import Checked
from pesalango_server.catalog.triggers import find_trigger
from pesalango_server.engine.registry import PAYMENTS
from pesalango_server.gateway.answers import Answer
from pesalango_server.gateway.use_case import Place
from pesalango_server.kernel.ids import ledger_of, make_unrecorded_conversation_id
from pesalango_server.kernel.invariant import ensure
from pesalango_server.ledger.loading import parse_products
from pesalango_server.ledger.model import OperationKind, OrganisationStatus
from pesalango_server.ledger.statuses import State
from pesalango_server.storage.database import (
    Read,
    Reader,
    Schema,
    declare_key_query,
    declare_query,
)

STATUS_TEXTS: Final = {
    State.PENDING: "Pending",
    State.RESERVED: "Pending",
    State.COMPLETED: "Completed",
    State.FAILED: "Failed",
    State.CANCELLED: "Cancelled",
    State.EXPIRED: "Expired",
}
"""How the wire calls the states of a payment."""

_STATES_WITH_ID: Final = frozenset({State.RESERVED, State.COMPLETED, State.CANCELLED})
_QUERIED_KINDS: Final = tuple(payment.command.kind for payment in PAYMENTS)

FIND_QUERIED_ORGANISATION: Final = declare_query(
    "find_queried_organisation",
    Schema.ENVIRONMENT,
    columns="status, products",
    text=(
        "SELECT o.status AS status, o.products AS products FROM {input}"
        " CROSS JOIN organisations AS o WHERE o.ledger = input.ledger AND o.code = input.code"
    ),
    set_columns="ledger bigint, code text",
)

FIND_QUERIED_BY_KEY: Final = declare_key_query(
    "find_queried_by_key", Schema.ENVIRONMENT, columns="payment"
)

FIND_QUERIED_PAYMENTS: Final = declare_query(
    "find_queried_payments",
    Schema.ENVIRONMENT,
    columns=(
        "id, application, organisation_code, parties_by, first_party, second_party,"
        " reversed_in_full, state"
    ),
    text=(
        "SELECT p.id AS id, p.application AS application,"
        " p.organisation_code AS organisation_code,"
        " coalesce(u.operation, p.operation) AS parties_by,"
        " coalesce(u.organisation_code, p.organisation_code) AS first_party,"
        " coalesce(u.counterparty, p.counterparty) AS second_party,"
        " CASE WHEN (SELECT sum(r.amount_minor) FROM reversals AS r WHERE r.ledger = p.ledger"
        " AND r.original = p.id) >= p.amount_minor THEN 1 ELSE 0 END AS reversed_in_full,"
        " coalesce((SELECT c.state FROM payment_changes AS c WHERE c.ledger = p.ledger"
        " AND c.payment = p.id ORDER BY c.id DESC LIMIT 1), p.state) AS state"
        " FROM {input} CROSS JOIN payments AS p"
        " LEFT JOIN reversals AS v ON v.ledger = p.ledger AND v.reversal = p.id"
        " LEFT JOIN payments AS u ON u.ledger = v.ledger AND u.id = v.original"
        " WHERE p.ledger = input.ledger AND p.id = input.payment"
    ),
    set_columns="ledger bigint, payment bigint",
)


class _Found(msgspec.Struct, frozen=True, array_like=True):
    """A payment that the reference may mean.

    The two parties of a reversal are those of what it reversed, made by the operation `parties_by`.
    """

    id: int
    application: int
    organisation_code: str
    parties_by: int
    first_party: str
    second_party: str
    reversed_in_full: int
    state: int


_decode_organisations = msgspec.json.Decoder(list[tuple[int, str]]).decode
_decode_payment_ids = msgspec.json.Decoder(list[tuple[int]]).decode
_decode_found = msgspec.json.Decoder(list[_Found]).decode


class _Question(msgspec.Struct, frozen=True):
    """A query with the reference taken apart: which payments it can mean, and by which id."""

    ledger: int
    application: int
    organisation_code: str
    by_transaction_id: int | None
    keys: tuple[str, ...]
    by_conversation_id: int | None


class QueryTransactionStatus:
    """See `UseCase`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._has_triggers = place.environment.name == "sandbox"
        installation = place.configuration.installation
        self._ids = installation.ids
        self._duplicate_keys = installation.duplicate_keys

    async def answer(self, application: Application, checked: Checked) -> Answer:
        """See `UseCase.answer`."""
        reference = checked.values["third_party_conversation_id"]
        answers = self._place.answers
        trigger = find_trigger(OPERATION, checked) if self._has_triggers else None
        if trigger is not None:
            if trigger.code != OPERATION.success.code:
                return answers.refuse(trigger.code, third_party_conversation_id=reference)
            # As if it had been found, with an id that is nobody's: there is no payment in ledger 0.
            nobodys = randbits(41) << 22 | randbits(12)
            transaction_id = self._ids.encode(nobodys)[0]
            return self._succeed(
                reference, {"original_transaction_id": transaction_id, **trigger.answer}
            )
        organisation_code = checked.values["service_provider_code"]
        if organisation_code not in application.organisations:
            return answers.refuse(INVALID_SHORTCODE, third_party_conversation_id=reference)
        question = await self._take_apart(application, checked)
        found = await self._place.environment.readers.use(lambda reader: _find(reader, question))
        if isinstance(found, str):
            return answers.refuse(found, third_party_conversation_id=reference)
        transaction_id = self._ids.encode(found.id)[0]
        return self._succeed(
            reference,
            {
                "transaction_status": STATUS_TEXTS[State(found.state)],
                "original_transaction_id": (
                    transaction_id if found.state in _STATES_WITH_ID else NOT_AVAILABLE
                ),
                "reversed": str(bool(found.reversed_in_full)),
            },
        )

    def _succeed(self, reference: str, values: dict[str, str]) -> Answer:
        return self._place.answers.succeed(
            {
                "conversation_id": make_unrecorded_conversation_id(randbits(128)),
                "third_party_conversation_id": reference,
                **values,
            }
        )

    async def _take_apart(self, application: Application, checked: Checked) -> _Question:
        environment = self._place.environment
        ledger = await environment.find_ledger(
            application.environments[environment.name].world, self._place.market.path_value
        )
        ensure(ledger is not None, "a session belongs to a ledger that was opened")
        text = checked.values["query_reference"]

        def in_ledger(payment: int | None) -> int | None:
            return payment if payment is not None and ledger_of(payment) == ledger else None

        return _Question(
            ledger=ledger or 0,
            application=application.id,
            organisation_code=checked.values["service_provider_code"],
            by_transaction_id=in_ledger(self._ids.decode_transaction_id(text)),
            keys=tuple(
                self._duplicate_keys.make(
                    application=application.id, operation=kind, reference=text
                )
                for kind in _QUERIED_KINDS
            ),
            by_conversation_id=in_ledger(self._ids.decode_conversation_id(text)),
        )


def _find(reader: Reader, question: _Question) -> _Found | str:
    """The payment that is meant, or the code of the refusal. Runs in a reader's thread."""
    ledger, code = question.ledger, question.organisation_code
    organisations = _decode_organisations(
        reader.read(Read(FIND_QUERIED_ORGANISATION, rows=[(ledger, code)]))
    )
    if not organisations or organisations[0][0] != OrganisationStatus.ACTIVE:
        return INVALID_SHORTCODE
    if OPERATION.product not in parse_products(organisations[0][1]):
        return PRODUCT_NOT_ENABLED
    by_key = [
        payment
        for (payment,) in _decode_payment_ids(
            reader.read(Read(FIND_QUERIED_BY_KEY, rows=[(ledger, key) for key in question.keys]))
        )
    ]
    wanted = {question.by_transaction_id, question.by_conversation_id, *by_key} - {None}
    if not wanted:
        return TRANSACTION_NOT_FOUND
    payments = {
        found.id: found
        for found in _decode_found(
            reader.read(Read(FIND_QUERIED_PAYMENTS, rows=[(ledger, id_) for id_ in wanted]))
        )
    }
    # The newest first: ids grow with time.
    return _choose(question, payments, sorted(by_key, reverse=True))


def _choose(question: _Question, payments: dict[int, _Found], by_key: list[int]) -> _Found | str:
    """By TransactionID, ThirdPartyConversationID, ConversationID, in this order.

    The first is good for every application of a party; the others for the one that sent the
    request, and only where the organisation is the request's own.
    """
    by_transaction_id = payments.get(question.by_transaction_id or 0)
    if by_transaction_id is not None and _is_party(question, by_transaction_id):
        return by_transaction_id
    for id_ in (*by_key, question.by_conversation_id or 0):
        found = payments.get(id_)
        if (
            found is not None
            and found.application == question.application
            and found.organisation_code == question.organisation_code
        ):
            return found
    return TRANSACTION_NOT_FOUND


def _is_party(question: _Question, found: _Found) -> bool:
    if found.first_party == question.organisation_code:
        return True
    is_between_organisations = found.parties_by == OperationKind.B2B_PAYMENT
    return is_between_organisations and found.second_party == question.organisation_code
