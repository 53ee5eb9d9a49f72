"""An organisation collects a payment that a mandate allows."""

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
    TRANSACTION_ID,
    answer,
    listener_acknowledgement,
    returned,
)
from pesalango_server.catalog.codes import by_check, by_nothing, by_trigger
from pesalango_server.catalog.fields import optional
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import Operation, Product, Rule, TriggerOutcome, TriggerRow
from pesalango_server.catalog.tables import PAYMENT_LIMITS, SCOPE, UNAVAILABLE

_RETURNED_TRANSACTION_ID: Final = returned(TRANSACTION_ID)

OPERATION: Final = Operation(
    name="direct_debit_payment",
    title="Direct debit: pay",
    summary="Moves money from a customer to an organisation under a mandate, without asking.",
    method="POST",
    path="directDebitPayment/",
    product=Product.DIRECT_DEBIT,
    markets=MARKETS,
    fields=(
        optional(fields.MSISDN_TOKEN),
        # The sandbox's triggers of this operation are numbers of twenty digits.
        replace(fields.CUSTOMER_MSISDN, mandatory=False, sandbox_pattern=r"[0-9]{20}"),
        fields.COUNTRY,
        fields.SERVICE_PROVIDER_CODE,
        fields.THIRD_PARTY_REFERENCE,
        fields.THIRD_PARTY_CONVERSATION_ID,
        fields.AMOUNT,
        fields.CURRENCY,
        optional(fields.MANDATE_ID),
    ),
    rules=(Rule.CUSTOMER_GIVEN,),
    answer=answer(
        RESPONSE_CODE,
        RESPONSE_DESC,
        TRANSACTION_ID,
        MSISDN_TOKEN,
        CONVERSATION_ID,
        THIRD_PARTY_CONVERSATION_ID,
        reference=TRANSACTION_ID,
    ),
    acknowledgement=ACKNOWLEDGEMENT,
    callback=answer(
        ORIGINAL_CONVERSATION_ID,
        _RETURNED_TRANSACTION_ID,
        returned(MSISDN_TOKEN),
        RESULT_CODE,
        RESULT_DESC,
        returned(THIRD_PARTY_CONVERSATION_ID),
        reference=_RETURNED_TRANSACTION_ID,
    ),
    listener_acknowledgement=listener_acknowledgement(),
    codes=(
        by_check(codes.PROCESSED),
        by_check(codes.INTERNAL_ERROR),
        by_check(codes.TRANSACTION_FAILED),
        by_trigger(codes.REQUEST_TIMEOUT, "the customer consented to the mandate, once for all"),
        by_check(codes.DUPLICATE_TRANSACTION),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.INVALID_AMOUNT),
        by_nothing(codes.INVALID_TRANSACTION_REFERENCE, "the request has no TransactionReference"),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.INVALID_CURRENCY),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_nothing(codes.INVALID_PURCHASED_ITEMS, "the request describes no items"),
        by_check(codes.TOKEN_MISMATCH),
        by_check(codes.INVALID_MANDATE_ID),
        by_check(codes.MANDATE_MISMATCH),
        *PAYMENT_LIMITS,
        *SCOPE,
        by_check(codes.INSUFFICIENT_BALANCE),
        by_check(codes.INVALID_MSISDN),
    ),
    unlisted_codes=UNAVAILABLE,
    triggers=(
        TriggerRow(
            field="customer_msisdn",
            length=20,
            outcomes={
                1: TriggerOutcome(code=codes.PROCESSED),
                2: TriggerOutcome(code=codes.INTERNAL_ERROR),
                3: TriggerOutcome(code=codes.TRANSACTION_FAILED),
                4: TriggerOutcome(code=codes.REQUEST_TIMEOUT),
                5: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
        ),
    ),
)
