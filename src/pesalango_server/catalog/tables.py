"""Rows that the tables of several operations have in common."""

from typing import Final

from pesalango_server.catalog.codes import (
    CUSTOMER_NUMBER_LIMIT,
    CUSTOMER_VALUE_LIMIT,
    INVALID_MARKET,
    NUMBER_LIMIT,
    OUTSIDE_USAGE_TIME,
    PRODUCT_NOT_ENABLED,
    SERVICE_UNAVAILABLE,
    SEVERAL_LIMITS,
    SINGLE_VALUE_LIMIT,
    VALUE_LIMIT,
    by_check,
    by_nothing,
)
from pesalango_server.catalog.model import Code

SCOPE: Final[tuple[Code, ...]] = (
    by_check(OUTSIDE_USAGE_TIME),
    by_check(PRODUCT_NOT_ENABLED),
    by_check(INVALID_MARKET),
)

PAYMENT_LIMITS: Final[tuple[Code, ...]] = (
    by_check(CUSTOMER_VALUE_LIMIT),
    by_check(CUSTOMER_NUMBER_LIMIT),
    by_check(SEVERAL_LIMITS),
    by_check(NUMBER_LIMIT),
    by_check(VALUE_LIMIT),
    by_check(SINGLE_VALUE_LIMIT),
)

_NO_AMOUNT: Final = "the request has no amount, so that only numbers are limited"
MANDATE_LIMITS: Final[tuple[Code, ...]] = (
    by_nothing(CUSTOMER_VALUE_LIMIT, _NO_AMOUNT),
    by_check(CUSTOMER_NUMBER_LIMIT),
    by_check(SEVERAL_LIMITS),
    by_check(NUMBER_LIMIT),
    by_nothing(VALUE_LIMIT, _NO_AMOUNT),
    by_nothing(SINGLE_VALUE_LIMIT, _NO_AMOUNT),
)

UNAVAILABLE: Final[tuple[Code, ...]] = (by_check(SERVICE_UNAVAILABLE),)
"""Answered by every operation but the session's, though no table lists it."""
