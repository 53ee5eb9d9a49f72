"""Amounts: whole minor units inside, decimal text outside; no binary fraction in between."""

from typing import Final

from pesalango_server.kernel.invariant import ensure

AMOUNT_CHARACTERS_MAX: Final = 32
"""The longest text that is read as an amount, leading zeros included."""

AMOUNT_MAX_MINOR: Final = 99_999_999_999_999
"""The largest amount of one payment: 999 999 999 999.99 in a currency with two decimals."""


def parse_amount_minor(text: str, decimals: int) -> int | None:
    """Minor units of an amount as written, or None when the text is not an acceptable amount.

    Leading zeros are accepted (`0010` is 10) and so is a bare fraction (`.5` is 0.50). Refused: a
    trailing point (`10.`), signs, exponents, blanks, digits outside ASCII, more decimals *as
    written* than the currency has (`10.000`), zero, more than `AMOUNT_CHARACTERS_MAX` characters,
    and more than `AMOUNT_MAX_MINOR`.
    """
    if len(text) > AMOUNT_CHARACTERS_MAX:
        return None
    whole, point, fraction = text.partition(".")
    if point and not 0 < len(fraction) <= decimals:
        return None
    digits = whole + fraction
    # isdigit() alone also admits the digits of other scripts, which int() would read.
    if not (digits.isascii() and digits.isdigit()):
        return None
    amount_minor = int(digits) * 10 ** (decimals - len(fraction))
    return amount_minor if 0 < amount_minor <= AMOUNT_MAX_MINOR else None


def format_amount_minor(amount_minor: int, decimals: int = 2) -> str:
    """Decimal text of minor units, with exactly the currency's decimals: 1050 is `10.50`.

    Negative amounts keep their sign: the account that issues money has a negative balance.
    """
    ensure(decimals >= 0, "a currency has no negative number of decimals")
    sign = "-" if amount_minor < 0 else ""
    if decimals == 0:
        return f"{sign}{abs(amount_minor)}"
    whole, fraction = divmod(abs(amount_minor), 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}d}"
