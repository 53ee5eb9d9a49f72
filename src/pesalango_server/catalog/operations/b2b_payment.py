"""An organisation pays another one."""

from typing import Final

from msgspec.structs import replace

from pesalango_server.catalog import codes, fields
from pesalango_server.catalog.answers import (
    ACKNOWLEDGEMENT,
    PAYMENT_ANSWER,
    PAYMENT_CALLBACK,
    listener_acknowledgement,
)
from pesalango_server.catalog.codes import by_check, by_nothing, by_trigger
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import Operation, Product, TriggerOutcome, TriggerRow
from pesalango_server.catalog.tables import SCOPE, UNAVAILABLE

_NO_CUSTOMER: Final = "no customer takes part"

OPERATION: Final = Operation(
    name="b2b_payment",
    title="B2B",
    summary="Moves money from one organisation to another.",
    method="POST",
    path="b2bPayment/",
    product=Product.B2B,
    markets=MARKETS,
    fields=(
        fields.AMOUNT,
        replace(
            fields.SERVICE_PROVIDER_CODE,
            wire_name="input_ReceiverPartyCode",
            name="receiver_party_code",
            description="The shortcode of the organisation that is paid, not the payer's own.",
            example="MILL05",
        ),
        fields.COUNTRY,
        fields.CURRENCY,
        replace(
            fields.SERVICE_PROVIDER_CODE,
            wire_name="input_PrimaryPartyCode",
            name="primary_party_code",
            description="The shortcode of the organisation that pays, for which the application "
            "acts.",
        ),
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
        by_trigger(
            codes.TRANSACTION_FAILED,
            "an organisation that cannot pay or be paid is refused as such; apart from a wallet "
            "that holds all that the ledger can count",
        ),
        by_trigger(codes.REQUEST_TIMEOUT, "nobody is asked to approve"),
        by_check(codes.DUPLICATE_TRANSACTION),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.INVALID_AMOUNT),
        by_check(codes.INVALID_TRANSACTION_REFERENCE),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.INVALID_CURRENCY),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_check(codes.INVALID_PURCHASED_ITEMS),
        by_nothing(codes.CUSTOMER_VALUE_LIMIT, _NO_CUSTOMER),
        by_nothing(codes.CUSTOMER_NUMBER_LIMIT, _NO_CUSTOMER),
        by_check(codes.SEVERAL_LIMITS),
        by_check(codes.NUMBER_LIMIT),
        by_check(codes.VALUE_LIMIT),
        by_check(codes.SINGLE_VALUE_LIMIT),
        *SCOPE,
        by_check(codes.INSUFFICIENT_BALANCE),
    ),
    unlisted_codes=UNAVAILABLE,
    triggers=(
        TriggerRow(
            field="receiver_party_code",
            length=6,
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
