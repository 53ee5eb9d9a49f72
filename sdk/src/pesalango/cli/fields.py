"""What the fields of a payment look like, checked before anything is sent.

The patterns are those of `docs/reference/operations.md`. A gateway refuses what does not match too,
but by some of its refusals a key is used up.
"""

import re
from decimal import Decimal
from typing import Final

from pesalango._model import Market

AMOUNT_MAX: Final = Decimal("999999999999.99")
_AMOUNT: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)")
_DECIMALS: Final = 2
_DESCRIPTION: Final = (
    re.compile(r"[0-9a-zA-Z _+]{1,256}"),
    "takes 1 to 256 letters, digits, blanks, _ and +, and no other punctuation",
)
_CODE: Final = (re.compile(r"[0-9A-Za-z]{4,12}"), "takes 4 to 12 letters and digits")
_PATTERNS: Final = {
    "service_provider_code": _CODE,
    "primary_party_code": _CODE,
    "receiver_party_code": _CODE,
    "transaction_reference": (
        re.compile(r"[0-9a-zA-Z _+]{1,20}"),
        "takes 1 to 20 letters, digits, blanks, _ and +",
    ),
    "purchased_items_description": _DESCRIPTION,
    "payment_items_description": _DESCRIPTION,
    "transaction_id": (re.compile(r"[0-9a-zA-Z]{1,20}"), "takes 1 to 20 letters and digits"),
    "query_reference": (re.compile(r"[0-9A-Za-z]{1,32}"), "takes 1 to 32 letters and digits"),
}
_MSISDN: Final = (
    re.compile(r"[0-9]{12,14}"),
    "takes 12 to 14 digits, with the country's prefix and no plus sign",
)
_MSISDN_LESOTHO: Final = (
    re.compile(r"[0-9]{11,14}"),
    "takes 11 to 14 digits, with the country's prefix and no plus sign",
)


def find_fault(name: str, value: str, market: Market) -> str | None:
    """What is wrong with the value of a field, in words that go on from its name; None if nothing."""
    if not value:
        return "is missing"
    if name in {"amount", "reversal_amount"}:
        return _find_amount_fault(value)
    if name == "key":
        # As pesalango._settlement.check_key has it.
        return (
            None
            if len(value) <= 200 and value.isprintable()
            else ("takes 1 to 200 printable characters")
        )
    if name == "customer_msisdn":
        pattern, words = _MSISDN_LESOTHO if market.country == "LES" else _MSISDN
    else:
        pattern, words = _PATTERNS[name]
    return None if pattern.fullmatch(value) else words


def _find_amount_fault(value: str) -> str | None:
    if not _AMOUNT.fullmatch(value):
        return "is no amount: it takes digits, and a point before decimals, such as 249.50"
    if len(value.partition(".")[2]) > _DECIMALS:
        return f"has more than {_DECIMALS} decimals"
    if not Decimal(0) < Decimal(value) <= AMOUNT_MAX:
        return f"must be above zero, and at most {AMOUNT_MAX}"
    return None
