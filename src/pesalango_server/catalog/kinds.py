r"""The kinds of fields: one row for each way in which a value may look.

The documentation writes its patterns for a matcher that knows only ASCII. Ours spell the classes
out (its `\w` becomes letters, digits and `_`), because Python's `\d` and `\w` admit full-width
digits and the letters of every script, and they are matched against the whole value, because `$`
admits a newline at the end.
"""

from typing import Final

from pesalango_server.catalog import codes
from pesalango_server.catalog.model import Kind
from pesalango_server.kernel.money import AMOUNT_CHARACTERS_MAX

# The printed pattern, spelt so that its parts cannot share digits: matched as printed, a body of
# 64 KiB that fails at its last character would take the square of its length.
_DECIMAL: Final = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"

AMOUNT: Final = Kind(
    name="amount",
    pattern=_DECIMAL,
    printed=r"^\d*\.?\d+$",
    malformed_code=codes.INVALID_AMOUNT,
    characters_max=AMOUNT_CHARACTERS_MAX,
    meaning="above zero, no more decimals than the currency has, at most 999 999 999 999.99",
)
# The printed pattern does not escape its dot, so that it admits any character there; ours does.
BALANCE_AMOUNT: Final = Kind(
    name="balance amount",
    pattern=_DECIMAL,
    printed=r"^\d*.?\d+$",
    malformed_code=codes.INVALID_BALANCE_AMOUNT,
    meaning="an amount; refused with 400 if malformed, with 401 if zero, too precise or too large",
)
MSISDN: Final = Kind(
    name="msisdn",
    pattern=r"[0-9]{12,14}",
    printed=r"^[0-9]{12,14}$",
    malformed_code=codes.INVALID_MSISDN,
    meaning="11 to 14 digits in Lesotho; the country's prefix is not checked",
)
COUNTRY: Final = Kind(
    name="country",
    pattern=None,
    printed=None,
    malformed_code=codes.INVALID_MARKET,
    meaning="the market's country, in any case of letters",
)
CURRENCY: Final = Kind(
    name="currency",
    pattern=r"[a-zA-Z]{1,3}",
    printed=r"^[a-zA-Z]{1,3}$",
    malformed_code=codes.INVALID_CURRENCY,
    meaning="the market's currency, in any case of letters",
)
SHORTCODE: Final = Kind(
    name="shortcode",
    pattern=r"[0-9A-Za-z]{4,12}",
    printed=r"^([0-9A-Za-z]{4,12})$",
    malformed_code=codes.INVALID_SHORTCODE,
    meaning="an organisation",
)
TRANSACTION_REFERENCE: Final = Kind(
    name="transaction reference",
    pattern=r"[0-9a-zA-Z _+]{1,20}",
    printed=r"^[0-9a-zA-Z \w+]{1,20}$",
    malformed_code=codes.INVALID_TRANSACTION_REFERENCE,
    meaning="free; need not be unique",
)
THIRD_PARTY_CONVERSATION_ID: Final = Kind(
    name="third-party conversation id",
    pattern=r"[0-9a-zA-Z _+]{1,40}",
    printed=r"^[0-9a-zA-Z \w+]{1,40}$",
    malformed_code=codes.INVALID_THIRD_PARTY_CONVERSATION_ID,
    meaning="the caller's own, new for every request where duplicates are checked",
)
PURCHASED_ITEMS: Final = Kind(
    name="purchased items",
    pattern=r"[0-9a-zA-Z _+]{1,256}",
    printed=r"^[0-9a-zA-Z \w+]{1,256}$",
    malformed_code=codes.INVALID_PURCHASED_ITEMS,
    meaning="no punctuation: a comma is refused",
)
PAYMENT_ITEMS: Final = Kind(
    name="payment items",
    pattern=r"[0-9a-zA-Z _+]{1,256}",
    printed=r"^[0-9a-zA-Z \w+]{1,256}$",
    malformed_code=codes.INVALID_PAYMENT_ITEMS,
    meaning="no punctuation: a comma is refused",
)
TRANSACTION_ID: Final = Kind(
    name="transaction id",
    pattern=r"[0-9a-zA-Z]{1,20}",
    printed=r"^[0-9a-zA-Z]{1,20}$",
    malformed_code=codes.INVALID_TRANSACTION_ID,
    meaning="as answered by the payment; the case of letters counts",
)
RESERVATION_ID: Final = Kind(
    name="reservation id",
    pattern=r"[0-9A-Za-z]{1,13}",
    printed=None,
    malformed_code=codes.INVALID_TRANSACTION_ID,
    meaning="as answered by the first step; the case of letters counts",
)
# The three alternatives of the printed pattern are adjoining lengths of one alphabet.
QUERY_REFERENCE: Final = Kind(
    name="query reference",
    pattern=r"[A-Za-z0-9]{1,32}",
    printed=r"^(?:[A-Za-z0-9]{10,20}|[A-Za-z0-9]{1,9}|[A-Za-z0-9]{21,32})$",
    malformed_code=codes.INVALID_PARAMETER,
    meaning="a TransactionID, a ThirdPartyConversationID or a ConversationID",
)
THIRD_PARTY_REFERENCE: Final = Kind(
    name="third-party reference",
    pattern=r"[0-9a-zA-Z]{1,32}",
    printed=r"^[0-9a-zA-Z]{1,32}$",
    malformed_code=codes.INVALID_THIRD_PARTY_REFERENCE,
    meaning="the organisation's name for a mandate",
)
MSISDN_TOKEN: Final = Kind(
    name="msisdn token",
    pattern=r"[0-9a-zA-Z _=]{1,26}",
    printed=r"^[0-9a-zA-Z \w=]{1,26}$",
    malformed_code=codes.INVALID_TOKEN,
    meaning="as answered by an earlier call for this organisation and customer",
)
MANDATE_ID: Final = Kind(
    name="mandate id",
    pattern=r"[0-9]{1,12}",
    printed=r"^[0-9]{1,12}$",
    malformed_code=codes.INVALID_MANDATE_ID,
    meaning="as answered when the mandate was made",
)
AGREED_TERMS: Final = Kind(
    name="agreed terms",
    pattern=r"[0-1]{1}",
    printed=r"^[0-1]{1}$",
    malformed_code=codes.TERMS_NOT_AGREED,
    meaning="must be 1",
)
FIRST_PAYMENT_DATE: Final = Kind(
    name="first payment date",
    pattern=r"[0-9]{8}",
    printed=r"^[0-9]{8}$",
    malformed_code=codes.INVALID_FIRST_PAYMENT_DATE,
    meaning="a date that exists, year, month, day; in openapi not in the past",
)
FREQUENCY: Final = Kind(
    name="frequency",
    pattern=r"[0-9]{2}",
    printed=r"^[0-9]{2}$",
    malformed_code=codes.INVALID_FREQUENCY,
    meaning="01 once, 02 daily, 03 weekly, 04 monthly, 05 quarterly, 06 half-yearly, 07 yearly, "
    "08 on demand",
)
START_OF_RANGE: Final = Kind(
    name="start of range",
    pattern=r"[0-9]{2}",
    printed=r"^[0-9]{2}$",
    malformed_code=codes.INVALID_START_OF_RANGE,
    meaning="01 to 31, with frequencies 04 to 07 only",
)
END_OF_RANGE: Final = Kind(
    name="end of range",
    pattern=r"[0-9]{2}",
    printed=r"^[0-9]{2}$",
    malformed_code=codes.INVALID_END_OF_RANGE,
    meaning="01 to 31, not before the start, with frequencies 04 to 07 only",
)
EXPIRY_DATE: Final = Kind(
    name="expiry date",
    pattern=r"[0-9]{8}",
    printed=r"^[0-9]{8}$",
    malformed_code=codes.INVALID_EXPIRY_DATE,
    meaning="a date that exists, not before the first payment; in openapi not in the past",
)
KYC_QUERY_TYPE: Final = Kind(
    name="kyc query type",
    pattern=r"Name",
    printed=r"^(Name)$",
    malformed_code=codes.INVALID_KYC_QUERY_TYPE,
    meaning="one value only",
)
FLAG: Final = Kind(
    name="flag",
    pattern=r"(?:[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])",
    printed=None,
    malformed_code=codes.INVALID_PARAMETER,
    meaning="True or False, in any case of letters, or a JSON boolean",
)
API_VERSION: Final = Kind(
    name="api version",
    pattern=r"3\.1",
    printed=None,
    malformed_code=codes.INVALID_PARAMETER,
    meaning="one value only",
)
VOUCHER_CODE: Final = Kind(
    name="voucher code",
    pattern=r"[0-9A-Za-z]{4,12}",
    printed=None,
    malformed_code=codes.INVALID_PARAMETER,
    meaning="as answered by the first step",
)
SETTLEMENT: Final = Kind(
    name="settlement",
    pattern=r"[01]",
    printed=None,
    malformed_code=codes.INVALID_PARAMETER,
    meaning="1 commits the reservation, 0 releases it",
)
RESPONSE_URL: Final = Kind(
    name="response url",
    pattern=r"[Hh][Tt][Tt][Pp][Ss]?://[!-~]+",
    printed=None,
    malformed_code=codes.INVALID_PARAMETER,
    characters_max=2000,
    meaning="http or https with a host; no loopback, private, link-local, metadata or multicast "
    "address, save loopback in the sandbox",
)

KINDS: Final = (
    AMOUNT,
    BALANCE_AMOUNT,
    MSISDN,
    COUNTRY,
    CURRENCY,
    SHORTCODE,
    TRANSACTION_REFERENCE,
    THIRD_PARTY_CONVERSATION_ID,
    PURCHASED_ITEMS,
    PAYMENT_ITEMS,
    TRANSACTION_ID,
    RESERVATION_ID,
    QUERY_REFERENCE,
    THIRD_PARTY_REFERENCE,
    MSISDN_TOKEN,
    MANDATE_ID,
    AGREED_TERMS,
    FIRST_PAYMENT_DATE,
    FREQUENCY,
    START_OF_RANGE,
    END_OF_RANGE,
    EXPIRY_DATE,
    KYC_QUERY_TYPE,
    FLAG,
    API_VERSION,
    VOUCHER_CODE,
    SETTLEMENT,
    RESPONSE_URL,
)
