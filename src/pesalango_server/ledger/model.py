"""The nouns of a ledger as the engine holds them while it decides."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

BALANCE_MAX_MINOR = 10**17
"""No wallet holds more."""

ISSUED_MAX_MINOR = 90 * BALANCE_MAX_MINOR
"""All wallets of a ledger together hold no more: issuance, which is as far below zero as they are
above it, stays inside 64 bits."""


class OperationKind(IntEnum):
    """An operation as it is stored; the names are the catalog's."""

    C2B_SINGLE_STAGE = 1
    C2B_MULTI_STAGE = 2
    UPDATE_TRANSACTION_STATUS = 3
    B2C_PAYMENT = 4
    B2B_PAYMENT = 5
    REVERSAL = 6
    DIRECT_DEBIT_CREATE = 7
    DIRECT_DEBIT_PAYMENT = 8
    QUERY_DIRECT_DEBIT = 9
    DIRECT_DEBIT_CANCEL = 10


class OwnerKind(IntEnum):
    """Whose an account is; only a system account may be below zero."""

    SYSTEM = 0
    CUSTOMER = 1
    ORGANISATION = 2


class CustomerStatus(IntEnum):
    """Account status of a customer."""

    ACTIVE = 1
    PENDING_APPROVAL = 2
    LOCKED = 3
    INACTIVE = 4


class OrganisationStatus(IntEnum):
    """Whether an organisation may take part in payments."""

    ACTIVE = 1
    SUSPENDED = 2


class Answer(IntEnum):
    """What a customer does with a prompt; NONE means that nobody has said yet."""

    NONE = 0
    APPROVE = 1
    DECLINE = 2
    WRONG_PIN = 3
    NEVER = 4


# Python 3.11 looks the members of an enumeration up through its metaclass, ten times as slowly as a
# global: what every payment asks for has a name of its own.
SYSTEM_OWNER: Final = OwnerKind.SYSTEM
CUSTOMER_OWNER: Final = OwnerKind.CUSTOMER
ORGANISATION_OWNER: Final = OwnerKind.ORGANISATION
ACTIVE_CUSTOMER: Final = CustomerStatus.ACTIVE
ACTIVE_ORGANISATION: Final = OrganisationStatus.ACTIVE
NO_ANSWER: Final = Answer.NONE


@dataclass(slots=True)
class Account:
    """Money of one owner in minor units; `balance_minor` includes what is held."""

    id: int
    owner_kind: int
    balance_minor: int
    held_minor: int
    is_changed: bool = False

    @property
    def available_minor(self) -> int:
        """What may be spent."""
        return self.balance_minor - self.held_minor


@dataclass(slots=True)
class Customer:
    """A person with a wallet; `answer` is how a sandbox customer is scripted, NONE if not."""

    id: int
    status: int
    account: Account
    answer: int
    delay_ms: int


@dataclass(slots=True)
class Organisation:
    """A business with a wallet; `products` are those it has enabled."""

    id: int
    status: int
    products: frozenset[str]
    account: Account


@dataclass(slots=True)
class Prompt:
    """A payment that waits for its customer. Times are ledger time in milliseconds."""

    payment: int
    customer: int
    customer_account: Account
    organisation: int
    organisation_account: Account
    amount_minor: int
    deadline_ms: int
    wrong_pins: int


@dataclass(slots=True)
class Standing:
    """The latest state of a payment."""

    state: int
    status: int


@dataclass(slots=True)
class Original:
    """A payment that may be reversed.

    `parties_by` is the operation whose parties the two are, for a reversal that of what it
    reversed. `payer` and `payee` are None where it moved no money. `reversed_minor` is what has
    gone back so far.
    """

    operation: int
    state: int
    parties_by: int
    organisation_code: str
    counterparty: str
    amount_minor: int
    reversed_minor: int
    payer: Account | None
    payee: Account | None
    payee_owner: int
