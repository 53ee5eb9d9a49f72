"""The connection to PostgreSQL breaks around a COMMIT: no payment is lost, doubled, or guessed at.

First the engine alone, batch by batch, beside a run on SQLite that nothing happens to: wherever the
connection breaks, the same answers and the same rows have to come of it. Then the real server under
load, which reaches PostgreSQL through the same proxy.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pesalango_server.kernel.message import FAULT_UNAVAILABLE
from pesalango_server.ledger.statuses import State
from pesalango_server.storage.address import DatabaseAddress, open_database_writer
from pesalango_server.storage.migrations import migrate
from tests.e2e.books import (
    Books,
    find_violations,
    open_postgres_books,
    open_sqlite_books,
    read_books,
)
from tests.e2e.http_client import NotSent, Unanswered
from tests.e2e.load import Fate, Load, Parties
from tests.e2e.merchant import Merchant, Payment, make_reference
from tests.e2e.power_cut_stream import (
    LEDGER,
    PATH,
    FixedClock,
    Machine,
    Stream,
    make_first_disk,
    make_stream,
    prepare_parties,
)
from tests.e2e.server import Server, wait_until
from tests.store.postgres_proxy import PostgresProxy
from tests.store.postgres_proxy_process import CutPoint

POINTS: tuple[CutPoint, ...] = ("before_commit", "committed_unanswered", "after_commit")


# --- the engine alone ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stream_and_books() -> tuple[Stream, Books]:
    """A stream of batches, and the books after it on a database that nothing happened to."""
    with make_first_disk() as first, first.cut(seed=0, mode="drop_all") as disk:
        stream = make_stream(first, seed=3)
        machine = Machine.on_disk(disk, clock=FixedClock(days=1))
        for batch in stream.batches:
            machine.run(batch.commands)
        with open_sqlite_books(PATH, vfs=disk.vfs_name) as ask:
            books = read_books(ask)
        machine.close()
    return stream, books


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


def open_machine(proxy: PostgresProxy, *, clock: FixedClock) -> Machine:
    return Machine(open_database_writer(make_address(proxy.url)), clock=clock)


def make_address(url: str) -> DatabaseAddress:
    return DatabaseAddress("sandbox", "postgres", url)


def read_postgres(url: str) -> Books:
    with open_postgres_books(url) as ask:
        return read_books(ask)


def prepare(proxy: PostgresProxy, postgres_url: str) -> Machine:
    """The parties of a stream, and an engine as it is on the stream's first day."""
    migrate(make_address(postgres_url))
    machine = open_machine(proxy, clock=FixedClock())
    prepare_parties(machine)
    machine.close()
    return open_machine(proxy, clock=FixedClock(days=1))


def find_ledger_rows(books: Books) -> dict[str, object]:
    """All of the stream's ledger, in which no batch came or went for the sake of a connection."""
    return {
        "payments": [row for row in books.payments if row.ledger == LEDGER],
        "changes": [row for row in books.changes if row[0] == LEDGER],
        "transfers": [row for row in books.transfers if row.ledger == LEDGER],
        "accounts": [row for row in books.accounts if row.ledger == LEDGER],
        "prompts": sorted(row for row in books.prompts if row[0] == LEDGER),
        "duplicates": sorted(row for row in books.duplicates if row[0] == LEDGER),
        "batches": [row for row in books.batches if row[0] == LEDGER],
    }


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("cuts_in_turn", [1, 2])
def test_wherever_the_connection_breaks_answers_and_rows_are_those_of_an_unbroken_one(
    cuts_in_turn: int,
    point: CutPoint,
    proxy: PostgresProxy,
    postgres_url: str,
    stream_and_books: tuple[Stream, Books],
) -> None:
    stream, expected = stream_and_books
    machine = prepare(proxy, postgres_url)
    refused = 0
    for batch in stream.batches:
        cuts = proxy.cuts
        proxy.cut_at(point, count=cuts_in_turn)
        outcomes = machine.run(batch.commands)
        while FAULT_UNAVAILABLE in outcomes:
            # It was said that nothing is recorded: the callers send the same again.
            assert set(outcomes) == {FAULT_UNAVAILABLE}
            refused += 1
            assert refused < 4 * len(stream.batches)
            machine.can_commit_again()
            outcomes = machine.run_again(batch.commands)
        assert outcomes == list(batch.outcomes)
        assert proxy.cuts > cuts
    machine.close()

    books = read_postgres(postgres_url)
    assert find_violations(books) == []
    assert find_ledger_rows(books) == find_ledger_rows(expected)


# --- the server ----------------------------------------------------------------------------------

SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
PARTIES = Parties(
    msisdns=("255744553111", "254707161122", "233508729395"),
    organisations=("ORG001", "000000"),
)


@pytest.fixture
def server(proxy: PostgresProxy, tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", database=proxy.url, settings=SETTINGS) as server:
        server.start()
        yield server


@pytest.mark.parametrize("point", POINTS)
def test_under_load_every_caller_is_told_the_truth(
    point: CutPoint, server: Server, proxy: PostgresProxy, postgres_url: str
) -> None:
    merchant = Merchant(server.credentials)
    with Load(server.credentials, merchant.bearer, PARTIES, threads=8) as load:
        for _ in range(4):
            load.wait_for_answers(60)
            cuts = proxy.cuts
            # Engines of other databases commit now and then, so one cut could miss the payments.
            proxy.cut_at(point, skip=10, count=3)
            assert proxy.wait_for_cuts(cuts + 3)
        load.wait_for_answers(60)

    # A commit without an answer is looked for, so nobody has to be left without one.
    assert {record.fate for record in load.records} == {Fate.ANSWERED}
    completed = {}
    for record in load.records:
        assert record.answer is not None
        assert record.answer.code in {"INS-0", "INS-16"}
        payment = record.payment
        found = merchant.query(payment.reference, organisation=payment.organisation)
        if record.answer.code == "INS-16":
            assert found.code == "INS-23"
            assert merchant.pay(payment).code == "INS-0"
        else:
            assert found.status == "Completed"
            assert found.transaction_id == record.answer.transaction_id
        completed[payment.reference] = State.COMPLETED
        assert merchant.pay(payment).code == "INS-10"
    books = read_postgres(postgres_url)
    assert find_violations(books) == []
    states = books.read_state_by_reference()
    assert {reference: states[reference] for reference in completed} == completed
    # The self-check's is the one payment that is nobody's of these.
    assert len(books.payments) == len(completed) + 1
    assert server.audit().returncode == 0
    merchant.close()


def test_while_the_database_is_away_payments_are_refused_and_it_recovers_by_itself(
    server: Server, proxy: PostgresProxy, postgres_url: str
) -> None:
    merchant = Merchant(server.credentials)
    codes: Counter[str] = Counter()

    proxy.refuse_connections(True)
    proxy.cut_now()
    refused = [pay_new(merchant) for _ in range(5)]
    wait_until(lambda: not server.is_ready(), timeout_s=5, what="an unready server")
    refused += [pay_new(merchant) for _ in range(5)]

    for payment, code in refused:
        codes[code] += 1
        assert merchant.query(payment.reference, organisation="ORG001").code == "INS-16"
    # None of them is certain to have been recorded, and all are certain not to have been.
    assert codes == {"INS-16": 10}
    assert server.exit_status is None

    proxy.refuse_connections(False)
    wait_until(server.is_ready, timeout_s=10, what="a ready server")

    for payment, _ in refused:
        assert merchant.query(payment.reference, organisation="ORG001").code == "INS-23"
        assert merchant.pay(payment).code == "INS-0"
        assert merchant.pay(payment).code == "INS-10"
    assert find_violations(read_postgres(postgres_url)) == []
    merchant.close()


def test_a_commit_that_is_unknown_stays_unanswered_until_the_database_is_back(
    server: Server, proxy: PostgresProxy, postgres_url: str
) -> None:
    merchant = Merchant(server.credentials)
    with Load(server.credentials, merchant.bearer, PARTIES, threads=4) as load:
        load.wait_for_answers(20)
        proxy.refuse_connections(True)
        cuts = proxy.cuts
        proxy.cut_at("committed_unanswered", count=1_000)
        assert proxy.wait_for_cuts(cuts + 1)
        wait_until(lambda: not server.is_ready(), timeout_s=10, what="an unready server")
        proxy.cut_at("committed_unanswered", count=0)
        proxy.refuse_connections(False)
        load.wait_for_answers(20)

    books = read_postgres(postgres_url)
    assert find_violations(books) == []
    counts = books.count_payments_by_reference()
    for record in load.records:
        assert record.answer is not None
        recorded = record.answer.code == "INS-0"
        assert record.answer.code in {"INS-0", "INS-16"}
        assert counts[record.payment.reference] == recorded
    merchant.close()


def pay_new(merchant: Merchant) -> tuple[Payment, str]:
    """A payment of its own, and the code that it was answered with."""
    payment = Payment(make_reference(), "255744553111", "ORG001", amount=3)
    try:
        return payment, merchant.pay(payment).code
    except (NotSent, Unanswered) as broken:
        return payment, repr(broken)
