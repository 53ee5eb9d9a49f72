"""Migrations: SQL files in twins, one for each database, applied forward only and in order.

A *schema set* is what one database holds: an environment's ledgers, production's additions, or the
platform. `schema_migrations` in the database says what has been applied.
"""

from hashlib import sha256
from importlib import resources

import apsw
import msgspec

from pesalango_server.storage.address import DatabaseAddress
from pesalango_server.storage.database import StorageError, StorageUnavailable
from pesalango_server.storage.sqlite import open_reader, open_writer

_FOLDERS = {
    "sandbox": ("environment",),
    "openapi": ("environment", "openapi"),
    "platform": ("platform",),
}

_JOURNAL = (
    "CREATE TABLE IF NOT EXISTS schema_migrations"
    " (name text PRIMARY KEY, digest text NOT NULL, position {integer} NOT NULL)"
)

# An arbitrary number that says "a migration runs here" to another one that starts.
_POSTGRES_LOCK = 7_303_014_251


class SchemaOutdated(StorageError):
    """The database lacks migrations that this program needs."""


class SchemaTooNew(StorageError):
    """The database was made, or changed, by a newer program."""


class Migration(msgspec.Struct, frozen=True):
    """One step of a schema: `name` is folder and file without the dialect."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        """Tells a file that was changed after it had been applied."""
        return sha256(self.sql.encode()).hexdigest()


def list_migrations(database: str, dialect: str) -> list[Migration]:
    """The migrations of `sandbox`, `openapi` or `platform`, in order."""
    suffix = f".{dialect}.sql"
    found = []
    for folder in _FOLDERS[database]:
        place = resources.files(__package__) / "schema" / folder
        for file in sorted(place.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(suffix):
                name = f"{folder}/{file.name.removesuffix(suffix)}"
                found.append(Migration(name, file.read_text(encoding="utf-8")))
    return found


def migrate(address: DatabaseAddress) -> list[str]:
    """Bring a database up to date; the names of what was applied.

    Raises `StorageUnavailable`, `SchemaTooNew`.
    """
    if address.dialect == "sqlite":
        return _migrate_sqlite(address)
    return _migrate_postgres(address)


def check_schema(address: DatabaseAddress) -> None:
    """Raise unless the database is just what this program needs.

    Raises `StorageUnavailable`, `SchemaOutdated`, `SchemaTooNew`.
    """
    missing = _missing(address, _read_journal(address))
    if missing:
        raise SchemaOutdated(
            f"the {address.name} database lacks {len(missing)} migration(s), "
            f"the first is {missing[0].name}; run `pesalango-server migrate`"
        )


def _missing(address: DatabaseAddress, applied: dict[str, str]) -> list[Migration]:
    known = list_migrations(address.name, address.dialect)
    strangers = sorted(set(applied) - {migration.name for migration in known})
    if strangers:
        raise SchemaTooNew(
            f"the {address.name} database was changed by a newer pesalango-server "
            f"({strangers[-1]}); install that version or a later one"
        )
    for migration in known:
        if applied.get(migration.name, migration.digest) != migration.digest:
            raise SchemaTooNew(
                f"the {address.name} database was made with another text of {migration.name}; "
                "use the pesalango-server that made it, or a new data directory"
            )
    return [migration for migration in known if migration.name not in applied]


def _read_journal(address: DatabaseAddress) -> dict[str, str]:
    if address.dialect == "sqlite":
        if not address.path.exists():
            return {}
        # Whoever only looks changes nothing: a writing connection would set the journal's mode.
        connection = open_reader(address.path)
        try:
            return _sqlite_journal(connection)
        except apsw.Error as error:
            raise StorageUnavailable(f"cannot read the database {address.path}: {error}") from error
        finally:
            connection.close()
    from pesalango_server.storage.postgres import connect, run_simple  # noqa: PLC0415 - see `address`

    link = connect(address.conninfo, schema=address.schema)
    try:
        there = run_simple(
            link,
            "SELECT 1 FROM pg_tables WHERE tablename = 'schema_migrations'"
            f" AND schemaname = '{address.schema}'",
        )
        return _postgres_journal(link) if there.ntuples else {}
    finally:
        link.finish()


def _sqlite_journal(connection: apsw.Connection) -> dict[str, str]:
    there = connection.execute(
        "SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'"
    ).fetchall()
    if not there:
        return {}
    rows = connection.execute("SELECT name, digest FROM schema_migrations").fetchall()
    return {str(name): str(digest) for name, digest in rows}


def _postgres_journal(link: object) -> dict[str, str]:
    from pesalango_server.storage.postgres import run_simple  # noqa: PLC0415 - see `address`

    result = run_simple(link, "SELECT name, digest FROM schema_migrations")  # type: ignore[arg-type]
    return {
        (result.get_value(row, 0) or b"").decode(): (result.get_value(row, 1) or b"").decode()
        for row in range(result.ntuples)
    }


def _migrate_sqlite(address: DatabaseAddress) -> list[str]:
    connection = open_writer(address.path)
    try:
        address.path.chmod(0o600)
        connection.execute(_JOURNAL.format(integer="integer")).fetchall()
        applied: list[str] = []
        journal = _sqlite_journal(connection)
        for migration in _missing(address, journal):
            with connection:
                connection.execute(migration.sql).fetchall()
                connection.execute(
                    "INSERT INTO schema_migrations VALUES (?, ?, ?)",
                    (migration.name, migration.digest, len(journal) + len(applied)),
                ).fetchall()
            applied.append(migration.name)
        return applied
    except apsw.Error as error:
        raise StorageError(f"the {address.name} database cannot be migrated: {error}") from error
    finally:
        connection.close()


def _migrate_postgres(address: DatabaseAddress) -> list[str]:
    from pesalango_server.storage.postgres import connect, run_simple  # noqa: PLC0415 - see `address`

    link = connect(address.conninfo, schema=address.schema)
    try:
        # Two programs may start at once: the second waits, and finds nothing left to do.
        run_simple(link, f"SELECT pg_advisory_lock({_POSTGRES_LOCK})", timeout_ms=None)
        run_simple(link, f'CREATE SCHEMA IF NOT EXISTS "{address.schema}"')
        run_simple(link, _JOURNAL.format(integer="bigint"))
        applied: list[str] = []
        journal = _postgres_journal(link)
        for migration in _missing(address, journal):
            position = len(journal) + len(applied)
            run_simple(
                link,
                f"BEGIN;{migration.sql};INSERT INTO schema_migrations VALUES"
                f" ('{migration.name}', '{migration.digest}', {position});COMMIT",
                timeout_ms=None,
            )
            applied.append(migration.name)
        return applied
    finally:
        link.finish()
