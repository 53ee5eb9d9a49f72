"""What the history checker is given: who there is, what was asked and answered, what is recorded.

Nothing here is the product's. Wallets are named in words (`customer 255744553111`,
`organisation ORG001`), operations by names of our own, outcomes by the codes of the wire.
"""

import string
from enum import StrEnum

import msgspec

ISSUANCE = "issuance"
"""The wallet that money comes from; the only one that may be below zero."""

SUCCESS, DUPLICATE, NOT_FOUND = "INS-0", "INS-10", "INS-23"
UNRECORDED = frozenset({"INS-1", "INS-16"})
NO_TRANSACTION = "N/A"

_DIGITS = {
    digit: value
    for value, digit in enumerate(string.digits + string.ascii_uppercase + string.ascii_lowercase)
}
_TRANSACTION_ID_LENGTH = 12
_CONVERSATION_ID_LENGTH = 32
_LEDGER_SHIFT, _LEDGER_MASK = 12, (1 << 10) - 1


class Operation(StrEnum):
    """`C2B` in one step; customers approve at once."""

    C2B = "c2b"
    B2C = "b2c"
    B2B = "b2b"
    REVERSAL = "reversal"


class Organisation(msgspec.Struct, frozen=True):
    """`money_minor` is what it was given from outside the ledger, all fundings together."""

    money_minor: int = 0
    products: frozenset[str] = frozenset(Operation)
    is_active: bool = True


class Customer(msgspec.Struct, frozen=True):
    """`money_minor` as an organisation's."""

    money_minor: int = 0
    is_active: bool = True


class World(msgspec.Struct, frozen=True):
    """Everything that decides besides the requests; it stays as it is for the whole history.

    `applications` has the codes of the organisations that each one acts for.
    """

    organisations: dict[str, Organisation]
    customers: dict[str, Customer]
    applications: dict[int, frozenset[str]]
    balance_max_minor: int = 10**17
    b2b_payer_may_reverse: bool = True


class Ask(msgspec.Struct, frozen=True):
    """What a request wants.

    `organisation` is the caller's; `counterparty` the customer's number, the receiver's code or the
    TransactionID to reverse. `amount_minor` 0 is a reversal of all that is left.
    """

    application: int
    operation: Operation
    organisation: str
    counterparty: str
    amount_minor: int

    def __str__(self) -> str:
        amount = write_money(self.amount_minor) if self.amount_minor else "all that is left"
        return f"{self.operation} of {amount}, {self.organisation} and {self.counterparty}"


class Answer(msgspec.Struct, frozen=True):
    code: str
    transaction_id: str
    conversation_id: str


class Request(msgspec.Struct, frozen=True):
    """One request of a history; `number` is its name in what is found.

    `sent_s` and `ended_s` are of one clock that never goes back: just before the first byte left,
    and when the whole answer had arrived. Without an answer `ended_s` means nothing: what was sent
    may take effect at any time after. `is_sent` False: it is certain that it never arrived whole.
    """

    number: int
    ask: Ask
    reference: str
    sent_s: float
    ended_s: float
    answer: Answer | None = None
    is_sent: bool = True


class Question(msgspec.Struct, frozen=True):
    """One status query that was answered; `number` is its name in what is found.

    `reference` is a TransactionID, or a ThirdPartyConversationID of `application`. `state`,
    `transaction_id` and `is_reversed` are told where `code` is INS-0. Times as a request's.
    """

    number: int
    application: int
    reference: str
    sent_s: float
    ended_s: float
    code: str
    state: str = ""
    transaction_id: str = NO_TRANSACTION
    is_reversed: bool = False


class PaymentRow(msgspec.Struct, frozen=True):
    """`state` is the last one, in the words of a status query; `code` says why, as the wire does.

    `changes` is how many states it had after the first.
    """

    id: int
    ask: Ask
    reference: str
    state: str
    code: str
    changes: int = 0


class TransferRow(msgspec.Struct, frozen=True):
    """`payment` is 0 for money that came from issuance; balances are those after it."""

    id: int
    payment: int
    payer: str
    payee: str
    amount_minor: int
    payer_balance_minor: int
    payee_balance_minor: int


class ReversalRow(msgspec.Struct, frozen=True):
    reversal: int
    original: int
    amount_minor: int


class FinalLedger(msgspec.Struct, frozen=True):
    """What one ledger holds in the end; `balances` by wallet."""

    number: int
    payments: list[PaymentRow]
    transfers: list[TransferRow]
    reversals: list[ReversalRow]
    balances: dict[str, int]


def customer_wallet(msisdn: str) -> str:
    return f"customer {msisdn}"


def organisation_wallet(code: str) -> str:
    return f"organisation {code}"


def write_money(amount_minor: int) -> str:
    """Two decimals."""
    sign, amount_minor = ("-", -amount_minor) if amount_minor < 0 else ("", amount_minor)
    return f"{sign}{amount_minor // 100}.{amount_minor % 100:02d}"


def read_transaction_id(text: str) -> int:
    """The id that a TransactionID names, without its check letter; 0 for no TransactionID."""
    if len(text) != _TRANSACTION_ID_LENGTH:
        return 0
    number = 0
    for digit in text[:-1]:
        value = _DIGITS.get(digit)
        if value is None:
            return 0
        number = number * len(_DIGITS) + value
    return number


def read_conversation_id(text: str) -> int:
    """The id that a ConversationID names, without its check digits; 0 for no ConversationID."""
    if len(text) != _CONVERSATION_ID_LENGTH or set(text) - set(string.hexdigits):
        return 0
    return int(text[:16], 16)


def ledger_of(row_id: int) -> int:
    """The number of the ledger in which an id was minted."""
    return (row_id >> _LEDGER_SHIFT) & _LEDGER_MASK
