"""What one environment's database holds, read past the product, and what must be true of it.

    with open_sqlite_books(data_dir / "sandbox.db") as ask:
        books = read_books(ask)
    assert find_violations(books) == []

Written from the tables' names and columns alone, so that a mistake of the product's own audit is
not made twice. It is judged once more by `pesalango-server audit`, which knows the digests.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg

from pesalango_server.ledger.statuses import FINAL_STATES, State

Ask = Callable[[str], list[tuple[Any, ...]]]
"""Runs a SELECT that both databases understand; its rows."""

_BUSY_TIMEOUT_MS = 10_000
_SYSTEM = 0
_REVERSAL = 6


class PaymentRow(msgspec.Struct, frozen=True):
    ledger: int
    id: int
    operation: int
    application: int
    third_party_conversation_id: str
    counterparty: str
    organisation_code: str
    amount_minor: int
    state: int
    status: int


class TransferRow(msgspec.Struct, frozen=True):
    ledger: int
    id: int
    payment: int
    debit_account: int
    credit_account: int
    amount_minor: int
    debit_balance_minor: int
    credit_balance_minor: int


class ReversalRow(msgspec.Struct, frozen=True):
    ledger: int
    reversal: int
    original: int
    amount_minor: int


class AccountRow(msgspec.Struct, frozen=True):
    ledger: int
    id: int
    owner_kind: int
    balance_minor: int
    held_minor: int


class Books(msgspec.Struct, frozen=True):
    """All ledgers of an environment at one moment.

    `changes` are (ledger, payment, id, state, status) in the order of ids; `prompts` and
    `duplicates` (ledger, payment); `batches` (ledger, sequence, digest); `states` (ledger,
    sequence, digest); `organisations` and `customers` (ledger, code or number, account).
    """

    payments: list[PaymentRow]
    changes: list[tuple[int, int, int, int, int]]
    transfers: list[TransferRow]
    reversals: list[ReversalRow]
    accounts: list[AccountRow]
    prompts: list[tuple[int, int]]
    duplicates: list[tuple[int, int]]
    batches: list[tuple[int, int, bytes]]
    states: list[tuple[int, int, bytes]]
    organisations: list[tuple[int, str, int]]
    customers: list[tuple[int, str, int]]

    def read_state_by_payment(self) -> dict[tuple[int, int], int]:
        """The state in which each payment stands: its last change, else its first state."""
        states = {(row.ledger, row.id): row.state for row in self.payments}
        for ledger, payment, _, state, _ in self.changes:
            states[ledger, payment] = state
        return states

    def count_payments_by_reference(self) -> Counter[str]:
        """How many payments carry each ThirdPartyConversationID."""
        return Counter(row.third_party_conversation_id for row in self.payments)

    def read_state_by_reference(self) -> dict[str, int]:
        """Where the payment with each ThirdPartyConversationID stands; `find_violations` says
        whether there is one alone.
        """
        states = self.read_state_by_payment()
        return {
            row.third_party_conversation_id: states[row.ledger, row.id] for row in self.payments
        }


def read_books(ask: Ask) -> Books:
    """Read everything; the connection must show one moment."""
    payments = ask(
        "SELECT ledger, id, operation, application, third_party_conversation_id, counterparty,"
        " organisation_code, amount_minor, state, status FROM payments ORDER BY ledger, id"
    )
    transfers = ask(
        "SELECT ledger, id, payment, debit_account, credit_account, amount_minor,"
        " debit_balance_minor, credit_balance_minor FROM transfers ORDER BY ledger, id"
    )
    reversals = ask(
        "SELECT ledger, reversal, original, amount_minor FROM reversals ORDER BY ledger, reversal"
    )
    accounts = ask(
        "SELECT ledger, id, owner_kind, balance_minor, held_minor FROM accounts ORDER BY ledger, id"
    )
    return Books(
        payments=[PaymentRow(*row) for row in payments],
        changes=ask(
            "SELECT ledger, payment, id, state, status FROM payment_changes ORDER BY ledger, id"
        ),
        transfers=[TransferRow(*row) for row in transfers],
        reversals=[ReversalRow(*row) for row in reversals],
        accounts=[AccountRow(*row) for row in accounts],
        prompts=ask("SELECT ledger, payment FROM prompts"),
        duplicates=ask("SELECT ledger, payment FROM duplicates"),
        batches=ask("SELECT ledger, sequence, digest FROM batches ORDER BY ledger, sequence"),
        states=ask("SELECT ledger, sequence, digest FROM ledger_state"),
        organisations=ask("SELECT ledger, code, account FROM organisations ORDER BY ledger, code"),
        customers=ask(
            "SELECT n.ledger, n.msisdn, c.account FROM customer_numbers AS n JOIN customers AS c"
            " ON c.ledger = n.ledger AND c.id = n.customer ORDER BY n.ledger, n.msisdn"
        ),
    )


def find_violations(books: Books) -> list[str]:
    """What is not as it must be, in sentences; none in sound books."""
    return [
        *_judge_money(books),
        *_judge_payments(books),
        *_judge_reversals(books),
        *_judge_batches(books),
    ]


def _judge_money(books: Books) -> Iterator[str]:
    """Balances sum to zero, equal their transfers step by step, and are nobody's debt."""
    sums: Counter[int] = Counter()
    balances: defaultdict[tuple[int, int], int] = defaultdict(int)
    for transfer in books.transfers:
        debit = (transfer.ledger, transfer.debit_account)
        credit = (transfer.ledger, transfer.credit_account)
        balances[debit] -= transfer.amount_minor
        balances[credit] += transfer.amount_minor
        if balances[debit] != transfer.debit_balance_minor:
            yield f"transfer {transfer.id}: the payer's balance does not follow from those before"
        if balances[credit] != transfer.credit_balance_minor:
            yield f"transfer {transfer.id}: the payee's balance does not follow from those before"
    for account in books.accounts:
        sums[account.ledger] += account.balance_minor
        if balances.pop((account.ledger, account.id), 0) != account.balance_minor:
            yield f"account {account.id}: the balance is not the sum of its transfers"
        if account.owner_kind != _SYSTEM and account.balance_minor < 0:
            yield f"account {account.id} is below zero"
        if account.held_minor != 0:
            yield f"account {account.id} holds money that nothing reserved"
    yield from (f"a transfer of an account that is not there: {key}" for key in balances)
    yield from (f"ledger {ledger} sums to {total}" for ledger, total in sums.items() if total)


def _judge_payments(books: Books) -> Iterator[str]:
    """One effect each: a key, a transfer where and only where Completed, a prompt where Pending."""
    standing = books.read_state_by_payment()
    keys = Counter(books.duplicates)
    prompts = Counter(books.prompts)
    moved = Counter((row.ledger, row.payment) for row in books.transfers if row.payment)
    finals = Counter(
        (ledger, payment)
        for ledger, payment, _, state, _ in books.changes
        if State(state) in FINAL_STATES
    )
    for row in books.payments:
        if State(row.state) in FINAL_STATES:
            finals[row.ledger, row.id] += 1
    for payment, state in standing.items():
        if finals[payment] != (State(state) in FINAL_STATES):
            yield f"payment {payment} became final {finals[payment]} times"
        if keys[payment] != 1:
            yield f"payment {payment} has {keys[payment]} keys"
        if moved[payment] != (state == State.COMPLETED):
            yield f"payment {payment} in state {state} moved money {moved[payment]} times"
        if prompts[payment] != (state == State.PENDING):
            yield f"payment {payment} in state {state} has {prompts[payment]} prompts"
    for payment in {*moved, *prompts, *finals} - set(standing):
        yield f"something belongs to payment {payment}, which is not there"
    amounts = {(row.ledger, row.id): row.amount_minor for row in books.payments}
    for transfer in books.transfers:
        amount = amounts.get((transfer.ledger, transfer.payment), transfer.amount_minor)
        if amount != transfer.amount_minor:
            yield f"transfer {transfer.id} is not of its payment's amount"
    counts = Counter(
        (row.application, row.operation, row.third_party_conversation_id) for row in books.payments
    )
    yield from (
        f"{count} payments have the key {key}" for key, count in counts.items() if count > 1
    )


def _judge_reversals(books: Books) -> Iterator[str]:
    """What goes back of a payment: the other way round, once booked, never more than there was."""
    standing = books.read_state_by_payment()
    payments = {(row.ledger, row.id): row for row in books.payments}
    moved = {(row.ledger, row.payment): row for row in books.transfers}
    left = {payment: row.amount_minor for payment, row in payments.items()}
    booked = Counter((row.ledger, row.reversal) for row in books.reversals)
    for payment, row in payments.items():
        is_completed = standing[payment] == State.COMPLETED
        if booked.pop(payment, 0) != (row.operation == _REVERSAL and is_completed):
            yield f"payment {payment} is not booked as what it gave back"
    yield from (f"a reversal that is not there gave back: {reversal}" for reversal in booked)
    for given_back in books.reversals:
        reversal = (given_back.ledger, given_back.reversal)
        original = (given_back.ledger, given_back.original)
        there, back = moved.get(original), moved.get(reversal)
        if there is None or back is None:
            yield f"reversal {reversal} or its original {original} moved no money"
            continue
        if (there.debit_account, there.credit_account) != (back.credit_account, back.debit_account):
            yield f"reversal {reversal} does not go back the way that {original} went"
        if back.amount_minor != given_back.amount_minor:
            yield f"reversal {reversal} is not booked with what it moved"
        left[original] -= given_back.amount_minor
    yield from (
        f"more was given back than {payment} was of" for payment, m in left.items() if m < 0
    )


def _judge_batches(books: Books) -> Iterator[str]:
    """Every ledger's batches are numbered without a gap, and its state is that of the last one."""
    last: dict[int, tuple[int, bytes]] = {}
    for ledger, sequence, digest in books.batches:
        expected = last[ledger][0] + 1 if ledger in last else sequence
        if sequence != expected:
            yield f"ledger {ledger} lacks the batch {expected}"
        last[ledger] = (sequence, digest)
    for ledger, sequence, digest in books.states:
        if ledger in last and last[ledger] != (sequence, digest):
            yield f"the state of ledger {ledger} is not that of its last batch"


@contextlib.contextmanager
def open_sqlite_books(path: Path | str, *, vfs: str | None = None) -> Iterator[Ask]:
    """One moment of a SQLite file, the server's running one included."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    try:
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA query_only = ON; BEGIN")
        yield lambda text: connection.execute(text).fetchall()
    finally:
        connection.close(True)


@contextlib.contextmanager
def open_postgres_books(url: str, *, schema: str = "pesalango_sandbox") -> Iterator[Ask]:
    """One moment of a PostgreSQL schema."""
    with psycopg.connect(url, options=f"-c search_path={schema}") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True

        def ask(text: str) -> list[tuple[Any, ...]]:
            return connection.execute(text.encode()).fetchall()

        yield ask
