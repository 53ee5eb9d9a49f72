"""The clock of a running server is set forward and back, by small steps and by large ones."""

import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.e2e import clock_server
from tests.e2e.books import find_violations, read_books
from tests.e2e.clock_server import STEP_FILE_VARIABLE, read_step, write_step
from tests.e2e.load import Fate, Load, Parties
from tests.e2e.merchant import Merchant, Payment, make_reference
from tests.e2e.server import Credentials, Server, run_command, wait_until
from tests.e2e.trial import QUICK, find_lies

HOUR_MS = 3_600_000
SMALL_STEPS_MS = (20_000, -20_000, -40_000, 10_000)
"""What the clock is ahead by, one after the other: no step is of a minute."""

PARTIES = Parties(msisdns=QUICK, organisations=("ORG001", "000000"))


@pytest.fixture(scope="module")
def step_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("clock") / "step"
    write_step(path, 0)
    return path


def make_server(step_file: Path, command: str) -> Server:
    return Server(
        step_file.with_name("data"),
        command="up" if command == "up" else "serve",
        settings={"PESALANGO_PLATFORM_KEY_BITS": "2048", STEP_FILE_VARIABLE: str(step_file)},
        program=(sys.executable, clock_server.__file__),
    )


@pytest.fixture
def demonstration(step_file: Path) -> Iterator[Server]:
    """`up`, which asks nobody about its clock."""
    with make_server(step_file, "up") as server:
        server.start()
        yield server


@pytest.fixture
def served(step_file: Path) -> Iterator[Server]:
    """`serve` on what `up` has left, with an operator who can be asked."""
    if not step_file.with_name("data").exists():
        with make_server(step_file, "up") as first:
            first.start()
    with make_server(step_file, "serve") as server:
        server.start()
        yield server


def pay(merchant: Merchant) -> tuple[Payment, str]:
    payment = Payment(make_reference(), QUICK[0], "ORG001", 1)
    return payment, merchant.pay(payment).code


def read_troubles(server: Server) -> list[dict[str, str]]:
    lines = [line for line in server.read_log().splitlines() if line.startswith("{")]
    return [event for line in lines if (event := json.loads(line))["level"] != "info"]


def assert_books_are_in_order(server: Server) -> None:
    """Rows that follow each other, in the order of batches, do so in their ids and in time."""
    with server.open_books() as read:
        assert find_violations(read_books(read)) == []
        batches = read(
            "SELECT ledger, time_ms, first_id, last_id FROM batches ORDER BY ledger, sequence"
        )
    for one, other in itertools.pairwise(batches):
        if one[0] == other[0]:
            assert one[1] <= other[1]
            assert one[3] < other[2] or 0 in (one[3], other[2])
    audit = server.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_steps_of_the_clock_under_load_cost_nobody_a_payment_or_a_session(
    demonstration: Server, step_file: Path
) -> None:
    server = demonstration
    merchant = Merchant(server.credentials)
    with Load(server.credentials, merchant.bearer, PARTIES, threads=4) as load:
        for step_ms in SMALL_STEPS_MS:
            load.wait_for_answers(40)
            write_step(step_file, step_ms)
        load.wait_for_answers(40)
        # The larger ones are short of the life of a session, forward, and many of them back.
        for step_ms in (HOUR_MS // 2, -24 * HOUR_MS):
            write_step(step_file, step_ms)
            load.wait_for_answers(40)
    assert {record.fate for record in load.records} == {Fate.ANSWERED}
    assert {record.answer.code for record in load.records if record.answer} == {"INS-0"}
    # What is made now has a time before all that was made until here, and is live at once.
    late = Merchant(server.credentials)
    assert pay(late)[1] == "INS-0"
    late.close()
    merchant.close()
    with server.open_books() as read:
        assert find_lies(load.records, read_books(read)) == []
    assert_books_are_in_order(server)
    troubles = read_troubles(server)
    assert {trouble["event"] for trouble in troubles} == {"clock_jumped"}
    assert len(troubles) <= 3


def test_where_an_operator_can_be_asked_a_large_step_waits_for_the_word(
    served: Server, step_file: Path
) -> None:
    credentials: Credentials = msgspec.structs.replace(
        served.credentials, base_url=f"http://127.0.0.1:{served.port}"
    )
    merchant = Merchant(credentials)
    assert pay(merchant)[1] == "INS-0"
    told_before = len(read_troubles(served))

    write_step(step_file, read_step(step_file) + HOUR_MS // 2)
    refused, code = pay(merchant)
    assert code == "INS-16"
    wait_until(lambda: not served.is_ready(), timeout_s=3, what="an unready server")
    assert merchant.query(refused.reference, organisation="ORG001").code == "INS-23"
    (trouble,) = read_troubles(served)[told_before:]
    assert trouble["event"] == "database_unavailable"
    assert "the clock jumped by 1800 s" in trouble["reason"]
    assert "confirm-clock" in trouble["reason"]

    admin = re.search(r"admin API is served at (\S+)\.\n", served.read_log())
    assert admin is not None
    confirmed = run_command(
        *("health", "confirm-clock", "--url", admin[1]),
        environment={"PESALANGO_ADMIN_TOKEN": credentials.admin_token},
    )
    assert confirmed.returncode == 0, confirmed.stderr
    wait_until(served.is_ready, timeout_s=5, what="a ready server")
    assert merchant.pay(refused).code == "INS-0"
    assert merchant.pay(refused).code == "INS-10"
    merchant.close()
    assert_books_are_in_order(served)
