"""The second step of a two-step C2B: the reservation is committed or released.

No page of the documentation describes it; what is here is what public clients of the service send
and expect. Codes are those of the reversal, but for success, which has a code of its own.
"""

from typing import Final

from msgspec.structs import replace

from pesalango_server.catalog import codes, fields, kinds
from pesalango_server.catalog.answers import (
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
    returned,
)
from pesalango_server.catalog.codes import by_check, by_nothing
from pesalango_server.catalog.model import Code, Field, Product, TriggerOutcome, TriggerRow
from pesalango_server.catalog.operations import reversal

_OWN_ROWS: Final[dict[str, Code]] = {
    codes.PROCESSED: by_check(codes.SETTLED),
    codes.REQUEST_TIMEOUT: by_nothing(
        codes.REQUEST_TIMEOUT, "the customer approved at the first step and is not asked again"
    ),
    codes.INVALID_AMOUNT: by_nothing(
        codes.INVALID_AMOUNT, "the request has no amount: a reservation is settled in full"
    ),
    codes.INSUFFICIENT_BALANCE: by_nothing(
        codes.INSUFFICIENT_BALANCE, "the amount was set aside at the first step"
    ),
}

_RESPONSE_CODE: Final = replace(RESPONSE_CODE, example=codes.SETTLED)
_TRANSACTION_ID: Final = replace(
    TRANSACTION_ID, description="The id of the reservation, as answered by the first step."
)
_RETURNED_TRANSACTION_ID: Final = returned(_TRANSACTION_ID)

OPERATION: Final = replace(
    reversal.OPERATION,
    name="update_transaction_status",
    title="C2B, two steps: settle",
    summary="Commits or releases what the first step of a two-step C2B has reserved.",
    path="updateTransactionStatus/",
    product=Product.C2B_TWO_STEP,
    fields=(
        Field(
            wire_name="input_TransactionID",
            name="transaction_id",
            kind=kinds.RESERVATION_ID,
            description="The reservation, as answered by the first step.",
            example="5fT0kQ2mBx7L",
        ),
        Field(
            wire_name="input_VoucherCode",
            name="voucher_code",
            kind=kinds.VOUCHER_CODE,
            description="The reservation's voucher, as answered by the first step.",
            example="K7P2ZX",
        ),
        fields.COUNTRY,
        fields.SERVICE_PROVIDER_CODE,
        fields.THIRD_PARTY_CONVERSATION_ID,
        fields.API_VERSION,
        # The name is the clients'; the value has nothing to do with a number.
        Field(
            wire_name="input_CustomerMSISDN",
            name="settlement",
            kind=kinds.SETTLEMENT,
            description="What becomes of the reservation.",
            example="1",
        ),
    ),
    answer=answer(
        _RESPONSE_CODE,
        RESPONSE_DESC,
        _TRANSACTION_ID,
        CONVERSATION_ID,
        THIRD_PARTY_CONVERSATION_ID,
        reference=_TRANSACTION_ID,
    ),
    acknowledgement=answer(
        _RESPONSE_CODE, RESPONSE_DESC, CONVERSATION_ID, THIRD_PARTY_CONVERSATION_ID
    ),
    callback=answer(
        ORIGINAL_CONVERSATION_ID,
        _RETURNED_TRANSACTION_ID,
        replace(RESULT_CODE, example=codes.SETTLED),
        RESULT_DESC,
        returned(THIRD_PARTY_CONVERSATION_ID),
        reference=_RETURNED_TRANSACTION_ID,
    ),
    codes=tuple(_OWN_ROWS.get(row.code, row) for row in reversal.OPERATION.codes),
    listener_acknowledgement=listener_acknowledgement(codes.SETTLED),
    triggers=(
        TriggerRow(
            field="transaction_id",
            length=13,
            outcomes={
                1: TriggerOutcome(code=codes.SETTLED),
                2: TriggerOutcome(code=codes.INTERNAL_ERROR),
                3: TriggerOutcome(code=codes.TRANSACTION_FAILED),
                4: TriggerOutcome(code=codes.SERVICE_UNAVAILABLE),
            },
        ),
    ),
    is_documented=False,
)
