"""Where a database is, and how a writer or a reader of it is opened.

PostgreSQL's driver is loaded where it is first needed: loading it takes a third of the time in
which a server on SQLite starts.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from pesalango_server.storage.database import Reader, StorageUnavailable, Writer
from pesalango_server.storage.segments import ClosedSegments
from pesalango_server.storage.sqlite import SqliteReader, SqliteWriter

DATABASES = ("platform", "sandbox", "openapi")
"""The platform's database and one for each environment: a file each, or a schema each."""


class DatabaseAddress(msgspec.Struct, frozen=True):
    """One of `DATABASES` in one of the dialects.

    `location` is the file's path (SQLite) or connection parameters that may hold a password
    (PostgreSQL): it is never logged, and never on a command line.
    """

    name: str
    dialect: str
    location: str

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.location)

    @property
    def conninfo(self) -> str:
        """PostgreSQL's connection parameters."""
        return self.location

    @property
    def schema(self) -> str:
        """The schema that holds this database's tables (PostgreSQL)."""
        return f"pesalango_{self.name}"


def list_addresses(*, data_dir: Path, conninfo: str | None) -> dict[str, DatabaseAddress]:
    """The three addresses: schemas of `conninfo`, or files in `data_dir` where it is None."""
    return {
        name: DatabaseAddress(name, "postgres", conninfo)
        if conninfo is not None
        else DatabaseAddress(name, "sqlite", str(data_dir / f"{name}.db"))
        for name in DATABASES
    }


def open_database_writer(address: DatabaseAddress, *, lock_timeout_ms: int = 5_000) -> Writer:
    """The writer of an engine. Raises `StorageUnavailable`."""
    if address.dialect == "sqlite":
        return SqliteWriter(address.path)
    from pesalango_server.storage.postgres import PostgresWriter  # noqa: PLC0415 - see above

    return PostgresWriter(address.conninfo, schema=address.schema, lock_timeout_ms=lock_timeout_ms)


def open_database_reader(address: DatabaseAddress) -> Reader:
    """A reader of a worker. Raises `StorageUnavailable`."""
    return make_reader_opener(address)()


def make_reader_opener(address: DatabaseAddress) -> Callable[[], Reader]:
    """What opens readers that share what is costly to learn. It raises `StorageUnavailable`."""
    if address.dialect == "sqlite":
        return partial(SqliteReader, address.path, ClosedSegments())
    from pesalango_server.storage.postgres import PostgresReader  # noqa: PLC0415 - see above

    return partial(PostgresReader, address.conninfo, schema=address.schema)


_DURABILITY = {
    "fsync": ("off",),
    "full_page_writes": ("off",),
    "synchronous_commit": ("off",),
}


def check_durability(conninfo: str, *, allows_unsafe: bool) -> None:
    """Refuse a PostgreSQL that may forget what it has confirmed. Raises `StorageUnavailable`."""
    from pesalango_server.storage.postgres import connect, run_simple  # noqa: PLC0415 - see above

    link = connect(conninfo, schema="public")
    try:
        for name, unsafe in _DURABILITY.items():
            value = (run_simple(link, f"SHOW {name}").get_value(0, 0) or b"").decode()
            if value in unsafe and not allows_unsafe:
                raise StorageUnavailable(
                    f"PostgreSQL runs with {name} = {value}: confirmed payments could be lost in "
                    f"a crash; set {name} = on (or allow_unsafe_postgres, for tests alone)"
                )
    finally:
        link.finish()
