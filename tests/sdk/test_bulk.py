"""`pesalango bulk` against a real gateway: each row once, whatever happens to whoever runs it."""

import asyncio
import csv
import json
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from pesalango import MARKETS
from pesalango.cli.exits import Fault
from pesalango.cli.payout_run import BoundedClient, PayoutRun
from pesalango.cli.payouts_file import Row, read_payouts
from pesalango.cli.report import Outcome
from tests.e2e.books import find_violations, read_books
from tests.e2e.server import Server, wait_until
from tests.sdk.client_command import TIMEOUT_S, Command, count_movements, find_other_files
from tests.sdk.cutting_proxy import CuttingProxy
from tests.sdk.scripted_gateway import ScriptedGateway, answer

CUSTOMER = "000000000001"
POOR = "000000000006"
UNAVAILABLE = "000000000007"
HEADER = "key,amount,customer_msisdn,transaction_reference,payment_items_description"
ROWS = 400
"""So many that a test is quicker than they are."""

_first_amounts = count(1_001, 2 * ROWS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("gateway") / "var"
    with Server(data_dir, settings={"PESALANGO_PLATFORM_KEY_BITS": "2048"}) as server:
        server.start()
        yield server


@pytest.fixture
def cli(server: Server, tmp_path: Path) -> Command:
    return Command(tmp_path / "user", server)


class Payouts:
    """A file whose amounts are no other test's and no other row's: so the ledger knows its rows."""

    def __init__(self, folder: Path, customers: Sequence[str]) -> None:
        self.path = folder / "payouts.csv"
        self.report_path = folder / "payouts.report.csv"
        first = next(_first_amounts)
        self.minor_by_key = {f"row-{number}": first + number for number in range(len(customers))}
        self.write(
            f"{key},{minor / 100:.2f},{customer},May,Salary"
            for (key, minor), customer in zip(self.minor_by_key.items(), customers, strict=True)
        )

    def write(self, lines: Iterable[str], *, header: str = HEADER) -> None:
        self.path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8-sig")

    def read_report(self) -> dict[str, dict[str, str]]:
        """By key, in the order of the lines."""
        with self.report_path.open(encoding="utf-8", newline="") as file:
            return {line["key"]: line for line in csv.DictReader(file)}

    def list_states(self) -> list[str]:
        return [line["state"] for line in self.read_report().values()]

    def list_paid(self, server: Server) -> list[str]:
        """Keys of the rows whose money moved, by the ledger; one that moved twice is there twice."""
        moved = count_movements(server)
        return [key for key, minor in self.minor_by_key.items() for _ in range(moved[minor])]

    def check_each_is_paid_once(self, server: Server) -> None:
        assert self.list_paid(server) == list(self.minor_by_key)
        with server.open_books() as ask:
            assert find_violations(read_books(ask)) == []

    def wait_until_some_are_paid(self, server: Server) -> None:
        wait_until(
            lambda: len(self.list_paid(server)) >= 3, timeout_s=TIMEOUT_S, what="the first payout"
        )


def make_payouts(cli: Command, rows: int = ROWS) -> Payouts:
    return Payouts(cli.folder, [CUSTOMER] * rows)


# --- checked as a whole --------------------------------------------------------------------------


def test_every_fault_is_told_by_line_and_column_before_anything_is_paid(
    cli: Command, server: Server
) -> None:
    payouts = make_payouts(cli, rows=1)
    payouts.write(
        [
            f"good,10.00,{CUSTOMER},May,Salary,",
            f"a,0,{CUSTOMER},May,Salary,",
            f"b,1.005,{CUSTOMER},May,Salary,",
            f"c,1e3,{CUSTOMER},May,Salary,",
            "d,5,+255700000001,May,Salary,",
            f'"e\n",5,{CUSTOMER},May,Salary,',
            f'f,5,{CUSTOMER},"May, June",Salary,AB',
            f",5,{CUSTOMER},May,,",
            "",
            f"good,5,{CUSTOMER},May,Salary,",
            f"g,5,{CUSTOMER},May,Salary",
        ],
        header=f"{HEADER},service_provider_code",
    )

    error = cli.read("bulk", "payouts.csv", status=2)["error"]

    assert [(fault["line"], fault["column"]) for fault in error["faults"]] == [
        (3, "amount"),
        (4, "amount"),
        (5, "amount"),
        (6, "customer_msisdn"),
        (7, "key"),
        (9, "transaction_reference"),
        (9, "service_provider_code"),
        (10, "key"),
        (10, "payment_items_description"),
        (12, "key"),
        (13, ""),
    ]
    assert error["fault_count"] == 11
    assert error["faults"][-2]["text"] == "is the key of line 2 too"
    assert count_movements(server)[1000] == 0
    assert not payouts.report_path.exists()


def test_faults_are_shown_up_to_a_hundred_and_counted_beyond(cli: Command) -> None:
    payouts = make_payouts(cli, rows=1)
    payouts.write(f"key-{number},no,{CUSTOMER},May,Salary" for number in range(120))

    ended = cli.run("bulk", "payouts.csv", "--check")

    lines = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert lines[0] == "pesalango: payouts.csv has 120 faults; nothing was sent"
    assert lines[1].startswith("  line 2, amount: is no amount")
    assert lines[-1] == "  and 20 more"
    assert len(lines) == 102


def test_a_header_that_is_not_one_is_refused(tmp_path: Path) -> None:
    payouts = Payouts(tmp_path, [CUSTOMER])

    def read_faults(header: str) -> list[Fault]:
        payouts.write([], header=header)
        return read_payouts(payouts.path, MARKETS["vodacomTZN"], "SHOP27").faults.shown

    assert read_faults(HEADER.replace(",", ";")) == [
        Fault(1, "", "its columns must be parted by commas")
    ]
    assert read_faults(HEADER.replace("amount", "Amount")) == [
        Fault(1, "Amount", "is no column; amount is one"),
        Fault(1, "amount", "the header lacks this column"),
    ]
    assert read_faults(HEADER) == [Fault(1, "", "no payout follows the header")]


def test_a_check_pays_nothing_and_knows_the_keys_of_the_journal(
    cli: Command, server: Server
) -> None:
    payouts = make_payouts(cli, rows=2)

    checked = cli.read("bulk", "payouts.csv", "--check")

    assert (checked["rows"], checked["already_paid"]) == (2, 0)
    assert checked["amount"] == f"{sum(payouts.minor_by_key.values()) / 100:.2f}"
    assert payouts.list_paid(server) == []
    assert not payouts.report_path.exists()
    assert not (cli.folder / "data").exists()

    cli.read("bulk", "payouts.csv")
    assert cli.read("bulk", "payouts.csv", "--check")["already_paid"] == 2
    payouts.path.write_text(payouts.path.read_text().replace("Salary", "Wages", 1))
    (fault,) = cli.read("bulk", "payouts.csv", status=2)["error"]["faults"]
    assert (fault["line"], fault["column"]) == (2, "key")
    assert fault["text"].startswith(
        "belongs to another payment in the journal, which differs in payment_items_description"
    )


# --- paid ----------------------------------------------------------------------------------------


def test_rows_are_paid_or_refused_once_and_the_report_is_its_owners(
    cli: Command, server: Server
) -> None:
    payouts = Payouts(cli.folder, [CUSTOMER, POOR, CUSTOMER])

    summary = cli.read("bulk", "payouts.csv", status=1)
    report = payouts.read_report()
    ended = cli.run("bulk", "payouts.csv")

    assert payouts.list_states() == ["completed", "refused", "completed"]
    assert (summary["completed"], summary["refused"], summary["open"]) == (2, 1, 0)
    assert payouts.list_paid(server) == ["row-0", "row-2"]
    assert report["row-1"]["code"] == "INS-2006"
    paid = cli.read("status", report["row-2"]["third_party_conversation_id"])
    assert paid["original_transaction_id"] == report["row-2"]["transaction_id"]
    assert stat.S_IMODE(payouts.report_path.stat().st_mode) == 0o600
    assert find_other_files(cli.folder) == set()
    assert ended.returncode == 1
    assert "2 already paid" in ended.stderr
    assert payouts.read_report() == report
    assert payouts.list_paid(server) == ["row-0", "row-2"]


def test_a_row_for_which_the_gateway_has_no_room_is_left_for_the_next_run(
    cli: Command, server: Server
) -> None:
    payouts = Payouts(cli.folder, [UNAVAILABLE, CUSTOMER])

    summary = cli.read("bulk", "payouts.csv", "--within", "1", status=1)

    assert payouts.list_states() == ["unpaid", "completed"]
    assert summary["unpaid"] == 1
    assert payouts.read_report()["row-0"]["code"] == "INS-16"
    assert payouts.list_paid(server) == ["row-1"]


def test_a_report_that_cannot_be_written_is_found_before_the_first_payment(
    cli: Command, server: Server
) -> None:
    payouts = make_payouts(cli, rows=1)

    over_itself = cli.fail("bulk", "payouts.csv", "--report", "payouts.csv", status=2)
    nowhere = cli.fail("bulk", "payouts.csv", "--report", "no/where.csv", status=2)

    assert "take the place of the payouts" in over_itself
    assert "cannot be written" in nowhere
    assert payouts.list_paid(server) == []


# --- interrupted ---------------------------------------------------------------------------------


def test_ctrl_c_finishes_what_is_being_sent_and_the_next_run_pays_the_rest(
    cli: Command, server: Server
) -> None:
    payouts = make_payouts(cli)

    with cli.start("bulk", "payouts.csv", "--json", "--concurrency", "2") as running:
        payouts.wait_until_some_are_paid(server)
        running.press_ctrl_c()
        ended = running.end()

    summary = json.loads(ended.stdout)
    assert (ended.returncode, summary["open"]) == (1, 0)
    assert f"{summary['unpaid']} rows are left" in ended.stderr
    paid = payouts.list_paid(server)
    assert len(paid) == summary["completed"] == ROWS - summary["unpaid"] < ROWS
    report = payouts.read_report()
    assert [key for key, line in report.items() if line["state"] == "completed"] == paid
    again = cli.read("bulk", "payouts.csv")
    assert (again["completed"], again["already_paid"]) == (ROWS, len(paid))
    payouts.check_each_is_paid_once(server)


def test_a_second_ctrl_c_stops_at_once_and_leaves_open_what_was_sent(
    cli: Command, server: Server
) -> None:
    payouts = make_payouts(cli)
    # Answers come after minutes, so that what is being sent could go on for long.
    slow = {"delay": 1.0, "delay_ms_max": 3_600_000, "query_factor": 0.0}

    with CuttingProxy(server.port, seed=1, drop=0, cut=0, cut_half=0, keep=0, **slow) as proxy:
        proxy.let_everything_through()
        with cli.start(
            *("bulk", "payouts.csv", "--json", "--concurrency", "2"), "--base-url", proxy.base_url
        ) as running:
            payouts.wait_until_some_are_paid(server)
            proxy.cut_again()
            wait_until(
                lambda: proxy.read_counts()["delayed"] == 2, timeout_s=TIMEOUT_S, what="two answers"
            )
            running.read_line()
            running.press_ctrl_c()
            assert "once more stops at once" in running.read_line()
            running.press_ctrl_c()
            ended = running.end()

    summary = json.loads(ended.stdout)
    assert (ended.returncode, summary["open"] >= 2) == (3, True)
    assert payouts.list_states().count("open") == summary["open"]
    assert cli.read("bulk", "payouts.csv")["completed"] == ROWS
    payouts.check_each_is_paid_once(server)


def test_after_a_kill_in_the_middle_no_row_is_paid_twice_and_none_is_lost(
    cli: Command, server: Server
) -> None:
    payouts = make_payouts(cli)

    with cli.start("bulk", "payouts.csv") as running:
        payouts.wait_until_some_are_paid(server)
        running.kill()
        assert running.end().returncode == -9
    assert len(payouts.list_paid(server)) < ROWS
    summary = cli.read("bulk", "payouts.csv")

    assert summary["completed"] == ROWS
    assert payouts.list_states() == ["completed"] * ROWS
    payouts.check_each_is_paid_once(server)


def test_without_a_gateway_the_run_stops_and_goes_on_when_it_is_back(
    cli: Command, server: Server
) -> None:
    payouts = make_payouts(cli)

    with cli.start(
        *("bulk", "payouts.csv", "--json", "--concurrency", "2", "--within", "2")
    ) as running:
        payouts.wait_until_some_are_paid(server)
        server.stop()
        ended = running.end()
    away = cli.run("bulk", "payouts.csv")
    server.launch(server.port)
    server.wait_until_ready()

    assert ended.returncode in {1, 3}
    assert "the request was not sent" in json.loads(ended.stdout)["stopped_by"]
    assert "stopped, for none of the rest would have fared better" in ended.stderr
    assert (away.returncode, away.stdout) == (1, "")
    assert "the request was not sent" in away.stderr
    assert cli.read("bulk", "payouts.csv")["completed"] == ROWS
    payouts.check_each_is_paid_once(server)
    assert server.audit().returncode == 0


def test_a_row_of_which_nothing_is_recorded_is_unpaid_and_not_refused(tmp_path: Path) -> None:
    row = Row(
        line=2,
        key="wage-1",
        amount="1",
        customer_msisdn="254707161122",
        transaction_reference="May1",
        payment_items_description="Wage",
        service_provider_code="ORG001",
    )

    async def pay() -> Outcome | None:
        async with BoundedClient(
            base_url=gateway.base_url,
            api_key=gateway.api_key,
            public_key=gateway.public_key,
            market="vodafoneGHA",
            journal=tmp_path / "journal.db",
            requests_max=1,
        ) as client:
            run = PayoutRun(client, [row], [None], concurrency=1, within_s=20.0)
            await run.pay()
            return run.outcomes[0]

    with ScriptedGateway() as gateway:
        gateway.script("b2cPayment/", answer("INS-996"), answer())
        unpaid, paid = asyncio.run(pay()), asyncio.run(pay())

    assert unpaid is not None
    assert (unpaid.state, unpaid.code) == ("unpaid", "INS-996")
    assert paid is not None
    assert paid.state == "completed"
