"""One bundled PostgreSQL for a whole run of pytest, and an empty database of it for each test.

    def test_something(postgres_url: str) -> None: ...

Loaded by `pytest_plugins = ["tests.store.postgres_fixture"]` in the topmost conftest.
The server keeps every safety of its own switched on; it is quick because its files lie in memory
where the system offers that (/dev/shm), so that there is no disk to wait for.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from pesalango_server.storage.bundled import BundledPostgres

_MEMORY = Path("/dev/shm")
_MEMORY_FREE_MIN_BYTES = 2 * 1024**3
_PREFIX = "pesalango-tests-"
_FORGOTTEN_AFTER_S = 600

_SETTINGS = {
    "max_connections": "100",
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
}

_END_SESSIONS: LiteralString = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
)


class PostgresServer:
    """The run's server; a test that needs more than `postgres_url` may use it directly."""

    def __init__(self, bundled: BundledPostgres) -> None:
        self.bundled = bundled
        self._connection = psycopg.connect(bundled.url, autocommit=True)
        self._count = 0

    def create_database(self, *, template: str = "template0") -> str:
        """The name of a new database, empty or a copy of `template` (which nobody may use)."""
        self._count += 1
        name = f"test_{self._count}"
        self._connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

    def build_url(self, database: str) -> str:
        """The libpq URL of one of its databases."""
        return self.bundled.build_url(database)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        # DROP … WITH (FORCE) would end the sessions too, but looks again only after 100 ms.
        self._connection.execute(_END_SESSIONS, (name,)).fetchall()
        self._connection.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def close(self) -> None:
        """End the connection that it uses itself."""
        self._connection.close()


def _remove_forgotten_directories(parent: Path) -> None:
    """What killed runs left: their server is gone with them, and so is its lock."""
    for directory in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (directory / "lock").open("rb") as lock:
            if time.time() - directory.stat().st_mtime < _FORGOTTEN_AFTER_S:
                continue  # another run may be about to take its lock
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)


def _has_room_in_memory() -> bool:
    return (
        _MEMORY.is_dir()
        and os.access(_MEMORY, os.W_OK)
        and shutil.disk_usage(_MEMORY).free >= _MEMORY_FREE_MIN_BYTES
    )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The run's one server, started at the first use and removed at the end."""
    parent = _MEMORY if _has_room_in_memory() else Path(tempfile.gettempdir())
    _remove_forgotten_directories(parent)
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as directory,
        BundledPostgres.start(Path(directory), settings=_SETTINGS) as bundled,
        contextlib.closing(PostgresServer(bundled)) as server,
    ):
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The libpq URL of an empty database that is this test's alone."""
    name = postgres_server.create_database()
    try:
        yield postgres_server.build_url(name)
    finally:
        postgres_server.drop_database(name)
