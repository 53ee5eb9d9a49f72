"""What the generated catalog of this client is made of: markets, operations, codes.

Immutable data. `_catalog.py` holds the rows; nothing here knows HTTP.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Literal

from msgspec import Struct

Environment = Literal["sandbox", "openapi"]
"""`openapi` is the one in which money counts."""


class Market(Struct, frozen=True, kw_only=True):
    """One country's mobile-money platform."""

    name: str
    """As in the path of every request, such as `vodafoneGHA`."""
    country: str
    """Three letters."""
    currency: str
    """Three letters."""


class Retry(Enum):
    """What a code says of the request that it answers."""

    DONE = "done"
    """It took effect."""
    ASK = "ask"
    """Nothing that could be relied on: the status has to be asked for."""
    SAME = "same"
    """Nothing was recorded and no money moved: the same request may be sent later."""
    CORRECTED = "corrected"
    """Nothing was recorded and no money moved: what is wrong has to be put right first."""
    NEW = "new"
    """No money moved, and the refusal may be recorded for good."""


class Code(Struct, frozen=True):
    """One response code."""

    retry: Retry
    text: str


class Operation(Struct, frozen=True, kw_only=True):
    """One call of the operator's API, as this client needs to know it."""

    name: str
    method: Literal["GET", "POST", "PUT"]
    path: str
    """Below the market, with its trailing slash."""
    fields: Mapping[str, str]
    """Name on the wire by our name, in documented order."""
    amounts: frozenset[str]
    """Our names of the fields that hold an amount of money."""
    optional: frozenset[str]
    """Our names of the fields that a request may leave out."""
    answer: Mapping[str, str]
    """Name in the result by name on the wire."""
    flags: frozenset[str]
    """Names in the result of what is `True` or `False`."""
    success: frozenset[str]
    """The codes that say that it took effect."""
    moves_money: bool
