"""A copy of a SQLite database, taken beside whatever reads it and writes to it."""

import os
from pathlib import Path

import apsw

from pesalango_server.storage.database import StorageError, StorageUnavailable
from pesalango_server.storage.sqlite import open_reader


def copy_database(source: Path, target: Path) -> int:
    """One moment of the database `source` as a new file, on the disk and found to be whole.

    Neither waits for a server's commits nor holds them up; until it is done the server's log of
    writes grows. The copy has no log beside it: one file is all of it. Answers its size in bytes.
    Raises `StorageUnavailable` for a source that cannot be read, `StorageError` for a copy that
    cannot be made.
    """
    if not source.is_file():
        raise StorageUnavailable(f"there is no database {source}")
    reader = open_reader(source)
    try:
        # Made before SQLite sees it, so that nobody else can read it for a moment.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        copy = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            # In one step: between two, a commit of the server would have it begin anew.
            with copy.backup("main", reader, "main") as backup:
                backup.step(-1)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
            _require_whole(copy, source)
        finally:
            copy.close(force=True)
        return target.stat().st_size
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StorageUnavailable(f"{source} is damaged, or is no database: {error}") from error
    except apsw.FullError as error:
        raise StorageError(f"there is no room for a copy of {source} in {target.parent}") from error
    except apsw.Error as error:
        raise StorageError(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        reader.close(force=True)


def _require_whole(copy: apsw.Connection, source: Path) -> None:
    """A copy of damaged pages is a damaged copy; better to know while there is an older one."""
    found = [str(line) for (line,) in copy.execute("PRAGMA integrity_check(3)").fetchall()]
    if found != ["ok"]:
        raise StorageError(
            f"{source} is damaged ({'; '.join(found)}): it was not backed up; keep the backups "
            "that there are, and look at its disk"
        )
