"""The same commands, clock and tokens give the same outcomes, rows and digests on both databases."""

from typing import Any

import pytest

from pesalango_server.kernel.message import AnyOutcome, Command, Fault, PaymentOutcome, Refused
from pesalango_server.ledger.statuses import State, Status
from tests.store.command_stream import CommandStream
from tests.store.engine_fixture import Rig, open_copy, open_rig

Batch = tuple[int, list[Command], list[AnyOutcome]]
"""Milliseconds before it, its commands, what became of them."""

DAY_MS = 86_400_000


def record(rig: Rig, stream: CommandStream, batches: int) -> list[Batch]:
    """Run what the stream draws, and let nobody wait for ever."""
    recorded: list[Batch] = []
    for number in range(batches + 1):
        pause_ms = DAY_MS + 1 if number == batches // 2 else stream.draw_pause_ms()
        rig.clock.advance(pause_ms)
        commands = stream.draw(commands_max=12) if number < batches else rig.list_expiries()
        outcomes = rig.run(*commands)
        stream.note(commands, outcomes)
        recorded.append((pause_ms, commands, outcomes))
    return recorded


def replay(rig: Rig, recorded: list[Batch]) -> list[list[AnyOutcome]]:
    """Run the same commands at the same times; what becomes of them."""
    outcomes = []
    for pause_ms, commands, _ in recorded:
        rig.clock.advance(pause_ms)
        outcomes.append(rig.run(*commands))
    return outcomes


def list_tables(rig: Rig) -> list[str]:
    """On SQLite with the view of the keys in the place of the tables that hold them."""
    rows = rig.sql(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
        " AND name NOT IN ('schema_migrations', 'duplicate_keys', 'duplicate_segments',"
        " 'duplicate_filters')"
        if rig.dialect == "sqlite"
        else f"SELECT tablename::text FROM pg_tables WHERE schemaname = '{rig.address.schema}'"
        " AND tablename <> 'schema_migrations'"
    )
    return sorted(str(table) for (table,) in rows)


def read_rows(rig: Rig, table: str) -> list[tuple[Any, ...]]:
    return sorted(rig.sql(f"SELECT * FROM {table}"))


@pytest.mark.parametrize("seed", range(3))
def test_both_databases_come_to_the_same_books(request: pytest.FixtureRequest, seed: int) -> None:
    with (
        open_copy(request, "sqlite", "sandbox") as sqlite_address,
        open_copy(request, "postgres", "sandbox") as postgres_address,
        open_rig(sqlite_address) as on_sqlite,
        open_rig(postgres_address) as on_postgres,
    ):
        for rig in (on_sqlite, on_postgres):
            assert [rig.open_ledger(world) for world in (1, 2, 3)] == [1, 2, 3]
        recorded = record(on_sqlite, CommandStream(seed, ledgers=3), batches=300)
        outcomes = [outcomes for _, _, outcomes in recorded]

        assert replay(on_postgres, recorded) == outcomes
        assert on_postgres.observer.troubles == on_sqlite.observer.troubles == []
        tables = list_tables(on_sqlite)
        assert list_tables(on_postgres) == tables
        for table in tables:
            assert read_rows(on_postgres, table) == read_rows(on_sqlite, table), table
        ends = [
            rig.sql("SELECT ledger, sequence, digest FROM ledger_state ORDER BY ledger")
            for rig in (on_sqlite, on_postgres)
        ]
        assert ends[0] == ends[1]
        assert len({digest for _, _, digest in ends[0]}) == len(ends[0]) >= 4


def test_the_stream_comes_to_every_end(sqlite_rig: Rig) -> None:
    """Were a kind of command never drawn, or always refused, the test above would show less."""
    for world in (2, 3):
        sqlite_rig.open_ledger(world)
    commands: set[type[Command]] = set()
    seen: set[tuple[State, Status]] = set()
    kinds: set[type[AnyOutcome]] = set()
    for seed in range(5):
        for _, batch, outcomes in record(sqlite_rig, CommandStream(seed, ledgers=3), batches=300):
            commands |= {type(command) for command in batch}
            kinds |= {type(outcome) for outcome in outcomes}
            seen |= {
                (State(outcome.state), Status(outcome.status))
                for outcome in outcomes
                if isinstance(outcome, PaymentOutcome)
            }

    assert len(commands) == 15
    assert Refused in kinds
    assert Fault not in kinds
    assert {status for _, status in seen} == set(Status)
    assert {state for state, _ in seen} == set(State) - {State.RESERVED, State.CANCELLED}
