"""The audit of one ledger: its batches in order, and beside them the rows that each one wrote.

Everything is recomputed from the tables. What is kept in memory grows with the ledger's accounts
and with the payments that waited for their customers at one time, never with its payments.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from operator import itemgetter
from typing import Any

import msgspec

from pesalango_server.kernel.ids import LEDGER_BITS, follow_id, read_transaction_id
from pesalango_server.kernel.violations import Violations
from pesalango_server.ledger.book import chain_digest
from pesalango_server.ledger.model import OperationKind, OwnerKind
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments import audit_reads
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.storage.database import Row, Scan, SnapshotReader

OVERDUE_MAX_MS = 60_000
"""How long after its deadline a prompt may still be there: an engine may just be starting."""

_COUNTER_BITS = 12
_COMPLETED, _PENDING = int(State.COMPLETED), int(State.PENDING)
_C2B_SINGLE_STAGE = int(OperationKind.C2B_SINGLE_STAGE)
_B2C_PAYMENT = int(OperationKind.B2C_PAYMENT)
_B2B_PAYMENT = int(OperationKind.B2B_PAYMENT)
_REVERSAL = int(OperationKind.REVERSAL)
_TRIGGERED_SUCCESS = int(Status.TRIGGERED_SUCCESS)
_BEGINNING = "00" * 32

# The states that a payment may begin in, and those that may follow on Pending, with their reasons.
_FIRST = {
    (State.COMPLETED, Status.COMPLETED),
    (State.PENDING, Status.PROMPT_WAITING),
    (State.COMPLETED, Status.TRIGGERED_SUCCESS),
    (State.EXPIRED, Status.TRIGGERED_EXPIRY),
    (State.FAILED, Status.TRIGGERED_FAILURE),
    (State.FAILED, Status.TRIGGERED_AMOUNT_INVALID),
    (State.FAILED, Status.TRIGGERED_BALANCE_INSUFFICIENT),
    (State.FAILED, Status.TRIGGERED_NOT_A_PARTY),
    (State.FAILED, Status.ORGANISATION_UNKNOWN),
    (State.FAILED, Status.ORGANISATION_SUSPENDED),
    (State.FAILED, Status.ORGANISATION_NOT_OF_APPLICATION),
    (State.FAILED, Status.ORGANISATION_PRODUCT_DISABLED),
    (State.FAILED, Status.RECEIVER_UNKNOWN),
    (State.FAILED, Status.RECEIVER_SUSPENDED),
    (State.FAILED, Status.RECEIVER_IS_PAYER),
    (State.FAILED, Status.CUSTOMER_UNKNOWN),
    (State.FAILED, Status.CUSTOMER_NOT_ACTIVE),
    (State.FAILED, Status.ORIGINAL_UNKNOWN),
    (State.FAILED, Status.ORIGINAL_OF_OTHERS),
    (State.FAILED, Status.ORIGINAL_NOT_REVERSIBLE),
    (State.FAILED, Status.ORIGINAL_EXCEEDED),
    (State.FAILED, Status.ORGANISATION_UNUSABLE),
    (State.FAILED, Status.ORGANISATION_WALLET_FULL),
    (State.FAILED, Status.CUSTOMER_WALLET_FULL),
    (State.FAILED, Status.BALANCE_INSUFFICIENT),
}
_AFTER_PENDING = {
    (State.COMPLETED, Status.COMPLETED),
    (State.EXPIRED, Status.PROMPT_EXPIRED),
    (State.FAILED, Status.PROMPT_DECLINED),
    (State.FAILED, Status.PROMPT_PINS_EXHAUSTED),
    (State.FAILED, Status.CUSTOMER_NOT_ACTIVE),
    (State.FAILED, Status.ORGANISATION_UNUSABLE),
    (State.FAILED, Status.ORGANISATION_WALLET_FULL),
    (State.FAILED, Status.BALANCE_INSUFFICIENT),
}


class LedgerFigures(msgspec.Struct):
    """What a ledger holds, as counted; `states` has the payments by the state they stand in."""

    ledger: int
    world: int
    market: str
    currency: str
    accounts: int = 0
    batches: int = 0
    payments: int = 0
    changes: int = 0
    transfers: int = 0
    reversals: int = 0
    fundings: int = 0
    duplicates: int = 0
    prompts: int = 0
    moved_minor: int = 0
    states: dict[State, int] = {}


class _Rows:
    """One scan, handed out in slices: everything up to an id. `column` is where that id stands."""

    def __init__(self, pages: Iterator[Sequence[Row]], column: int) -> None:
        self._pages = pages
        self._id = itemgetter(column)
        self._page: Sequence[Row] = ()
        self._at = 0
        self.taken = 0

    def take_until(self, last_id: int) -> list[Row]:
        """The next rows with an id of at most `last_id`."""
        taken: list[Row] = []
        while self._at < len(self._page) or self._turn():
            end = bisect_right(self._page, last_id, self._at, key=self._id)
            taken += self._page[self._at : end]
            self._at = end
            if end < len(self._page):
                break
        self.taken += len(taken)
        return taken

    def _turn(self) -> bool:
        page = next(self._pages, None)
        self._page, self._at = page or (), 0
        return page is not None


class LedgerAudit:
    """Walks through one ledger. `state` is a row of `SCAN_LEDGERS`."""

    def __init__(
        self,
        reader: SnapshotReader,
        state: Row,
        *,
        alive_ms: int,
        duplicate_keys: DuplicateKeys | None,
        violations: Violations,
    ) -> None:
        """`alive_ms` is the last wall-clock time at which an engine is known to have worked."""
        ledger, self._offset_ms, self._last_time_ms, self._last_id, self._sequence = state[:5]
        self._digest = state[5].hex()
        world, market, currency, issuance = state[6:]
        self._ledger: int = ledger
        self._id_bits = ledger << _COUNTER_BITS
        self._issuance: int | None = issuance
        self._now_ms = max(self._last_time_ms, alive_ms + self._offset_ms)
        self._reader = reader
        self._duplicate_keys = duplicate_keys
        self._violations = violations
        self.figures = LedgerFigures(ledger, world or 0, market or "", currency or "", states={})
        self._balances: dict[int, int] = {}
        self._systems: set[int] = set()
        self._customers: dict[str, int] = {}
        self._organisations: dict[str, int] = {}
        self._pending: dict[int, Row] = {}
        self._completed: dict[int, tuple[Row, int]] = {}
        self._early_changes: list[tuple[int, Row]] = []
        self._payment_rows = self._open(audit_reads.SCAN_PAYMENTS, 1)
        self._change_rows = self._open(audit_reads.SCAN_CHANGES, 1)
        self._transfer_rows = self._open(audit_reads.SCAN_TRANSFERS, 1)
        self._duplicate_rows = self._open(audit_reads.SCAN_DUPLICATES, 0)
        self._reversal_rows = self._open(audit_reads.SCAN_REVERSALS, 0)
        self._reversals: dict[int, Row] = {}

    def _open(self, scan: Scan, column: int) -> _Rows:
        return _Rows(self._reader.scan(scan, (self._ledger,)), column)

    def _each(self, scan: Scan) -> Iterator[Row]:
        for page in self._reader.scan(scan, (self._ledger,)):
            yield from page

    def _report(self, invariant: int, what: str, *ids: int) -> None:
        self._violations.add(self._ledger, invariant, what, *ids)

    def run(self) -> LedgerFigures:
        """Check everything. Raises `StorageUnavailable`."""
        self._load_parties()
        self._walk_batches()
        self._check_balances()
        self._check_prompts()
        for first, last in self._each(audit_reads.SCAN_REPEATED_KEYS):
            self._report(4, "one key has two owners", first, last)
        if self._duplicate_keys is None:
            # With the pepper at hand, each payment's key shows the same without a further sort.
            for first, last in self._each(audit_reads.SCAN_REPEATED_REFERENCES):
                self._report(4, "two payments have one conversation id", first, last)
        for original, total_minor in self._each(audit_reads.SCAN_EXCEEDED_ORIGINALS):
            self._report(6, f"more was reversed than was paid: {total_minor}", original)
        figures = self.figures
        figures.reversals = self._reversal_rows.taken
        figures.payments = self._payment_rows.taken
        figures.changes = self._change_rows.taken
        figures.transfers = self._transfer_rows.taken
        figures.duplicates = self._duplicate_rows.taken
        return figures

    # -- parties ---------------------------------------------------------------------------

    def _load_parties(self) -> None:
        owners: dict[int, tuple[int, int]] = {}
        for account, owner_kind, owner, _, _ in self._each(audit_reads.SCAN_ACCOUNTS):
            self._balances[account] = 0
            owners[account] = (owner_kind, owner)
            if owner_kind == OwnerKind.SYSTEM:
                self._systems.add(account)
        if self._issuance is not None and self._issuance not in self._systems:
            self._report(2, "the ledger has no account to issue money from", self._issuance)
        for msisdn, customer, account in self._each(audit_reads.SCAN_CUSTOMERS):
            if owners.get(account) != (OwnerKind.CUSTOMER, customer):
                self._report(2, "a customer has no wallet", customer)
            self._customers[msisdn] = account
        for code, organisation, account in self._each(audit_reads.SCAN_ORGANISATIONS):
            if owners.get(account) != (OwnerKind.ORGANISATION, organisation):
                self._report(2, "an organisation has no wallet", organisation)
            self._organisations[code] = account

    # -- batches ---------------------------------------------------------------------------

    def _walk_batches(self) -> None:
        sequence, digest, time_ms, end_id = 0, _BEGINNING, 0, 0
        for number, batch_ms, first_id, last_id, stored in self._each(audit_reads.SCAN_BATCHES):
            if number != sequence + 1:
                self._report(12, "the sequence of batches has a gap", sequence, number)
            if batch_ms < time_ms:
                self._report(12, "a batch is earlier than the one before it", number)
            has_ids = last_id != 0
            if (first_id != 0) is not has_ids or (has_ids and not end_id < first_id <= last_id):
                self._report(12, "a batch has ids out of turn", number, first_id, last_id)
            digest = self._check_batch(digest, first_id, last_id)
            if digest != stored.hex():
                self._report(12, "the digest of a batch is not that of its rows", number)
                digest = stored.hex()
            sequence, time_ms, end_id = number, batch_ms, max(end_id, last_id)
            self.figures.batches += 1
        # What is left was written by no batch.
        self._check_batch(digest, self._last_id + 1, None)
        if (sequence, digest) != (self._sequence, self._digest):
            self._report(12, "the chain does not end where the ledger stands", sequence)
        if (time_ms, end_id) != (self._last_time_ms, self._last_id):
            self._report(12, "time or ids of the ledger are not those of its last batch", sequence)

    def _check_batch(self, digest: str, first_id: int, last_id: int | None) -> str:
        """Check the rows up to `last_id` (None: all that are left); the digest with them."""
        end_id = (1 << 64) if last_id is None else last_id
        payments = self._payment_rows.take_until(end_id)
        changes = self._take_changes(end_id)
        transfers = self._transfer_rows.take_until(end_id)
        keys = self._duplicate_rows.take_until(end_id)
        self._reversals = {row[0]: row for row in self._reversal_rows.take_until(end_id)}
        self._check_origin(payments, 1)
        self._check_origin(changes, 2)
        self._check_origin(transfers, 1)
        self._check_payments(payments)
        self._check_changes(changes)
        fundings = self._check_transfers(transfers)
        self._check_duplicates(payments, fundings, keys)
        for payment in self._completed:
            self._report(7, "a completed payment moved nothing", payment)
        for reversal in self._reversals:
            self._report(6, "a reversal is none, or moved nothing", reversal)
        self._completed.clear()
        covered = [
            rows
            if not rows or rows[0][at] >= first_id
            else self._drop_uncovered(rows, at, first_id)
            for rows, at in ((payments, 1), (changes, 2), (transfers, 1))
        ]
        if last_id is None:
            for rows, at in zip(covered, (1, 2, 1), strict=True):
                self._drop_uncovered(rows, at, end_id)
        return chain_digest(digest, payments=covered[0], changes=covered[1], transfers=covered[2])

    def _drop_uncovered(self, rows: list[Row], at: int, first_id: int) -> list[Row]:
        covered = []
        for row in rows:
            if row[at] >= first_id:
                covered.append(row)
            else:
                self._report(12, "a row was written by no batch", row[at])
        return covered

    def _take_changes(self, end_id: int) -> list[Row]:
        """Changes in the order of their ids, though the table has them in that of the payments.

        A change is later than its payment, so those that wait here belong to payments that were
        pending at the end of this batch.
        """
        early = self._early_changes
        for row in self._change_rows.take_until(end_id):
            heappush(early, (row[2], row))
        taken: list[Row] = []
        while early and early[0][0] <= end_id:
            taken.append(heappop(early)[1])
        return taken

    # -- rows ------------------------------------------------------------------------------

    def _check_origin(self, rows: list[Row], at: int) -> None:
        bits = self._id_bits
        for row in [row for row in rows if row[at] & LEDGER_BITS != bits]:
            self._report(12, "an id was minted in another ledger", row[at])

    def _check_payments(self, payments: list[Row]) -> None:
        states, completed, pending = self.figures.states, self._completed, self._pending
        for row in payments:
            payment, state, status = row[1], row[10], row[11]
            if (state, status) not in _FIRST:
                self._report(7, "a payment begins in a state that it cannot begin in", payment)
            states[State(state)] = states.get(State(state), 0) + 1
            if state == _COMPLETED:
                if status != _TRIGGERED_SUCCESS:
                    completed[payment] = row, payment
            elif state == _PENDING:
                pending[payment] = row

    def _check_changes(self, changes: list[Row]) -> None:
        states = self.figures.states
        for _, payment, change, state, status, _ in changes:
            known = self._pending.pop(payment, None)
            if known is None:
                self._report(7, "a payment that is final, or unknown, was changed", payment, change)
                continue
            if (state, status) not in _AFTER_PENDING:
                self._report(7, "a payment changed to a state that it cannot take", payment, change)
            states[State.PENDING] -= 1
            states[State(state)] = states.get(State(state), 0) + 1
            if state == _COMPLETED:
                self._completed[payment] = known, change

    def _check_transfers(self, transfers: list[Row]) -> set[int]:
        """Check amounts, accounts and running balances; the ids of those that are fundings."""
        fundings: set[int] = set()
        balances, systems, completed = self._balances, self._systems, self._completed
        for _, transfer, payment, debit, credit, amount, debit_after, credit_after in transfers:
            if payment:
                cause, end_id = completed.pop(payment, (None, 0))
                given_back = self._reversals.pop(payment, None)
                if cause is None:
                    self._report(7, "money moved without a completed payment", transfer, payment)
                else:
                    if transfer != follow_id(end_id):
                        self._report(6, "a transfer is where no reversal finds it", transfer)
                    if not self._is_owed(cause, debit, credit, amount, given_back):
                        self._report(
                            7, "a transfer is not what its payment says", transfer, payment
                        )
            else:
                fundings.add(transfer)
                if debit != self._issuance:
                    self._report(7, "money came from nowhere", transfer)
            if debit not in balances or credit not in balances or amount <= 0 or debit == credit:
                self._report(2, "a transfer is not between two accounts of the ledger", transfer)
                continue
            debit_before, credit_before = balances[debit], balances[credit]
            if (debit_before - amount, credit_before + amount) != (debit_after, credit_after):
                self._report(2, "balances after a transfer do not follow", transfer)
            if debit_after < 0 and debit not in systems:
                self._report(3, "a wallet went below zero", transfer, debit)
            # Going on from what the row says, one wrong row is one finding.
            balances[debit], balances[credit] = debit_after, credit_after
        self.figures.fundings += len(fundings)
        self.figures.moved_minor += sum([row[5] for row in transfers])
        return fundings

    def _is_owed(
        self,
        payment: Row,
        debit: int,
        credit: int,
        amount_minor: int,
        given_back: Row | None = None,
    ) -> bool:
        """Whether a payment's money goes from its payer to its payee, all of it."""
        if payment[6] != amount_minor:
            return False
        operation = payment[2]
        if operation == _REVERSAL:
            return _is_given_back(payment, given_back, debit, credit, amount_minor)
        organisation = self._organisations.get(payment[4])
        if operation == _C2B_SINGLE_STAGE:
            return self._customers.get(payment[5]) == debit and organisation == credit
        if operation == _B2C_PAYMENT:
            return organisation == debit and self._customers.get(payment[5]) == credit
        return (
            operation == _B2B_PAYMENT
            and organisation == debit
            and self._organisations.get(payment[5]) == credit
        )

    def _check_duplicates(self, payments: list[Row], fundings: set[int], keys: list[Row]) -> None:
        """Every payment has its key and every key its payment, or a funding."""
        owners: dict[int, Any] = dict(keys)
        if len(owners) != len(keys):
            for (owner, _), (next_owner, _) in pairwise(keys):
                if owner == next_owner:
                    self._report(4, "one payment has two keys", owner)
        make = None if self._duplicate_keys is None else self._duplicate_keys.make
        for row in payments:
            key = owners.pop(row[1], None)
            if key is None:
                self._report(4, "a payment has no key against a second one", row[1])
            elif make is not None and key.hex() != make(
                application=row[3], operation=row[2], reference=row[7]
            ):
                self._report(4, "a payment has another key than its own", row[1])
        for owner in owners:
            if owner not in fundings:
                self._report(4, "a key belongs to nothing", owner)

    # -- what stands at the end --------------------------------------------------------------

    def _check_balances(self) -> None:
        total_minor = 0
        for account, owner_kind, _, balance_minor, held_minor in self._each(
            audit_reads.SCAN_ACCOUNTS
        ):
            self.figures.accounts += 1
            total_minor += balance_minor
            if balance_minor != self._balances.get(account):
                self._report(2, "a balance is not that of its transfers", account)
            if held_minor < 0 or (owner_kind != OwnerKind.SYSTEM and balance_minor < held_minor):
                self._report(3, "a wallet holds less than nothing, or than what is held", account)
        if total_minor:
            self._report(1, f"the balances of the ledger sum to {total_minor}")

    def _check_prompts(self) -> None:
        for payment, amount_minor, deadline_ms, debit, credit in self._each(
            audit_reads.SCAN_PROMPTS
        ):
            self.figures.prompts += 1
            known = self._pending.pop(payment, None)
            if known is None:
                self._report(7, "a customer is asked about a payment that is not pending", payment)
                continue
            if not self._is_owed(known, debit, credit, amount_minor):
                self._report(7, "a customer is asked about something else than is owed", payment)
            if deadline_ms + OVERDUE_MAX_MS < self._now_ms:
                self._report(7, "a payment is pending long after its deadline", payment)
        for payment in self._pending:
            self._report(7, "a payment is pending and nobody is asked", payment)


def _is_given_back(
    payment: Row, given_back: Row | None, debit: int, credit: int, amount_minor: int
) -> bool:
    """Whether a reversal moves the money of the payment that it names back, as its row says."""
    if given_back is None:
        return False
    _, original, reversed_minor, payer, payee, operation = given_back
    return (
        operation != _REVERSAL
        # The digests cover what the reversal names, and not the row that says it again.
        and read_transaction_id(payment[5]) == original
        and (debit, credit, amount_minor) == (payee, payer, reversed_minor)
    )
