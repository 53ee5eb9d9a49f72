"""Everybody asks at once, of two servers, much of it twice; the history checker decides.

64 connections share organisations, wallets that are nearly empty, transactions to reverse, and
ThirdPartyConversationIDs. Some of them are cut, and processes are killed. What was answered and
what the ledger holds must be explained by one serial order.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from tests.e2e.books import find_violations, read_books
from tests.e2e.concurrent_load import ConcurrentLoad, Interruption
from tests.e2e.merchant import ENVIRONMENT, MARKET, Admin, Merchant
from tests.e2e.server import Server, wait_until
from tests.history.checker import find_faults
from tests.history.reading import read_final_ledger
from tests.history.shapes import NOT_FOUND, SUCCESS, Question, Request, World
from tests.history.workload import (
    INTERESTING_CODES,
    LOCKED_CUSTOMER,
    OTHERS_ORGANISATION,
    POOR_CUSTOMER_MINOR,
    POOR_CUSTOMERS,
    POOR_ORGANISATION_MINOR,
    POOR_ORGANISATIONS,
    Workload,
    make_world,
)
from tests.store.postgres_fixture import PostgresServer

SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
REQUESTS = 6_000
CONNECTIONS = 64
FAULTS_SHOWN = 20


class Stage:
    """Servers on one database, the parties of the workload, and all that was ever asked of them."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = servers
        self.history: list[Request] = []
        self.questions: list[Question] = []
        self._credentials = servers[0].credentials
        self._admin = Admin(self._credentials)
        self._add_parties()
        first = self._find_application()
        second, api_key = self._add_application(make_world().applications[2])
        self.world: World = make_world(first=first, second=second)
        place = msgspec.structs.replace(self._credentials.sandbox, api_key=api_key)
        self._bearers: dict[int, str] = {}
        for application, credentials in (
            (first, self._credentials),
            (second, msgspec.structs.replace(self._credentials, sandbox=place)),
        ):
            merchant = Merchant(credentials)
            self._bearers[application] = merchant.bearer
            merchant.close()
        for server in servers:
            self._wait_until_known(server)

    def run(self, *, seed: int, interruptions: Sequence[Interruption] = ()) -> list[Request]:
        """Another `REQUESTS` of them; judged with all that were before."""
        load = ConcurrentLoad(
            [server.port for server in self.servers],
            self._bearers,
            Workload(self.world, seed=seed),
            connections=CONNECTIONS,
            first_number=len(self.history) + 1,
            seed=seed,
        )
        history = load.run(requests=REQUESTS, interruptions=interruptions)
        self.history += history
        first_number = len(self.questions)
        self.questions += [
            msgspec.structs.replace(question, number=first_number + question.number)
            for question in load.questions
        ]
        return history

    @contextlib.contextmanager
    def explaining_failures(self) -> Iterator[None]:
        """What the servers said last is printed beside a failure."""
        with contextlib.ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server.explaining_failures())
            yield

    def judge(self) -> None:
        """Compare the whole history with what the ledger holds."""
        with self.servers[0].open_books() as ask:
            books = read_books(ask)
        assert find_violations(books) == []
        ledger = read_final_ledger(books, customer=LOCKED_CUSTOMER)
        faults = find_faults(self.world, self.history, ledger, self.questions)
        assert not faults, "\n".join(faults[:FAULTS_SHOWN])
        # Or the queries would prove little.
        assert {SUCCESS, NOT_FOUND} <= {question.code for question in self.questions}
        assert {False, True} <= {question.is_reversed for question in self.questions}

    def _add_parties(self) -> None:
        place = {"environment": ENVIRONMENT, "market": MARKET}
        self._admin.add_customers(list(POOR_CUSTOMERS), balance=POOR_CUSTOMER_MINOR // 100)
        locked = {"msisdn": LOCKED_CUSTOMER, "first_name": "Asha", "last_name": "Mosi"}
        self._admin.call(
            "POST", "customers", {**place, "customers": [{**locked, "status": "locked"}]}
        )
        balance = str(POOR_ORGANISATION_MINOR // 100)
        organisations = [
            *({"code": code, "name": code, "balance": balance} for code in POOR_ORGANISATIONS),
            {"code": OTHERS_ORGANISATION, "name": "Others"},
        ]
        self._admin.call("POST", "organisations", {**place, "organisations": organisations})

    def _find_application(self) -> int:
        """The user's own, which is to act for the poor as well."""
        listed = self._admin.call("GET", "applications")["applications"]
        (application,) = [row for row in listed if not row["is_hidden"]]
        organisations = [*application["organisations"], *POOR_ORGANISATIONS]
        self._admin.call(
            "PATCH", f"applications/{application['id']}", {"organisations": organisations}
        )
        return int(application["id"])

    def _wait_until_known(self, server: Server) -> None:
        """Another server hears of what an application may do a moment later."""
        here = msgspec.structs.replace(
            self._credentials, base_url=f"http://127.0.0.1:{server.port}"
        )
        for application, bearer in self._bearers.items():
            merchant = Merchant(here, bearer=bearer)

            def acts_for_all(application: int = application, merchant: Merchant = merchant) -> bool:
                return all(
                    merchant.query("0" * 32, organisation=organisation).code == "INS-23"
                    for organisation in self.world.applications[application]
                )

            wait_until(acts_for_all, timeout_s=5, what=f"application {application}")
            merchant.close()

    def _add_application(self, organisations: frozenset[str]) -> tuple[int, str]:
        made = self._admin.call(
            "POST", "applications", {"name": "Second", "organisations": sorted(organisations)}
        )
        return int(made["application"]["id"]), made["api_key"]


@pytest.fixture(scope="module")
def pair(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Two servers on one PostgreSQL, each with a data directory, an engine and a worker."""
    name = postgres_server.create_database()
    url = postgres_server.build_url(name)
    place = tmp_path_factory.mktemp("concurrent-histories")
    try:
        with (
            Server(place / "first", database=url, settings=SETTINGS) as first,
            Server(place / "second", command="serve", database=url, settings=SETTINGS) as second,
        ):
            first.start()
            second.start()
            yield Stage([first, second])
    finally:
        postgres_server.drop_database(name)


def test_two_servers_at_once_act_as_one_after_the_other(pair: Stage) -> None:
    with pair.explaining_failures():
        judge_interest(pair.run(seed=1))
        pair.judge()


def test_a_worker_and_an_engine_that_are_killed_leave_a_history_in_order(pair: Stage) -> None:
    first, second = pair.servers
    with pair.explaining_failures():
        history = pair.run(
            seed=2,
            interruptions=[
                Interruption(REQUESTS // 4, lambda: first.kill(*first.find_workers())),
                Interruption(REQUESTS // 2, lambda: second.kill(second.find_engine())),
            ],
        )
        assert second.exit_status is not None
        judge_interest(history)
        pair.judge()
    audit = first.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_one_server_on_sqlite_that_is_killed_and_started_again_keeps_a_serial_order(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "data", settings=SETTINGS) as server:
        server.start()
        stage = Stage([server])
        history = stage.run(seed=3, interruptions=[Interruption(REQUESTS // 2, restart(server))])
        judge_interest(history)
        stage.judge()
        audit = server.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr


def restart(server: Server) -> Callable[[], None]:
    def kill_and_start() -> None:
        server.kill(server.find_engine())
        server.wait_until_all_gone()
        server.launch(server.port)

    return kill_and_start


def judge_interest(history: Sequence[Request]) -> None:
    """Or the history would prove little."""
    codes = Counter(request.answer.code for request in history if request.answer is not None)
    assert set(codes) >= INTERESTING_CODES, codes
    assert "INS-1" not in codes, codes
    assert any(request.answer is None and request.is_sent for request in history)
    assert any(not request.is_sent for request in history)
    overlapping = 0
    by_reference = defaultdict(list)
    for request in history:
        by_reference[request.reference].append(request)
    for requests in by_reference.values():
        requests.sort(key=lambda request: request.sent_s)
        overlapping += any(b.sent_s < a.ended_s for a, b in pairwise(requests))
    assert overlapping > len(history) / 20
