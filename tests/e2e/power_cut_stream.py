"""A stream of batches for an engine whose machine loses its power, and what comes of it uncut.

Time, ids and tokens are given, so the same stream makes the same rows on every disk: the books
that are found after a cut must be those after some batch of the run without one.
"""

import contextlib
import hashlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import apsw
import msgspec

from pesalango_server.engine.engine import Engine
from pesalango_server.engine.environment import EnvironmentDomain
from pesalango_server.kernel.ids import EPOCH_MS
from pesalango_server.kernel.message import AnyOutcome, Command, Done, PaymentOutcome
from pesalango_server.ledger.model import Answer
from pesalango_server.ledger.parties import (
    AddCustomers,
    FundCustomers,
    FundOrganisations,
    NewCustomer,
    NewOrganisation,
    OpenLedger,
    ScriptCustomer,
)
from pesalango_server.ledger.statuses import State
from pesalango_server.payments.commands import AnswerPrompt, ExpirePrompt, TakeC2b
from pesalango_server.storage.database import Writer
from pesalango_server.storage.migrations import list_migrations
from pesalango_server.storage.sqlite import SqliteWriter
from tests.store.power_cut import PowerCutDisk

PATH = Path("/nowhere/sandbox.db")
LEDGER = 1
ORGANISATIONS = ("ORG001", "ORG002")
PAYERS = tuple(f"2547000000{number:02d}" for number in range(8))
"""The last two are asked, the one before them has next to nothing."""
ASKED = PAYERS[-2:]
POOR = PAYERS[-3]

BATCHES = 10
COMMANDS_PER_BATCH_MAX = 8
_WAIT_MS = 25_000


class Batch(msgspec.Struct, frozen=True):
    """Commands of one transaction, and what the uncut run answers to them."""

    commands: tuple[Command, ...]
    outcomes: tuple[AnyOutcome, ...]


class Stream(msgspec.Struct, frozen=True):
    """`books[n]` stands for everything that is stored after n batches."""

    batches: tuple[Batch, ...]
    books: tuple[bytes, ...]


class FixedClock:
    """Moves on by as much as a test says; another origin stands for a later day."""

    def __init__(self, *, days: int = 0) -> None:
        self._now_ms = EPOCH_MS + days * 86_400_000

    def wall_ms(self) -> int:
        return self._now_ms

    def monotonic_ms(self) -> int:
        return self._now_ms

    def move_on(self) -> None:
        self._now_ms += 7


class Unobserved:
    """An observer whom nobody asks."""

    def observe_batch(self, *, commands: int, duration_ms: float) -> None: ...

    def observe_trouble(self, event: str, error: BaseException | None) -> None: ...

    def observe_recovery(self) -> None: ...


class Machine:
    """An engine with its database."""

    def __init__(self, writer: Writer, *, clock: FixedClock) -> None:
        self._clock = clock
        self._batches = 0
        self._writer = writer
        self._engine = Engine(
            self._writer,
            EnvironmentDomain(),
            clock,
            observer=Unobserved(),
            uses_database_clock=False,
            make_token=self._make_token,
        )

    @classmethod
    def on_disk(
        cls,
        disk: PowerCutDisk,
        *,
        clock: FixedClock,
        checkpoint_pages: int | None = None,
        synchronous: str | None = None,
    ) -> Self:
        """Opens the book as the server does; the two options change what it has set."""
        writer = SqliteWriter(PATH, vfs=disk.vfs_name)
        if checkpoint_pages is not None:
            writer._connection.pragma("wal_autocheckpoint", checkpoint_pages)
        if synchronous is not None:
            writer._connection.pragma("synchronous", synchronous)
        return cls(writer, clock=clock)

    def _make_token(self) -> str:
        return f"{self._batches:032x}"

    def run(self, commands: Sequence[Command]) -> list[AnyOutcome]:
        """The outcomes in order; all of them were answered."""
        self._clock.move_on()
        self._batches += 1
        return self.run_again(commands)

    def run_again(self, commands: Sequence[Command]) -> list[AnyOutcome]:
        """The same, in the same moment as before."""
        found: dict[int, AnyOutcome] = {}
        for positions, outcomes in self._engine.run(commands):
            found.update(zip(positions, outcomes, strict=True))
        return [found[position] for position in range(len(commands))]

    def can_commit_again(self) -> bool:
        """Whether the engine, asked as its loop asks it after a refusal, finds the disk well."""
        return self._engine.probe()

    def close(self) -> None:
        """As at the end of a process: the power may be gone already."""
        with contextlib.suppress(apsw.Error):
            self._writer.close()


def make_first_disk() -> PowerCutDisk:
    """A disk with one ledger and its parties, all of it durable."""
    with PowerCutDisk() as disk:
        connection = apsw.Connection(str(PATH), vfs=disk.vfs_name)
        for migration in list_migrations("sandbox", "sqlite"):
            connection.execute(migration.sql).fetchall()
        connection.close()
        machine = Machine.on_disk(disk, clock=FixedClock())
        prepare_parties(machine)
        machine.close()
        return disk.cut(seed=0, mode="drop_all")


def prepare_parties(machine: Machine) -> None:
    """One ledger, and all that a stream speaks of; on an empty database."""
    organisations = tuple(NewOrganisation(code, code, "c2b") for code in ORGANISATIONS)
    customers = tuple(
        NewCustomer(msisdn, "Asha", "Mosi", 1, 40 if msisdn == POOR else 100_000, make_key(msisdn))
        for msisdn in PAYERS
    )
    machine.run([OpenLedger(0, 1, "vodacomTZN", "TZS", customers, organisations)])
    machine.run([ScriptCustomer(LEDGER, msisdn, Answer.NEVER, 0) for msisdn in ASKED])


def make_key(text: str) -> str:
    """A duplicate key: 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def make_payment(name: str, *, msisdn: str, organisation: str, amount_minor: int) -> TakeC2b:
    """A payment whose every reference is `name`."""
    return TakeC2b(
        ledger=LEDGER,
        application=1,
        organisation_code=organisation,
        acts_for=True,
        msisdn=msisdn,
        amount_minor=amount_minor,
        transaction_reference=name,
        third_party_conversation_id=name,
        description="Tea",
        duplicate_key=make_key(name),
        trigger=0,
        approves_unscripted=True,
        wait_ms=_WAIT_MS,
    )


def make_stream(first_disk: PowerCutDisk, *, seed: int) -> Stream:
    """A stream drawn from a seed, and the run of it with the power on."""
    chance = random.Random(seed)
    batches: list[Batch] = []
    waiting: list[int] = []
    with first_disk.cut(seed=0, mode="drop_all") as disk:
        machine = Machine.on_disk(disk, clock=FixedClock(days=1))
        books = [digest_books(disk)]
        for number in range(BATCHES):
            commands = tuple(_draw_commands(chance, batch=number, waiting=waiting))
            outcomes = tuple(machine.run(commands))
            waiting += [
                outcome.payment
                for outcome in outcomes
                if isinstance(outcome, PaymentOutcome) and outcome.state == State.PENDING
            ]
            batches.append(Batch(commands, outcomes))
            books.append(digest_books(disk))
        machine.close()
    return Stream(tuple(batches), tuple(books))


def _draw_commands(chance: random.Random, *, batch: int, waiting: list[int]) -> Iterator[Command]:
    for number in range(chance.randint(1, COMMANDS_PER_BATCH_MAX)):
        name = f"{batch}x{number}"
        kind = chance.choices(
            ("pay", "repeat", "answer", "expire", "fund", "add"), (9, 1, 3, 1, 1, 1)
        )
        match kind:
            case ["answer"] if waiting:
                answer = chance.choice((Answer.APPROVE, Answer.DECLINE, Answer.WRONG_PIN))
                yield AnswerPrompt(LEDGER, chance.choice(waiting), answer)
            case ["expire"] if waiting:
                yield ExpirePrompt(LEDGER, waiting.pop(), is_forced=True)
            case ["fund"]:
                yield FundCustomers(LEDGER, ((chance.choice(PAYERS), 500, make_key(f"f{name}")),))
                yield FundOrganisations(LEDGER, (("ORG001", 100, make_key(f"g{name}")),))
            case ["add"]:
                new = NewCustomer(
                    f"2551{batch:04d}{number:04d}", "Juma", "Moyo", 1, 900, make_key(f"a{name}")
                )
                yield AddCustomers(LEDGER, (new,))
            case ["repeat"]:
                yield _draw_payment(chance, f"{max(batch - 1, 0)}x0")
            case _:
                yield _draw_payment(chance, name)


def _draw_payment(chance: random.Random, name: str) -> TakeC2b:
    return make_payment(
        name,
        msisdn=chance.choice(PAYERS),
        organisation=chance.choice(ORGANISATIONS),
        amount_minor=chance.randint(1, 5_000),
    )


def is_repeatable(command: Command) -> bool:
    """Whether a caller who got no answer may send this again, as the contract says."""
    return isinstance(command, TakeC2b | FundCustomers | FundOrganisations | AddCustomers)


def digest_books(disk: PowerCutDisk) -> bytes:
    """Stands for every row of every table."""
    digest = hashlib.blake2b()
    connection = apsw.Connection(str(PATH), vfs=disk.vfs_name)
    try:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (name,) in names:
            digest.update(
                repr((name, connection.execute(f"SELECT * FROM {name}").fetchall())).encode()
            )
    finally:
        connection.close(True)
    return digest.digest()


def is_effective(outcome: AnyOutcome) -> bool:
    """Whether the answer says that something was recorded."""
    return isinstance(outcome, Done) or (
        isinstance(outcome, PaymentOutcome) and outcome.payment > 0
    )
