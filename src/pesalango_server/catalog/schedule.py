"""The terms of a new mandate: what each may be alone, and how they fit together."""

from collections.abc import Mapping
from datetime import date
from typing import Final

from pesalango_server.catalog.codes import (
    INVALID_END_OF_RANGE,
    INVALID_EXPIRY_DATE,
    INVALID_FIRST_PAYMENT_DATE,
    INVALID_START_OF_RANGE,
)

_FREQUENCIES: Final = frozenset({"01", "02", "03", "04", "05", "06", "07", "08"})
_FREQUENCIES_WITH_RANGE: Final = frozenset({"04", "05", "06", "07"})
_DAYS: Final = frozenset(f"{day:02d}" for day in range(1, 32))


def is_date(text: str) -> bool:
    """Whether eight digits are a day of the calendar: year, month, day."""
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def is_frequency(text: str) -> bool:
    """Whether two digits are one of the eight frequencies."""
    return text in _FREQUENCIES


def is_day(text: str) -> bool:
    """Whether two digits are a day of some month."""
    return text in _DAYS


def find_schedule_fault(
    values: Mapping[str, str], *, today: date | None
) -> tuple[str, str, str] | None:
    """The first term that does not fit the others: code, Python name of the field, reason.

    `values` are checked alone already. With `today`, the market's date, dates in the past are
    refused; without it they are accepted, as the sandbox does. A first payment date that is left
    out means today, which is why it cannot be compared with an expiry date here: where the past
    is refused, such an expiry date is refused as past, and where it is accepted, the mandate is
    made and has expired.
    """
    # Dates of eight digits compare like the days that they name.
    earliest = "" if today is None else today.strftime("%Y%m%d")
    frequency = values.get("frequency", "")
    first = values.get("first_payment_date", "")
    start = values.get("start_of_range", "")
    end = values.get("end_of_range", "")
    expiry = values.get("expiry_date", "")
    has_range = frequency in _FREQUENCIES_WITH_RANGE
    if first and not frequency:
        return INVALID_FIRST_PAYMENT_DATE, "first_payment_date", "given without a frequency"
    if first and first < earliest:
        return INVALID_FIRST_PAYMENT_DATE, "first_payment_date", "in the past"
    if start and not has_range:
        return INVALID_START_OF_RANGE, "start_of_range", "the frequency has no range of days"
    if end and not has_range:
        return INVALID_END_OF_RANGE, "end_of_range", "the frequency has no range of days"
    if bool(start) != bool(end):
        return INVALID_END_OF_RANGE, "end_of_range", "the range of days has one end only"
    if start > end:
        return INVALID_END_OF_RANGE, "end_of_range", "the range of days ends before it starts"
    if expiry and expiry < earliest:
        return INVALID_EXPIRY_DATE, "expiry_date", "in the past"
    if expiry and first and expiry < first:
        return INVALID_EXPIRY_DATE, "expiry_date", "before the first payment date"
    return None
