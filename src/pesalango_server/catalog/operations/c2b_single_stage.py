"""A customer pays an organisation and approves with a PIN."""

from typing import Final

from pesalango_server.catalog import codes, fields
from pesalango_server.catalog.answers import (
    ACKNOWLEDGEMENT,
    PAYMENT_ANSWER,
    PAYMENT_CALLBACK,
    listener_acknowledgement,
)
from pesalango_server.catalog.codes import by_check
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import Operation, Product, TriggerOutcome, TriggerRow
from pesalango_server.catalog.tables import PAYMENT_LIMITS, SCOPE, UNAVAILABLE

_WRONG_PIN: Final = TriggerOutcome(code=codes.TRANSACTION_FAILED, note="wrong PIN")

OPERATION: Final = Operation(
    name="c2b_single_stage",
    title="C2B, single stage",
    summary="Moves money from a customer, who is asked to approve, to an organisation.",
    method="POST",
    path="c2bPayment/singleStage/",
    product=Product.C2B,
    markets=MARKETS,
    fields=(
        fields.AMOUNT,
        fields.CUSTOMER_MSISDN,
        fields.COUNTRY,
        fields.CURRENCY,
        fields.SERVICE_PROVIDER_CODE,
        fields.TRANSACTION_REFERENCE,
        fields.THIRD_PARTY_CONVERSATION_ID,
        fields.PURCHASED_ITEMS,
    ),
    answer=PAYMENT_ANSWER,
    acknowledgement=ACKNOWLEDGEMENT,
    callback=PAYMENT_CALLBACK,
    listener_acknowledgement=listener_acknowledgement(),
    codes=(
        by_check(codes.PROCESSED),
        by_check(codes.INTERNAL_ERROR),
        by_check(codes.TRANSACTION_FAILED),
        by_check(codes.REQUEST_TIMEOUT),
        by_check(codes.DUPLICATE_TRANSACTION),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.INVALID_AMOUNT),
        by_check(codes.INVALID_TRANSACTION_REFERENCE),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.INVALID_CURRENCY),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_check(codes.INVALID_PURCHASED_ITEMS),
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
                2: TriggerOutcome(code=codes.REQUEST_TIMEOUT, note="no answer in time"),
                3: TriggerOutcome(code=codes.REQUEST_TIMEOUT, note="the prompt expired"),
                4: _WRONG_PIN,
                5: TriggerOutcome(code=codes.INTERNAL_ERROR),
                6: _WRONG_PIN,
                7: TriggerOutcome(code=codes.INVALID_AMOUNT),
                8: TriggerOutcome(code=codes.INSUFFICIENT_BALANCE),
                9: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
        ),
    ),
)
