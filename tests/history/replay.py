"""Asks the model for everything that the ledger recorded, in the order that the ledger claims."""

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping

import msgspec

from tests.history.model import Effect, Model
from tests.history.shapes import (
    ISSUANCE,
    SUCCESS,
    Ask,
    FinalLedger,
    Operation,
    PaymentRow,
    Request,
    ReversalRow,
    TransferRow,
    World,
    customer_wallet,
    organisation_wallet,
    write_money,
)


class Claim(msgspec.Struct, frozen=True):
    """The requests any of which may be the one that a payment is of.

    `asks` is what those of them want that fit the payment at all.
    """

    requests: list[Request]
    asks: list[Ask]

    def __str__(self) -> str:
        return "request " + " or ".join(str(request.number) for request in self.requests)


def replay(world: World, ledger: FinalLedger, claims: Mapping[int, Claim]) -> Iterator[str]:
    """What the model does not come to, in sentences; `claims` by payment."""
    yield from _Replay(world, ledger, claims).run()


class _Replay:
    def __init__(self, world: World, ledger: FinalLedger, claims: Mapping[int, Claim]) -> None:
        self._world = world
        self._ledger = ledger
        self._claims = claims
        self._model = Model(world)
        self._payments = sorted(ledger.payments, key=lambda row: row.id)
        self._transfers: defaultdict[int, list[TransferRow]] = defaultdict(list)
        for transfer in sorted(ledger.transfers, key=lambda row: row.id):
            self._transfers[transfer.payment].append(transfer)
        self._reversals: defaultdict[int, list[ReversalRow]] = defaultdict(list)
        for reversal in ledger.reversals:
            self._reversals[reversal.reversal].append(reversal)
        # By how much a wallet's recorded balance was off when last seen: told once, not at every
        # transfer that follows.
        self._off_minor: defaultdict[str, int] = defaultdict(int)

    def run(self) -> Iterator[str]:
        ids = {row.id for row in self._payments}
        for payment in sorted({*self._transfers, *self._reversals} - ids - {0}):
            yield f"money moved for payment {payment}, which is not there"
        loose = deque(
            transfer
            for transfer in sorted(self._ledger.transfers, key=lambda row: row.id)
            if transfer.payment not in ids
        )
        next_ids = [*(row.id for row in self._payments[1:]), math.inf]
        for row, next_id in zip(self._payments, next_ids, strict=False):
            while loose and loose[0].id < row.id:
                yield from self._replay_transfer(loose.popleft())
            yield from self._replay_payment(row, next_id=next_id)
        for transfer in loose:
            yield from self._replay_transfer(transfer)
        yield from self._judge_fundings()
        yield from self._judge_final_balances()

    # -- one payment -----------------------------------------------------------------------

    def _replay_payment(self, row: PaymentRow, *, next_id: float) -> Iterator[str]:
        ask, expected = self._decide(row)
        told = f"payment {row.id} ({self._claims.get(row.id, 'nobody asked')}: {row.ask})"
        if row.changes:
            yield f"{told} waited for its customer, but all customers here approve at once"
        found = "" if _agrees(row, ask, expected) else self._write_disagreement(row, expected)
        if found:
            yield f"{told} {found}"
        transfers = self._transfers.get(row.id, [])
        is_completed = row.state == "Completed"
        if len(transfers) != is_completed:
            yield f"{told} is {row.state} and moved money {len(transfers)} times"
        for transfer in transfers:
            if not row.id < transfer.id < next_id:
                yield f"{told}: its transfer {transfer.id} is out of its place in the order"
            if not found:
                yield from _judge_parties(told, transfer, expected)
            yield from self._replay_transfer(transfer)
        yield from self._judge_reversal_rows(told, row, expected)
        self._model.record(row.id, row.ask, self._follow(row, transfers, expected))

    def _decide(self, row: PaymentRow) -> tuple[Ask, Effect]:
        """The one of its requests that explains the payment, else any, and what comes of it."""
        claim = self._claims.get(row.id)
        asks = claim.asks if claim is not None else []
        decided = [(ask, self._model.decide(ask)) for ask in asks or [row.ask]]
        for ask, effect in decided:
            if _agrees(row, ask, effect):
                return ask, effect
        return decided[0]

    def _write_disagreement(self, row: PaymentRow, expected: Effect) -> str:
        if row.code == expected.code == SUCCESS:
            amount = write_money(expected.amount_minor)
            return f"is recorded with another amount than the {amount} that were left"
        return (
            f"is recorded as {row.state} ({row.code}), but after all payments before it"
            f" {expected.why}: it had to be {expected.code}"
        )

    def _follow(self, row: PaymentRow, transfers: list[TransferRow], expected: Effect) -> Effect:
        """What the model remembers of a payment: what the ledger says of it."""
        if row.state != "Completed" or not transfers:
            return msgspec.structs.replace(expected, code=row.code if row.code != SUCCESS else "")
        transfer = transfers[0]
        return Effect(
            SUCCESS,
            "",
            transfer.payer,
            transfer.payee,
            row.ask.amount_minor,
            expected.original,
        )

    def _judge_reversal_rows(self, told: str, row: PaymentRow, expected: Effect) -> Iterator[str]:
        """A reversal that moved money is one row of what was given back; nothing else is."""
        rows = self._reversals.get(row.id, [])
        is_reversal = row.ask.operation is Operation.REVERSAL and row.state == "Completed"
        if len(rows) != is_reversal:
            yield f"{told} has {len(rows)} rows of what was given back"
        for given_back in rows:
            if (given_back.original, given_back.amount_minor) != (
                expected.original,
                row.ask.amount_minor,
            ):
                yield (
                    f"{told} is booked as {write_money(given_back.amount_minor)} given back of"
                    f" payment {given_back.original}"
                )

    # -- balances --------------------------------------------------------------------------

    def _replay_transfer(self, transfer: TransferRow) -> Iterator[str]:
        self._model.move(
            payer=transfer.payer, payee=transfer.payee, amount_minor=transfer.amount_minor
        )
        for wallet, recorded in (
            (transfer.payer, transfer.payer_balance_minor),
            (transfer.payee, transfer.payee_balance_minor),
        ):
            yield from self._judge_balance(f"transfer {transfer.id}", wallet, recorded)
            if recorded < 0 and wallet != ISSUANCE:
                yield f"transfer {transfer.id} leaves {wallet} with {write_money(recorded)}"

    def _judge_balance(self, told: str, wallet: str, recorded_minor: int) -> Iterator[str]:
        expected_minor = self._model.balances[wallet]
        off_minor = recorded_minor - expected_minor
        if off_minor and off_minor != self._off_minor[wallet]:
            yield (
                f"{told} says that {wallet} has {write_money(recorded_minor)}, but all transfers"
                f" so far make {write_money(expected_minor)}"
            )
        self._off_minor[wallet] = off_minor

    def _judge_fundings(self) -> Iterator[str]:
        """Money comes from issuance alone, to each wallet as much as the world says."""
        given: defaultdict[str, int] = defaultdict(int)
        for transfer in self._transfers[0]:
            if transfer.payer != ISSUANCE:
                yield f"transfer {transfer.id} takes from {transfer.payer} for no payment"
            given[transfer.payee] += transfer.amount_minor
        due = {
            organisation_wallet(code): organisation.money_minor
            for code, organisation in self._world.organisations.items()
        } | {
            customer_wallet(msisdn): customer.money_minor
            for msisdn, customer in self._world.customers.items()
        }
        for wallet in sorted({*given, *due}):
            if given[wallet] != due.get(wallet, 0):
                yield (
                    f"{wallet} was given {write_money(given[wallet])} from outside,"
                    f" but ought to have been given {write_money(due.get(wallet, 0))}"
                )

    def _judge_final_balances(self) -> Iterator[str]:
        balances = self._ledger.balances
        for wallet in sorted({*balances, *self._model.balances}):
            yield from self._judge_balance("the final ledger", wallet, balances.get(wallet, 0))


def _agrees(row: PaymentRow, ask: Ask, expected: Effect) -> bool:
    """Whether a payment is recorded as the model says.

    What a refused reversal of all that is left would have come to says nothing.
    """
    if row.code != expected.code or (row.state == "Completed") != (row.code == SUCCESS):
        return False
    amount_minor = expected.amount_minor if row.code == SUCCESS else ask.amount_minor
    return not amount_minor or row.ask.amount_minor == amount_minor


def _judge_parties(told: str, transfer: TransferRow, expected: Effect) -> Iterator[str]:
    moved = (transfer.payer, transfer.payee, transfer.amount_minor)
    if moved != (expected.payer, expected.payee, expected.amount_minor):
        yield (
            f"{told}: transfer {transfer.id} moves {write_money(transfer.amount_minor)} from"
            f" {transfer.payer} to {transfer.payee} instead of {write_money(expected.amount_minor)}"
            f" from {expected.payer} to {expected.payee}"
        )
