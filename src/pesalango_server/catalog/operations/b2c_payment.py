"""An organisation pays a customer."""

from typing import Final

from pesalango_server.catalog import codes, fields, kinds
from pesalango_server.catalog.answers import (
    ACKNOWLEDGEMENT,
    PAYMENT_ANSWER,
    PAYMENT_CALLBACK,
    listener_acknowledgement,
)
from pesalango_server.catalog.codes import by_check, by_trigger
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import Field, Operation, Product, TriggerOutcome, TriggerRow
from pesalango_server.catalog.tables import PAYMENT_LIMITS, SCOPE, UNAVAILABLE

OPERATION: Final = Operation(
    name="b2c_payment",
    title="B2C",
    summary="Moves money from an organisation to a customer, who is not asked.",
    method="POST",
    path="b2cPayment/",
    product=Product.B2C,
    markets=MARKETS,
    fields=(
        fields.AMOUNT,
        fields.CUSTOMER_MSISDN,
        fields.COUNTRY,
        fields.CURRENCY,
        fields.SERVICE_PROVIDER_CODE,
        fields.TRANSACTION_REFERENCE,
        fields.THIRD_PARTY_CONVERSATION_ID,
        Field(
            wire_name="input_PaymentItemsDesc",
            name="payment_items_description",
            kind=kinds.PAYMENT_ITEMS,
            description="What the customer is paid for, in words.",
            example="Refund of order 1042",
        ),
    ),
    answer=PAYMENT_ANSWER,
    acknowledgement=ACKNOWLEDGEMENT,
    callback=PAYMENT_CALLBACK,
    listener_acknowledgement=listener_acknowledgement(),
    codes=(
        by_check(codes.PROCESSED),
        by_check(codes.INTERNAL_ERROR),
        by_check(codes.TRANSACTION_FAILED),
        by_trigger(codes.REQUEST_TIMEOUT, "the customer is not asked"),
        by_check(codes.DUPLICATE_TRANSACTION),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.INVALID_AMOUNT),
        by_check(codes.INVALID_TRANSACTION_REFERENCE),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.INVALID_CURRENCY),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_check(codes.INVALID_PAYMENT_ITEMS),
        *PAYMENT_LIMITS,
        *SCOPE,
        by_check(codes.INSUFFICIENT_BALANCE),
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
                5: TriggerOutcome(code=codes.INVALID_AMOUNT),
                6: TriggerOutcome(code=codes.INSUFFICIENT_BALANCE),
                7: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
        ),
    ),
)
