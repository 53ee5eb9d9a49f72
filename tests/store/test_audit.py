"""The audit passes good books, and finds every way in which we know to break them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pesalango_server.kernel.message import Done, PaymentOutcome
from pesalango_server.ledger.model import Answer
from pesalango_server.ledger.parties import FundCustomers, ScriptCustomer
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.audit import audit_environment
from pesalango_server.payments.audit_ledger import OVERDUE_MAX_MS
from pesalango_server.payments.commands import AnswerPrompt, ExpirePrompt
from pesalango_server.storage.address import DatabaseAddress
from pesalango_server.storage.database import Row, Scan, SnapshotReader, StorageUnavailable
from pesalango_server.storage.snapshot import open_snapshot_reader
from tests.store.engine_fixture import (
    KEYS,
    LOCKED,
    PAYER,
    POOR,
    SHOP,
    SUSPENDED_SHOP,
    WAIT_MS,
    Rig,
    make_c2b,
)
from tests.unit.manual_clock import START_MS


@dataclass
class Books:
    """A rig with a bit of everything in ledger 1, and ledger 2 beside it; ids of payments."""

    rig: Rig
    completed: int
    failed: int
    approved: int
    declined: int
    pending: int
    funding: int

    def find(self) -> set[str]:
        """What the audit says of ledger 1, and of nothing else."""
        audit = self.rig.audit()
        assert {violation.ledger for violation in audit.violations} <= {1}
        return {violation.what for violation in audit.violations}


@pytest.fixture
def books(rig: Rig) -> Books:
    assert rig.open_ledger(world=2) == 2
    rig.run(make_c2b(ledger=2, reference="elsewhere"), make_c2b(ledger=2, reference="two"))
    (funded,) = rig.run(FundCustomers(1, ((POOR, 1, "ab" * 16),)))
    assert isinstance(funded, Done)
    completed = rig.pay(make_c2b(reference="completed")).payment
    failed = rig.pay(make_c2b(reference="failed", msisdn=LOCKED)).payment
    rig.pay(make_c2b(reference="triggered", trigger=Status.TRIGGERED_EXPIRY))
    waiting = [
        rig.pay(make_c2b(reference=reference, approves_unscripted=False)).payment
        for reference in ("approved", "declined", "expired", "pending")
    ]
    approved, declined, expired, pending = waiting
    # Later payments are decided first, so that changes are not in the order of their payments.
    rig.run(AnswerPrompt(1, declined, Answer.DECLINE), ExpirePrompt(1, expired, is_forced=True))
    rig.clock.advance(1_000)
    rig.run(AnswerPrompt(1, approved, Answer.APPROVE))
    return Books(rig, completed, failed, approved, declined, pending, funded.ids[0])


@pytest.fixture
def broken(books: Books) -> Books:
    books.rig.audits_at_end = False
    return books


def test_good_books_pass_and_are_counted(books: Books) -> None:
    audit = books.rig.audit()

    assert audit.violations == []
    assert audit.violations_found == 0
    nobody, first, second = audit.ledgers
    assert (nobody.ledger, nobody.payments, nobody.batches) == (0, 0, 2)
    assert (first.ledger, first.world, first.market, first.currency) == (
        1,
        1,
        "vodacomTZN",
        "TZS",
    )
    assert first.payments == 7
    assert first.states == {
        State.COMPLETED: 2,
        State.FAILED: 2,
        State.EXPIRED: 2,
        State.PENDING: 1,
    }
    assert (first.changes, first.prompts) == (3, 1)
    # Four fundings when the ledger was opened, one by hand with a key, and two payments.
    assert (first.transfers, first.fundings, first.duplicates) == (7, 5, 8)
    assert first.accounts == 7
    assert second.payments == second.states[State.COMPLETED] == 2


def test_good_books_pass_without_the_secret_of_the_keys(books: Books) -> None:
    assert books.rig.audit(keys=None).violations == []


def test_an_audit_reads_one_moment_while_the_engine_goes_on(books: Books) -> None:
    rig = books.rig
    with open_snapshot_reader(rig.address) as reader:
        before = audit_environment(reader, duplicate_keys=KEYS)
        for number in range(3):
            rig.pay(make_c2b(reference=f"meanwhile-{number}"))
        assert audit_environment(reader, duplicate_keys=KEYS) == before
    after = rig.audit()
    assert after.ledgers[1].payments == before.ledgers[1].payments + 3
    assert after.violations == []


class SmallPages:
    """Hands on another reader's rows two at a time."""

    def __init__(self, reader: SnapshotReader) -> None:
        self._reader = reader

    def scan(self, scan: Scan, values: Row = ()) -> Iterator[list[Row]]:
        for page in self._reader.scan(scan, values):
            for start in range(0, len(page), 2):
                yield list(page[start : start + 2])


def test_where_a_page_ends_is_no_matter(books: Books) -> None:
    with open_snapshot_reader(books.rig.address) as reader:
        whole = audit_environment(reader, duplicate_keys=KEYS)
        assert audit_environment(SmallPages(reader), duplicate_keys=KEYS) == whole
    assert whole.violations == []


def test_a_prompt_may_be_late_by_a_moment(books: Books) -> None:
    rig = books.rig
    rig.clock.advance(START_MS + WAIT_MS + OVERDUE_MAX_MS - rig.clock.wall_ms())
    rig.pay(make_c2b(ledger=2, reference="still working"))

    assert rig.audit().violations == []


def test_a_prompt_that_is_never_ended_is_found_by_what_other_ledgers_do(broken: Books) -> None:
    rig = broken.rig
    rig.clock.advance(START_MS + WAIT_MS + OVERDUE_MAX_MS - rig.clock.wall_ms() + 1)
    rig.pay(make_c2b(ledger=2, reference="still working"))

    assert broken.find() == {"a payment is pending long after its deadline"}


def test_only_so_many_violations_are_kept_but_all_are_counted(broken: Books) -> None:
    broken.rig.plant("UPDATE transfers SET debit_balance_minor = debit_balance_minor - 1")
    with open_snapshot_reader(broken.rig.address) as reader:
        audit = audit_environment(reader, duplicate_keys=KEYS, violations_kept_max=2)

    assert len(audit.violations) == 2
    assert audit.violations_found > 2


# --- what is broken: statements over the ids in `Books`, and all that the audit says about it ------

DIGEST = "the digest of a batch is not that of its rows"
UNCOVERED = "a row was written by no batch"
BALANCE = "a balance is not that of its transfers"
FOLLOWS = "balances after a transfer do not follow"
NO_KEY = "a payment has no key against a second one"
OTHER_KEY = "a payment has another key than its own"
STRAY_KEY = "a key belongs to nothing"
STOOD = "time or ids of the ledger are not those of its last batch"

WALLET = (
    f"ledger = 1 AND id = (SELECT c.account FROM customer_numbers AS n JOIN customers AS c"
    f" ON c.ledger = n.ledger AND c.id = n.customer WHERE n.ledger = 1 AND n.msisdn = '{PAYER}')"
)
TILL = (
    f"ledger = 1 AND id = (SELECT account FROM organisations WHERE ledger = 1 AND code = '{SHOP}')"
)


def _insert_payment(*, reference: str, state: State, status: Status, extra: int = 0) -> str:
    return (
        "INSERT INTO payments SELECT ledger, last_id + 1, 1, 7, "
        f"'{SHOP}', '{PAYER}', 1000, '{reference}', 'T1', '', {int(state)}, {int(status)}, ''"
        f" FROM ledger_state WHERE ledger = 1 + {extra}"
    )


BROKEN: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "money appears in a wallet": (
        (f"UPDATE accounts SET balance_minor = balance_minor + 1 WHERE {WALLET}",),
        {BALANCE, "the balances of the ledger sum to 1"},
    ),
    "money goes from one wallet to another without a transfer": (
        (
            f"UPDATE accounts SET balance_minor = balance_minor - 1 WHERE {WALLET}",
            f"UPDATE accounts SET balance_minor = balance_minor + 1 WHERE {TILL}",
        ),
        {BALANCE},
    ),
    "more is held than there is": (
        (f"UPDATE accounts SET held_minor = balance_minor + 1 WHERE {WALLET}",),
        {"a wallet holds less than nothing, or than what is held"},
    ),
    "less than nothing is held": (
        (f"UPDATE accounts SET held_minor = -1 WHERE {WALLET}",),
        {"a wallet holds less than nothing, or than what is held"},
    ),
    "a wallet is gone": (
        (f"DELETE FROM accounts WHERE {WALLET}",),
        {
            "a customer has no wallet",
            "a transfer is not between two accounts of the ledger",
            "the balances of the ledger sum to -98000",
            BALANCE,
            FOLLOWS,
        },
    ),
    "a transfer's balance was changed": (
        (
            (
                "UPDATE transfers SET credit_balance_minor = credit_balance_minor + 1"
                " WHERE ledger = 1 AND payment = {completed}"
            ),
        ),
        {DIGEST, FOLLOWS},
    ),
    "a transfer's amount was changed": (
        ("UPDATE transfers SET amount_minor = 999 WHERE ledger = 1 AND payment = {completed}",),
        {DIGEST, FOLLOWS, "a transfer is not what its payment says"},
    ),
    "a transfer went to another organisation": (
        (
            (
                "UPDATE transfers SET credit_account = (SELECT account FROM organisations"
                f" WHERE ledger = 1 AND code = '{SUSPENDED_SHOP}')"
                " WHERE ledger = 1 AND payment = {completed}"
            ),
        ),
        {DIGEST, FOLLOWS, BALANCE, "a transfer is not what its payment says"},
    ),
    "money comes from nowhere": (
        (
            (
                "UPDATE transfers SET debit_account = (SELECT account FROM organisations"
                f" WHERE ledger = 1 AND code = '{SUSPENDED_SHOP}')"
                " WHERE ledger = 1 AND id = {funding}"
            ),
        ),
        {DIGEST, FOLLOWS, BALANCE, "money came from nowhere", "a wallet went below zero"},
    ),
    "a transfer is gone": (
        ("DELETE FROM transfers WHERE ledger = 1 AND payment = {approved}",),
        {DIGEST, BALANCE, "a completed payment moved nothing"},
    ),
    "a payment is gone": (
        ("DELETE FROM payments WHERE ledger = 1 AND id = {completed}",),
        {DIGEST, STRAY_KEY, "money moved without a completed payment"},
    ),
    "a payment's amount was changed": (
        ("UPDATE payments SET amount_minor = 1001 WHERE ledger = 1 AND id = {completed}",),
        {DIGEST, "a transfer is not what its payment says"},
    ),
    "a failed payment is called completed": (
        ("UPDATE payments SET state = 3, status = 0 WHERE ledger = 1 AND id = {failed}",),
        {DIGEST, "a completed payment moved nothing"},
    ),
    "a completed payment is called failed": (
        ("UPDATE payments SET state = 4, status = 11 WHERE ledger = 1 AND id = {completed}",),
        {DIGEST, "money moved without a completed payment"},
    ),
    "a state has the reason of another": (
        ("UPDATE payments SET status = 0 WHERE ledger = 1 AND id = {failed}",),
        {DIGEST, "a payment begins in a state that it cannot begin in"},
    ),
    "a change leads where none leads": (
        ("UPDATE payment_changes SET state = 5 WHERE ledger = 1 AND payment = {declined}",),
        {DIGEST, "a payment changed to a state that it cannot take"},
    ),
    "a final payment is changed": (
        (
            (
                "UPDATE payment_changes SET payment = {completed}"
                " WHERE ledger = 1 AND payment = {declined}"
            ),
        ),
        {
            DIGEST,
            "a payment that is final, or unknown, was changed",
            "a payment is pending and nobody is asked",
        },
    ),
    "a change is gone": (
        ("DELETE FROM payment_changes WHERE ledger = 1 AND payment = {approved}",),
        {
            DIGEST,
            "money moved without a completed payment",
            "a payment is pending and nobody is asked",
        },
    ),
    "a prompt is gone": (
        ("DELETE FROM prompts WHERE ledger = 1",),
        {"a payment is pending and nobody is asked"},
    ),
    "a prompt outlives its payment": (
        ("UPDATE prompts SET payment = {declined} WHERE ledger = 1",),
        {
            "a customer is asked about a payment that is not pending",
            "a payment is pending and nobody is asked",
        },
    ),
    "a prompt asks for another amount": (
        ("UPDATE prompts SET amount_minor = 1 WHERE ledger = 1",),
        {"a customer is asked about something else than is owed"},
    ),
    "a prompt was forgotten": (
        (f"UPDATE prompts SET deadline_ms = {START_MS - OVERDUE_MAX_MS} WHERE ledger = 1",),
        {"a payment is pending long after its deadline"},
    ),
    "a key is gone": (
        ("DELETE FROM {keys} WHERE ledger = 1 AND payment = {failed}",),
        {NO_KEY},
    ),
    "a key belongs to nothing": (
        ("UPDATE {keys} SET payment = 12345 WHERE ledger = 1 AND payment = {failed}",),
        {NO_KEY, STRAY_KEY},
    ),
    "keys are exchanged": (
        (
            "UPDATE {keys} SET payment = -1 WHERE ledger = 1 AND payment = {failed}",
            "UPDATE {keys} SET payment = {failed} WHERE ledger = 1 AND payment = {completed}",
            "UPDATE {keys} SET payment = {completed} WHERE ledger = 1 AND payment = -1",
        ),
        {OTHER_KEY},
    ),
    "a payment has two keys": (
        ("UPDATE {keys} SET payment = {failed} WHERE ledger = 1 AND payment = {completed}",),
        {NO_KEY, "one payment has two keys"},
    ),
    "a batch is gone": (
        ("DELETE FROM batches WHERE ledger = 1 AND sequence = 4",),
        {DIGEST, UNCOVERED, "the sequence of batches has a gap"},
    ),
    "the last batch is gone": (
        (
            (
                "DELETE FROM batches WHERE ledger = 1 AND sequence ="
                " (SELECT sequence FROM ledger_state WHERE ledger = 1)"
            ),
        ),
        {UNCOVERED, STOOD, "the chain does not end where the ledger stands"},
    ),
    "a batch's digest was changed": (
        ("UPDATE batches SET digest = token WHERE ledger = 1 AND sequence = 4",),
        {DIGEST},
    ),
    "a batch is out of time": (
        ("UPDATE batches SET time_ms = 1 WHERE ledger = 1 AND sequence = 4",),
        {"a batch is earlier than the one before it"},
    ),
    "a batch claims ids of another": (
        (
            (
                "UPDATE batches SET first_id = (SELECT b.first_id FROM batches AS b"
                " WHERE b.ledger = 1 AND b.sequence = 3) WHERE ledger = 1 AND sequence = 4"
            ),
        ),
        {"a batch has ids out of turn"},
    ),
    "the ledger's state was set back": (
        (
            (
                "UPDATE ledger_state SET sequence = sequence - 1, digest = (SELECT b.digest"
                " FROM batches AS b WHERE b.ledger = 1 AND b.sequence = 2) WHERE ledger = 1"
            ),
        ),
        {"the chain does not end where the ledger stands"},
    ),
    "the ledger's clock was set back": (
        ("UPDATE ledger_state SET last_time_ms = last_time_ms - 1 WHERE ledger = 1",),
        {STOOD},
    ),
    "a payment was slipped in after the last batch": (
        (_insert_payment(reference="slipped in", state=State.FAILED, status=Status(11)),),
        {UNCOVERED, NO_KEY},
    ),
    "an id comes from another ledger": (
        (_insert_payment(reference="foreign", state=State.FAILED, status=Status(11), extra=1),),
        {UNCOVERED, NO_KEY, "an id was minted in another ledger"},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_books_are_found(broken: Books, name: str) -> None:
    statements, found = BROKEN[name]
    ids = {field: getattr(broken, field) for field in vars(broken) if field != "rig"}
    ids["keys"] = "duplicate_keys" if broken.rig.dialect == "sqlite" else "duplicates"
    if name == "an id comes from another ledger":
        statements = (
            *statements,
            "UPDATE payments SET ledger = 1 WHERE third_party_conversation_id = 'foreign'",
        )
    broken.rig.plant(*(statement.format(**ids) for statement in statements))

    assert broken.find() == found


def test_a_transfer_that_does_not_follow_on_its_payment_is_found(broken: Books) -> None:
    rig = broken.rig
    first, _ = rig.run(make_c2b(reference="first"), make_c2b(reference="second"))
    assert isinstance(first, PaymentOutcome)
    rig.plant(f"UPDATE transfers SET id = id + 1 WHERE payment = {first.payment}")

    found = rig.audit().violations
    assert {violation.what for violation in found} == {
        DIGEST,
        "a transfer is where no reversal finds it",
    }
    assert {violation.invariant for violation in found} == {6, 12}


def test_a_second_payment_for_one_conversation_id_is_found(broken: Books) -> None:
    keys = (
        "duplicate_keys SELECT ledger, 0"
        if broken.rig.dialect == "sqlite"
        else "duplicates SELECT ledger"
    )
    broken.rig.plant(
        _insert_payment(reference="completed", state=State.FAILED, status=Status(11)),
        f"INSERT INTO {keys}, token, last_id + 1 FROM batches"
        " WHERE ledger = 1 ORDER BY sequence DESC LIMIT 1",
    )

    assert OTHER_KEY in broken.find()
    without_secret = {violation.what for violation in broken.rig.audit(keys=None).violations}
    assert "two payments have one conversation id" in without_secret


def test_a_ledger_without_state_is_found(broken: Books) -> None:
    broken.rig.plant("DELETE FROM ledger_state WHERE ledger = 2")

    (violation,) = broken.rig.audit().violations
    assert (violation.ledger, violation.what) == (2, "a ledger has no state")


GUARDS = [
    ("sqlite", "DROP TRIGGER payments_are_never_updated", "payments against UPDATE"),
    ("sqlite", "DROP TRIGGER batches_are_never_deleted", "batches against DELETE"),
    (
        "postgres",
        "ALTER TABLE payments DISABLE TRIGGER payments_are_append_only",
        "payments against UPDATE",
    ),
    ("postgres", "DROP TRIGGER batches_are_append_only ON batches", "batches against DELETE"),
    (
        "postgres",
        "ALTER TABLE transfers DISABLE TRIGGER transfers_are_never_emptied",
        "transfers against TRUNCATE",
    ),
    (
        "postgres",
        (
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NEW; END $$"
        ),
        "payment_changes against DELETE",
    ),
]


@pytest.mark.parametrize(("dialect", "statement", "lacks"), GUARDS)
def test_a_missing_guard_is_found(broken: Books, statement: str, lacks: str) -> None:
    broken.rig.sql(statement)

    audit = broken.rig.audit()
    assert {violation.invariant for violation in audit.violations} == {11}
    assert f"nothing guards {lacks}" in {violation.what for violation in audit.violations}


@pytest.mark.parametrize("table", ["payments", "payment_changes", "transfers", "batches"])
@pytest.mark.parametrize("change", ["UPDATE {} SET ledger = 9", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_change_the_books(
    books: Books, table: str, change: str
) -> None:
    with pytest.raises(Exception, match="append-only"):
        books.rig.sql(change.format(table))


def test_postgres_refuses_to_empty_the_books(postgres_rig: Rig) -> None:
    for table in ("payments", "payment_changes", "transfers", "batches"):
        with pytest.raises(Exception, match="append-only"):
            postgres_rig.sql(f"TRUNCATE {table}")


def test_a_database_that_is_not_there_cannot_be_audited(rig: Rig) -> None:
    address = rig.address
    missing = DatabaseAddress(
        address.name,
        address.dialect,
        f"{address.location}.missing"
        if rig.dialect == "sqlite"
        else re.sub(r"/test_\d+", "/missing", address.location),
    )
    with (
        pytest.raises(StorageUnavailable),
        open_snapshot_reader(missing),
    ):
        pass


def test_a_scripted_prompt_is_judged_by_its_deadline_alone(rig: Rig) -> None:
    rig.run(ScriptCustomer(1, PAYER, Answer.APPROVE, 5_000))
    rig.pay(make_c2b(reference="after five seconds"))
    rig.clock.advance(20_000)
    rig.pay(make_c2b(ledger=1, reference="another", msisdn=POOR, amount_minor=1))

    assert rig.audit().violations == []
