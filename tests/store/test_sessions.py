"""Sessions as the engine makes them and workers read them, and how old ones make room."""

from itertools import count

import pytest

from pesalango_server.applications.sessions import (
    KEEP_ENDED_MS,
    CreateSession,
    Session,
    decode_session,
    read_session,
)
from pesalango_server.kernel.message import Done
from pesalango_server.storage.address import open_database_reader
from tests.store.engine_fixture import Rig

_numbers = count(1)


def make_session(
    ledger: int = 1, *, activation_delay_ms: int = 0, life_ms: int = 60_000
) -> CreateSession:
    return CreateSession(ledger, 7, f"{next(_numbers):064x}", activation_delay_ms, life_ms)


def find(rig: Rig, key_hash: str) -> Session | None:
    reader = open_database_reader(rig.address)
    try:
        return decode_session(reader.read(read_session(key_hash)))
    finally:
        reader.close()


def test_a_worker_finds_a_session_as_soon_as_it_was_answered(rig: Rig) -> None:
    command = make_session(activation_delay_ms=5_000, life_ms=60_000)
    assert find(rig, command.key_hash) is None

    live_ms = rig.clock.wall_ms() + 5_000
    assert rig.run(command) == [Done((live_ms, live_ms + 60_000))]
    assert find(rig, command.key_hash) == Session(1, 7, live_ms, live_ms + 60_000)


def test_a_session_ends_none_of_the_others(rig: Rig) -> None:
    commands = [make_session() for _ in range(3)]
    rig.run(*commands)

    assert all(find(rig, command.key_hash) for command in commands)


@pytest.mark.parametrize("made_at_once", [1, 4])
def test_whoever_makes_a_session_takes_a_few_old_ones_away(rig: Rig, made_at_once: int) -> None:
    rig.run(*(make_session() for _ in range(20)))
    rig.clock.advance(60_000 + KEEP_ENDED_MS)
    rig.run(*(make_session() for _ in range(made_at_once)))
    assert rig.count("sessions") == 20 + made_at_once
    rig.clock.advance(1)

    rig.run(*(make_session() for _ in range(made_at_once)))
    # Three for each that is made, on either database.
    assert rig.count("sessions") == 20 + 2 * made_at_once - 3 * made_at_once


def test_sessions_of_another_ledger_are_left_alone(rig: Rig) -> None:
    rig.open_ledger(2)
    other = make_session(2)
    rig.run(other)
    rig.clock.advance(60_000 + KEEP_ENDED_MS + 1)

    rig.run(make_session(1))
    assert find(rig, other.key_hash) is not None
    rig.run(make_session(2))
    assert find(rig, other.key_hash) is None
