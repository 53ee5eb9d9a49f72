"""Money goes back from the payee of a transaction to its payer."""

from typing import Final

from msgspec.structs import replace

from pesalango_server.catalog import codes, fields, kinds
from pesalango_server.catalog.answers import (
    ACKNOWLEDGEMENT,
    PAYMENT_ANSWER,
    PAYMENT_CALLBACK,
    listener_acknowledgement,
)
from pesalango_server.catalog.codes import by_check, by_nothing
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import Field, Operation, Product, TriggerOutcome, TriggerRow
from pesalango_server.catalog.tables import SCOPE, UNAVAILABLE

OPERATION: Final = Operation(
    name="reversal",
    title="Reversal",
    summary="Gives the money of a completed transaction back, in full or in part.",
    method="PUT",
    path="reversal/",
    product=Product.REVERSAL,
    markets=MARKETS,
    fields=(
        replace(
            fields.AMOUNT,
            wire_name="input_ReversalAmount",
            name="reversal_amount",
            mandatory=False,
            description="How much is to go back. Without it, all that is left of the original.",
        ),
        fields.COUNTRY,
        Field(
            wire_name="input_TransactionID",
            name="transaction_id",
            kind=kinds.TRANSACTION_ID,
            description="The transaction that is to be reversed.",
            example="5fT0kQ2mBx7L",
        ),
        fields.SERVICE_PROVIDER_CODE,
        fields.THIRD_PARTY_CONVERSATION_ID,
    ),
    answer=PAYMENT_ANSWER,
    acknowledgement=ACKNOWLEDGEMENT,
    callback=PAYMENT_CALLBACK,
    listener_acknowledgement=listener_acknowledgement(),
    codes=(
        by_check(codes.PROCESSED),
        by_check(codes.INTERNAL_ERROR),
        by_check(codes.TRANSACTION_FAILED),
        by_nothing(codes.REQUEST_TIMEOUT, "nobody is asked to approve a reversal"),
        by_check(codes.DUPLICATE_TRANSACTION),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.INVALID_AMOUNT),
        by_check(codes.INVALID_TRANSACTION_ID),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_check(codes.NOT_A_PARTY),
        *SCOPE,
        by_check(codes.INSUFFICIENT_BALANCE),
    ),
    unlisted_codes=UNAVAILABLE,
    triggers=(
        TriggerRow(
            field="transaction_id",
            length=13,
            outcomes={
                1: TriggerOutcome(code=codes.PROCESSED),
                2: TriggerOutcome(code=codes.INTERNAL_ERROR),
                3: TriggerOutcome(code=codes.TRANSACTION_FAILED),
                4: TriggerOutcome(code=codes.INVALID_AMOUNT),
                5: TriggerOutcome(code=codes.INSUFFICIENT_BALANCE),
                6: TriggerOutcome(code=codes.NOT_A_PARTY),
                7: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
        ),
    ),
)
