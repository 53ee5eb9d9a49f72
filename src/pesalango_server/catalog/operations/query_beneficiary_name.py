"""The name of a customer."""

from typing import Final

from pesalango_server.catalog import codes, fields, kinds
from pesalango_server.catalog.answers import (
    ACKNOWLEDGEMENT,
    CONVERSATION_ID,
    ORIGINAL_CONVERSATION_ID,
    RESPONSE_CODE,
    RESPONSE_DESC,
    RESULT_CODE,
    RESULT_DESC,
    THIRD_PARTY_CONVERSATION_ID,
    answer,
    listener_acknowledgement,
    output,
    returned,
)
from pesalango_server.catalog.codes import by_check, by_nothing
from pesalango_server.catalog.markets import GHANA
from pesalango_server.catalog.model import Field, Operation, Product
from pesalango_server.catalog.tables import SCOPE, UNAVAILABLE

_FIRST_NAME: Final = output(
    "output_CustomerFirstName", "customer_first_name", "The customer's first name.", "Efua"
)
_LAST_NAME: Final = output(
    "output_CustomerLastName", "customer_last_name", "The customer's last name.", "Ansah"
)

OPERATION: Final = Operation(
    name="query_beneficiary_name",
    title="Beneficiary name",
    summary="Tells the first and last name of a customer, so that a payer can make sure.",
    method="GET",
    path="queryBeneficiaryName/",
    product=Product.BENEFICIARY_NAME,
    markets=(GHANA,),
    fields=(
        fields.CUSTOMER_MSISDN,
        fields.COUNTRY,
        fields.SERVICE_PROVIDER_CODE,
        fields.THIRD_PARTY_CONVERSATION_ID,
        # The documentation's table spells it one way and its samples the other.
        Field(
            wire_name="input_KycQueryType",
            name="kyc_query_type",
            kind=kinds.KYC_QUERY_TYPE,
            description="What is asked for.",
            example="Name",
            aliases=("input_KYCQueryType",),
        ),
    ),
    answer=answer(
        RESPONSE_CODE,
        RESPONSE_DESC,
        _FIRST_NAME,
        _LAST_NAME,
        CONVERSATION_ID,
        THIRD_PARTY_CONVERSATION_ID,
    ),
    acknowledgement=ACKNOWLEDGEMENT,
    callback=answer(
        ORIGINAL_CONVERSATION_ID,
        returned(_FIRST_NAME),
        returned(_LAST_NAME),
        RESULT_CODE,
        RESULT_DESC,
        returned(THIRD_PARTY_CONVERSATION_ID),
    ),
    listener_acknowledgement=listener_acknowledgement(),
    codes=(
        by_check(codes.PROCESSED, 200),
        by_check(codes.INTERNAL_ERROR),
        by_nothing(codes.TRANSACTION_FAILED, "a name is told whatever the account's status"),
        by_nothing(codes.REQUEST_TIMEOUT, "nobody is asked to approve a query"),
        by_check(codes.INVALID_SHORTCODE),
        by_check(codes.PARAMETER_MISSING),
        by_check(codes.INVALID_MSISDN, text="2051 MSISDN invalid."),
        by_check(codes.INVALID_PARAMETER),
        by_check(codes.INVALID_THIRD_PARTY_CONVERSATION_ID),
        by_check(codes.INVALID_KYC_QUERY_TYPE),
        *SCOPE,
    ),
    unlisted_codes=UNAVAILABLE,
    are_duplicates_checked=False,
)
