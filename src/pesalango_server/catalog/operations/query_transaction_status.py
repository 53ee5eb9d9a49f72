"""What became of an earlier request."""

from typing import Final

from pesalango_server.catalog import codes, fields, kinds
from pesalango_server.catalog.answers import (
    ACKNOWLEDGEMENT,
    CONVERSATION_ID,
    ORIGINAL_CONVERSATION_ID,
    RESPONSE_CODE,
    RESPONSE_DESC,
    RESULT_CODE,
    RESULT_DESC,
    THIRD_PARTY_CONVERSATION_ID,
    TRANSACTION_ID,
    answer,
    listener_acknowledgement,
    output,
    returned,
)
from pesalango_server.catalog.codes import by_check, by_nothing, by_trigger
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import Field, Operation, Product, TriggerOutcome, TriggerRow
from pesalango_server.catalog.tables import SCOPE, UNAVAILABLE

_STATUS: Final = output(
    "output_ResponseTransactionStatus",
    "transaction_status",
    "Pending, Completed, Failed, Cancelled or Expired.",
    "Completed",
)
_ORIGINAL_TRANSACTION_ID: Final = output(
    "output_OriginalTransactionID",
    "original_transaction_id",
    "The id of the money's movement; `N/A` while nothing is posted or reserved. For mandates made "
    "or cancelled it is their reference.",
    "5fT0kQ2mBx7L",
)
_REVERSED: Final = output(
    "output_Reversed",
    "reversed",
    "True once nothing of it is left to reverse, else False.",
    "False",
)
_RETURNED_ORIGINAL_TRANSACTION_ID: Final = returned(_ORIGINAL_TRANSACTION_ID)


def _completed(reversed_text: str) -> TriggerOutcome:
    return TriggerOutcome(
        code=codes.PROCESSED,
        answer={"transaction_status": "Completed", "reversed": reversed_text},
    )


OPERATION: Final = Operation(
    name="query_transaction_status",
    title="Transaction status",
    summary="Tells the state of an earlier request, by any of its three ids.",
    method="GET",
    path="queryTransactionStatus/",
    product=Product.STATUS_QUERY,
    markets=MARKETS,
    fields=(
        Field(
            wire_name="input_QueryReference",
            name="query_reference",
            kind=kinds.QUERY_REFERENCE,
            description="The request that is asked about. Its TransactionID is tried first, then "
            "its ThirdPartyConversationID, then its ConversationID.",
            example="order1042attempt1",
        ),
        fields.COUNTRY,
        fields.SERVICE_PROVIDER_CODE,
        fields.THIRD_PARTY_CONVERSATION_ID,
    ),
    answer=answer(
        RESPONSE_CODE,
        RESPONSE_DESC,
        _STATUS,
        CONVERSATION_ID,
        THIRD_PARTY_CONVERSATION_ID,
        _ORIGINAL_TRANSACTION_ID,
        _REVERSED,
        reference=_ORIGINAL_TRANSACTION_ID,
    ),
    acknowledgement=ACKNOWLEDGEMENT,
    # The documented callback has no status. Ours comes last, where a listener that reads the
    # documented fields in order does not notice it.
    callback=answer(
        ORIGINAL_CONVERSATION_ID,
        returned(TRANSACTION_ID),
        RESULT_CODE,
        RESULT_DESC,
        returned(THIRD_PARTY_CONVERSATION_ID),
        _RETURNED_ORIGINAL_TRANSACTION_ID,
        returned(_REVERSED),
        returned(_STATUS),
        reference=_RETURNED_ORIGINAL_TRANSACTION_ID,
    ),
    listener_acknowledgement=listener_acknowledgement(),
    codes=(
        by_check(codes.PROCESSED, 200),
        by_check(codes.INTERNAL_ERROR),
        by_trigger(
            codes.TRANSACTION_FAILED, "a failed payment is a successful answer that says Failed"
        ),
        by_nothing(codes.REQUEST_TIMEOUT, "nobody is asked to approve a query"),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.TRANSACTION_NOT_FOUND),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        *SCOPE,
    ),
    unlisted_codes=(
        *UNAVAILABLE,
        by_trigger(codes.MISSING_REFERENCE, "a missing reference is a missing parameter"),
    ),
    triggers=(
        TriggerRow(
            field="query_reference",
            length=12,
            outcomes={
                1: _completed("False"),
                2: TriggerOutcome(code=codes.INTERNAL_ERROR),
                3: TriggerOutcome(code=codes.TRANSACTION_FAILED),
                7: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
        ),
        TriggerRow(
            field="query_reference",
            length=21,
            outcomes={
                1: _completed("True"),
                2: TriggerOutcome(code=codes.MISSING_REFERENCE),
                3: TriggerOutcome(code=codes.INTERNAL_ERROR),
                4: TriggerOutcome(code=codes.TRANSACTION_FAILED),
                5: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
        ),
    ),
    are_duplicates_checked=False,
)
