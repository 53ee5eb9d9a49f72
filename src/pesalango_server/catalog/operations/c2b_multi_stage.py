"""The first step of a two-step C2B: the customer approves and the amount is reserved.

No page of the documentation describes it; what is here is what public clients of the service send
and expect. Codes are those of the single stage.
"""

from typing import Final

from msgspec.structs import replace

from pesalango_server.catalog import fields
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
    output,
    returned,
)
from pesalango_server.catalog.model import Product
from pesalango_server.catalog.operations import c2b_single_stage

_VOUCHER_CODE: Final = output(
    "output_VoucherCode",
    "voucher_code",
    "What settles or releases the reservation: 6 capital letters and digits.",
    "K7P2ZX",
)
_RETURNED_TRANSACTION_ID: Final = returned(TRANSACTION_ID)

OPERATION: Final = replace(
    c2b_single_stage.OPERATION,
    name="c2b_multi_stage",
    title="C2B, two steps: reserve",
    summary="Reserves money of a customer, who is asked to approve, for an organisation.",
    path="c2bPayment/multiStage/",
    product=Product.C2B_TWO_STEP,
    fields=(*c2b_single_stage.OPERATION.fields, fields.API_VERSION),
    answer=answer(
        RESPONSE_CODE,
        RESPONSE_DESC,
        TRANSACTION_ID,
        CONVERSATION_ID,
        THIRD_PARTY_CONVERSATION_ID,
        _VOUCHER_CODE,
        reference=TRANSACTION_ID,
    ),
    callback=answer(
        ORIGINAL_CONVERSATION_ID,
        _RETURNED_TRANSACTION_ID,
        RESULT_CODE,
        RESULT_DESC,
        returned(THIRD_PARTY_CONVERSATION_ID),
        returned(_VOUCHER_CODE),
        reference=_RETURNED_TRANSACTION_ID,
    ),
    is_documented=False,
)
