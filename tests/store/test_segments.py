"""Keys against second payments on SQLite: found in every segment, whatever became of the filters."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pesalango_server.gateway.operations.query_transaction_status import FIND_QUERIED_BY_KEY
from pesalango_server.kernel.message import PaymentOutcome
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.commands import TakePayment
from pesalango_server.storage import segments
from pesalango_server.storage.address import make_reader_opener, open_database_reader
from pesalango_server.storage.database import Read, Reader
from pesalango_server.storage.migrations import migrate
from tests.store.engine_fixture import PAYER, Rig, make_c2b

PAYMENTS = 50
SEGMENT_KEYS = 4
SEGMENTS_PER_FILTER = 3

REFUSED = PaymentOutcome(0, State.NONE, Status.DUPLICATE)


@pytest.fixture(autouse=True)
def _have_small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_KEYS", SEGMENT_KEYS)
    monkeypatch.setattr(segments, "SEGMENTS_PER_FILTER", SEGMENTS_PER_FILTER)


def make_payment(number: int) -> TakePayment:
    return make_c2b(reference=f"reference {number}", msisdn=PAYER, amount_minor=1)


def pay(rig: Rig, count: int = PAYMENTS, first: int = 0) -> list[int]:
    """Ids of payments one after another, each of which is a first one."""
    outcomes = [rig.pay(make_payment(number)) for number in range(first, first + count)]
    assert {outcome.state for outcome in outcomes} == {State.COMPLETED}
    return [outcome.payment for outcome in outcomes]


def require_all_refused(rig: Rig, count: int = PAYMENTS) -> None:
    """Alone, and all in one batch."""
    commands = [make_payment(number) for number in range(count)]
    assert [rig.pay(command) for command in commands] == [REFUSED] * count
    assert rig.run(*commands) == [REFUSED] * count


def restart(rig: Rig) -> None:
    rig.engine.writer.close()
    rig.engine = rig.make_engine()


def test_a_key_is_known_in_every_segment(sqlite_rig: Rig) -> None:
    paid = pay(sqlite_rig)

    require_all_refused(sqlite_rig)
    (fullest,), *_ = sqlite_rig.sql(
        "SELECT count(*) FROM duplicate_keys GROUP BY segment ORDER BY 1 DESC"
    )
    ((segment_count,),) = sqlite_rig.sql("SELECT count(*) FROM duplicate_segments")
    assert fullest == SEGMENT_KEYS
    assert segment_count > PAYMENTS / SEGMENT_KEYS
    assert sqlite_rig.sql("SELECT payment FROM duplicates WHERE payment > 0 ORDER BY payment") == [
        (payment,) for payment in paid
    ]


def ask(reader: Reader, number: int) -> Any:
    """What a status query by reference finds first: rows of one payment's id."""
    row = (1, make_payment(number).duplicate_key)
    return msgspec.json.decode(reader.read(Read(FIND_QUERIED_BY_KEY, rows=[row])))


def test_a_query_finds_a_key_in_every_segment(sqlite_rig: Rig) -> None:
    open_reader = make_reader_opener(sqlite_rig.address)
    first, second = open_reader(), open_reader()
    assert ask(first, 0) == []

    paid = []
    for number in range(PAYMENTS):
        paid += pay(sqlite_rig, 1, number)
        assert ask(first, number) == [[paid[-1]]]
        assert ask(second, number // 2) == [[paid[number // 2]]]
        assert ask(second, number + 1) == []
    assert [ask(first, number) for number in range(PAYMENTS)] == [[[payment]] for payment in paid]

    first.close()
    second.close()


def test_a_key_that_is_sent_again_in_another_market_is_new_there(sqlite_rig: Rig) -> None:
    assert sqlite_rig.open_ledger(market="vodacomDRC") == 2
    pay(sqlite_rig)

    there = msgspec.structs.replace(make_payment(0), ledger=2)
    assert sqlite_rig.pay(there).state == State.COMPLETED
    assert sqlite_rig.pay(there) == REFUSED


def list_filters(rig: Rig) -> list[Any]:
    """The first and the last segment of each."""
    return rig.sql("SELECT first_segment, last_segment FROM duplicate_filters ORDER BY 1")


def forget(rig: Rig) -> None:
    rig.sql("DELETE FROM duplicate_filters")


def forget_the_first(rig: Rig) -> None:
    rig.sql("DELETE FROM duplicate_filters WHERE first_segment = 0")


def empty(rig: Rig) -> None:
    rig.sql("UPDATE duplicate_filters SET bits = zeroblob(length(bits))")


def keep_filter(rig: Rig, first: int, last: int, bits: bytes) -> None:
    """In the place of the one that begins there, with a digest that is right."""
    digest = segments._digest(first, last, bits).hex()
    rig.sql(
        f"UPDATE duplicate_filters SET last_segment = {last}, bits = X'{bits.hex()}',"
        f" digest = X'{digest}' WHERE first_segment = {first}"
    )


def make_in_another_way(rig: Rig) -> None:
    """Whole, and denying what they hold."""
    for first, last, bits in rig.sql(
        "SELECT first_segment, last_segment, bits FROM duplicate_filters"
    ):
        keep_filter(rig, first, last, bits[:8] + bytes(len(bits) - 8))


def put_early_bits_back(rig: Rig) -> None:
    """The first one says that it serves as many segments as before."""
    rig.sql(
        "UPDATE duplicate_filters SET (bits, digest) = (SELECT bits, digest FROM early)"
        " WHERE first_segment = 0"
    )


def divide(rig: Rig) -> None:
    """The first three segments are served by three, of which the first is another's."""
    ((bits,),) = rig.sql("SELECT bits FROM duplicate_filters WHERE first_segment = 0")
    rig.sql("DELETE FROM duplicate_filters WHERE first_segment = 0")
    for segment in (0, 1, 2):
        rig.sql(f"INSERT INTO duplicate_filters VALUES ({segment}, {segment}, X'', X'')")
        keep_filter(rig, segment, segment, bits)
    rig.sql("UPDATE duplicate_filters SET digest = X'00' WHERE first_segment = 0")


def cut(rig: Rig) -> None:
    rig.sql("UPDATE duplicate_filters SET bits = X'00'")


def leave(rig: Rig) -> None:
    """Nothing is amiss."""


DAMAGES = (
    *(leave, forget, forget_the_first, empty, cut),
    *(make_in_another_way, put_early_bits_back, divide),
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_becomes_of_filters_no_key_is_forgotten(
    sqlite_rig: Rig, damage: Callable[[Rig], None]
) -> None:
    paid = pay(sqlite_rig, SEGMENT_KEYS + 2)
    sqlite_rig.sql("CREATE TABLE early AS SELECT bits, digest FROM duplicate_filters")
    paid += pay(sqlite_rig, PAYMENTS - len(paid), len(paid))
    sqlite_rig.engine.writer.close()
    sound = list_filters(sqlite_rig)
    assert len(sound) > 3
    assert sound[0] == (0, SEGMENTS_PER_FILTER - 1)
    damage(sqlite_rig)
    reader = open_database_reader(sqlite_rig.address)
    assert [ask(reader, number) for number in range(PAYMENTS)] == [[[payment]] for payment in paid]
    reader.close()
    sqlite_rig.engine = sqlite_rig.make_engine()

    require_all_refused(sqlite_rig)
    pay(sqlite_rig, 20, PAYMENTS)
    restart(sqlite_rig)
    require_all_refused(sqlite_rig, PAYMENTS + 20)
    kept = list_filters(sqlite_rig)
    assert kept[: len(sound) - 1] == sound[:-1]
    restart(sqlite_rig)
    assert list_filters(sqlite_rig) == kept


def test_filters_that_affirm_everything_refuse_nobody(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FALSE_POSITIVES", 0.99)
    restart(sqlite_rig)

    pay(sqlite_rig)
    require_all_refused(sqlite_rig)


def test_what_somebody_else_has_written_is_known(sqlite_rig: Rig) -> None:
    other = sqlite_rig.make_engine()
    mine, sqlite_rig.engine = sqlite_rig.engine, other
    pay(sqlite_rig)
    sqlite_rig.engine = mine

    require_all_refused(sqlite_rig)
    pay(sqlite_rig, 20, PAYMENTS)
    sqlite_rig.engine = other
    require_all_refused(sqlite_rig, PAYMENTS + 20)


def test_keys_from_before_there_were_segments_are_known(sqlite_rig: Rig) -> None:
    pay(sqlite_rig)
    sqlite_rig.engine.writer.close()
    for statement in (
        "CREATE TABLE earlier (ledger INTEGER, key BLOB, payment INTEGER, PRIMARY KEY (ledger, key))",
        "INSERT INTO earlier SELECT ledger, key, payment FROM duplicates",
        "DROP VIEW duplicates",
        "DROP TABLE duplicate_keys",
        "DROP TABLE duplicate_segments",
        "DROP TABLE duplicate_filters",
        "ALTER TABLE earlier RENAME TO duplicates",
        "DELETE FROM schema_migrations WHERE name LIKE '%duplicate_segments'",
    ):
        sqlite_rig.sql(statement)

    assert migrate(sqlite_rig.address) == ["environment/0003_duplicate_segments"]
    sqlite_rig.engine = sqlite_rig.make_engine()

    require_all_refused(sqlite_rig)
    pay(sqlite_rig, 20, PAYMENTS)
    restart(sqlite_rig)
    require_all_refused(sqlite_rig, PAYMENTS + 20)


def test_the_audit_finds_a_key_in_two_segments(sqlite_rig: Rig) -> None:
    paid = pay(sqlite_rig)
    assert sqlite_rig.audit().violations == []
    sqlite_rig.audits_at_end = False
    sqlite_rig.plant(
        "INSERT INTO duplicate_keys SELECT ledger, segment + 1, key, payment FROM duplicate_keys"
        f" WHERE payment = {paid[5]}"
    )

    found = {violation.what for violation in sqlite_rig.audit().violations}
    assert found == {"one payment has two keys", "one key has two owners"}
