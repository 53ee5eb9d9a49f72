"""The ledger's own words for what became of a payment.

Numbers are stored in the database and never change their meaning. They are grouped in the order
in which a request is checked: of two faults the one with the lower number is answered.
"""

from enum import IntEnum


class State(IntEnum):
    """Where a payment stands."""

    NONE = 0
    PENDING = 1
    RESERVED = 2
    COMPLETED = 3
    FAILED = 4
    CANCELLED = 5
    EXPIRED = 6


FINAL_STATES = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED})


class Status(IntEnum):
    """Why a payment stands there; the name is the message."""

    COMPLETED = 0
    DUPLICATE = 1

    TRIGGERED_INTERNAL_FAULT = 10
    TRIGGERED_FAILURE = 11
    TRIGGERED_EXPIRY = 12
    TRIGGERED_AMOUNT_INVALID = 13
    TRIGGERED_BALANCE_INSUFFICIENT = 14
    TRIGGERED_UNAVAILABLE = 15

    ORGANISATION_UNKNOWN = 20
    ORGANISATION_SUSPENDED = 21
    ORGANISATION_NOT_OF_APPLICATION = 22
    ORGANISATION_PRODUCT_DISABLED = 23

    CUSTOMER_UNKNOWN = 30
    CUSTOMER_NOT_ACTIVE = 31

    PROMPT_WAITING = 40
    PROMPT_DECLINED = 41
    PROMPT_PINS_EXHAUSTED = 42
    PROMPT_EXPIRED = 43
    PROMPT_UNKNOWN = 44

    ORGANISATION_UNUSABLE = 50
    ORGANISATION_WALLET_FULL = 51
    BALANCE_INSUFFICIENT = 52
