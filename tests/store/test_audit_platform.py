"""The audit of the platform's database: its trail of changes, and what refers to what."""

from collections.abc import Iterator
from dataclasses import dataclass

import apsw
import psycopg
import pytest

from pesalango_server.applications.audit import audit_platform
from pesalango_server.applications.commands import AddApplication, AddWorld, RotateApiKey
from pesalango_server.engine.engine import Engine
from pesalango_server.engine.platform import PlatformDomain
from pesalango_server.storage.address import DatabaseAddress, open_database_writer
from pesalango_server.storage.snapshot import open_snapshot_reader
from tests.store.engine_fixture import RecordingObserver, make_tokens, open_copy, run_batch, run_sql
from tests.unit.manual_clock import ManualClock


@dataclass
class Platform:
    """A platform with a world and an application, made in three batches of four events."""

    address: DatabaseAddress

    def find(self) -> list[str]:
        with open_snapshot_reader(self.address) as reader:
            return [violation.what for violation in audit_platform(reader).violations]

    def plant(self, *statements: str) -> None:
        """Change rows as nobody may, past the guards, which are all there afterwards."""
        address = self.address
        if address.dialect == "sqlite":
            guards = run_sql(address, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
            for name, _ in guards:
                run_sql(address, f"DROP TRIGGER {name}")
            for statement in (*statements, *(guard for _, guard in guards)):
                run_sql(address, statement)
            return
        for statement in statements:
            run_sql(address, f"SET session_replication_role = replica; {statement}")


@pytest.fixture
def platform(request: pytest.FixtureRequest, dialect: str) -> Iterator[Platform]:
    with open_copy(request, dialect, "platform") as address:
        clock = ManualClock()
        engine = Engine(
            open_database_writer(address),
            PlatformDomain(),
            clock,
            observer=RecordingObserver(),
            uses_database_clock=False,
            make_token=make_tokens(),
        )
        application = AddApplication(
            0, "test", "shop", False, ("c2b",), ("*",), (), (), (), 3_600, 0, (), "ab" * 32
        )
        run_batch(engine, [AddWorld(0, "test", "sandbox", "user"), application])
        clock.advance(1_000)
        run_batch(engine, [RotateApiKey(0, "test", 2, "cd" * 32, 0)])
        run_batch(engine, [AddWorld(0, "test", "sandbox", "user")])
        engine.writer.close()
        yield Platform(address)


def test_a_good_platform_passes_and_is_counted(platform: Platform) -> None:
    with open_snapshot_reader(platform.address) as reader:
        audit = audit_platform(reader)

    assert audit.violations == []
    # The repetition changed nothing, which is an event too.
    assert (audit.generations, audit.events) == (3, 4)


ENDS = "the events do not end where the platform stands"

BROKEN: dict[str, tuple[str, set[str]]] = {
    "a generation is gone": (
        "DELETE FROM audit_events WHERE generation = 2",
        {"the generations have a gap"},
    ),
    "the last generation is gone": ("DELETE FROM audit_events WHERE generation = 3", {ENDS}),
    "one generation is made of two batches": (
        (
            "UPDATE audit_events SET token = (SELECT e.token FROM audit_events AS e"
            " WHERE e.generation = 3) WHERE id = 3"
        ),
        {"a generation is not that of one batch"},
    ),
    "two generations are made of one batch": (
        (
            "UPDATE audit_events SET token = (SELECT min(e.token) FROM audit_events AS e"
            " WHERE e.generation = 1) WHERE generation = 2"
        ),
        {"a generation is not that of one batch"},
    ),
    "time goes back": (
        "UPDATE audit_events SET time_ms = time_ms + 5000 WHERE generation = 1",
        {"an event is earlier than the one before it"},
    ),
    "the state is not that of the last batch": (
        "UPDATE platform_state SET generation = 9",
        {ENDS},
    ),
    "a world is gone": (
        "INSERT INTO application_environments VALUES (2, 'openapi', 1, 1)",
        {"an application has a place in no world"},
    ),
    "an application is gone": (
        "DELETE FROM applications WHERE id = 2",
        {"an API key belongs to no application"},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_platform_is_found(platform: Platform, name: str) -> None:
    statement, found = BROKEN[name]
    platform.plant(statement)

    assert set(platform.find()) == found


@pytest.mark.parametrize("event", ["UPDATE", "DELETE", "TRUNCATE"])
def test_a_missing_guard_of_the_trail_is_found(platform: Platform, event: str) -> None:
    if platform.address.dialect == "sqlite":
        name = "updated" if event == "UPDATE" else "deleted"
        statement = f"DROP TRIGGER audit_events_are_never_{name}"
    else:
        name = "never_emptied" if event == "TRUNCATE" else "append_only"
        statement = f"ALTER TABLE audit_events DISABLE TRIGGER audit_events_are_{name}"
    run_sql(platform.address, statement)

    assert f"nothing guards audit_events against {event}" in platform.find()


@pytest.mark.parametrize(
    "change", ["UPDATE audit_events SET actor = ''", "DELETE FROM audit_events"]
)
def test_the_database_refuses_to_change_the_trail(platform: Platform, change: str) -> None:
    with pytest.raises((apsw.ConstraintError, psycopg.Error), match="append-only"):
        run_sql(platform.address, change)
