"""Ctrl-C in the middle of payments: callers are told the truth, nothing and nobody stays behind."""

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pesalango_server.ledger.statuses import State
from tests.e2e.books import find_violations, read_books
from tests.e2e.http_client import NotSent, Unanswered
from tests.e2e.load import Fate, Load, Parties
from tests.e2e.merchant import Admin, Answer, Merchant, Payment, make_reference
from tests.e2e.server import STOP_TIMEOUT_S, Server, wait_until

SILENT, SLOW = "255700000003", "255700000001"
PARTIES = Parties(
    msisdns=("255744553111", "254707161122", "233508729395"),
    organisations=("ORG001", "000000"),
)
WAITING = 8
SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    database = None if request.param == "sqlite" else request.param
    with Server(tmp_path / "data", database=database, settings=SETTINGS) as server:
        server.start()
        admin = Admin(server.credentials)
        admin.add_customers([SILENT, SLOW], balance=1_000)
        admin.script(SILENT, "never")
        admin.script(SLOW, "approve", delay_ms=600_000)
        yield server


class WaitingCall:
    """A payment whose caller waits in a thread of its own."""

    def __init__(self, server: Server, bearer: str, msisdn: str) -> None:
        self.payment = Payment(make_reference(), msisdn, "ORG001", amount=5)
        self.answer: Answer | None = None
        self._merchant = Merchant(server.credentials, bearer=bearer)
        self._thread = threading.Thread(target=self._pay, daemon=True)
        self._thread.start()

    def _pay(self) -> None:
        try:
            self.answer = self._merchant.pay(self.payment)
        except (NotSent, Unanswered):
            pass
        finally:
            self._merchant.close()

    def wait(self) -> Answer | None:
        """The answer, or None where the connection broke."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.answer


def start_waiting_calls(server: Server, bearer: str) -> list[WaitingCall]:
    """Calls whose customers are being asked, as the status query confirms."""
    calls = [
        WaitingCall(server, bearer, SILENT if number % 2 else SLOW) for number in range(WAITING)
    ]
    merchant = Merchant(server.credentials, bearer=bearer)

    def is_waiting(call: WaitingCall) -> bool:
        found = merchant.query(call.payment.reference, organisation="ORG001")
        return found.status == "Pending"

    for call in calls:
        wait_until(lambda call=call: is_waiting(call), timeout_s=10, what="a pending payment")  # type: ignore[misc]
    merchant.close()
    return calls


def test_ctrl_c_answers_those_who_wait_and_ends_within_three_seconds(server: Server) -> None:
    merchant = Merchant(server.credentials)
    paid = Payment(make_reference(), "255744553111", "ORG001", amount=7)
    assert merchant.pay(paid).code == "INS-0"
    calls = start_waiting_calls(server, merchant.bearer)
    port = server.port
    credentials = (server.data_dir / "credentials.json").read_bytes()

    seconds = server.stop()

    assert seconds < STOP_TIMEOUT_S
    assert server.exit_status == 0
    answers = [call.wait() for call in calls]
    assert [(answer.http_status, answer.code) for answer in answers if answer] == [
        (408, "INS-9")
    ] * WAITING
    server.wait_until_all_gone(timeout_s=1)
    with socket.socket() as probe:
        # As any server would ask for it; without the option, what the old one had closed counts.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    assert server.audit().returncode == 0

    server.start()

    again = Merchant(server.credentials, bearer=merchant.bearer)
    assert again.query(paid.reference, organisation="ORG001").status == "Completed"
    for call in calls:
        assert again.query(call.payment.reference, organisation="ORG001").status == "Expired"
        assert again.pay(call.payment).code == "INS-10"
    kept = (server.data_dir / "credentials.json").read_bytes()
    assert kept.replace(str(server.port).encode(), str(port).encode()) == credentials
    with server.open_books() as read:
        books = read_books(read)
    assert find_violations(books) == []
    states = books.read_state_by_reference()
    assert {states[call.payment.reference] for call in calls} == {State.EXPIRED}
    again.close()
    merchant.close()


def test_ctrl_c_under_load_leaves_no_effect_that_nobody_was_told_of(server: Server) -> None:
    merchant = Merchant(server.credentials)
    with Load(server.credentials, merchant.bearer, PARTIES, threads=12) as load:
        load.wait_for_answers(200)
        seconds = server.stop()
    merchant.close()
    assert seconds < STOP_TIMEOUT_S
    assert server.exit_status == 0
    assert {record.answer.code for record in load.records if record.answer} == {"INS-0"}

    server.start()

    with server.open_books() as read:
        books = read_books(read)
    assert find_violations(books) == []
    counts = books.count_payments_by_reference()
    for record in load.records:
        # Who found the door closed was not let in, so the same may be sent again.
        assert counts[record.payment.reference] == (record.fate is Fate.ANSWERED)


def test_sigterm_of_a_service_manager_stops_it_as_ctrl_c_does(server: Server) -> None:
    merchant = Merchant(server.credentials)
    (call, *_) = calls = start_waiting_calls(server, merchant.bearer)
    merchant.close()
    server.find_family()

    server.find_engine().send_signal(signal.SIGTERM)

    server.wait_until_all_gone(timeout_s=STOP_TIMEOUT_S)
    assert server.exit_status == 0
    assert call.wait() is not None
    assert all(
        answer is not None and answer.code == "INS-9" for answer in (c.wait() for c in calls)
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_every_process_stops_the_server_as_one_to_its_first_does(
    server: Server, number: signal.Signals
) -> None:
    """Terminals and service managers signal whole groups; workers wait to be told by the link."""
    merchant = Merchant(server.credentials)
    calls = start_waiting_calls(server, merchant.bearer)
    merchant.close()
    server.find_family()
    workers = server.find_workers()
    assert workers

    for process in (*workers, server.find_engine()):
        process.send_signal(number)

    server.wait_until_all_gone(timeout_s=STOP_TIMEOUT_S)
    assert server.exit_status == 0
    assert all(
        answer is not None and answer.code == "INS-9" for answer in (c.wait() for c in calls)
    )
    assert server.audit().returncode == 0


def test_a_second_ctrl_c_while_it_stops_changes_nothing(server: Server) -> None:
    merchant = Merchant(server.credentials)
    calls = start_waiting_calls(server, merchant.bearer)
    merchant.close()
    server.find_family()
    engine = server.find_engine()

    engine.send_signal(signal.SIGINT)
    engine.send_signal(signal.SIGINT)

    server.wait_until_all_gone(timeout_s=STOP_TIMEOUT_S)
    assert server.exit_status == 0
    assert all(
        answer is not None and answer.code == "INS-9" for answer in (c.wait() for c in calls)
    )
