"""One ledger of the product's books in the checker's own words.

The numbers that the tables hold are translated here by hand; a number that no history of the
checker's operations can have becomes a word that explains nothing.
"""

from tests.e2e.books import Books
from tests.history.shapes import (
    ISSUANCE,
    Ask,
    FinalLedger,
    Operation,
    PaymentRow,
    ReversalRow,
    TransferRow,
    customer_wallet,
    organisation_wallet,
)

_OPERATIONS = {1: Operation.C2B, 4: Operation.B2C, 5: Operation.B2B, 6: Operation.REVERSAL}
_STATES = {
    0: "None",
    1: "Pending",
    2: "Reserved",
    3: "Completed",
    4: "Failed",
    5: "Cancelled",
    6: "Expired",
}
_CODES = {
    0: "INS-0",
    20: "INS-13",
    21: "INS-13",
    22: "INS-13",
    23: "INS-997",
    24: "INS-13",
    25: "INS-13",
    26: "INS-13",
    30: "INS-2051",
    31: "INS-6",
    50: "INS-6",
    51: "INS-6",
    52: "INS-2006",
    53: "INS-6",
    60: "INS-18",
    61: "INS-35",
    62: "INS-6",
    63: "INS-15",
}


def read_final_ledger(books: Books, *, customer: str) -> FinalLedger:
    """The only ledger in which a number belongs to somebody."""
    (ledger,) = [number for number, msisdn, _ in books.customers if msisdn == customer]
    wallets = _name_wallets(books, ledger)
    last: dict[int, tuple[int, int, int]] = {}
    for number, payment, _, state, status in books.changes:
        if number == ledger:
            last[payment] = (state, status, last.get(payment, (0, 0, 0))[2] + 1)
    payments = []
    for row in books.payments:
        if row.ledger == ledger:
            state, status, changes = last.get(row.id, (row.state, row.status, 0))
            ask = Ask(
                row.application,
                _OPERATIONS[row.operation],
                row.organisation_code,
                row.counterparty,
                row.amount_minor,
            )
            payments.append(
                PaymentRow(
                    row.id,
                    ask,
                    row.third_party_conversation_id,
                    _STATES[state],
                    _CODES.get(status, f"status {status}"),
                    changes,
                )
            )
    return FinalLedger(
        number=ledger,
        payments=payments,
        transfers=[
            TransferRow(
                row.id,
                row.payment,
                wallets[row.debit_account],
                wallets[row.credit_account],
                row.amount_minor,
                row.debit_balance_minor,
                row.credit_balance_minor,
            )
            for row in books.transfers
            if row.ledger == ledger
        ],
        reversals=[
            ReversalRow(row.reversal, row.original, row.amount_minor)
            for row in books.reversals
            if row.ledger == ledger
        ],
        balances={
            wallets[row.id]: row.balance_minor for row in books.accounts if row.ledger == ledger
        },
    )


def _name_wallets(books: Books, ledger: int) -> dict[int, str]:
    """By account; what belongs to nobody is issuance."""
    names = {row.id: ISSUANCE for row in books.accounts if row.ledger == ledger}
    names |= {
        account: organisation_wallet(code)
        for number, code, account in books.organisations
        if number == ledger
    }
    names |= {
        account: customer_wallet(msisdn)
        for number, msisdn, account in books.customers
        if number == ledger
    }
    return names
