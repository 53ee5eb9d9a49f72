"""One ledger as a batch sees it: what was loaded, what has been decided since, what to write."""

from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from pesalango_server.kernel.ids import follow_id, mint_id
from pesalango_server.kernel.invariant import ensure
from pesalango_server.ledger import store
from pesalango_server.ledger.model import (
    BALANCE_MAX_MINOR,
    ISSUED_MAX_MINOR,
    SYSTEM_OWNER,
    Account,
    Customer,
    Organisation,
    Original,
    Prompt,
    Standing,
)
from pesalango_server.storage.database import Row, Write, WriteSet

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Book:
    """The overlay of one ledger during one batch.

    Decisions change the loaded objects in arrival order, so that the second of two commands sees
    what the first one did; if the batch fails the whole book is thrown away.
    """

    ledger: int
    now_ms: int
    wall_ms: int
    last_id: int
    sequence: int
    digest: str
    writes: WriteSet
    books: "dict[int, Book]"
    customers: dict[str, Customer] = field(default_factory=dict)
    organisations: dict[str, Organisation] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)
    owner_statuses: dict[int, int] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    prompts: dict[int, Prompt] = field(default_factory=dict)
    standings: dict[int, Standing] = field(default_factory=dict)
    originals: dict[int, Original] = field(default_factory=dict)
    issuance: Account | None = None
    ledgers: dict[tuple[int, str], int] = field(default_factory=dict)
    last_ledger: int = 0
    first_id: int = 0
    payments: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)
    transfers: list[Row] = field(default_factory=list)

    def mint(self) -> int:
        """The next id of this ledger."""
        self.last_id = mint_id(last_id=self.last_id, wall_ms=self.wall_ms, ledger=self.ledger)
        if not self.first_id:
            self.first_id = self.last_id
        return self.last_id

    def write(self, write: Write, row: Row) -> None:
        """Have one more row written with this batch."""
        self.writes.add(write, row)

    def share_account(self, account: Account) -> Account:
        """The batch's one object for an account, however many ways it was loaded."""
        return self.accounts.setdefault(account.id, account)

    def record_change(self, payment: int, *, state: int, status: int, evidence: str) -> None:
        """Give a recorded payment a later state."""
        row = (self.ledger, payment, self.mint(), state, status, evidence)
        self.changes.append(row)
        self.standings[payment] = Standing(state, status)

    def post_transfer(
        self, *, payment: int, debit: Account, credit: Account, amount_minor: int
    ) -> int:
        """Move money; the caller has checked that it may move. Returns the transfer's id.

        It directly follows what completed the payment (0: a funding): its id is the next one that
        is minted, `follow_id` of that, by which a reversal finds it.
        """
        if payment not in (0, self.last_id):
            is_next = bool(self.changes) and self.changes[-1][1:3] == (payment, self.last_id)
            ensure(is_next, "a transfer follows what completed its payment")
        completed_by = self.last_id
        ensure(amount_minor > 0, "a transfer moves a positive amount")
        ensure(debit.id != credit.id, "a transfer has two accounts")
        ensure(
            debit.owner_kind == SYSTEM_OWNER or debit.available_minor >= amount_minor,
            "a wallet cannot go below what it holds",
        )
        ensure(
            debit.balance_minor - amount_minor >= -ISSUED_MAX_MINOR,
            "a ledger cannot issue more than the maximum",
        )
        ensure(
            credit.balance_minor + amount_minor <= BALANCE_MAX_MINOR,
            "a wallet cannot hold more than the maximum",
        )
        transfer = self.mint()
        ensure(payment == 0 or transfer == follow_id(completed_by), "a batch has one time")
        # After this point, the transfer must succeed.
        debit.balance_minor -= amount_minor
        credit.balance_minor += amount_minor
        debit.is_changed = credit.is_changed = True
        self.transfers.append(
            (
                self.ledger,
                transfer,
                payment,
                debit.id,
                credit.id,
                amount_minor,
                debit.balance_minor,
                credit.balance_minor,
            )
        )
        return transfer

    def close(self, token: str) -> None:
        """Gather everything that this batch writes to the ledger; nothing is decided after it."""
        writes, ledger = self.writes, self.ledger
        for write, rows in (
            (store.INSERT_PAYMENTS, self.payments),
            (store.INSERT_PAYMENT_CHANGES, self.changes),
            (store.INSERT_TRANSFERS, self.transfers),
        ):
            writes.extend(write, rows)
        writes.extend(
            store.UPDATE_BALANCES,
            [
                (ledger, account.id, account.balance_minor, account.held_minor)
                for account in self.accounts.values()
                if account.is_changed
            ],
        )
        self.sequence += 1
        self.digest = chain_digest(
            self.digest, payments=self.payments, changes=self.changes, transfers=self.transfers
        )
        writes.add(
            store.INSERT_BATCHES,
            (
                ledger,
                self.sequence,
                self.now_ms,
                token,
                self.first_id,
                self.last_id if self.first_id else 0,
                self.digest,
            ),
        )
        writes.add(
            store.UPDATE_LEDGER_STATE,
            (ledger, self.now_ms, self.last_id, self.sequence, self.digest),
        )


def chain_digest(
    previous: str, *, payments: list[Row], changes: list[Row], transfers: list[Row]
) -> str:
    """The digest of a batch: SHA-256 of the digest before it and of the batch's rows.

    Canonical form: the 64 hexadecimal digits of the digest before, a line feed, and one JSON array
    of three arrays (payments, changes, transfers) whose rows are arrays of the columns in the
    order of their INSERT, ordered by id, in UTF-8 without white space.
    """
    text = _encode((payments, changes, transfers))
    return sha256(previous.encode() + b"\n" + text).hexdigest()
