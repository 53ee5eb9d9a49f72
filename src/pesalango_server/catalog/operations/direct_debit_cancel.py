"""An organisation ends a mandate."""

from typing import Final

from msgspec.structs import replace

from pesalango_server.catalog import codes, fields
from pesalango_server.catalog.answers import (
    ACKNOWLEDGEMENT,
    CONVERSATION_ID,
    MSISDN_TOKEN,
    ORIGINAL_CONVERSATION_ID,
    RESPONSE_CODE,
    RESPONSE_DESC,
    RESULT_CODE,
    RESULT_DESC,
    THIRD_PARTY_CONVERSATION_ID,
    TRANSACTION_REFERENCE,
    answer,
    listener_acknowledgement,
    returned,
)
from pesalango_server.catalog.codes import by_check, by_nothing, by_trigger
from pesalango_server.catalog.fields import optional
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import Operation, Product, Rule, TriggerOutcome, TriggerRow
from pesalango_server.catalog.tables import MANDATE_LIMITS, SCOPE, UNAVAILABLE

_REFERENCE: Final = replace(
    TRANSACTION_REFERENCE,
    description="The ThirdPartyReference of the mandate, as it was sent.",
    example="Contract88",
)
_RETURNED_REFERENCE: Final = returned(_REFERENCE)

OPERATION: Final = Operation(
    name="direct_debit_cancel",
    title="Direct debit: cancel",
    summary="Ends a mandate, so that nothing more can be collected under it.",
    method="PUT",
    path="directDebitCancel/",
    product=Product.CANCEL_DIRECT_DEBIT,
    markets=MARKETS,
    fields=(
        optional(fields.MSISDN_TOKEN),
        optional(fields.CUSTOMER_MSISDN),
        fields.COUNTRY,
        fields.SERVICE_PROVIDER_CODE,
        fields.THIRD_PARTY_REFERENCE,
        fields.THIRD_PARTY_CONVERSATION_ID,
        optional(fields.MANDATE_ID),
    ),
    rules=(Rule.CUSTOMER_GIVEN,),
    answer=answer(
        RESPONSE_CODE,
        RESPONSE_DESC,
        _REFERENCE,
        MSISDN_TOKEN,
        CONVERSATION_ID,
        THIRD_PARTY_CONVERSATION_ID,
        reference=_REFERENCE,
    ),
    acknowledgement=ACKNOWLEDGEMENT,
    callback=answer(
        ORIGINAL_CONVERSATION_ID,
        _RETURNED_REFERENCE,
        returned(MSISDN_TOKEN),
        RESULT_CODE,
        RESULT_DESC,
        returned(THIRD_PARTY_CONVERSATION_ID),
        reference=_RETURNED_REFERENCE,
    ),
    listener_acknowledgement=listener_acknowledgement(),
    codes=(
        by_check(codes.PROCESSED),
        by_check(codes.INTERNAL_ERROR),
        by_check(codes.TRANSACTION_FAILED, text="Mandate does not exist"),
        by_trigger(codes.REQUEST_TIMEOUT, "nobody is asked to approve"),
        by_check(codes.DUPLICATE_TRANSACTION),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.INVALID_THIRD_PARTY_REFERENCE, text="Invalid ThirdPartyReference Used."),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_nothing(codes.INVALID_PURCHASED_ITEMS, "the request describes no items"),
        by_check(codes.TOKEN_MISMATCH),
        by_check(codes.INVALID_MANDATE_ID),
        by_check(codes.MANDATE_MISMATCH),
        *MANDATE_LIMITS,
        *SCOPE,
        by_nothing(codes.INSUFFICIENT_BALANCE, "no money moves when a mandate ends"),
        by_check(codes.INVALID_MSISDN),
    ),
    unlisted_codes=UNAVAILABLE,
    triggers=(
        TriggerRow(
            field="third_party_reference",
            length=20,
            outcomes={
                1: TriggerOutcome(code=codes.PROCESSED),
                2: TriggerOutcome(code=codes.INTERNAL_ERROR),
                3: TriggerOutcome(code=codes.TRANSACTION_FAILED),
                4: TriggerOutcome(code=codes.REQUEST_TIMEOUT),
                5: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
            nines=TriggerOutcome(code=codes.INVALID_PARAMETER),
        ),
    ),
)
