"""`pesalango-server audit`: what it prints, and the status that it ends with."""

import contextlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pesalango_server.applications.commands import KeepSecret
from pesalango_server.cli import make_app
from pesalango_server.cli.audit import run_audit
from pesalango_server.engine.engine import Engine
from pesalango_server.engine.environment import EnvironmentDomain
from pesalango_server.engine.platform import PlatformDomain
from pesalango_server.kernel.clock import SystemClock
from pesalango_server.payments.audit import VIOLATIONS_KEPT_MAX
from pesalango_server.storage.address import (
    DatabaseAddress,
    list_addresses,
    open_database_writer,
)
from pesalango_server.storage.bundled import BundledPostgres, find_running_url
from pesalango_server.storage.migrations import migrate
from tests.store.engine_fixture import (
    KEYS_SECRET,
    RecordingObserver,
    make_c2b,
    make_open_ledger,
    run_batch,
    run_sql,
)

Addresses = dict[str, DatabaseAddress]


def fill(addresses: Addresses) -> None:
    """An installation with one payment."""
    for address in addresses.values():
        migrate(address)
    platform, sandbox = (
        Engine(
            open_database_writer(addresses[name]),
            domain,
            SystemClock(),
            observer=RecordingObserver(),
            uses_database_clock=False,
        )
        for name, domain in (("platform", PlatformDomain()), ("sandbox", EnvironmentDomain()))
    )
    with contextlib.closing(platform.writer), contextlib.closing(sandbox.writer):
        run_batch(platform, [KeepSecret(0, "test", "duplicates", KEYS_SECRET.hex())])
        run_batch(sandbox, [make_open_ledger()])
        run_batch(sandbox, [make_c2b(reference="one")])


@pytest.fixture
def addresses(request: pytest.FixtureRequest, dialect: str, tmp_path: Path) -> Addresses:
    conninfo = request.getfixturevalue("postgres_url") if dialect == "postgres" else None
    addresses = list_addresses(data_dir=tmp_path, conninfo=conninfo)
    fill(addresses)
    return addresses


def test_good_books_are_told_in_numbers(
    addresses: Addresses, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_audit(addresses) == 0

    printed = capsys.readouterr().out
    assert "platform: 1 generations, 1 audit events" in printed
    assert "sandbox ledger 1 (world 1, vodacomTZN): 7 accounts, 1 payments (1 completed)" in printed
    assert "openapi: no ledger has been opened" in printed
    assert "The invariants 1, 2, 3, 4, 6, 7, 11, 12 hold." in printed


def test_a_violation_is_told_with_its_rows(
    addresses: Addresses, capsys: pytest.CaptureFixture[str]
) -> None:
    run_sql(addresses["sandbox"], "UPDATE accounts SET balance_minor = balance_minor + 1")

    assert run_audit(addresses) == 1
    printed = capsys.readouterr().out
    assert printed.count("VIOLATION of invariant 2 in sandbox ledger 1: a balance is not") == 7
    assert "the balances of the ledger sum to 7" in printed
    assert "8 violation(s) of the invariants" in printed


def test_keys_are_judged_by_the_installations_own_secret(
    addresses: Addresses, capsys: pytest.CaptureFixture[str]
) -> None:
    is_sqlite = addresses["platform"].dialect == "sqlite"
    another = "zeroblob(32)" if is_sqlite else "decode(repeat('00', 32), 'hex')"
    run_sql(addresses["platform"], f"UPDATE secrets SET value = {another}")

    assert run_audit(addresses) == 1
    assert "a payment has another key than its own" in capsys.readouterr().out


def test_of_very_many_violations_the_first_are_printed_and_all_counted(
    addresses: Addresses, capsys: pytest.CaptureFixture[str]
) -> None:
    run_sql(
        addresses["sandbox"],
        "INSERT INTO organisations WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
        " WHERE i < 150) SELECT 1, i, 'X' || i, '', 1, '', 0 FROM n",
    )

    assert run_audit(addresses) == 1
    printed = capsys.readouterr().out
    assert printed.count("an organisation has no wallet") == VIOLATIONS_KEPT_MAX
    assert f"... and {150 - VIOLATIONS_KEPT_MAX} more in sandbox" in printed
    assert "150 violation(s)" in printed


def run_command(*arguments: str) -> tuple[int, str, str]:
    """Exit status and what is printed, as a person sees it."""
    ended = CliRunner().invoke(make_app(["audit"]), ["audit", *arguments], catch_exceptions=False)
    return ended.exit_code, ended.stdout, ended.stderr


def test_a_data_directory_is_audited_by_its_path(tmp_path: Path) -> None:
    fill(list_addresses(data_dir=tmp_path, conninfo=None))

    status, printed, complaint = run_command("--data-dir", str(tmp_path))
    assert (status, complaint) == (0, "")
    assert printed.endswith("hold.\n")


@pytest.mark.parametrize("what", ["no directory", "no database", "no file of a database"])
def test_what_cannot_be_read_is_said_and_is_no_violation(tmp_path: Path, what: str) -> None:
    directory = tmp_path / "missing" if what == "no directory" else tmp_path
    if what == "no file of a database":
        addresses = list_addresses(data_dir=tmp_path, conninfo=None)
        fill(addresses)
        addresses["sandbox"].path.write_bytes(b"this is no database" * 1_000)

    status, printed, complaint = run_command("--data-dir", str(directory))
    assert (status, printed) == (2, "")
    assert complaint.startswith("pesalango-server: ")
    assert complaint.count("\n") == 1


def test_a_bundled_postgres_is_started_for_the_audit_where_it_stands_still(tmp_path: Path) -> None:
    place = tmp_path / "postgres"
    arguments = ("--data-dir", str(tmp_path), "--database", "postgres")
    with BundledPostgres.start(place, settings={"fsync": "off"}) as bundled:
        fill(list_addresses(data_dir=tmp_path, conninfo=bundled.url))
        beside = run_command(*arguments)
        assert bundled.is_running
    assert find_running_url(place) is None

    alone = run_command(*arguments)
    assert find_running_url(place) is None
    assert alone == beside
    assert alone[0] == 0
    assert "1 payments (1 completed)" in alone[1]
