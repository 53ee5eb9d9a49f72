"""The state of a mandate and of its customer's account."""

from typing import Final

from msgspec.structs import replace

from pesalango_server.catalog import codes, fields, kinds
from pesalango_server.catalog.answers import (
    CONVERSATION_ID,
    MANDATE_ID,
    MSISDN_TOKEN,
    ORIGINAL_CONVERSATION_ID,
    RESPONSE_CODE,
    RESPONSE_DESC,
    THIRD_PARTY_CONVERSATION_ID,
    TRANSACTION_REFERENCE,
    answer,
    output,
    returned,
)
from pesalango_server.catalog.codes import by_check, by_nothing, by_trigger
from pesalango_server.catalog.fields import optional
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import (
    Field,
    Operation,
    Product,
    Rule,
    TriggerDetail,
    TriggerOutcome,
    TriggerRow,
    TriggerThreshold,
)
from pesalango_server.catalog.tables import UNAVAILABLE

_SUFFICIENT_BALANCE: Final = output(
    "output_SufficientBalance",
    "sufficient_balance",
    "Whether the customer's balance covers the amount asked about: True or False. Left out unless "
    "it was asked.",
    "True",
    is_optional=True,
)
_SCHEDULE: Final = (
    MSISDN_TOKEN,
    MANDATE_ID,
    output(
        "output_MandateStatus",
        "mandate_status",
        "Active, Pending Approval, Cancelled or Expired.",
        "Active",
    ),
    output(
        "output_AccountStatus",
        "account_status",
        "The customer's account: Active, Pending Approval, Locked or Inactive.",
        "Active",
    ),
    output(
        "output_FirstPaymentDate",
        "first_payment_date",
        "From which day payments may be collected: year, month, day.",
        "20300115",
    ),
    output("output_Frequency", "frequency", "How often: 01 to 08, as when it was made.", "04"),
    output(
        "output_PaymentDayFrom",
        "payment_day_from",
        "The first day of the month for payments; empty without a range.",
        "05",
    ),
    output(
        "output_PaymentDayTo",
        "payment_day_to",
        "The last day of the month for payments; empty without a range.",
        "20",
    ),
    output(
        "output_ExpiryDate",
        "expiry_date",
        "The last day of the mandate; empty without one.",
        "20311231",
    ),
)
_RETURNED_TRANSACTION_REFERENCE: Final = returned(TRANSACTION_REFERENCE)
_MANDATE_STATUSES: Final = {1: "Active", 2: "Pending Approval", 3: "Cancelled", 4: "Expired"}
_ACCOUNT_STATUSES: Final = {1: "Active", 2: "Pending Approval", 3: "Locked", 4: "Inactive"}

OPERATION: Final = Operation(
    name="query_direct_debit",
    title="Direct debit: query",
    summary="Tells a mandate's state and terms and, when asked, whether the balance covers an "
    "amount.",
    method="GET",
    path="queryDirectDebit/",
    product=Product.QUERY_DIRECT_DEBIT,
    markets=MARKETS,
    fields=(
        Field(
            wire_name="input_QueryBalanceAmount",
            name="query_balance_amount",
            kind=kinds.FLAG,
            description="Whether to compare the customer's balance with an amount.",
            example="True",
        ),
        Field(
            wire_name="input_BalanceAmount",
            name="balance_amount",
            kind=kinds.BALANCE_AMOUNT,
            mandatory=False,
            description="The amount to compare with; needed when the balance is asked about, and "
            "checked whenever it is there.",
            example="80",
        ),
        fields.COUNTRY,
        optional(fields.CUSTOMER_MSISDN),
        optional(fields.MSISDN_TOKEN),
        fields.SERVICE_PROVIDER_CODE,
        fields.THIRD_PARTY_CONVERSATION_ID,
        fields.THIRD_PARTY_REFERENCE,
        optional(fields.MANDATE_ID),
        fields.CURRENCY,
    ),
    rules=(Rule.CUSTOMER_GIVEN, Rule.BALANCE_AMOUNT_GIVEN),
    answer=answer(
        RESPONSE_CODE,
        RESPONSE_DESC,
        TRANSACTION_REFERENCE,
        CONVERSATION_ID,
        THIRD_PARTY_CONVERSATION_ID,
        _SUFFICIENT_BALANCE,
        *_SCHEDULE,
        reference=TRANSACTION_REFERENCE,
    ),
    # Order and names of the next three are this operation's own: its callback says Response where
    # all others say Result, and its listener answers the code of success.
    acknowledgement=answer(
        THIRD_PARTY_CONVERSATION_ID, CONVERSATION_ID, RESPONSE_CODE, RESPONSE_DESC
    ),
    callback=answer(
        returned(RESPONSE_CODE),
        returned(RESPONSE_DESC),
        _RETURNED_TRANSACTION_REFERENCE,
        ORIGINAL_CONVERSATION_ID,
        returned(THIRD_PARTY_CONVERSATION_ID),
        returned(_SUFFICIENT_BALANCE),
        *(returned(field) for field in _SCHEDULE),
        reference=_RETURNED_TRANSACTION_REFERENCE,
    ),
    listener_acknowledgement=answer(
        replace(ORIGINAL_CONVERSATION_ID, wire_name="output_OriginalConversationID"),
        THIRD_PARTY_CONVERSATION_ID,
        replace(RESPONSE_CODE, description="That the result arrived."),
        replace(RESPONSE_DESC, example="Successfully Accepted Result"),
    ),
    codes=(
        by_check(codes.PROCESSED, 200),
        by_check(codes.PRODUCT_NOT_ENABLED),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.INVALID_MARKET),
        by_nothing(codes.INVALID_TRANSACTION_REFERENCE, "the request has no TransactionReference"),
        by_check(codes.INVALID_CURRENCY),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.INVALID_BALANCE_AMOUNT, 400),
        by_check(codes.INVALID_MANDATE_ID),
        by_check(codes.NO_MANDATE),
        by_check(codes.INVALID_THIRD_PARTY_REFERENCE),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_check(codes.INVALID_MSISDN),
        by_check(codes.TOKEN_MISMATCH),
        by_check(codes.INVALID_TOKEN),
        by_check(codes.INVALID_BALANCE_AMOUNT, 401),
        by_check(codes.BALANCE_AMOUNT_MISSING),
        by_trigger(codes.REQUEST_TIMEOUT, "nobody is asked to approve a query"),
        by_check(codes.DUPLICATE_TRANSACTION),
        by_nothing(
            codes.INSUFFICIENT_BALANCE, "too low a balance is an answer: SufficientBalance False"
        ),
        by_check(codes.CUSTOMER_MISSING),
        by_check(codes.INTERNAL_ERROR, 500),
        by_check(codes.MANDATE_MISMATCH, 500),
    ),
    unlisted_codes=(
        *UNAVAILABLE,
        by_trigger(
            codes.TRANSACTION_FAILED, "a mandate is told whatever its own and the account's status"
        ),
    ),
    triggers=(
        TriggerRow(
            field="third_party_reference",
            length=20,
            outcomes={
                1: TriggerOutcome(
                    code=codes.PROCESSED,
                    answer={
                        "mandate_id": "15045",
                        "frequency": "08",
                        "payment_day_from": "",
                        "payment_day_to": "",
                        "expiry_date": "",
                    },
                ),
                2: TriggerOutcome(code=codes.INTERNAL_ERROR),
                3: TriggerOutcome(code=codes.TRANSACTION_FAILED),
                4: TriggerOutcome(code=codes.REQUEST_TIMEOUT),
                5: TriggerOutcome(code=codes.INTERNAL_ERROR),
            },
            nines=TriggerOutcome(code=codes.INVALID_PARAMETER),
        ),
    ),
    trigger_details=(
        TriggerDetail(
            field="customer_msisdn",
            length=12,
            answer="account_status",
            values=_ACCOUNT_STATUSES,
            default="Active",
        ),
        TriggerDetail(
            field="mandate_id",
            length=6,
            answer="mandate_status",
            values=_MANDATE_STATUSES,
            default="Active",
        ),
    ),
    trigger_threshold=TriggerThreshold(
        asked_by="query_balance_amount", answer="sufficient_balance", above_minor=500_00
    ),
    trigger_echoes=("mandate_id",),
)
