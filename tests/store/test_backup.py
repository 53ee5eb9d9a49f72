"""Copies of a data directory that is in use, and databases that do not belong together."""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from pesalango_server.applications.commands import AddWorld, KeepSecret
from pesalango_server.cli import make_app
from pesalango_server.engine.engine import Engine
from pesalango_server.engine.environment import EnvironmentDomain
from pesalango_server.engine.platform import PlatformDomain
from pesalango_server.main.agreement import require_one_installation
from pesalango_server.main.backup import back_up
from pesalango_server.main.failures import ServerFailed
from pesalango_server.settings import Settings
from pesalango_server.storage.address import (
    DATABASES,
    DatabaseAddress,
    list_addresses,
    open_database_writer,
)
from pesalango_server.storage.database import StorageError
from pesalango_server.storage.migrations import migrate
from tests.store.engine_fixture import (
    KEYS_SECRET,
    RecordingObserver,
    make_c2b,
    make_open_ledger,
    run_batch,
    run_sql,
)
from tests.unit.manual_clock import ManualClock


class Installation:
    """Three databases, and the engines that work on two of them."""

    def __init__(self, addresses: dict[str, DatabaseAddress]) -> None:
        self.addresses = addresses
        for address in addresses.values():
            migrate(address)
        self.platform, self.sandbox = (
            Engine(
                open_database_writer(addresses[name]),
                domain,
                ManualClock(),
                observer=RecordingObserver(),
                uses_database_clock=False,
            )
            for name, domain in (("platform", PlatformDomain()), ("sandbox", EnvironmentDomain()))
        )

    def keep_secret(self, secret: bytes = KEYS_SECRET) -> None:
        run_batch(self.platform, [KeepSecret(0, "test", "duplicates", secret.hex())])

    def pay(self, reference: str) -> None:
        run_batch(self.sandbox, [make_c2b(reference=reference)])

    def close(self) -> None:
        self.platform.writer.close()
        self.sandbox.writer.close()


@contextlib.contextmanager
def open_installation(addresses: dict[str, DatabaseAddress]) -> Iterator[Installation]:
    installation = Installation(addresses)
    try:
        yield installation
    finally:
        installation.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def installation(data_dir: Path) -> Iterator[Installation]:
    """With one payment, and open while the test runs, as a server has it."""
    with open_installation(list_addresses(data_dir=data_dir, conninfo=None)) as installation:
        installation.keep_secret()
        run_batch(installation.sandbox, [make_open_ledger()])
        installation.pay("one")
        yield installation


def back_up_quietly(data_dir: Path, target: Path) -> list[str]:
    """What it says, line by line."""
    said: list[str] = []
    back_up(Settings(data_dir=str(data_dir)), target, said.append)
    return said


# --- copies --------------------------------------------------------------------------------------


def test_a_backup_has_all_that_was_committed_and_nothing_beside_its_databases(
    installation: Installation, data_dir: Path, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    said = back_up_quietly(data_dir, target)

    assert [line.partition(":")[0] for line in said] == ["sandbox", "openapi", "platform"]
    # The log of writes is in the copies: nothing has to lie beside them.
    assert {path.name for path in target.iterdir()} == {f"{name}.db" for name in DATABASES}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()} == {0o600}
    copies = list_addresses(data_dir=target, conninfo=None)
    ((reference,),) = run_sql(copies["sandbox"], "SELECT third_party_conversation_id FROM payments")
    assert reference == "one"
    require_one_installation(copies)
    installation.pay("two")


def test_what_a_ledger_refers_to_is_in_the_platforms_copy(
    installation: Installation, data_dir: Path, tmp_path: Path
) -> None:
    # While the ledgers are copied, somebody makes a world and pays in it: the platform first.
    def work(line: str) -> None:
        name = line.partition(":")[0]
        if name != "platform":
            run_batch(installation.platform, [AddWorld(0, "ann", "sandbox", name, False)])
            installation.pay(name)

    back_up(Settings(data_dir=str(data_dir)), tmp_path / "backup", work)

    copies = list_addresses(data_dir=tmp_path / "backup", conninfo=None)
    assert run_sql(copies["sandbox"], "SELECT count(*) FROM payments") == [(1,)]
    worlds = {name for (name,) in run_sql(copies["platform"], "SELECT name FROM worlds")}
    assert worlds == {"sandbox", "openapi"}


@pytest.mark.usefixtures("installation")
def test_the_credentials_of_up_are_backed_up_with_the_rest(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "credentials.json").write_text("{}")
    (data_dir / "lock").write_text("1\n")
    back_up_quietly(data_dir, tmp_path / "backup")

    copy = tmp_path / "backup" / "credentials.json"
    assert copy.read_text() == "{}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not (tmp_path / "backup" / "lock").exists()


def damage(path: Path) -> None:
    """Overwrite what is in the middle of an index, so that rows and index disagree."""
    connection = apsw.Connection(str(path))
    ((page, size),) = connection.execute(
        "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'duplicate_keys'"
    ).fetchall()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close(True)
    with path.open("r+b") as file:
        file.seek(int(str(page)) * int(str(size)) - 40)
        file.write(os.urandom(40))


def test_a_damaged_database_is_told_and_leaves_no_backup(
    installation: Installation, data_dir: Path, tmp_path: Path
) -> None:
    installation.close()
    damage(data_dir / "sandbox.db")

    with pytest.raises(StorageError, match="damaged"):
        back_up_quietly(data_dir, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == [data_dir]


def test_a_database_that_is_none_is_told_and_leaves_no_backup(
    installation: Installation, data_dir: Path, tmp_path: Path
) -> None:
    installation.close()
    (data_dir / "platform.db").write_bytes(b"this is no database" * 1_000)
    with pytest.raises(StorageError, match=r"platform\.db"):
        back_up_quietly(data_dir, tmp_path / "backup")
    (data_dir / "platform.db").unlink()
    with pytest.raises(StorageError, match="there is no database"):
        back_up_quietly(data_dir, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == [data_dir]


def run_command(*arguments: str) -> tuple[int, str]:
    """Exit status, and what the exception says that ended it."""
    ended = CliRunner().invoke(make_app(["backup"]), ["backup", *arguments])
    return ended.exit_code, f"{ended.exception}"


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("something is there", "holds something already"),
        ("a file is there", "is no directory"),
        ("no parent", "there is no directory"),
        ("no data", "there is no data directory"),
    ],
)
def test_a_backup_that_cannot_be_made_says_why_and_changes_nothing(
    data_dir: Path, tmp_path: Path, change: str, complaint: str
) -> None:
    target = tmp_path / "backup"
    if change == "something is there":
        target.mkdir()
        (target / "platform.db").write_text("an older backup")
    elif change == "a file is there":
        target.write_text("a note")
    elif change == "no parent":
        target = tmp_path / "not mounted" / "backup"
    else:
        data_dir = tmp_path / "nowhere"
    before = sorted(tmp_path.rglob("*"))

    status, said = run_command("--data-dir", str(data_dir), "--to", str(target))
    assert status == 1
    assert complaint in said
    assert sorted(tmp_path.rglob("*")) == before


def test_where_the_data_is_in_postgres_its_own_tools_are_named(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PESALANGO_DATABASE", "postgresql://somebody@db.example/pesalango")
    status, said = run_command("--data-dir", str(data_dir), "--to", str(tmp_path / "backup"))
    assert status == 1
    assert "pg_dump" in said


# --- databases that belong together --------------------------------------------------------------


@pytest.fixture
def each_installation(
    request: pytest.FixtureRequest, dialect: str, data_dir: Path
) -> Iterator[Installation]:
    conninfo = request.getfixturevalue("postgres_url") if dialect == "postgres" else None
    with open_installation(list_addresses(data_dir=data_dir, conninfo=conninfo)) as installation:
        yield installation


def test_an_installation_before_and_after_its_first_payment_belongs_together(
    each_installation: Installation,
) -> None:
    require_one_installation(each_installation.addresses)
    each_installation.keep_secret()
    require_one_installation(each_installation.addresses)
    run_batch(each_installation.sandbox, [make_open_ledger()])
    require_one_installation(each_installation.addresses)
    each_installation.pay("one")
    require_one_installation(each_installation.addresses)


def test_ledgers_under_a_platform_without_secrets_are_refused(
    each_installation: Installation,
) -> None:
    run_batch(each_installation.sandbox, [make_open_ledger()])
    with pytest.raises(ServerFailed, match="sandbox database does not belong"):
        require_one_installation(each_installation.addresses)


def test_ledgers_under_another_platforms_secrets_are_refused(
    each_installation: Installation,
) -> None:
    run_batch(each_installation.sandbox, [make_open_ledger()])
    each_installation.pay("one")
    each_installation.keep_secret(b"of another installation".ljust(32))
    with pytest.raises(ServerFailed, match="put the databases of one backup together"):
        require_one_installation(each_installation.addresses)


def test_a_lost_platform_is_not_made_anew_under_ledgers_that_are_there(
    installation: Installation, data_dir: Path, tmp_path: Path
) -> None:
    installation.close()
    shutil.copytree(data_dir, tmp_path / "copy")
    (tmp_path / "copy" / "platform.db").unlink()
    with open_installation(list_addresses(data_dir=tmp_path / "copy", conninfo=None)) as left:
        with pytest.raises(ServerFailed, match="does not belong"):
            require_one_installation(left.addresses)
        # As a first start would have made them.
        left.keep_secret(b"a fresh secret".ljust(32))
        with pytest.raises(ServerFailed, match="does not belong"):
            require_one_installation(left.addresses)
