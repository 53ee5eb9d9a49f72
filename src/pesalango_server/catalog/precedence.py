"""The total order of the checks."""

from typing import Final

from pesalango_server.catalog import codes
from pesalango_server.catalog.model import Check


def _check(step: int, question: str, *answered: str) -> Check:
    return Check(step=step, question=question, codes=answered)


# The total order. A request with several faults is answered by the first row that it fails; where
# a row has several codes, they are alternatives (by operation, or by field in documented order).
# Step 2, authentication, has no codes: it answers 401 and 429 with `output_error` alone.
PRECEDENCE: Final[tuple[Check, ...]] = (
    _check(1, "Does the market exist, and is the operation offered in it?", codes.INVALID_MARKET),
    _check(3, "Is the product enabled for the application?", codes.PRODUCT_NOT_ENABLED),
    _check(3, "Is it the application's usage time?", codes.OUTSIDE_USAGE_TIME),
    _check(4, "Can the body be read?", codes.INVALID_PARAMETER),
    _check(4, "Are the mandatory parameters there?", codes.PARAMETER_MISSING),
    _check(
        4,
        "Does each parameter fit, in documented order?",
        codes.INVALID_AMOUNT,
        codes.INVALID_SHORTCODE,
        codes.INVALID_TRANSACTION_REFERENCE,
        codes.INVALID_TRANSACTION_ID,
        codes.INVALID_THIRD_PARTY_REFERENCE,
        codes.INVALID_CURRENCY,
        codes.INVALID_THIRD_PARTY_CONVERSATION_ID,
        codes.INVALID_PURCHASED_ITEMS,
        codes.INVALID_PAYMENT_ITEMS,
        codes.INVALID_KYC_QUERY_TYPE,
        codes.TERMS_NOT_AGREED,
        codes.INVALID_FIRST_PAYMENT_DATE,
        codes.INVALID_FREQUENCY,
        codes.INVALID_START_OF_RANGE,
        codes.INVALID_END_OF_RANGE,
        codes.INVALID_EXPIRY_DATE,
        codes.INVALID_MANDATE_ID,
        codes.INVALID_BALANCE_AMOUNT,
        codes.INVALID_TOKEN,
        codes.INVALID_MSISDN,
        codes.INVALID_PARAMETER,
    ),
    _check(4, "Is the response URL usable?", codes.INVALID_PARAMETER),
    _check(4, "May the mandate have its first payment date?", codes.INVALID_FIRST_PAYMENT_DATE),
    _check(4, "May the mandate have its frequency?", codes.INVALID_FREQUENCY),
    _check(4, "May the mandate have its first day of the range?", codes.INVALID_START_OF_RANGE),
    _check(4, "May the mandate have its last day of the range?", codes.INVALID_END_OF_RANGE),
    _check(4, "May the mandate have its expiry date?", codes.INVALID_EXPIRY_DATE),
    _check(5, "Is the country the market's?", codes.INVALID_MARKET),
    _check(5, "Is the currency the market's?", codes.INVALID_CURRENCY),
    _check(
        5,
        "Is the customer named, by number or token?",
        codes.CUSTOMER_MISSING,
        codes.PARAMETER_MISSING,
    ),
    _check(5, "Is there an amount to compare the balance with?", codes.BALANCE_AMOUNT_MISSING),
    _check(6, "Is the ThirdPartyConversationID new?", codes.DUPLICATE_TRANSACTION),
    _check(
        6,
        "Is it a sandbox trigger?",
        codes.INTERNAL_ERROR,
        codes.TRANSACTION_FAILED,
        codes.REQUEST_TIMEOUT,
        codes.INVALID_AMOUNT,
        codes.SERVICE_UNAVAILABLE,
        codes.INVALID_PARAMETER,
        codes.NOT_A_PARTY,
        codes.MISSING_REFERENCE,
        codes.INSUFFICIENT_BALANCE,
    ),
    _check(7, "Do the organisations exist, usable, the application's?", codes.INVALID_SHORTCODE),
    _check(7, "Is the product enabled for the organisation?", codes.PRODUCT_NOT_ENABLED),
    _check(7, "Is there a transaction of that reference?", codes.TRANSACTION_NOT_FOUND),
    _check(8, "Does the customer exist?", codes.INVALID_MSISDN),
    _check(8, "Is the token known?", codes.INVALID_TOKEN, codes.INVALID_PARAMETER),
    _check(8, "Do token and number stand for one customer?", codes.TOKEN_MISMATCH),
    _check(8, "May the customer's account be used?", codes.TRANSACTION_FAILED),
    _check(9, "Does the organisation have the mandate?", codes.INVALID_MANDATE_ID),
    _check(9, "Is it the mandate of this reference and customer?", codes.MANDATE_MISMATCH),
    _check(9, "Is there any mandate?", codes.TRANSACTION_FAILED, codes.NO_MANDATE),
    _check(9, "Is there no such mandate yet?", codes.DUPLICATE_TRANSACTION),
    _check(9, "May the mandate be used now?", codes.TRANSACTION_FAILED),
    _check(9, "Is the amount within the organisation's maximum?", codes.INVALID_AMOUNT),
    _check(10, "Does the original transaction or reservation exist?", codes.INVALID_TRANSACTION_ID),
    _check(10, "Is the organisation a party to it?", codes.NOT_A_PARTY),
    _check(10, "Is it the reservation's voucher?", codes.INVALID_PARAMETER),
    _check(10, "Can the original still be reversed or settled?", codes.TRANSACTION_FAILED),
    _check(10, "Is that much of the original left?", codes.INVALID_AMOUNT),
    _check(
        11,
        "Are all limits kept?",
        codes.SEVERAL_LIMITS,
        codes.SINGLE_VALUE_LIMIT,
        codes.VALUE_LIMIT,
        codes.NUMBER_LIMIT,
        codes.CUSTOMER_VALUE_LIMIT,
        codes.CUSTOMER_NUMBER_LIMIT,
    ),
    _check(
        11, "Does the customer approve, in time?", codes.TRANSACTION_FAILED, codes.REQUEST_TIMEOUT
    ),
    _check(11, "Are the wallets usable?", codes.TRANSACTION_FAILED),
    _check(11, "Does the payer have the money?", codes.INSUFFICIENT_BALANCE),
)

ANY_TIME: Final[tuple[Check, ...]] = (
    _check(
        0, "Are engine and database there?", codes.SERVICE_UNAVAILABLE, codes.SESSION_NOT_CREATED
    ),
    _check(0, "Did the gateway itself work?", codes.INTERNAL_ERROR),
)
"""Questions that may be answered with no at any step."""
