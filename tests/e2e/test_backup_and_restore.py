"""Backups of a server that is at work, and what there is after they have been restored.

The commands are those of the page for operators.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import psycopg
import pytest

from pesalango_server.storage.bundled import find_bundled_program
from tests.e2e.load import Load, Parties, Record
from tests.e2e.merchant import Merchant, Payment, make_reference
from tests.e2e.samples import find_samples, make_sample_environment, run_sample
from tests.e2e.server import Credentials, Server, ServerEnded
from tests.store.postgres_fixture import PostgresServer

SAMPLES = {sample.name: sample for sample in find_samples("docs/running/backup-and-restore.md")}
SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
PARTIES = Parties(
    msisdns=("255744553111", "254707161122", "233508729395"),
    organisations=("ORG001", "ORG002", "000000"),
)
THREADS = 4
ANSWERS = 40


class Restored(msgspec.Struct, frozen=True):
    """What a merchant and an administrator knew when the first server was lost."""

    credentials: Credentials
    bearer: str
    before: list[Record]
    late: Payment
    late_transaction_id: str


def type_sample(name: str, folder: Path, places: Mapping[str, str]) -> None:
    environment = make_sample_environment({}, programs=[find_bundled_program("pg_dump").parent])
    run_sample(SAMPLES[name].with_places(places), folder, environment=environment)


def pay_and_back_up(server: Server, name: str, folder: Path, places: Mapping[str, str]) -> Restored:
    """Payments before, during and after a backup of a running server, which is then ended."""
    server.start()
    credentials = server.credentials
    merchant = Merchant(credentials)
    with Load(credentials, merchant.bearer, PARTIES, threads=THREADS) as load:
        load.wait_for_answers(ANSWERS)
        before = load.records
        type_sample(name, folder, places)
        load.wait_for_answers(ANSWERS)
    late = Payment(make_reference(), "255744553111", "ORG001", 7)
    answered = merchant.pay(late)
    assert answered.code == "INS-0"
    merchant.close()
    server.kill(*server.find_family())
    return Restored(credentials, merchant.bearer, before, late, answered.transaction_id)


def judge(server: Server, known: Restored) -> None:
    """The restored server knows what was before the backup, and nothing of what came after."""
    fresh = server.credentials
    credentials = msgspec.structs.replace(
        known.credentials, base_url=fresh.base_url, admin_url=fresh.admin_url
    )
    # The session of before, and one that the API key of before makes.
    old = Merchant(credentials, bearer=known.bearer)
    merchant = Merchant(credentials)
    for record in known.before:
        assert record.answer is not None
        found = old.query(record.payment.reference, organisation=record.payment.organisation)
        assert found.status == "Completed"
        by_id = old.query(record.answer.transaction_id, organisation=record.payment.organisation)
        assert by_id.transaction_id == found.transaction_id == record.answer.transaction_id
    assert old.pay(known.before[0].payment).code == "INS-10"

    # It was answered, and it is lost: sent again it is carried out, under another id.
    assert old.query(known.late.reference, organisation="ORG001").code == "INS-23"
    assert old.query(known.late_transaction_id, organisation="ORG001").code == "INS-23"
    again = old.pay(known.late)
    assert again.code == "INS-0"
    assert again.transaction_id != known.late_transaction_id

    paid = merchant.pay(Payment(make_reference(), "254707161122", "ORG002", 3))
    assert paid.code == "INS-0"
    assert merchant.query(paid.transaction_id, organisation="ORG002").status == "Completed"
    merchant.close()
    old.close()
    audit = server.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_a_backup_of_a_live_server_on_sqlite_is_restored(tmp_path: Path) -> None:
    places = {
        "/var/lib/pesalango": str(tmp_path / "data"),
        "/var/backups/pesalango": str(tmp_path / "backups"),
    }
    (tmp_path / "backups").mkdir()
    with Server(tmp_path / "data", settings=SETTINGS) as server:
        known = pay_and_back_up(server, "back up SQLite", tmp_path, places)
    type_sample("restore SQLite", tmp_path, places)
    with Server(tmp_path / "data-restored", settings=SETTINGS) as server:
        server.start()
        # The file of credentials came back with the rest.
        assert server.credentials.sandbox == known.credentials.sandbox
        judge(server, known)
        server.stop()
        # Its ledgers alone are no installation: new secrets would let every request pay twice.
        for path in server.data_dir.glob("platform.db*"):
            path.unlink()
        with pytest.raises(ServerEnded, match="does not belong to this platform database"):
            server.start()


def test_a_dump_of_a_live_server_on_postgres_is_restored(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        name = f"{connection.info.dbname}_restored"
    restored = postgres_server.build_url(name)
    places = {
        "postgresql://pesalango@db.example/pesalango_restored": restored,
        "postgresql://pesalango@db.example/pesalango": postgres_url,
        "pesalango_restored": name,
        "/var/backups/pesalango": str(tmp_path),
    }
    with Server(tmp_path / "data", database=postgres_url, settings=SETTINGS) as server:
        known = pay_and_back_up(server, "back up PostgreSQL", tmp_path, places)
    type_sample("restore PostgreSQL", tmp_path, places)
    try:
        with Server(tmp_path / "data-restored", database=restored, settings=SETTINGS) as server:
            server.start()
            judge(server, known)
    finally:
        postgres_server.drop_database(name)
