"""Every code: its name in our words, its default status and text, and what a caller may do next.

An operation's own table wins over the status and text here, which serve in two ways: as what the
tables say unless they say otherwise, and as the fallback for a code that a table lacks.
"""

from typing import Final

from pesalango_server.catalog.model import Code, CodeRow, Producer, Retry

PROCESSED: Final = "INS-0"
INTERNAL_ERROR: Final = "INS-1"
TRANSACTION_FAILED: Final = "INS-6"
REQUEST_TIMEOUT: Final = "INS-9"
DUPLICATE_TRANSACTION: Final = "INS-10"
INVALID_SHORTCODE: Final = "INS-13"
INVALID_AMOUNT: Final = "INS-15"
SERVICE_UNAVAILABLE: Final = "INS-16"
INVALID_TRANSACTION_REFERENCE: Final = "INS-17"
INVALID_TRANSACTION_ID: Final = "INS-18"
INVALID_THIRD_PARTY_REFERENCE: Final = "INS-19"
PARAMETER_MISSING: Final = "INS-20"
INVALID_PARAMETER: Final = "INS-21"
TRANSACTION_NOT_FOUND: Final = "INS-23"
INVALID_CURRENCY: Final = "INS-26"
INVALID_THIRD_PARTY_CONVERSATION_ID: Final = "INS-28"
INVALID_PURCHASED_ITEMS: Final = "INS-30"
INVALID_PAYMENT_ITEMS: Final = "INS-31"
INVALID_KYC_QUERY_TYPE: Final = "INS-32"
NOT_A_PARTY: Final = "INS-35"
TERMS_NOT_AGREED: Final = "INS-36"
INVALID_FIRST_PAYMENT_DATE: Final = "INS-39"
INVALID_FREQUENCY: Final = "INS-40"
INVALID_START_OF_RANGE: Final = "INS-41"
INVALID_END_OF_RANGE: Final = "INS-42"
INVALID_EXPIRY_DATE: Final = "INS-43"
MISSING_REFERENCE: Final = "INS-45"
TOKEN_MISMATCH: Final = "INS-50"  # noqa: S105 - a code, no secret
INVALID_MANDATE_ID: Final = "INS-51"
MANDATE_MISMATCH: Final = "INS-52"
INVALID_BALANCE_AMOUNT: Final = "INS-54"
BALANCE_AMOUNT_MISSING: Final = "INS-55"
INVALID_TOKEN: Final = "INS-56"  # noqa: S105 - a code, no secret
CUSTOMER_MISSING: Final = "INS-57"
NO_MANDATE: Final = "INS-58"
SESSION_NOT_CREATED: Final = "INS-989"
CUSTOMER_VALUE_LIMIT: Final = "INS-990"
CUSTOMER_NUMBER_LIMIT: Final = "INS-991"
SEVERAL_LIMITS: Final = "INS-992"
NUMBER_LIMIT: Final = "INS-993"
VALUE_LIMIT: Final = "INS-994"
SINGLE_VALUE_LIMIT: Final = "INS-995"
OUTSIDE_USAGE_TIME: Final = "INS-996"
PRODUCT_NOT_ENABLED: Final = "INS-997"
INVALID_MARKET: Final = "INS-998"
INSUFFICIENT_BALANCE: Final = "INS-2006"
INVALID_MSISDN: Final = "INS-2051"
SETTLED: Final = "INS-GAR-0"


def _row(code: str, http_status: int, text: str, retry: Retry, meaning: str) -> CodeRow:
    return CodeRow(code=code, http_status=http_status, text=text, retry=retry, meaning=meaning)


# Status and text of a row are those of C2B single stage where that table has the code, else those
# of the first table that has it; 6, 16 and 45 are also what every table falls back on.
CODES: Final[tuple[CodeRow, ...]] = (
    _row(PROCESSED, 201, "Request processed successfully", Retry.DONE, "It is done."),
    _row(
        INTERNAL_ERROR,
        400,
        "Internal Error",
        Retry.SAME,
        "A fault of the gateway. Nothing was recorded.",
    ),
    _row(
        TRANSACTION_FAILED,
        401,
        "Transaction Failed",
        Retry.NEW,
        "Declined, wrong PIN, or a wallet, mandate or original that cannot be used.",
    ),
    _row(
        REQUEST_TIMEOUT,
        408,
        "Request timeout",
        Retry.ASK,
        "The customer did not answer in time. The payment has expired for good: the money did not "
        "move and will not.",
    ),
    _row(
        DUPLICATE_TRANSACTION,
        409,
        "Duplicate Transaction",
        Retry.ASK,
        "The ThirdPartyConversationID was used before, or such a mandate exists. What became of "
        "the earlier request, a status query tells.",
    ),
    _row(
        INVALID_SHORTCODE,
        400,
        "Invalid Shortcode Used",
        Retry.NEW,
        "No such organisation, a suspended one, or one the application does not act for.",
    ),
    _row(
        INVALID_AMOUNT,
        400,
        "Invalid Amount Used",
        Retry.NEW,
        "Not an amount, zero, too precise, too large, or more than there is to reverse.",
    ),
    _row(
        SERVICE_UNAVAILABLE,
        503,
        "Service is not available",
        Retry.SAME,
        "Overload, or the engine or database is not available. Nothing was recorded.",
    ),
    _row(
        INVALID_TRANSACTION_REFERENCE,
        400,
        "Invalid Transaction Reference. Length Should Be Between 1 and 20.",
        Retry.CORRECTED,
        "The TransactionReference does not fit its pattern.",
    ),
    _row(
        INVALID_TRANSACTION_ID,
        400,
        "Invalid TransactionID Used",
        Retry.NEW,
        "The TransactionID does not fit its pattern, or no transaction has it.",
    ),
    _row(
        INVALID_THIRD_PARTY_REFERENCE,
        400,
        "Invalid ThirdPartyReference Used",
        Retry.CORRECTED,
        "The ThirdPartyReference does not fit its pattern.",
    ),
    _row(
        PARAMETER_MISSING,
        400,
        "Not All Parameters Provided. Please try again.",
        Retry.CORRECTED,
        "A mandatory parameter is missing or empty.",
    ),
    _row(
        INVALID_PARAMETER,
        400,
        "Parameter validations failed. Please try again.",
        Retry.NEW,
        "The body cannot be read, or a parameter without a code of its own is not acceptable.",
    ),
    _row(
        TRANSACTION_NOT_FOUND,
        400,
        "Transaction not found. Contact M-Pesa Support",
        Retry.SAME,
        "No recorded transaction of this organisation has the reference.",
    ),
    _row(
        INVALID_CURRENCY,
        400,
        "Invalid Currency Used",
        Retry.CORRECTED,
        "Not a currency code, or not the market's currency.",
    ),
    _row(
        INVALID_THIRD_PARTY_CONVERSATION_ID,
        400,
        "Invalid ThirdPartyConversationID Used",
        Retry.CORRECTED,
        "The ThirdPartyConversationID does not fit its pattern.",
    ),
    _row(
        INVALID_PURCHASED_ITEMS,
        400,
        "Invalid Purchased Items Description Used",
        Retry.CORRECTED,
        "The description of purchased items does not fit its pattern: a comma does not.",
    ),
    _row(
        INVALID_PAYMENT_ITEMS,
        400,
        "Invalid Payment Items Description Used",
        Retry.CORRECTED,
        "The description of payment items does not fit its pattern.",
    ),
    _row(
        INVALID_KYC_QUERY_TYPE,
        400,
        "Invalid KYC Query Type Used",
        Retry.CORRECTED,
        "The only query type is Name.",
    ),
    _row(
        NOT_A_PARTY,
        400,
        "This transaction do not belong to you",
        Retry.NEW,
        "The organisation is not a party to the transaction.",
    ),
    _row(
        TERMS_NOT_AGREED,
        400,
        "Invalid Agreed TC Used",
        Retry.CORRECTED,
        "The customer's agreement to the terms is not 1.",
    ),
    _row(
        INVALID_FIRST_PAYMENT_DATE,
        400,
        "Invalid First Payment Date Used",
        Retry.CORRECTED,
        "Not a date, in the past, or given without a frequency.",
    ),
    _row(
        INVALID_FREQUENCY,
        400,
        "Invalid Frequency Used",
        Retry.CORRECTED,
        "Not one of 01 to 08.",
    ),
    _row(
        INVALID_START_OF_RANGE,
        400,
        "Invalid Start Range Days Used",
        Retry.CORRECTED,
        "Not a day of the month, or given where the frequency has no range of days.",
    ),
    _row(
        INVALID_END_OF_RANGE,
        400,
        "Invalid End Range Days Used",
        Retry.CORRECTED,
        "Not a day of the month, given where the frequency has no range of days, or a range with "
        "one end only or with its end before its start.",
    ),
    _row(
        INVALID_EXPIRY_DATE,
        400,
        "Invalid Expiry Date Used",
        Retry.CORRECTED,
        "Not a date, in the past, or before the first payment.",
    ),
    _row(
        MISSING_REFERENCE,
        400,
        "Missing Reference",
        Retry.CORRECTED,
        "Answered by one trigger of the status query.",
    ),
    _row(
        TOKEN_MISMATCH,
        400,
        "MSISDN Token and MSISDN provided does not Match",
        Retry.NEW,
        "Token and number stand for two customers.",
    ),
    _row(
        INVALID_MANDATE_ID,
        400,
        "Invalid MandateID Used",
        Retry.NEW,
        "The MandateID does not fit its pattern, or the organisation has no such mandate.",
    ),
    _row(
        MANDATE_MISMATCH,
        400,
        "The MandateID used does not correspond to the ThirdPartyReference used.",
        Retry.NEW,
        "The mandate belongs to another reference or customer.",
    ),
    _row(
        INVALID_BALANCE_AMOUNT,
        400,
        "Invalid BalanceAmount Used",
        Retry.CORRECTED,
        "400: not an amount. 401: an amount that is zero, too precise or too large.",
    ),
    _row(
        BALANCE_AMOUNT_MISSING,
        401,
        "BalanceAmount is Mandatory when QueryBalanceAmount is True",
        Retry.CORRECTED,
        "The balance is asked about without an amount.",
    ),
    _row(
        INVALID_TOKEN,
        401,
        "Invalid MSISDNToken Used",
        Retry.NEW,
        "The token does not fit its pattern, or was never given to this organisation.",
    ),
    _row(
        CUSTOMER_MISSING,
        500,
        "Either MSISDN or MSISDNToken required",
        Retry.CORRECTED,
        "The customer is named neither by number nor by token.",
    ),
    _row(
        NO_MANDATE,
        400,
        "No Active Mandate found",
        Retry.NEW,
        "There is no mandate for this organisation, customer and reference.",
    ),
    _row(
        SESSION_NOT_CREATED,
        400,
        "Session Creation Failed",
        Retry.SAME,
        "The API key is right and no session could be made; the reason is in `output_error`.",
    ),
    _row(
        CUSTOMER_VALUE_LIMIT,
        400,
        "Customer Transaction Value Limit Breached",
        Retry.NEW,
        "The customer's value of the day.",
    ),
    _row(
        CUSTOMER_NUMBER_LIMIT,
        400,
        "Customer Transaction Count Limit Breached",
        Retry.NEW,
        "The customer's number of the day.",
    ),
    _row(
        SEVERAL_LIMITS,
        400,
        "Multiple Limits Breached",
        Retry.NEW,
        "Two or more limits at once, usage time apart.",
    ),
    _row(
        NUMBER_LIMIT,
        400,
        "Organization Transaction Count Limit Breached",
        Retry.NEW,
        "The session's number of the day.",
    ),
    _row(
        VALUE_LIMIT,
        400,
        "Organization Transaction Value Limit Breached",
        Retry.NEW,
        "The session's value of the day.",
    ),
    _row(
        SINGLE_VALUE_LIMIT,
        400,
        "API Single Transaction Limit Breached",
        Retry.NEW,
        "The value of one request.",
    ),
    _row(
        OUTSIDE_USAGE_TIME,
        400,
        "API Being Used Outside Of Usage Time",
        Retry.CORRECTED,
        "The hour is outside the usage time, in the market's local time.",
    ),
    _row(
        PRODUCT_NOT_ENABLED,
        400,
        "API Not Enabled",
        Retry.NEW,
        "The product is off for the application or for the organisation.",
    ),
    _row(
        INVALID_MARKET,
        400,
        "Invalid Market",
        Retry.CORRECTED,
        "No such market, the operation is not offered there, or the country is another one's.",
    ),
    _row(
        INSUFFICIENT_BALANCE,
        422,
        "Insufficient balance",
        Retry.NEW,
        "The payer has less than the amount.",
    ),
    _row(
        INVALID_MSISDN,
        400,
        "MSISDN invalid.",
        Retry.NEW,
        "The number does not fit its pattern, or no customer has it.",
    ),
    _row(
        SETTLED,
        200,
        "Request processed successfully",
        Retry.DONE,
        "The reservation is committed or released.",
    ),
)
CODES_BY_CODE: Final = {row.code: row for row in CODES}


NOT_PRODUCED_YET: Final = frozenset(
    {
        CUSTOMER_VALUE_LIMIT,
        CUSTOMER_NUMBER_LIMIT,
        SEVERAL_LIMITS,
        NUMBER_LIMIT,
        VALUE_LIMIT,
        SINGLE_VALUE_LIMIT,
        OUTSIDE_USAGE_TIME,
    }
)
"""Codes of checks that do not exist yet."""


def by_check(code: str, http_status: int | None = None, *, text: str | None = None) -> Code:
    """A row of an operation's table whose code the gateway itself produces, today or later."""
    if code in NOT_PRODUCED_YET:
        why = "usage time and limits do not exist yet"
        return _code(code, http_status, text=text, producer=Producer.NOT_YET, why=why)
    return _code(code, http_status, text=text, producer=Producer.CHECK, why="")


def by_trigger(code: str, why: str, http_status: int | None = None) -> Code:
    """A row whose code only a sandbox trigger produces, and why no check does."""
    return _code(code, http_status, text=None, producer=Producer.TRIGGER, why=why)


def by_nothing(code: str, why: str, http_status: int | None = None) -> Code:
    """A row that the documentation lists and that no request leads to, and why."""
    return _code(code, http_status, text=None, producer=Producer.NOTHING, why=why)


def _code(
    code: str, http_status: int | None, *, text: str | None, producer: Producer, why: str
) -> Code:
    row = CODES_BY_CODE[code]
    return Code(
        code=code,
        http_status=row.http_status if http_status is None else http_status,
        text=row.text if text is None else text,
        retry=row.retry,
        producer=producer,
        why=why,
    )
