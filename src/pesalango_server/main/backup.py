"""Backup of a data directory: its three databases, copied in an order that keeps them together."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pesalango_server.main.credentials import FILE_NAME
from pesalango_server.settings import Settings
from pesalango_server.storage.backup import copy_database
from pesalango_server.storage.database import StorageError

BACKUP_ORDER = ("sandbox", "openapi", "platform")
"""The platform's last. What an environment refers to (world, application, the secrets behind its
keys) was committed in the platform's database before; copied later, it holds all of that. Copied
earlier it could lack an application that a session names, and the next one to be made would be
given its number, and with that the session.
"""


def back_up(settings: Settings, target: Path, say: Callable[[str], None]) -> None:
    """Copy a data directory to `target`, which is there whole or not at all.

    A server may run on it. Raises `StorageError`.
    """
    if settings.database != "sqlite":
        raise StorageError(
            "this installation keeps its data in PostgreSQL: back that up with pg_dump or "
            "pg_basebackup, as docs/running/backup-and-restore.md says"
        )
    source, target = Path(settings.data_dir).resolve(), target.absolute()
    if not source.is_dir():
        raise StorageError(f"there is no data directory {source}; name one with --data-dir")
    _require_new(target)
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=f"{target.name}.unfinished-", dir=target.parent))
        try:
            _copy_all(source, unfinished, say)
            unfinished.rename(target)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        _sync_directory(target.parent)
    except OSError as error:
        raise StorageError(
            f"the backup {target} cannot be written: {error.strerror or error}"
        ) from error


def _require_new(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()):
            raise StorageError(
                f"{target} holds something already; a backup wants a directory of its own"
            )
    elif target.exists():
        raise StorageError(f"{target} is no directory; a backup wants a directory of its own")
    # Made here it might be made on a disk that was meant to be another one, not mounted today.
    elif not target.parent.is_dir():
        raise StorageError(f"there is no directory {target.parent} for the backup to lie in")


def _copy_all(source: Path, target: Path, say: Callable[[str], None]) -> None:
    # `up` writes it after the platform's commit, so it comes before the platform's copy.
    if (source / FILE_NAME).is_file():
        _copy_file(source / FILE_NAME, target / FILE_NAME)
    for name in BACKUP_ORDER:
        size = copy_database(source / f"{name}.db", target / f"{name}.db")
        say(f"{name}: {size} bytes, whole")
    _sync_directory(target)


def _copy_file(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
