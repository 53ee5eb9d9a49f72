"""Makes a ledger long: payments written in bulk, as the product itself would have written them.

Ten million payments over HTTP take twenty minutes; this takes a fraction of it. It leaves out what
leaves no trace: HTTP, and reading back what nobody else can have changed. The parties are read
once; then the product's own use case decides each payment, in batches as large as those of a busy
engine, and the product's own book writes their rows, keys, balances and digests. Many batches
share a transaction, because here nobody waits for an answer. `pesalango-server audit` finds the
result in order, chain of digests and keys included.

`python -m bench.filling DATA_DIR --payments N [--customers C] [--database postgres]` fills the data
directory of a server that does not run and whose customers were added (`bench/books.py`).
"""

from __future__ import annotations

import argparse
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, time

import msgspec

from bench.directory import REPOSITORY
from bench.progress import say
from bench.server import (
    AMOUNT,
    ENVIRONMENT,
    MARKET,
    MSISDN_FIRST,
    ProductError,
    build_environment,
)
from bench.wire import CONVERSATION_ID_LENGTH
from pesalango_server.applications.store import read_configuration
from pesalango_server.cli.options import read_settings
from pesalango_server.kernel.message import PaymentOutcome
from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan, fill_books, make_books
from pesalango_server.ledger.model import Customer, Organisation
from pesalango_server.ledger.statuses import State
from pesalango_server.main.credentials import USER_APPLICATION
from pesalango_server.main.up import open_places
from pesalango_server.payments.c2b import decide_take_c2b
from pesalango_server.payments.commands import TakeC2b
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.sandbox.seed import SELF_CHECK_ORGANISATION
from pesalango_server.storage.address import (
    DatabaseAddress,
    open_database_reader,
    open_database_writer,
)
from pesalango_server.storage.database import Read, Writer, WriteSet

PAYMENTS_PER_BATCH = 64
BATCHES_PER_TRANSACTION = 1_500
CUSTOMERS_PER_READ = 10_000
WAIT_MS = 25_000
AMOUNT_MINOR = int(AMOUNT) * 100
TRANSACTIONS_PER_NOTICE = 10
FILL_SECONDS_MAX = 3_600.0

_decode = msgspec.json.decode


class Payer(msgspec.Struct, frozen=True):
    """Whose payments they are: the application, its duplicate keys, and the ledger of its market."""

    application: int
    ledger: int
    keys: DuplicateKeys


class Filler:
    """Writes payments of customers drawn at random to the organisation that everybody pays."""

    def __init__(self, writer: Writer, payer: Payer, *, customers: int) -> None:
        self._writer = writer
        self._payer = payer
        self._customers: dict[str, Customer] = {}
        self._organisations: dict[str, Organisation] = {}
        for first in range(0, customers, CUSTOMERS_PER_READ):
            self._read_parties(range(first, min(first + CUSTOMERS_PER_READ, customers)))
        self._numbers = list(self._customers)
        if len(self._numbers) < customers:
            raise ValueError(f"{len(self._numbers)} of {customers} customers are there")

    def _read_parties(self, numbers: range) -> None:
        """Organisation and customers, each read once: whoever writes alone knows the rest."""
        ledger, writes = self._payer.ledger, WriteSet()
        plan = LoadPlan()
        plan.organisation(ledger, SELF_CHECK_ORGANISATION)
        for number in numbers:
            plan.customer(ledger, str(MSISDN_FIRST + number))
        reads = plan.reads()
        lock, *documents = self._writer.begin([make_lock(self._writer, ledger), *reads])
        self._writer.rollback()
        books = make_books(lock, writes)
        fill_books(books, reads, documents)
        self._customers.update(books[ledger].customers)
        self._organisations = self._organisations or books[ledger].organisations

    def fill(self, payments: int) -> None:
        """Write so many payments. Raises RuntimeError where one is not completed."""
        size = PAYMENTS_PER_BATCH * BATCHES_PER_TRANSACTION
        begun = perf_counter()
        for number, first in enumerate(range(0, payments, size), start=1):
            written = min(first + size, payments)
            self._write_transaction(written - first)
            if written == payments or number % TRANSACTIONS_PER_NOTICE == 0:
                rate = written / (perf_counter() - begun)
                say(f"{written:,} of {payments:,} payments written, {rate:,.0f}/s")

    def _write_transaction(self, payments: int) -> None:
        ledger, writes = self._payer.ledger, WriteSet()
        (lock,) = self._writer.begin([make_lock(self._writer, ledger)])
        book = make_books(lock, writes)[ledger]
        for first in range(0, payments, PAYMENTS_PER_BATCH):
            self._decide_batch(book, min(PAYMENTS_PER_BATCH, payments - first))
            book = follow(book)
        self._writer.commit(writes.in_order())

    def _decide_batch(self, book: Book, payments: int) -> None:
        book.customers, book.organisations = self._customers, self._organisations
        book.accounts = {
            organisation.account.id: organisation.account
            for organisation in self._organisations.values()
        }
        for command in self._make_commands(payments):
            account = self._customers[command.msisdn].account
            book.accounts[account.id] = account
            outcome: PaymentOutcome = decide_take_c2b(command, book)
            if outcome.state != State.COMPLETED:
                raise RuntimeError(f"a payment of {command.msisdn} ended as {outcome}")
        book.close(secrets.token_hex(16))

    def _make_commands(self, payments: int) -> Iterator[TakeC2b]:
        payer, numbers = self._payer, self._numbers
        size = CONVERSATION_ID_LENGTH
        digits = secrets.token_hex(size // 2 * payments)
        for at in range(0, len(digits), size):
            reference = digits[at : at + size]
            yield TakeC2b(
                ledger=payer.ledger,
                application=payer.application,
                organisation_code=SELF_CHECK_ORGANISATION,
                acts_for=True,
                amount_minor=AMOUNT_MINOR,
                third_party_conversation_id=reference,
                transaction_reference="Benchmark",
                description="Benchmark",
                duplicate_key=payer.keys.make(
                    application=payer.application, operation=TakeC2b.kind, reference=reference
                ),
                trigger=0,
                msisdn=numbers[int(random.random() * len(numbers))],
                approves_unscripted=True,
                wait_ms=WAIT_MS,
            )


def make_lock(writer: Writer, ledger: int) -> Read:
    """The read that locks a ledger; PostgreSQL goes by its own clock."""
    now_ms = int(time() * 1000) if writer.dialect == "sqlite" else None
    return Read(store.LOCK_LEDGERS, (now_ms,), [(ledger,)])


def follow(book: Book) -> Book:
    """The book of the next batch of the same transaction."""
    return Book(
        ledger=book.ledger,
        now_ms=book.now_ms,
        wall_ms=book.wall_ms,
        last_id=book.last_id,
        sequence=book.sequence,
        digest=book.digest,
        writes=book.writes,
        books=book.books,
    )


def find_payer(addresses: dict[str, DatabaseAddress]) -> Payer:
    """The application of `credentials.json`, in the market that is paid in."""
    reader = open_database_reader(addresses["platform"])
    try:
        configuration = read_configuration(reader, wall_ms=int(time() * 1000))
    finally:
        reader.close()
    (application,) = (
        each for each in configuration.applications.values() if each.name == USER_APPLICATION
    )
    world = application.environments[ENVIRONMENT].world
    reader = open_database_reader(addresses[ENVIRONMENT])
    try:
        found = _decode(reader.read(Read(store.FIND_LEDGERS, rows=[(world, MARKET)])))
    finally:
        reader.close()
    if not found:
        raise ValueError(f"nobody has paid in {MARKET} yet: add the customers first")
    return Payer(application.id, found[0][3], DuplicateKeys(configuration.secrets["duplicates"]))


def fill_payments(data_dir: Path, *, database: str | None, payments: int, customers: int) -> None:
    """Write payments into the data directory of a server that does not run."""
    settings = read_settings(data_dir=str(data_dir), database=database)
    with open_places(settings) as places:
        payer = find_payer(places.addresses)
        writer = open_database_writer(places.addresses[ENVIRONMENT])
        try:
            Filler(writer, payer, customers=customers).fill(payments)
        finally:
            writer.close()


def run_filler(data_dir: Path, *, database: str | None, payments: int, customers: int) -> None:
    """`fill_payments` in a process of its own, whose memory goes with it. Raises ProductError."""
    flags = {"payments": str(payments), "customers": str(customers)}
    if database is not None:
        flags["database"] = database
    environment = build_environment(None)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "bench.filling", str(data_dir.resolve())),
            *(part for name, value in flags.items() for part in (f"--{name}", value)),
        ],
        cwd=REPOSITORY,
        env=environment,
        timeout=FILL_SECONDS_MAX,
        check=False,
    )
    if ended.returncode != 0:
        raise ProductError(f"the ledger could not be filled: status {ended.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.filling", description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--payments", type=int, required=True)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--database", choices=("postgres",))
    flags = parser.parse_args()
    fill_payments(
        flags.data_dir,
        database=flags.database,
        payments=flags.payments,
        customers=flags.customers,
    )


if __name__ == "__main__":
    main()
