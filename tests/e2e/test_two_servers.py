"""Two servers on one PostgreSQL: what one has promised the other one keeps, and nothing is doubled.

The first is `up`, which prepares everything; the second is `serve`, as an operator adds it. They
share the database and nothing else.
"""

import contextlib
import threading
from collections.abc import Iterator

import msgspec
import pytest

from pesalango_server.ledger.statuses import State
from tests.e2e.books import Books, find_violations, open_postgres_books, read_books
from tests.e2e.load import Fate, Load, Parties, Record
from tests.e2e.merchant import Admin, Answer, Merchant, Payment, make_reference
from tests.e2e.server import IN_FORCE_S, Credentials, Server, wait_until
from tests.store.postgres_fixture import PostgresServer

SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
SLOW, SILENT = "255700000001", "255700000003"
PARTIES = Parties(
    msisdns=("255744553111", "254707161122", "233508729395"),
    organisations=("ORG001", "000000"),
)


class Pair:
    """`first` and `second`, one merchant of each, with a session that was made at the first."""

    def __init__(self, first: Server, second: Server, url: str) -> None:
        self.first, self.second, self.url = first, second, url
        self._merchants: list[Merchant] = []
        self.admin = Admin(first.credentials)
        self.admin.add_customers([SLOW, SILENT], balance=10_000)
        self.admin.script(SILENT, "never")
        merchant = Merchant(first.credentials)
        self.bearer = merchant.bearer
        merchant.close()

    @property
    def credentials(self) -> tuple[Credentials, Credentials]:
        """The same secrets at either address."""
        here = self.first.credentials
        return here, msgspec.structs.replace(
            here, base_url=f"http://127.0.0.1:{self.second.port}", admin_url=""
        )

    def make_merchants(self) -> tuple[Merchant, Merchant]:
        """One at each server, both with the session of the first."""
        here, there = self.credentials
        made = Merchant(here, bearer=self.bearer), Merchant(there, bearer=self.bearer)
        self._merchants += made
        return made

    def close(self) -> None:
        for merchant in self._merchants:
            merchant.close()

    def read_books(self) -> Books:
        with open_postgres_books(self.url) as ask:
            return read_books(ask)


@pytest.fixture
def pair(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    name = postgres_server.create_database()
    url = postgres_server.build_url(name)
    place = tmp_path_factory.mktemp("two-servers")
    settings = {**SETTINGS, "PESALANGO_WAIT_SANDBOX_MS": "6000"}
    try:
        with (
            Server(place / "first", database=url, settings=settings) as first,
            Server(place / "second", command="serve", database=url, settings=settings) as second,
        ):
            first.start()
            second.start()
            with contextlib.closing(Pair(first, second, url)) as pair:
                yield pair
    finally:
        postgres_server.drop_database(name)


class WaitingCall:
    """A payment whose caller waits in a thread of its own."""

    def __init__(self, merchant: Merchant, payment: Payment) -> None:
        self._answers: list[Answer | Exception] = []
        self._thread = threading.Thread(target=self._pay, args=(merchant, payment), daemon=True)
        self._thread.start()

    def _pay(self, merchant: Merchant, payment: Payment) -> None:
        try:
            self._answers.append(merchant.pay(payment))
        except Exception as broken:  # noqa: BLE001 - what came of it is the test's to judge
            self._answers.append(broken)

    def wait(self) -> Answer | Exception:
        self._thread.join(30)
        (answer,) = self._answers
        return answer


def wait_for_status(merchant: Merchant, payment: Payment, status: str, *, timeout_s: float) -> None:
    wait_until(
        lambda: (
            merchant.query(payment.reference, organisation=payment.organisation).status == status
        ),
        timeout_s=timeout_s,
        what=f"{status} of {payment}",
    )


def test_the_same_request_at_both_servers_takes_effect_once(pair: Pair) -> None:
    here, there = pair.make_merchants()
    payments = [Payment(make_reference(), "255744553111", "ORG001", 1) for _ in range(100)]
    for payment in payments:
        call = WaitingCall(here, payment)
        elsewhere = there.pay(payment)
        answer = call.wait()
        assert isinstance(answer, Answer)
        assert sorted((answer.code, elsewhere.code)) == ["INS-0", "INS-10"]
        taken = answer if answer.code == "INS-0" else elsewhere
        for merchant in (here, there):
            found = merchant.query(payment.reference, organisation="ORG001")
            assert (found.status, found.transaction_id) == ("Completed", taken.transaction_id)
    books = pair.read_books()
    assert find_violations(books) == []
    counts = books.count_payments_by_reference()
    assert {counts[payment.reference] for payment in payments} == {1}


def test_under_load_at_both_a_server_that_is_killed_takes_nothing_with_it(pair: Pair) -> None:
    here, there = pair.credentials
    waiting = Payment(make_reference(), SILENT, "ORG001", 4)
    pair.admin.script(SLOW, "approve", delay_ms=1_500)
    approved = Payment(make_reference(), SLOW, "ORG001", 4)
    merchants = pair.make_merchants()
    calls = [WaitingCall(merchants[0], waiting), WaitingCall(pair.make_merchants()[0], approved)]
    for payment in (waiting, approved):
        wait_for_status(merchants[1], payment, "Pending", timeout_s=10)
    with (
        Load(here, pair.bearer, PARTIES, threads=6) as load_here,
        Load(there, pair.bearer, PARTIES, threads=6) as load_there,
    ):
        load_here.wait_for_answers(100)
        load_there.wait_for_answers(100)
        pair.first.kill(*pair.first.find_family())
        load_there.wait_for_answers(100)

    # The other one never broke, and asks the customers of the one that is gone to the end.
    assert {record.fate for record in load_there.records} == {Fate.ANSWERED}
    assert all(isinstance(call.wait(), Exception) for call in calls)
    wait_for_status(merchants[1], approved, "Completed", timeout_s=5)
    wait_for_status(merchants[1], waiting, "Expired", timeout_s=10)
    recorded = 2 + sum(
        judge(merchants[1], record) for record in (*load_here.records, *load_there.records)
    )
    books = pair.read_books()
    assert find_violations(books) == []
    # The self-check's is the one payment that is nobody's of these.
    assert len(books.payments) == recorded + 1
    assert pair.second.audit().returncode == 0


def judge(merchant: Merchant, record: Record) -> bool:
    """Whether the request is recorded now; one without an answer is sent again."""
    payment = record.payment
    found = merchant.query(payment.reference, organisation=payment.organisation)
    if record.answer is not None:
        assert record.answer.code in {"INS-0", "INS-16"}
        assert (found.status == "Completed") == (record.answer.code == "INS-0")
        return record.answer.code == "INS-0"
    if record.fate is Fate.NOT_SENT:
        assert found.code == "INS-23"
        return False
    again = merchant.pay(payment)
    assert again.code == ("INS-10" if found.code == "INS-0" else "INS-0")
    return True


def test_a_server_that_hangs_is_stood_in_for_and_answers_what_stands(pair: Pair) -> None:
    here, there = pair.make_merchants()
    pair.admin.script(SLOW, "approve", delay_ms=1_000)
    payment = Payment(make_reference(), SLOW, "ORG001", 9)
    call = WaitingCall(here, payment)
    wait_for_status(there, payment, "Pending", timeout_s=10)
    engine = pair.first.find_engine()

    engine.suspend()
    try:
        wait_for_status(there, payment, "Completed", timeout_s=5)
    finally:
        engine.resume()

    answer = call.wait()
    assert isinstance(answer, Answer)
    assert answer.code == "INS-0"
    found = there.query(payment.reference, organisation="ORG001")
    assert answer.transaction_id == found.transaction_id
    books = pair.read_books()
    assert find_violations(books) == []
    assert books.read_state_by_reference()[payment.reference] == State.COMPLETED


def test_a_graceful_stop_leaves_the_payments_of_the_other_server_alone(pair: Pair) -> None:
    here, there = pair.make_merchants()
    own = Payment(make_reference(), SILENT, "ORG001", 2)
    other = Payment(make_reference(), SILENT, "ORG001", 2)
    own_call, other_call = WaitingCall(here, own), WaitingCall(pair.make_merchants()[1], other)
    for payment in (own, other):
        wait_for_status(there, payment, "Pending", timeout_s=10)

    assert pair.first.stop() < 3

    answer = own_call.wait()
    assert isinstance(answer, Answer)
    assert answer.code == "INS-9"
    assert there.query(own.reference, organisation="ORG001").status == "Expired"
    assert there.query(other.reference, organisation="ORG001").status == "Pending"
    last = other_call.wait()
    assert isinstance(last, Answer)
    assert last.code == "INS-9"
    assert there.query(other.reference, organisation="ORG001").status == "Expired"


def test_what_an_administrator_changes_at_one_server_holds_at_the_other_within_a_second(
    pair: Pair,
) -> None:
    _, there = pair.make_merchants()
    listed = pair.admin.call("GET", "applications")["applications"]
    (application,) = [row for row in listed if not row["is_hidden"]]
    assert there.query("0" * 32, organisation="ORG001").code == "INS-23"

    pair.admin.call("PATCH", f"applications/{application['id']}", {"products": []})

    payment = Payment(make_reference(), "255744553111", "ORG001", 1)
    wait_until(lambda: there.pay(payment).code == "INS-997", timeout_s=IN_FORCE_S, what="INS-997")
