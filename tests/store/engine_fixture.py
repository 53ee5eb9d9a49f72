"""An engine over a fresh database of either kind, with a clock that only the test moves.

    def test_something(rig: Rig) -> None:          # runs on SQLite and on PostgreSQL
        outcome = rig.run(make_c2b(reference="one"))[0]

The rig's ledger holds the parties named below. After the test the books are audited: money that
appears, or a row that changes, fails whatever test it happened in. A test that breaks the books on
purpose sets `rig.audits_at_end = False`.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypedDict, Unpack

import apsw
import psycopg
import pytest

from pesalango_server.engine.engine import Engine
from pesalango_server.engine.environment import EnvironmentDomain
from pesalango_server.kernel.ids import IdCodec
from pesalango_server.kernel.message import AnyOutcome, Command, Done, PaymentOutcome
from pesalango_server.ledger.parties import (
    NewCustomer,
    NewOrganisation,
    OpenLedger,
    SetOrganisation,
)
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.ledger.store import LOAD_STANDINGS
from pesalango_server.payments.audit import EnvironmentAudit, audit_environment
from pesalango_server.payments.commands import (
    ExpirePrompt,
    TakeB2b,
    TakeB2c,
    TakeC2b,
    TakePayment,
    TakeReversal,
)
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.storage.address import (
    DATABASES,
    DatabaseAddress,
    open_database_reader,
    open_database_writer,
)
from pesalango_server.storage.database import Read, Writer
from pesalango_server.storage.migrations import migrate
from pesalango_server.storage.snapshot import open_snapshot_reader
from tests.store.postgres_fixture import PostgresServer
from tests.unit.manual_clock import ManualClock

_MEMORY = Path("/dev/shm")

KEYS_SECRET = b"the duplicates pepper of tests".ljust(32)
KEYS = DuplicateKeys(KEYS_SECRET)
IDS = IdCodec(b"the ids pepper of tests".ljust(32))
WAIT_MS = 25_000

PAYER = "255700000001"
POOR = "255700000002"
LOCKED = "255700000003"
PAYER_MINOR = 1_000_00
POOR_MINOR = 5

SHOP = "ORG001"
SUSPENDED_SHOP = "ORG002"
SHOP_WITHOUT_PRODUCTS = "ORG003"

_CUSTOMERS = (
    NewCustomer(PAYER, "Asha", "Mushi", amount_minor=PAYER_MINOR),
    NewCustomer(POOR, "Baraka", "Ally", amount_minor=POOR_MINOR),
    NewCustomer(LOCKED, "Chausiku", "Juma", status=3, amount_minor=PAYER_MINOR),
)
_ORGANISATIONS = (
    NewOrganisation(SHOP, "Shop", "b2b,b2c,c2b,reversal", amount_minor=500_00),
    NewOrganisation(SUSPENDED_SHOP, "Closed Shop", "c2b"),
    NewOrganisation(SHOP_WITHOUT_PRODUCTS, "Silent Shop", ""),
)


class RecordingObserver:
    """Keeps what the engine tells."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.troubles: list[str] = []

    def observe_batch(self, *, commands: int, duration_ms: float) -> None:  # noqa: ARG002
        self.batches.append(commands)

    def observe_trouble(self, event: str, error: BaseException | None) -> None:  # noqa: ARG002
        self.troubles.append(event)

    def observe_recovery(self) -> None:
        """What follows shows it."""


def make_tokens(first: int = 1) -> Callable[[], str]:
    """Tokens of batches that are the same in every run."""
    numbers = count(first)
    return lambda: f"{next(numbers):032x}"


class Common(TypedDict, total=False):
    """What may be said of a payment of any kind."""

    ledger: int
    organisation: str
    amount_minor: int
    application: int
    acts_for: bool
    trigger: int


def _fill(
    command: type[TakePayment],
    reference: str,
    *,
    ledger: int = 1,
    organisation: str = SHOP,
    amount_minor: int = 10_00,
    application: int = 7,
    acts_for: bool = True,
    trigger: int = 0,
) -> dict[str, Any]:
    """The fields that all payments have."""
    key = KEYS.make(application=application, operation=command.kind, reference=reference)
    return {
        "ledger": ledger,
        "application": application,
        "organisation_code": organisation,
        "acts_for": acts_for,
        "amount_minor": amount_minor,
        "third_party_conversation_id": reference,
        "transaction_reference": "T1",
        "description": "Shoes",
        "duplicate_key": key,
        "trigger": trigger,
    }


def make_c2b(
    *,
    reference: str,
    msisdn: str = PAYER,
    approves_unscripted: bool = True,
    wait_ms: int = WAIT_MS,
    **common: Unpack[Common],
) -> TakeC2b:
    """A payment by a customer who approves at once, unless told otherwise."""
    return TakeC2b(
        msisdn=msisdn,
        approves_unscripted=approves_unscripted,
        wait_ms=wait_ms,
        **_fill(TakeC2b, reference, **common),
    )


def make_b2c(*, reference: str, msisdn: str = PAYER, **common: Unpack[Common]) -> TakeB2c:
    """A payment of an organisation to a customer."""
    return TakeB2c(msisdn=msisdn, **_fill(TakeB2c, reference, **common))


def make_b2b(
    *, reference: str, receiver: str = SHOP_WITHOUT_PRODUCTS, **common: Unpack[Common]
) -> TakeB2b:
    """A payment of an organisation to another."""
    return TakeB2b(receiver_code=receiver, **_fill(TakeB2b, reference, **common))


def make_reversal(
    *,
    reference: str,
    original: int,
    b2b_payer_may_reverse: bool = True,
    **common: Unpack[Common],
) -> TakeReversal:
    """A reversal of all that is left of `original`, unless told otherwise."""
    common.setdefault("amount_minor", 0)
    return TakeReversal(
        transaction_id=IDS.encode(original)[0],
        original=original,
        b2b_payer_may_reverse=b2b_payer_may_reverse,
        **_fill(TakeReversal, reference, **common)
        | {"transaction_reference": "", "description": ""},
    )


def make_open_ledger(world: int = 1, market: str = "vodacomTZN") -> OpenLedger:
    """A ledger with the parties above."""
    return OpenLedger(0, world, market, "TZS", _CUSTOMERS, _ORGANISATIONS)


class Rig:
    """An engine, its database and its clock; `engine` may be replaced by the test."""

    def __init__(self, address: DatabaseAddress) -> None:
        self.address = address
        self.clock = ManualClock()
        self.observer = RecordingObserver()
        self.audits_at_end = True
        self._tokens = make_tokens()
        self._writers: list[Writer] = []
        self._sessions = contextlib.ExitStack()
        self._session: apsw.Connection | psycopg.Connection | None = None
        self.engine = self.make_engine()

    @property
    def dialect(self) -> str:
        return self.address.dialect

    def make_engine(self, writer: Writer | None = None, **settings: Any) -> Engine:
        """One more engine over the same database, with a writer of its own."""
        if writer is None:
            writer = open_database_writer(self.address)
        self._writers.append(writer)
        options: dict[str, Any] = {
            "observer": self.observer,
            "uses_database_clock": False,
            "make_token": self._tokens,
        } | settings
        return Engine(writer, EnvironmentDomain(), self.clock, **options)

    def run(self, *commands: Command) -> list[AnyOutcome]:
        """Carry commands out as one batch: the outcome of each."""
        return run_batch(self.engine, commands)

    def pay(self, command: TakePayment) -> PaymentOutcome:
        """Carry out one payment."""
        (outcome,) = self.run(command)
        assert isinstance(outcome, PaymentOutcome)
        return outcome

    def open_ledger(self, world: int = 1, market: str = "vodacomTZN") -> int:
        """Open a ledger with the parties above; its number."""
        (opened,) = self.run(make_open_ledger(world, market))
        assert isinstance(opened, Done)
        (ledger,) = opened.ids
        self.run(SetOrganisation(ledger, SUSPENDED_SHOP, 2, None))
        return ledger

    def standing(self, payment: int, ledger: int = 1) -> tuple[State, Status] | None:
        """Where a payment stands, as a worker reads it for a query; None where there is none."""
        reader = open_database_reader(self.address)
        try:
            document = reader.read(Read(LOAD_STANDINGS, rows=[(ledger, payment)]))
        finally:
            reader.close()
        for _, _, state, status in json.loads(document):
            return State(state), Status(status)
        return None

    def list_expiries(self) -> list[Command]:
        """Commands that end every wait for a customer."""
        return [
            ExpirePrompt(ledger, payment, is_forced=True)
            for ledger, payment in self.sql(
                "SELECT ledger, payment FROM prompts ORDER BY ledger, payment"
            )
        ]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of a statement that both databases understand, through a session of its own."""
        session = self._connect()
        if isinstance(session, apsw.Connection):
            return [tuple(row) for row in session.execute(statement).fetchall()]
        cursor = session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def plant(self, *statements: str) -> None:
        """Change rows as nobody may, past checks and guards; the guards are there afterwards."""
        if self.dialect == "sqlite":
            guards = self.sql("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
            for name, _ in guards:
                self.sql(f"DROP TRIGGER {name}")
            self.sql("PRAGMA ignore_check_constraints = ON")
            for statement in statements:
                self.sql(statement)
            for _, guard in guards:
                self.sql(guard)
            return
        for table, check in self.sql(
            "SELECT conrelid::regclass::text, conname::text FROM pg_constraint"
            f" WHERE contype = 'c' AND connamespace = '{self.address.schema}'::regnamespace"
        ):
            self.sql(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
        self.sql("SET session_replication_role = replica")
        for statement in statements:
            self.sql(statement)

    def _connect(self) -> apsw.Connection | psycopg.Connection:
        if self._session is None:
            if self.dialect == "sqlite":
                connection = apsw.Connection(str(self.address.path))
                connection.set_busy_timeout(5_000)
                self._sessions.callback(connection.close, True)
                self._session = connection
            else:
                session = psycopg.connect(self.address.conninfo, autocommit=True)
                self._sessions.callback(session.close)
                session.execute(f'SET search_path = "{self.address.schema}"'.encode())
                self._session = session
        return self._session

    def balance_of(self, name: str, ledger: int = 1) -> int:
        """What a customer (by number) or an organisation (by code) has, in minor units."""
        ((balance_minor,),) = self.sql(
            f"SELECT a.balance_minor FROM accounts AS a WHERE a.ledger = {ledger} AND a.id IN"
            f" (SELECT o.account FROM organisations AS o WHERE o.ledger = {ledger}"
            f" AND o.code = '{name}' UNION ALL SELECT c.account FROM customers AS c"
            f" JOIN customer_numbers AS n ON n.ledger = c.ledger AND n.customer = c.id"
            f" WHERE c.ledger = {ledger} AND n.msisdn = '{name}')"
        )
        return int(balance_minor)

    def count(self, table: str, where: str = "1 = 1") -> int:
        """How many rows of a table are so."""
        ((rows,),) = self.sql(f"SELECT count(*) FROM {table} WHERE {where}")
        return int(rows)

    def audit(self, keys: DuplicateKeys | None = KEYS) -> EnvironmentAudit:
        """Check the books as the command line does."""
        with open_snapshot_reader(self.address) as reader:
            return audit_environment(reader, duplicate_keys=keys)

    def close(self) -> None:
        """End every connection, and audit."""
        for writer in self._writers:
            writer.rollback()
            writer.close()
        self._sessions.close()
        if self.audits_at_end:
            found = self.audit()
            assert found.violations == []


def run_sql(address: DatabaseAddress, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a statement, through a connection of its own."""
    if address.dialect == "sqlite":
        connection = apsw.Connection(str(address.path))
        try:
            return [tuple(row) for row in connection.execute(statement).fetchall()]
        finally:
            connection.close(True)
    with psycopg.connect(address.conninfo, autocommit=True) as session:
        session.execute(f'SET search_path = "{address.schema}"'.encode())
        cursor = session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def run_batch(engine: Engine, commands: Sequence[Command]) -> list[AnyOutcome]:
    """One batch of an engine: the outcome of each command, in their order."""
    outcomes: dict[int, AnyOutcome] = {}
    for positions, answered in engine.run(commands):
        outcomes.update(zip(positions, answered, strict=True))
    assert sorted(outcomes) == list(range(len(commands)))
    return [outcomes[position] for position in range(len(commands))]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all three databases, migrated and empty."""
    directory = tmp_path_factory.mktemp("template")
    for name in DATABASES:
        migrate(DatabaseAddress(name, "sqlite", str(directory / f"{name}.db")))
    return directory


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database with all three schemas, migrated and empty."""
    database = postgres_server.create_database()
    for name in DATABASES:
        migrate(DatabaseAddress(name, "postgres", postgres_server.build_url(database)))
    return database


@contextlib.contextmanager
def open_sqlite_copy(template: Path, name: str) -> Iterator[DatabaseAddress]:
    """A fresh migrated SQLite database, in memory where the system offers that: no disk to wait for."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as directory:
        path = Path(directory, f"{name}.db")
        shutil.copyfile(template / f"{name}.db", path)
        yield DatabaseAddress(name, "sqlite", str(path))


@contextlib.contextmanager
def open_postgres_copy(
    server: PostgresServer, template: str, name: str
) -> Iterator[DatabaseAddress]:
    """A fresh migrated PostgreSQL database."""
    database = server.create_database(template=template)
    try:
        yield DatabaseAddress(name, "postgres", server.build_url(database))
    finally:
        server.drop_database(database)


@contextlib.contextmanager
def open_copy(request: pytest.FixtureRequest, dialect: str, name: str) -> Iterator[DatabaseAddress]:
    """A fresh migrated database of one dialect."""
    if dialect == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        with open_sqlite_copy(template, name) as address:
            yield address
    else:
        server = request.getfixturevalue("postgres_server")
        template = request.getfixturevalue("postgres_template")
        with open_postgres_copy(server, template, name) as address:
            yield address


@contextlib.contextmanager
def open_rig(address: DatabaseAddress) -> Iterator[Rig]:
    """A rig over a fresh database, audited in the end unless the test has failed already."""
    rig = Rig(address)
    try:
        yield rig
    except BaseException:
        rig.audits_at_end = False
        raise
    finally:
        rig.close()


@pytest.fixture(params=["sqlite", "postgres"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Runs a test on each database."""
    return str(request.param)


@pytest.fixture
def address(request: pytest.FixtureRequest, dialect: str) -> Iterator[DatabaseAddress]:
    """A fresh migrated sandbox database."""
    with open_copy(request, dialect, "sandbox") as address:
        yield address


@pytest.fixture
def rig(address: DatabaseAddress) -> Iterator[Rig]:
    """An engine with one ledger, number 1."""
    with open_rig(address) as rig:
        assert rig.open_ledger() == 1
        yield rig


@pytest.fixture
def postgres_rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The same on PostgreSQL alone, for what SQLite does not have."""
    with open_copy(request, "postgres", "sandbox") as address, open_rig(address) as rig:
        assert rig.open_ledger() == 1
        yield rig


@pytest.fixture
def sqlite_rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The same on SQLite alone."""
    with open_copy(request, "sqlite", "sandbox") as address, open_rig(address) as rig:
        assert rig.open_ledger() == 1
        yield rig
