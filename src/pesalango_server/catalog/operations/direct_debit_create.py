"""A customer allows an organisation to collect payments: a mandate."""

from typing import Final

from pesalango_server.catalog import codes, fields, kinds
from pesalango_server.catalog.answers import (
    ACKNOWLEDGEMENT,
    CONVERSATION_ID,
    MANDATE_ID,
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
from pesalango_server.catalog.codes import by_check, by_nothing
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import (
    Field,
    Operation,
    Product,
    Rule,
    TriggerOutcome,
    TriggerRow,
)
from pesalango_server.catalog.tables import MANDATE_LIMITS, SCOPE, UNAVAILABLE

_NO_AMOUNT: Final = "a mandate has no amount"
_RETURNED_TRANSACTION_REFERENCE: Final = returned(TRANSACTION_REFERENCE)

OPERATION: Final = Operation(
    name="direct_debit_create",
    title="Direct debit: create",
    summary="Makes a mandate, to which the customer is asked to consent.",
    method="POST",
    path="directDebitCreation/",
    product=Product.DIRECT_DEBIT,
    markets=MARKETS,
    fields=(
        fields.CUSTOMER_MSISDN,
        fields.COUNTRY,
        fields.SERVICE_PROVIDER_CODE,
        fields.THIRD_PARTY_REFERENCE,
        fields.THIRD_PARTY_CONVERSATION_ID,
        Field(
            wire_name="input_AgreedTC",
            name="agreed_terms",
            kind=kinds.AGREED_TERMS,
            description="That the customer agreed to the terms and conditions.",
            example="1",
        ),
        Field(
            wire_name="input_FirstPaymentDate",
            name="first_payment_date",
            kind=kinds.FIRST_PAYMENT_DATE,
            mandatory=False,
            description="From which day payments may be collected; today if left out. Must be "
            "left out where there is no frequency.",
            example="20300115",
        ),
        Field(
            wire_name="input_Frequency",
            name="frequency",
            kind=kinds.FREQUENCY,
            mandatory=False,
            description="How often a payment may be collected; on demand if left out.",
            example="04",
        ),
        Field(
            wire_name="input_StartRangeOfDays",
            name="start_of_range",
            kind=kinds.START_OF_RANGE,
            mandatory=False,
            description="The first day of the month on which a payment may be collected.",
            example="05",
        ),
        Field(
            wire_name="input_EndRangeOfDays",
            name="end_of_range",
            kind=kinds.END_OF_RANGE,
            mandatory=False,
            description="The last day of the month on which a payment may be collected.",
            example="20",
        ),
        Field(
            wire_name="input_ExpiryDate",
            name="expiry_date",
            kind=kinds.EXPIRY_DATE,
            mandatory=False,
            description="The last day of the mandate; none if left out.",
            example="20311231",
        ),
    ),
    rules=(Rule.MANDATE_SCHEDULE,),
    answer=answer(
        RESPONSE_CODE,
        RESPONSE_DESC,
        TRANSACTION_REFERENCE,
        MSISDN_TOKEN,
        CONVERSATION_ID,
        THIRD_PARTY_CONVERSATION_ID,
        MANDATE_ID,
        reference=TRANSACTION_REFERENCE,
    ),
    acknowledgement=ACKNOWLEDGEMENT,
    callback=answer(
        ORIGINAL_CONVERSATION_ID,
        _RETURNED_TRANSACTION_REFERENCE,
        returned(MSISDN_TOKEN),
        RESULT_CODE,
        RESULT_DESC,
        returned(THIRD_PARTY_CONVERSATION_ID),
        returned(MANDATE_ID),
        reference=_RETURNED_TRANSACTION_REFERENCE,
    ),
    listener_acknowledgement=listener_acknowledgement(),
    codes=(
        by_check(codes.PROCESSED),
        by_check(codes.INTERNAL_ERROR),
        by_check(codes.TRANSACTION_FAILED),
        by_check(codes.REQUEST_TIMEOUT),
        by_check(codes.DUPLICATE_TRANSACTION),
        by_check(codes.INVALID_SHORTCODE),
        by_nothing(codes.INVALID_AMOUNT, _NO_AMOUNT),
        by_nothing(codes.INVALID_TRANSACTION_REFERENCE, "the request has no TransactionReference"),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_PARAMETER),
        by_nothing(codes.INVALID_CURRENCY, "the request has no currency"),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_nothing(codes.INVALID_PURCHASED_ITEMS, "the request describes no items"),
        by_check(codes.TERMS_NOT_AGREED),
        by_check(codes.INVALID_FIRST_PAYMENT_DATE),
        by_check(codes.INVALID_FREQUENCY),
        by_check(codes.INVALID_START_OF_RANGE),
        by_check(codes.INVALID_END_OF_RANGE),
        by_check(codes.INVALID_EXPIRY_DATE),
        *MANDATE_LIMITS,
        *SCOPE,
        by_nothing(codes.INSUFFICIENT_BALANCE, "no money moves when a mandate is made"),
        by_check(codes.INVALID_MSISDN),
    ),
    unlisted_codes=UNAVAILABLE,
    triggers=(
        TriggerRow(
            field="customer_msisdn",
            length=12,
            ordinary=frozenset({1}),
            outcomes={
                2: TriggerOutcome(code=codes.INTERNAL_ERROR),
                3: TriggerOutcome(code=codes.TRANSACTION_FAILED),
                4: TriggerOutcome(code=codes.REQUEST_TIMEOUT),
                5: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
        ),
    ),
)
