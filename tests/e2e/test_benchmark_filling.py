"""A ledger that the benchmarks fill in bulk is one that the product could have written itself."""

from collections import Counter
from pathlib import Path

from bench.filling import fill_payments
from bench.server import MSISDN_FIRST
from pesalango_server.ledger.statuses import State
from tests.e2e.books import find_violations, read_books
from tests.e2e.merchant import Admin, Merchant, Payment, make_reference
from tests.e2e.server import Server

PAYMENTS = 2_000
CUSTOMERS = 20
SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}


def test_a_filled_ledger_passes_the_audit_and_takes_payments(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    numbers = [str(MSISDN_FIRST + number) for number in range(CUSTOMERS)]
    with Server(data_dir, settings=SETTINGS) as server:
        server.start()
        Admin(server.credentials).add_customers(numbers, balance=10_000)
        server.stop()
        fill_payments(data_dir, database=None, payments=PAYMENTS, customers=CUSTOMERS)
        audit = server.audit()
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert f"{PAYMENTS} payments ({PAYMENTS} completed)" in audit.stdout
        server.start()
        merchant = Merchant(server.credentials)
        organisation = server.credentials.sandbox.service_provider_code
        with server.open_books() as ask:
            books = read_books(ask)
        assert find_violations(books) == []
        states = list(books.read_state_by_payment().values())
        assert states.count(State.COMPLETED) >= PAYMENTS
        # Their keys are those that a caller of this application would get. (The server's checks of
        # itself are in another ledger.)
        ((filled, _),) = Counter(row.ledger for row in books.payments).most_common(1)
        known = next(
            row.third_party_conversation_id for row in books.payments if row.ledger == filled
        )
        again = merchant.pay(Payment(known, numbers[0], organisation, 1))
        assert again.code == "INS-10"
        fresh = merchant.pay(Payment(make_reference(), numbers[0], organisation, 1))
        assert fresh.code == "INS-0"
        merchant.close()
